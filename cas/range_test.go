package cas_test

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/lashstore/lashstore/cas"
	"github.com/lashstore/lashstore/cas/memcas"
	"github.com/lashstore/lashstore/internal/testenv"
)

// countingDriver counts the requests for each object, and their bytes.
type countingDriver struct {
	cas.Driver

	mu    sync.Mutex // guards all below
	gets  map[string]int
	bytes int64
}

func (d *countingDriver) Get(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	body, err := d.Driver.Get(ctx, key, offset, length)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.gets[key]++
	return &countingBody{ReadCloser: body, driver: d}, err
}

type countingBody struct {
	io.ReadCloser

	driver *countingDriver
}

func (b *countingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.driver.mu.Lock()
	defer b.driver.mu.Unlock()
	b.driver.bytes += int64(n)
	return n, err
}

// take returns the counts so far and begins anew.
func (d *countingDriver) take() (gets map[string]int, requests int, bytes int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	gets, bytes = d.gets, d.bytes
	for _, n := range gets {
		requests += n
	}
	d.gets, d.bytes = make(map[string]int), 0
	return gets, requests, bytes
}

func newCounting(t *testing.T) (*countingDriver, *catalog) {
	t.Helper()
	d := &countingDriver{Driver: memcas.New(), gets: make(map[string]int)}
	return d, newCatalog(newStore(t, d, cas.Options{}))
}

// A range of large content costs a request or two and the chunks it lies in, wherever
// the reader was before.
func TestRangeFetchesLittle(t *testing.T) {
	t.Parallel()
	const size, length, most = 100 << 20, 100, 200 << 10
	d, c := newCounting(t)
	res, err := c.store.Split(t.Context(), testenv.NoiseReader(1, size), cas.SplitOptions{}, c.put)
	if err != nil {
		t.Fatal(err)
	}
	m := c.open(t, res)
	d.take()
	r := c.join(t, m)
	rng := rand.New(rand.NewPCG(9, 9))
	offsets := []int64{50 << 20, size - length, 0, cas.CoarseFrom - 50, 1}
	for range 20 {
		offsets = append(offsets, rng.Int64N(size-length))
	}
	for _, offset := range offsets {
		// As net/http does: to the end for the size, to the start, to the range.
		for _, to := range []struct {
			offset int64
			whence int
		}{{0, io.SeekEnd}, {0, io.SeekStart}, {offset, io.SeekStart}} {
			if _, err := r.Seek(to.offset, to.whence); err != nil {
				t.Fatal(err)
			}
		}
		got := make([]byte, length)
		if _, err := io.ReadFull(r, got); err != nil {
			t.Fatalf("read at %d: %v", offset, err)
		}
		want := testenv.NoiseReader(1, size)
		if _, err := io.CopyN(io.Discard, want, offset); err != nil {
			t.Fatal(err)
		}
		if err := testenv.EqualReaders(bytes.NewReader(got), io.LimitReader(want, length)); err != nil {
			t.Errorf("at %d: %v", offset, err)
		}
		_, requests, fetched := d.take()
		if limit := int64(most); offset == 0 && fetched > 2*limit || offset != 0 && fetched >= limit || requests > 3 {
			t.Errorf("%d bytes at %d: %d requests for %d bytes", length, offset, requests, fetched)
		}
	}
}

// Content that lies in the segments of many turns is read with about one request for
// each, and hardly a byte twice.
func TestSequentialReadFetchesEachSegmentOnce(t *testing.T) {
	t.Parallel()
	d, c := newCounting(t)
	rng := rand.New(rand.NewPCG(4, 4))
	last, _ := c.turnOf(t, nil, noise(6<<20, 1), cas.SplitOptions{})
	for turn := range 60 {
		content := append(scatter(rng, last.content, 4), noise(3000, byte(turn))...)
		last, _ = c.turnOf(t, &last, content, cas.SplitOptions{})
	}
	m := c.open(t, last.res)
	d.take()
	got, err := cas.ReadAll(c.join(t, m), m.SizeBytes)
	if err != nil || !bytes.Equal(got, last.content) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	_, requests, fetched := d.take()
	segments := len(m.Objects()) - len(m.Chain())
	t.Logf("%d requests for %d bytes in %d segments", requests, fetched, segments)
	if requests > 3*segments {
		t.Errorf("%d requests for %d segments", requests, segments)
	}
	if held := c.held(m); fetched > held*3/2 {
		t.Errorf("%d bytes were fetched, of the %d that are held", fetched, held)
	}
}

// A reader that begins like a copy costs one request for each segment; one that asks
// for little gets little.
func TestFirstReadTellsACopy(t *testing.T) {
	t.Parallel()
	const size = 10 << 20
	d, c := newCounting(t)
	res, err := c.store.Split(t.Context(), testenv.NoiseReader(1, size), cas.SplitOptions{}, c.put)
	if err != nil {
		t.Fatal(err)
	}
	m := c.open(t, res)
	d.take()
	r := c.join(t, m)
	if _, err := io.ReadFull(r, make([]byte, 32<<10)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, r); err != nil {
		t.Fatal(err)
	}
	if _, requests, fetched := d.take(); requests != len(m.Segments) || fetched != size {
		t.Errorf("a copy: %d requests for %d bytes, want %d for %d", requests, fetched, len(m.Segments), size)
	}
	if _, err := io.ReadFull(c.join(t, m), make([]byte, 32<<10-1)); err != nil {
		t.Fatal(err)
	}
	if _, requests, fetched := d.take(); requests != 1 || fetched > 512<<10 {
		t.Errorf("the start: %d requests for %d bytes, want 1 for little", requests, fetched)
	}
}
