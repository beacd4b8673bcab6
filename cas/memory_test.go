package cas_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
	"github.com/lashstore/lashstore/cas/filecas"
)

// stream yields size bytes of noise without holding them.
func stream(size int64, seed byte) io.Reader {
	return io.LimitReader(rand.NewChaCha8([32]byte{seed}), size)
}

// heapPeak is the largest heap seen, garbage not counted.
type heapPeak struct{ base, peak uint64 }

func (h *heapPeak) sample() {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	if h.base == 0 {
		h.base = stats.HeapAlloc
	}
	h.peak = max(h.peak, stats.HeapAlloc)
}

// bytesPerRun returns how many bytes f allocates, on average of many runs.
func bytesPerRun(f func()) uint64 {
	const runs = 100
	f() // fills the pools
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range runs {
		f()
	}
	runtime.ReadMemStats(&after)
	return (after.TotalAlloc - before.TotalAlloc) / runs
}

// Content of any size is split and joined in the memory of a few chunks: two
// windows of 8 MiB, and the compressors, whatever the size. The bounds leave room for
// the race detector, under which pools forget.
func TestSplitJoinMemoryIsBounded(t *testing.T) {
	// Not parallel: it measures the heap.
	const size, splitBound, joinBound = 100 << 20, 40 << 20, 8 << 20
	driver, err := filecas.Open(t.TempDir(), filecas.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := driver.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	c := newCatalog(newStore(t, driver, cas.Options{}))

	var heap heapPeak
	heap.sample()
	m, err := c.store.Split(t.Context(), stream(size, 5), compressible(), 0,
		func(ctx context.Context, pieces []cas.Piece) error {
			heap.sample()
			return c.put(ctx, pieces)
		})
	if err != nil {
		t.Fatalf("Split: %v", err)
	}
	if m.SizeBytes != size || len(m.Chunks) != size/cas.ChunkSize {
		t.Fatalf("manifest of %d bytes in %d chunks", m.SizeBytes, len(m.Chunks))
	}
	if used := heap.peak - heap.base; used > splitBound {
		t.Errorf("Split of 100 MiB needs %d KiB, want at most %d", used>>10, splitBound>>10)
	}

	heap = heapPeak{}
	r := c.join(t, m)
	heap.sample()
	want, buf := stream(size, 5), make([]byte, 2*cas.ChunkSize)
	for at := 0; at < size; at += cas.ChunkSize {
		got, expected := buf[:cas.ChunkSize], buf[cas.ChunkSize:]
		if _, err := io.ReadFull(r, got); err != nil {
			t.Fatalf("read at %d: %v", at, err)
		}
		if _, err := io.ReadFull(want, expected); err != nil {
			t.Fatal(err)
		}
		if string(got) != string(expected) {
			t.Fatalf("chunk at %d differs", at)
		}
		if at%(10*cas.ChunkSize) == 0 {
			heap.sample()
		}
	}
	if n, err := r.Read(buf); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("at the end: got %d, %v, want 0, io.EOF", n, err)
	}
	if used := heap.peak - heap.base; used > joinBound {
		t.Errorf("Join of 100 MiB needs %d KiB, want at most %d", used>>10, joinBound>>10)
	}
}

// Small content is the common case: it must not cost the memory of a chunk.
func TestSplitSmallAllocates(t *testing.T) {
	// Not parallel: it measures allocations.
	s := memStore(t, cas.Options{})
	got := bytesPerRun(func() {
		if _, err := s.Split(t.Context(), stream(10_000, 1), lashstore.Descriptor{}, 0, discard); err != nil {
			t.Fatal(err)
		}
	})
	if got > 48<<10 { // as above; a chunk would be 1 MiB
		t.Errorf("Split of 10 kB allocates %d bytes, want at most 48 KiB", got)
	}
}

func BenchmarkSplit(b *testing.B) {
	for _, size := range []int64{10_000, 1 << 20, 16 << 20} {
		b.Run(fmt.Sprintf("bytes=%d", size), func(b *testing.B) {
			s := memStore(b, cas.Options{})
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Split(b.Context(), stream(size, 1), lashstore.Descriptor{}, 0, discard); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkEncodeDecode(b *testing.B) {
	raw := text(cas.ChunkSize)
	for _, profile := range []lashstore.Profile{lashstore.ProfileLowLatency, lashstore.ProfileBalanced, lashstore.ProfileCompact} {
		b.Run(string(profile), func(b *testing.B) {
			s := memStore(b, cas.Options{Profile: profile})
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()
			for b.Loop() {
				stored, err := s.Encode(raw, compressible())
				if err != nil {
					b.Fatal(err)
				}
				if _, err := cas.Decode(stored, lashstore.DigestOf(raw), "k"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
