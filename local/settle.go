package local

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/metadata"
)

// settleDelay is how long a commit's bookkeeping waits for that of others: the
// summaries of all sessions that changed meanwhile share one transaction.
const settleDelay = 500 * time.Millisecond

// settler brings the catalog up to date with sessions that changed: it lets go of
// blobs they no longer hold and refreshes their summaries. All of it is lazy and
// idempotent. What a crash prevents is made up for when the session is next opened.
type settler struct {
	store *Store
	wake  chan struct{}
	quit  chan struct{}
	done  chan struct{}

	mu    sync.Mutex
	dirty map[cacheKey]struct{} // guarded by mu

	running sync.Mutex // held while a flush runs, so that one that waited sees its result
}

// newSettler starts the goroutine that close ends, unless a test decides when to settle.
func newSettler(s *Store) *settler {
	t := &settler{
		store: s,
		wake:  make(chan struct{}, 1),
		quit:  make(chan struct{}),
		done:  make(chan struct{}),
		dirty: make(map[cacheKey]struct{}),
	}
	if s.opts.gate != nil {
		close(t.done)
		return t
	}
	go t.loop()
	return t
}

// touch notes that a session changed.
func (t *settler) touch(key cacheKey) {
	if t.store.opts.ReadOnly || key.readOnly {
		return
	}
	t.mu.Lock()
	t.dirty[key] = struct{}{}
	t.mu.Unlock()
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

func (t *settler) loop() {
	defer close(t.done)
	for {
		select {
		case <-t.wake:
		case <-t.quit:
			return
		}
		select {
		case <-time.After(settleDelay):
		case <-t.quit:
			return
		}
		if err := t.flush(context.Background()); err != nil {
			t.store.opts.Logger.Warn("settle sessions", "error", err)
		}
	}
}

// close ends the goroutine and settles what is left.
func (t *settler) close() error {
	close(t.quit)
	<-t.done
	return t.flush(context.Background())
}

// flush settles every session that changed before the call. A session that fails
// stays for the next flush; the others are settled all the same.
func (t *settler) flush(ctx context.Context) error {
	t.running.Lock()
	defer t.running.Unlock()
	t.mu.Lock()
	keys := slices.SortedFunc(maps.Keys(t.dirty), cacheKey.compare)
	clear(t.dirty)
	t.mu.Unlock()
	var (
		errs []error
		sums []lashstore.SessionSummary
		done []cacheKey
	)
	for _, key := range keys {
		sum, err := t.settle(ctx, key)
		t.store.metrics.countSettled(err)
		switch {
		case errors.Is(err, lashstore.ErrSessionDeleted):
		case err != nil:
			errs = append(errs, fmt.Errorf("settle session %q: %w", key.id, err))
			t.again(key)
		default:
			sums, done = append(sums, sum), append(done, key)
		}
	}
	if err := t.store.catalog.Refresh(ctx, sums); err != nil {
		errs = append(errs, err)
		t.again(done...)
	}
	return errors.Join(errs...)
}

// again puts sessions back, without waking the loop: the next change does.
func (t *settler) again(keys ...cacheKey) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, key := range keys {
		t.dirty[key] = struct{}{}
	}
}

// settle empties the outbox of one session and returns its summary.
func (t *settler) settle(ctx context.Context, key cacheKey) (sum lashstore.SessionSummary, err error) {
	s := t.store
	e, err := s.cache.acquire(ctx, key)
	if err != nil {
		return sum, s.explainMissing(ctx, key, err)
	}
	defer s.cache.release(e)
	sum, more, err := e.db.Summary(ctx)
	for more && err == nil {
		more, err = e.db.Settle(ctx, func(ctx context.Context, gone []lashstore.Digest) error {
			err := s.catalog.Release(ctx, metadata.SessionHolder(key.id, key.incarnation), gone)
			s.step(StepSettling)
			return err
		})
	}
	return sum, err
}
