package gc

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// elapsedHere is a clock of the bubble.
func elapsedHere() func() time.Duration {
	began := time.Now()                                      //nolint:forbidigo // the clock of the bubble
	return func() time.Duration { return time.Since(began) } //nolint:forbidigo // the clock of the bubble
}

// If one transaction followed the other, whoever polls for the lock would not get it.
func TestPacerRestsBetweenTransactions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		elapsed := elapsedHere()
		p := newPacer(elapsed)
		var begins []time.Duration
		var group sync.WaitGroup
		for range 3 { // as shards that are worked on at once
			group.Go(func() {
				err := p.run(t.Context(), func() error {
					begins = append(begins, elapsed())
					return p.rest(t.Context(), 20*time.Millisecond) // as a transaction that takes so long
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		for i, want := range []time.Duration{0, 40 * time.Millisecond, 80 * time.Millisecond} {
			if begins[i] != want {
				t.Errorf("transaction %d began at %s, want %s", i, begins[i], want)
			}
		}
	})
}

// A transaction that was kept waiting for long must not make the collector as slow.
func TestPacerBoundsARest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		elapsed := elapsedHere()
		p := newPacer(elapsed)
		failed := errors.New("failed")
		slow := func() error { return errors.Join(failed, p.rest(t.Context(), time.Minute)) }
		if err := p.run(t.Context(), slow); !errors.Is(err, failed) {
			t.Errorf("got %v, want the transaction's error", err)
		}
		var began time.Duration
		if err := p.run(t.Context(), func() error { began = elapsed(); return nil }); err != nil {
			t.Error(err)
		}
		if want := time.Minute + maxRest; began != want {
			t.Errorf("the next began at %s, want %s", began, want)
		}
	})
}

// A collection that is told to stop must not rest first, nor wait for its turn.
func TestPacerEndsWithTheContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		elapsed := elapsedHere()
		p := newPacer(elapsed)
		if err := p.run(t.Context(), func() error { return p.rest(t.Context(), 40*time.Millisecond) }); err != nil {
			t.Error(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		never := func() error { t.Error("it ran"); return nil }
		var group sync.WaitGroup
		for range 2 {
			group.Go(func() {
				if err := p.run(ctx, never); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("got %v, want the context's error", err)
				}
			})
		}
		group.Wait()
		if got := elapsed(); got != 41*time.Millisecond {
			t.Errorf("it took until %s, want 41ms", got)
		}
	})
}
