package diskcache_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"

	"pgregory.net/rapid"

	"github.com/lashstore/lashstore/cas"
	"github.com/lashstore/lashstore/cas/castest"
	"github.com/lashstore/lashstore/cas/diskcache"
	"github.com/lashstore/lashstore/cas/memcas"
	"github.com/lashstore/lashstore/internal/testenv"
)

// Whatever is read, put, deleted and forgotten, in whatever order and pieces, through
// a cache that evicts: every answer is the plain driver's.
func TestCacheAgreesWithDriver(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		tier, clock := memcas.New(), testenv.NewClock()
		c := openCache(t, castest.NewFaulty(tier), t.TempDir(), diskcache.Options{
			MaxBytes: least, BlockBytes: small, Now: clock.Now,
		})
		defer func() { _ = c.Close() }() // before the next case: a case opens files
		key := rapid.Custom(func(rt *rapid.T) string { return fmt.Sprint("k", rapid.IntRange(0, 3).Draw(rt, "key")) })
		rt.Repeat(map[string]func(*rapid.T){
			"put": func(rt *rapid.T) {
				size := rapid.OneOf(rapid.IntRange(0, 40*small),
					rapid.Custom(func(rt *rapid.T) int { return small * rapid.IntRange(0, 40).Draw(rt, "blocks") })).Draw(rt, "size")
				if err := c.Put(t.Context(), key.Draw(rt, "key"), noise(size, rapid.Byte().Draw(rt, "seed"))); err != nil {
					rt.Fatalf("Put: %v", err)
				}
			},
			"get": func(rt *rapid.T) {
				k := key.Draw(rt, "key")
				offset := rapid.Int64Range(0, 42*small).Draw(rt, "offset")
				length := rapid.OneOf(rapid.Just[int64](-1), rapid.Int64Range(1, 42*small)).Draw(rt, "length")
				piece := rapid.SampledFrom([]int{1 << 20, small, 1000}).Draw(rt, "piece")
				got, err := getPieces(t, c, k, offset, length, piece)
				want, wantErr := getPieces(t, tier, k, offset, length, 1<<20)
				if !bytes.Equal(got, want) || errors.Is(err, cas.ErrObjectNotFound) != (wantErr != nil) || (err == nil) != (wantErr == nil) {
					rt.Fatalf("Get %s from %d, %d bytes: got %d bytes, %v, want %d bytes, %v", k, offset, length, len(got), err, len(want), wantErr)
				}
			},
			"delete": func(rt *rapid.T) {
				if err := c.Delete(t.Context(), []string{key.Draw(rt, "key")}); err != nil {
					rt.Fatalf("Delete: %v", err)
				}
			},
			"forget": func(rt *rapid.T) { c.Forget(key.Draw(rt, "key")) },
			"evict": func(rt *rapid.T) {
				clock.Advance(diskcache.TouchEvery)
				if _, _, err := c.Pass(t.Context()); err != nil {
					rt.Fatalf("Pass: %v", err)
				}
			},
		})
	})
}

// getPieces reads a range with reads of up to piece bytes.
func getPieces(t *testing.T, d cas.Driver, key string, offset, length int64, piece int) ([]byte, error) {
	t.Helper()
	r, err := d.Get(t.Context(), key, offset, length)
	if err != nil {
		return nil, err
	}
	var body []byte
	buf := make([]byte, piece)
	for {
		n, err := r.Read(buf)
		body = append(body, buf[:n]...)
		if errors.Is(err, io.EOF) {
			return body, r.Close()
		}
		if err != nil {
			return body, errors.Join(err, r.Close())
		}
	}
}
