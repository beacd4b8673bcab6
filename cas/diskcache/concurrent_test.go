package diskcache_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas/castest"
	"github.com/lashstore/lashstore/cas/diskcache"
	"github.com/lashstore/lashstore/internal/testenv"
)

// answer is what a read came to.
type answer struct {
	body []byte
	err  error
}

// start begins a read and returns where its answer will be.
func start(ctx context.Context, c *diskcache.Cache, key string, offset, length int64) <-chan answer {
	result := make(chan answer, 1)
	go func() {
		body, err := get(ctx, c, key, offset, length)
		result <- answer{body, err}
	}()
	return result
}

// waiting returns when n readers wait for a request of the tier for key.
func waiting(t *testing.T, c *diskcache.Cache, key string, n int) {
	t.Helper()
	for c.Waiting(key) != n {
		if t.Context().Err() != nil {
			t.Fatal("the test is over")
		}
		runtime.Gosched()
	}
}

func (a answer) want(t *testing.T, what string, body []byte) {
	t.Helper()
	if a.err != nil || !bytes.Equal(a.body, body) {
		t.Errorf("%s: got %d bytes, error %v, want %d bytes", what, len(a.body), a.err, len(body))
	}
}

// Readers that miss the same block at the same time cause one request, and each gets
// its bytes.
func TestSingleFlight(t *testing.T) {
	t.Parallel()
	b := setup(t)
	body, gate := noise(3*small, 1), castest.NewGate()
	put(t, b.tier, "k", body)
	b.tier.Script(castest.Get, castest.Block(gate))
	const readers = 8
	results := make([]<-chan answer, readers)
	results[0] = start(t.Context(), b.cache, "k", 0, -1)
	<-gate.Arrived()
	for i := 1; i < readers; i++ {
		results[i] = start(t.Context(), b.cache, "k", int64(i), -1)
	}
	waiting(t, b.cache, "k", readers)
	gate.Release()
	for i, result := range results {
		(<-result).want(t, fmt.Sprintf("reader %d", i), body[i:])
	}
	if b.gets() != 1 {
		t.Errorf("%d requests, want 1", b.gets())
	}
	counts := b.counts(t)
	if counts["blocks_total/miss"] != 3 || counts["blocks_total/shared"]+counts["blocks_total/hit"] != 3*(readers-1) {
		t.Errorf("metrics %v, want 3 misses, the rest shared or hits", counts)
	}
}

// A reader whose context ends takes only itself out, be it the one that began the
// request or one that joined.
func TestCanceledWaiterHarmsNobody(t *testing.T) {
	t.Parallel()
	b := setup(t)
	body, gate := noise(100, 1), castest.NewGate()
	put(t, b.tier, "k", body)
	b.tier.Script(castest.Get, castest.Block(gate))
	first, cancelFirst := context.WithCancel(t.Context())
	second, cancelSecond := context.WithCancel(t.Context())
	defer cancelSecond()
	began := start(first, b.cache, "k", 0, -1)
	<-gate.Arrived()
	joined, stays := start(second, b.cache, "k", 0, -1), start(t.Context(), b.cache, "k", 0, -1)
	waiting(t, b.cache, "k", 3)
	cancelFirst()
	if a := <-began; !errors.Is(a.err, context.Canceled) {
		t.Errorf("the first reader: got error %v, want context.Canceled", a.err)
	}
	cancelSecond()
	if a := <-joined; !errors.Is(a.err, context.Canceled) {
		t.Errorf("the second reader: got error %v, want context.Canceled", a.err)
	}
	waiting(t, b.cache, "k", 1)
	gate.Release()
	(<-stays).want(t, "the reader that stayed", body)
	if b.gets() != 1 {
		t.Errorf("%d requests, want 1", b.gets())
	}
}

