package integration_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/internal/testenv"
	"github.com/lashstore/lashstore/local"
)

// Whoever uses a session that others are deleting must be told that it is deleted,
// and not of the state in which its files happen to be; and to delete it at the same
// time is no failure at all.
func TestDeleteTogether(t *testing.T) {
	t.Parallel()
	ctx, dir, seed, rounds := t.Context(), t.TempDir(), testenv.Seed(t), 40
	if testenv.InCI() {
		rounds = 400
	}
	opts := local.Options{Retention: lashstore.Retention{Revisions: retained}}
	stores := []*local.Store{open(t, dir, opts), open(t, dir, opts), open(t, dir, opts), open(t, dir, opts)}
	for round := range rounds {
		load := workload{Seed: seed, Session: lashstore.SessionID(fmt.Sprintf("doomed-%d", round)), Epoch: 1}
		h := create(t, stores[0], load)
		if err := runTurns(ctx, h, load, "worker", 1); err != nil {
			t.Fatal(err)
		}
		var (
			group sync.WaitGroup
			begin = make(chan struct{})
		)
		run := func(what string, call func() error) {
			group.Go(func() {
				<-begin
				if err := call(); err != nil && !errors.Is(err, lashstore.ErrSessionDeleted) {
					t.Errorf("round %d, %s: %v, want nothing or ErrSessionDeleted", round, what, err)
				}
			})
		}
		for _, s := range stores[:3] {
			run("delete", func() error {
				err := s.DeleteSession(ctx, load.Session)
				if errors.Is(err, lashstore.ErrSessionDeleted) {
					return fmt.Errorf("a deletion is idempotent: %s", err) //nolint:errorlint // not to count as that error
				}
				return err
			})
		}
		run("open and load", func() error {
			other, err := stores[3].OpenSession(ctx, load.Session, lashstore.OpenOptions{})
			if err != nil {
				return err
			}
			_, err = other.Load(ctx, lashstore.LoadOptions{})
			return err
		})
		run("turn", func() error { return runTurns(ctx, h, load, "worker", 1) })
		close(begin)
		group.Wait()
	}
	for _, s := range stores {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	found, err := audit(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, fault := range found.missing {
		t.Error(fault)
	}
}
