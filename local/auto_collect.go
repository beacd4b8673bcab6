package local

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lashstore/lashstore"
)

// autoCollector runs collections in the background: after so many commits, and on a
// schedule. A commit only counts; it never waits for a collection.
type autoCollector struct {
	store   *Store
	commits atomic.Int64
	wake    chan struct{}
	cancel  context.CancelFunc
	done    sync.WaitGroup
}

// newAutoCollector starts the goroutine that close ends, unless collections are not
// wanted: then it returns nil, whose methods work.
func newAutoCollector(s *Store) *autoCollector {
	if s.opts.ReadOnly || s.opts.CollectEvery == 0 && s.opts.CollectInterval == 0 {
		return nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	a := &autoCollector{store: s, wake: make(chan struct{}, 1), cancel: cancel}
	a.done.Go(func() { a.loop(ctx) })
	return a
}

// committed counts a commit.
func (a *autoCollector) committed() {
	if a == nil || a.store.opts.CollectEvery == 0 || a.commits.Add(1)%int64(a.store.opts.CollectEvery) != 0 {
		return
	}
	select {
	case a.wake <- struct{}{}:
	default: // one is due already
	}
}

func (a *autoCollector) loop(ctx context.Context) {
	var tick <-chan time.Time
	if d := a.store.opts.CollectInterval; d > 0 {
		ticker := time.NewTicker(d)
		defer ticker.Stop()
		tick = ticker.C
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.wake:
		case <-tick:
		}
		a.run(ctx)
	}
}

// run settles what commits have let go of, and collects it.
func (a *autoCollector) run(ctx context.Context) {
	s := a.store
	s.settleFirst(ctx)
	state, err := s.catalog.Collection(ctx)
	report := lashstore.CollectReport{Outcome: lashstore.CollectFailed}
	if err == nil { // a catalog from a backup is brought up to date first
		report, err = s.collector.Run(ctx, s.collectOptions(lashstore.CollectOptions{Audit: state.Stale}))
	}
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		s.opts.Logger.Warn("collect", "tenant", s.opts.Tenant, "outcome", string(report.Outcome), "reason", report.Reason, "error", err)
	}
	if s.opts.OnCollect != nil {
		s.opts.OnCollect(report, err)
	}
}

// close ends a collection that is under way, which the next one takes up, and waits.
func (a *autoCollector) close() {
	if a != nil {
		a.cancel()
		a.done.Wait()
	}
}
