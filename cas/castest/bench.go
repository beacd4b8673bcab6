package castest

import (
	"bytes"
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/lashstore/lashstore/cas"
)

// Bench runs the benchmarks that let drivers be compared: put, get, stat, list,
// delete, and the store's Split above the driver.
func Bench(b *testing.B, newHarness func(tb testing.TB) Harness) {
	b.Helper()
	for _, size := range []int{4 << 10, 64 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("Put/bytes=%d", size), func(b *testing.B) { benchPut(b, newHarness(b).Driver, size, false) })
		b.Run(fmt.Sprintf("PutParallel/bytes=%d", size), func(b *testing.B) { benchPut(b, newHarness(b).Driver, size, true) })
		b.Run(fmt.Sprintf("Get/bytes=%d", size), func(b *testing.B) { benchGet(b, newHarness(b).Driver, size) })
	}
	b.Run("Stat", func(b *testing.B) { benchStat(b, newHarness(b).Driver) })
	b.Run("List/objects=1000", func(b *testing.B) { benchList(b, newHarness(b).Driver) })
	b.Run("Delete", func(b *testing.B) { benchDelete(b, newHarness(b).Driver) })
	b.Run("Split/bytes=16777216", func(b *testing.B) { benchSplit(b, newHarness(b).Driver) })
}

func benchKey(i int64) string { return fmt.Sprintf("b3/%02x/%012d", i&0xff, i) }

func benchPut(b *testing.B, d cas.Driver, size int, parallel bool) {
	b.Helper()
	body := content(size, 1)
	b.SetBytes(int64(size))
	b.ReportAllocs()
	var n atomic.Int64
	one := func() {
		if err := d.Put(b.Context(), benchKey(n.Add(1)), body); err != nil {
			b.Error(err)
		}
	}
	if parallel {
		b.SetParallelism(8)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				one()
			}
		})
		return
	}
	for b.Loop() {
		one()
	}
}

func benchGet(b *testing.B, d cas.Driver, size int) {
	b.Helper()
	if err := d.Put(b.Context(), "k", content(size, 1)); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := readAll(b.Context(), d, "k"); err != nil {
			b.Fatal(err)
		}
	}
}

func benchStat(b *testing.B, d cas.Driver) {
	b.Helper()
	if err := d.Put(b.Context(), "k", nil); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Stat(b.Context(), "k"); err != nil {
			b.Fatal(err)
		}
	}
}

func benchList(b *testing.B, d cas.Driver) {
	b.Helper()
	for i := range int64(1000) {
		if err := d.Put(b.Context(), benchKey(i), nil); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if infos, err := d.List(b.Context(), "b3/", "", 1000); err != nil || len(infos) != 1000 {
			b.Fatal(len(infos), err)
		}
	}
}

// benchDelete counts the put that each deletion needs; compare it with benchPut.
func benchDelete(b *testing.B, d cas.Driver) {
	b.Helper()
	b.ReportAllocs()
	for b.Loop() {
		if err := d.Put(b.Context(), "k", nil); err != nil {
			b.Fatal(err)
		}
		if err := d.Delete(b.Context(), []string{"k"}); err != nil {
			b.Fatal(err)
		}
	}
}

func benchSplit(b *testing.B, d cas.Driver) {
	b.Helper()
	s := newStore(b, d, "")
	body := content(16<<20, 1)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		_, err := s.Split(b.Context(), bytes.NewReader(body), cas.SplitOptions{},
			func(ctx context.Context, objects []cas.NewObject) error {
				for _, o := range objects {
					if err := s.PutObject(ctx, cas.ObjectName{Digest: o.Digest, Generation: 1}, o.Stored); err != nil {
						return err
					}
				}
				return nil
			})
		if err != nil {
			b.Fatal(err)
		}
	}
}
