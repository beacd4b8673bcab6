package diskcache_test

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/lashstore/lashstore/cas"
	"github.com/lashstore/lashstore/cas/castest"
	"github.com/lashstore/lashstore/cas/diskcache"
	"github.com/lashstore/lashstore/cas/filecas"
	"github.com/lashstore/lashstore/cas/memcas"
)

func BenchmarkDriver(b *testing.B) {
	castest.Bench(b, func(tb testing.TB) castest.Harness {
		tb.Helper()
		return castest.Harness{Driver: openCache(tb, memcas.New(), tb.TempDir(), diskcache.Options{})}
	})
}

// BenchmarkGet compares a read that hits, one that misses and is stored, and the
// driver without a cache. The driver is files on the same disk: what a miss costs here
// is the cache's own work, not the far tier's time.
func BenchmarkGet(b *testing.B) {
	const object = 16 << 20
	for _, length := range []int64{8 << 10, 256 << 10, object} {
		b.Run(fmt.Sprintf("bytes=%d", length), func(b *testing.B) {
			d, err := filecas.Open(b.TempDir(), filecas.Options{NoSync: true})
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { _ = d.Close() })
			put(b, d, "k", noise(object, 1))
			c := openCache(b, d, b.TempDir(), diskcache.Options{})
			offset := (object - length) / 2 / length * length // within one block, if it is that small
			b.Run("hit", func(b *testing.B) { benchGet(b, c, offset, length, func() {}) })
			b.Run("miss", func(b *testing.B) { benchGet(b, c, offset, length, func() { c.Forget("k") }) })
			b.Run("plain", func(b *testing.B) { benchGet(b, d, offset, length, func() {}) })
		})
	}
}

func benchGet(b *testing.B, d cas.Driver, offset, length int64, before func()) {
	b.Helper()
	b.SetBytes(length)
	b.ReportAllocs()
	for b.Loop() {
		before()
		r, err := d.Get(b.Context(), "k", offset, length)
		if err != nil {
			b.Fatal(err)
		}
		n, err := io.Copy(io.Discard, r)
		if err := errors.Join(err, r.Close()); err != nil || n != length {
			b.Fatal(n, err)
		}
	}
}
