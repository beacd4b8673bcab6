package gc

import (
	"context"
	"time"
)

const (
	// restShare is how long the collector leaves the catalog to others after each of its
	// transactions, as a multiple of how long that one took. Who waits for the catalog's
	// lock in another process asks for it again and again, and would find it free only by
	// luck if one transaction followed the other: without any rest, a writer was seen to
	// wait for 0.6 s for transactions of 20 ms (bench, Collect).
	restShare = 1
	// maxRest bounds a rest: a transaction that took longer was itself kept waiting.
	maxRest = 50 * time.Millisecond
)

// pacer runs the transactions of a collection one after the other, with rests between
// them, however many shards are worked on. It is for those that come in rows; one by
// itself needs no rest.
type pacer struct {
	elapsed func() time.Duration
	turn    chan time.Duration // holds, for whose turn it is, when the rest is over
}

func newPacer(elapsed func() time.Duration) *pacer {
	p := &pacer{elapsed: elapsed, turn: make(chan time.Duration, 1)}
	p.turn <- 0
	return p
}

// run runs one transaction.
func (p *pacer) run(ctx context.Context, fn func() error) error {
	var rested time.Duration
	select {
	case rested = <-p.turn:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { p.turn <- rested }()
	if err := p.rest(ctx, min(rested-p.elapsed(), maxRest)); err != nil {
		return err
	}
	began := p.elapsed()
	err := fn()
	now := p.elapsed()
	rested = now + min(restShare*(now-began), maxRest)
	return err
}

func (p *pacer) rest(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