// A request that nobody waits for any more is stopped, and the next reader begins
// another; it does not get the other's cancellation.
func TestAbandonedRequestStops(t *testing.T) {
	t.Parallel()
	b := setup(t)
	body, gate := noise(100, 1), castest.NewGate() // never released
	put(t, b.tier, "k", body)
	b.tier.Script(castest.Get, castest.Block(gate))
	ctx, cancel := context.WithCancel(t.Context())
	result := start(ctx, b.cache, "k", 0, -1)
	<-gate.Arrived()
	cancel()
	if a := <-result; !errors.Is(a.err, context.Canceled) {
		t.Errorf("got error %v, want context.Canceled", a.err)
	}
	wantRange(t, b.cache, "k", 0, -1, body)
	for b.cache.States() != 0 { // the blocked request keeps its state until it ends
		runtime.Gosched()
	}
}

// Close ends requests and those who wait for them.
func TestCloseEndsWaiters(t *testing.T) {
	t.Parallel()
	b := setup(t)
	gate := castest.NewGate() // never released
	put(t, b.tier, "k", noise(100, 1))
	b.tier.Script(castest.Get, castest.Block(gate))
	result := start(t.Context(), b.cache, "k", 0, -1)
	<-gate.Arrived()
	waiting(t, b.cache, "k", 1)
	if err := b.cache.Close(); err != nil {
		t.Fatal(err)
	}
	if a := <-result; !errors.Is(a.err, lashstore.ErrClosed) {
		t.Errorf("got error %v, want ErrClosed", a.err)
	}
}

// All who wait get the tier's error, and the next read tries again.
func TestSharedFailure(t *testing.T) {
	t.Parallel()
	b := setup(t)
	body, gate := noise(100, 1), castest.NewGate()
	put(t, b.tier, "k", body)
	cause := errors.New("tier is down")
	b.tier.Script(castest.Get, castest.Block(gate))
	b.tier.Always(castest.Get, func([]string) castest.Fault { return castest.Pass() })
	first := start(t.Context(), b.cache, "k", 0, -1)
	<-gate.Arrived()
	second := start(t.Context(), b.cache, "k", 5, 5)
	waiting(t, b.cache, "k", 2)
	// The request is made when the gate opens: by then the object is gone.
	if err := b.tier.Delete(t.Context(), []string{"k"}); err != nil {
		t.Fatal(err)
	}
	gate.Release()
	for i, result := range []<-chan answer{first, second} {
		if a := <-result; a.err == nil || len(a.body) != 0 {
			t.Errorf("reader %d: got %d bytes, error %v, want the tier's error", i, len(a.body), a.err)
		}
	}
	b.tier.Script(castest.Get, castest.FailBefore(cause))
	if _, err := get(t.Context(), b.cache, "k", 0, -1); !errors.Is(err, cause) {
		t.Errorf("got error %v, want %v", err, cause)
	}
	put(t, b.tier, "k", body)
	wantRange(t, b.cache, "k", 0, -1, body)
}

// A request that was under way when its key was dropped stores nothing, and later
// readers do not join it.
func TestDropDuringFetch(t *testing.T) {
	t.Parallel()
	for what, drop := range map[string]func(b *bundle) error{
		"Forget": func(b *bundle) error { b.cache.Forget("k"); return nil },
		"Put":    func(b *bundle) error { return b.cache.Put(t.Context(), "k", noise(100, 2)) },
		"Delete": func(b *bundle) error { return b.cache.Delete(t.Context(), []string{"k"}) },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			gate := castest.NewGate()
			put(t, b.tier, "k", noise(100, 1))
			b.tier.Script(castest.Get, castest.Block(gate))
			early := start(t.Context(), b.cache, "k", 0, -1)
			<-gate.Arrived()
			if err := drop(b); err != nil {
				t.Fatal(err)
			}
			late := start(t.Context(), b.cache, "k", 0, -1)
			if a := <-late; what != "Delete" && a.err != nil {
				t.Errorf("a later reader: %v", a.err)
			}
			b.cache.Forget("k")
			gate.Release()
			<-early
			for b.cache.States() != 0 {
				runtime.Gosched()
			}
			if got := onDisk(t, b.dir); got != 0 || b.cache.Booked() != 0 {
				t.Errorf("%d bytes are on disk and %d in the books, want none", got, b.cache.Booked())
			}
		})
	}
}

