package cas_test

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"sync"
	"testing"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
	"github.com/lashstore/lashstore/cas/filecas"
	"github.com/lashstore/lashstore/internal/testenv"
)

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

// convoy holds puts until as many wait as may be under way, or the content has ended:
// the store is always as slow as it can be without stopping the reading for good.
type convoy struct {
	size  int
	ended chan struct{}

	mu      sync.Mutex // guards all below
	waiting int
	next    chan struct{} // closed when the convoy may go
}

func (c *convoy) wait() {
	c.mu.Lock()
	next := c.next
	if c.waiting++; c.waiting == c.size {
		close(next)
		c.next, c.waiting = make(chan struct{}), 0
	}
	c.mu.Unlock()
	select {
	case <-next:
	case <-c.ended:
	}
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// Content of any size is split and joined in the memory of a few windows and
// segments, also while the store takes no more: segments are put only when as many
// wait as may. The bounds leave room for the race detector, under which pools forget.
func TestSplitJoinMemoryIsBounded(t *testing.T) {
	// Not parallel: it measures the heap.
	size := int64(256 << 20)
	if testing.Short() {
		size = 64 << 20
	}
	const splitBound, joinBound = 64 << 20, 24 << 20
	for what, stream := range map[string]func() io.Reader{
		"noise": func() io.Reader { return testenv.NoiseReader(5, size) },
		"prose": func() io.Reader { return proseStream(size, 5) },
	} {
		driver, err := filecas.Open(t.TempDir(), filecas.Options{NoSync: true})
		if err != nil {
			t.Fatal(err)
		}
		c := newCatalog(newStore(t, driver, cas.Options{}))
		gate := &convoy{size: cas.ParallelPuts, ended: make(chan struct{}), next: make(chan struct{})}
		var heap testenv.HeapPeak
		heap.Start()
		r := io.MultiReader(heap.Reader(stream()), readerFunc(func([]byte) (int, error) {
			close(gate.ended)
			return 0, io.EOF
		}))
		res, err := c.store.Split(t.Context(), r, cas.SplitOptions{Descriptor: compressible()},
			func(ctx context.Context, objects []cas.NewObject) error {
				gate.wait()
				return c.put(ctx, objects)
			})
		if err != nil {
			t.Fatalf("%s: Split: %v", what, err)
		}
		if used := heap.Bytes(); used > splitBound {
			t.Errorf("%s: Split of %d MiB needs %d KiB, want at most %d", what, size>>20, used>>10, splitBound>>10)
		}
		t.Logf("%s: Split needs %d KiB", what, heap.Bytes()>>10)
		m := c.open(t, res)
		heap.Start()
		joined := c.join(t, m)
		if err := testenv.EqualReaders(heap.Reader(joined), stream()); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if used := heap.Bytes(); used > joinBound {
			t.Errorf("%s: Join of %d MiB needs %d KiB, want at most %d", what, size>>20, used>>10, joinBound>>10)
		}
		t.Logf("%s: Join needs %d KiB", what, heap.Bytes()>>10)
		if err := driver.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
}

func discard(context.Context, []cas.NewObject) error { return nil }

// Small content is the common case: it must not cost the memory of a window.
func TestSplitSmallAllocates(t *testing.T) {
	// Not parallel: it measures allocations.
	s := memStore(t, cas.Options{})
	got := bytesPerRun(func() {
		if _, err := s.Split(t.Context(), testenv.NoiseReader(1, 10_000), cas.SplitOptions{}, discard); err != nil {
			t.Fatal(err)
		}
	})
	if got > 128<<10 { // the read grows in steps; a window is 2 MiB
		t.Errorf("Split of 10 kB allocates %d bytes, want at most 128 KiB", got)
	}
}

func BenchmarkSplit(b *testing.B) {
	for _, size := range []int64{10_000, 1 << 20, 16 << 20} {
		b.Run(fmt.Sprintf("bytes=%d", size), func(b *testing.B) {
			s := memStore(b, cas.Options{})
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Split(b.Context(), testenv.NoiseReader(1, size), cas.SplitOptions{}, discard); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkEncodeDecode(b *testing.B) {
	raw := text(1 << 20)
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
