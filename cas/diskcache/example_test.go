package diskcache_test

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/lashstore/lashstore/cas/diskcache"
	"github.com/lashstore/lashstore/cas/memcas"
)

// A cache stands where its tier's driver would.
func Example() {
	ctx, tier := context.Background(), memcas.New()
	dir, err := os.MkdirTemp("", "cache")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a folder of the example
	cache, err := diskcache.New(tier, dir, diskcache.Options{MaxBytes: 64 << 20})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer cache.Close() //nolint:errcheck // nothing is written to it
	if err := cache.Put(ctx, "acme/b3/00/object", []byte("a segment of packed chunks")); err != nil {
		fmt.Println(err)
		return
	}
	part, err := cache.Get(ctx, "acme/b3/00/object", 2, 7)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer part.Close() //nolint:errcheck // it was read to its end
	content, err := io.ReadAll(part)
	fmt.Println(string(content), err)
	// Output: segment <nil>
}