// A reader that has served bytes of an object does not go on with those of another.
func TestReplacedWhileRead(t *testing.T) {
	t.Parallel()
	b := setup(t)
	old := noise(10*small, 1)
	put(t, b.cache, "k", old)
	wantRange(t, b.cache, "k", 0, small, old[:small])
	r, err := b.cache.Get(t.Context(), "k", 0, -1) // the rest is not cached
	if err != nil {
		t.Fatal(err)
	}
	put(t, b.cache, "k", noise(10*small, 2))
	got, err := io.ReadAll(r)
	if !errors.Is(err, diskcache.ErrReplaced) || !bytes.Equal(got, old[:small]) {
		t.Errorf("got %d bytes, error %v, want the first block and ErrReplaced", len(got), err)
	}
	if _, again := r.Read(make([]byte, 1)); !errors.Is(again, diskcache.ErrReplaced) {
		t.Errorf("after an error: %v", again)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

// Two caches on one folder that is too small for them: readers, evictions, deletions
// and forgetting at the same time. Every read gives the object's bytes.
func TestTwoCachesOneFolder(t *testing.T) {
	t.Parallel()
	b := setup(t)
	caches := []*diskcache.Cache{b.cache, b.open(t)}
	const objects, workers, rounds = 12, 6, 60
	seed := testenv.Seed(t)
	bodies := make([][]byte, objects)
	for i := range bodies {
		bodies[i] = noise(i*small+i*i*37, byte(i))
		put(t, b.tier, fmt.Sprint("k", i), bodies[i])
	}
	var all sync.WaitGroup
	for w := range workers {
		all.Go(func() {
			random := rand.New(rand.NewPCG(seed, uint64(w)))
			c := caches[w%len(caches)]
			for range rounds {
				i := random.IntN(objects)
				key := fmt.Sprint("k", i)
				offset := random.Int64N(int64(len(bodies[i])) + 10)
				length := 1 + random.Int64N(3*small)
				if random.IntN(4) == 0 {
					length = -1
				}
				switch random.IntN(12) {
				case 0:
					c.Forget(key)
				case 1:
					b.clock.Advance(diskcache.TouchEvery)
					if _, _, err := c.Pass(t.Context()); err != nil {
						t.Errorf("Pass: %v", err)
					}
				}
				size := int64(len(bodies[i]))
				want := bodies[i][min(offset, size):]
				if length >= 0 {
					want = want[:min(length, int64(len(want)))]
				}
				got, err := get(t.Context(), c, key, offset, length)
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("Get %s from %d, %d bytes: got %d bytes, %v, want %d", key, offset, length, len(got), err, len(want))
				}
			}
		})
	}
	all.Wait()
	// Each cache keeps the limit by its own count; together they may be one twentieth over.
	if got := onDisk(t, b.dir); got > least+least/20 {
		t.Errorf("%d bytes are on disk, the limit is %d", got, least)
	}
	counts := b.counts(t)
	if counts["evicted_blocks_total"] == 0 || counts["blocks_total/hit"] == 0 {
		t.Errorf("metrics %v: nothing was evicted or nothing hit", counts)
	}
	for name, n := range counts {
		if len(name) > 7 && name[:7] == "errors_" {
			t.Errorf("%s: %v", name, n)
		}
	}
}

// A request stops before the blocks that another one already brings: nothing is
// fetched twice.
func TestRunEndsBeforeAnother(t *testing.T) {
	t.Parallel()
	b := setup(t)
	body, gate := noise(10*small, 1), castest.NewGate()
	put(t, b.tier, "k", body)
	b.tier.Script(castest.Get, castest.Block(gate))
	middle := start(t.Context(), b.cache, "k", 5*small, 10)
	<-gate.Arrived()
	whole := start(t.Context(), b.cache, "k", 0, -1)
	waiting(t, b.cache, "k", 2) // the one in the middle, and the other for the middle
	for b.gets() != 2 {
		runtime.Gosched()
	}
	gate.Release()
	(<-middle).want(t, "the middle", body[5*small:5*small+10])
	(<-whole).want(t, "the whole object", body)
	if got := b.counts(t)["fetched_bytes_total"]; got != float64(len(body)) || b.gets() != 3 {
		t.Errorf("%v bytes were fetched in %d requests, want %d in 3", got, b.gets(), len(body))
	}
}
