package cas_test

import (
	"context"
	"fmt"
	"strings"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
	"github.com/lashstore/lashstore/cas/memcas"
)

// Content of any size goes through Split, and comes back through Join. Which
// generation a digest was put under is for the caller to remember.
func Example() {
	ctx := context.Background()
	store, err := cas.New(memcas.New(), cas.Options{Prefix: "acme/"})
	if err != nil {
		fmt.Println(err)
		return
	}
	generations := make(map[lashstore.Digest]cas.Generation)
	put := func(ctx context.Context, pieces []cas.Piece) error {
		for _, p := range pieces {
			g, err := cas.NewGeneration(nil)
			if err != nil {
				return err
			}
			if err := store.PutObject(ctx, cas.ObjectName{Digest: p.Digest, Generation: g}, p.Stored); err != nil {
				return err
			}
			generations[p.Digest] = g
		}
		return nil
	}
	content := strings.NewReader(strings.Repeat("what the agent remembers. ", 100_000))
	manifest, err := store.Split(ctx, content, lashstore.StandardDescriptor(lashstore.KindToolState), 0, put)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(manifest.SizeBytes, "bytes in", len(manifest.Chunks), "chunks")

	r, err := store.Join(ctx, manifest, func(d lashstore.Digest) (cas.Generation, bool) {
		g, ok := generations[d]
		return g, ok
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	back, err := cas.ReadAll(r, lashstore.MaxBlobBytes)
	fmt.Println(len(back), lashstore.DigestOf(back) == manifest.Digest, err, r.Close())
	// Output:
	// 2600000 bytes in 3 chunks
	// 2600000 true <nil> <nil>
}

// The key of an object is made of the content's digest and a generation.
func ExampleObjectName_Key() {
	name := cas.ObjectName{Digest: lashstore.DigestOf([]byte("hello")), Generation: 0x2a}
	fmt.Println(name.Key())
	// Output:
	// b3/ea/ea8f163db38682925e4491c5e58d4bb3506ef8c14eb78a86e908c5624a67200f.000000000000002a
}
