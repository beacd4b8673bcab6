package local_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas/memcas"
	"github.com/lashstore/lashstore/gc"
	"github.com/lashstore/lashstore/local"
)

// collected is what a store says of a collection in the background.
type collected struct {
	report lashstore.CollectReport
	err    error
}

// reports makes a channel that takes all reports a test can make.
func reports() (chan collected, func(lashstore.CollectReport, error)) {
	c := make(chan collected, 1000)
	return c, func(r lashstore.CollectReport, err error) { c <- collected{r, err} }
}

// S99: every so many commits, of all sessions together, a collection runs, and what
// they let go of is deleted, without anybody's doing and without their waiting.
func TestCollectEvery(t *testing.T) {
	t.Parallel()
	done, on := reports()
	s := open(t, t.TempDir(), local.Options{
		Retention: lashstore.Retention{Revisions: 1}, Grace: new(time.Duration), CollectEvery: 3, OnCollect: on,
	})
	a, fa := create(t, s, "a")
	b, fb := create(t, s, "b")
	commit := func(h lashstore.Session, f lashstore.Fence, rev lashstore.Revision, seed uint64) {
		t.Helper()
		_, err := h.Commit(t.Context(), state(rev, f, noise(seed, 20<<10)))
		must(t, err)
	}
	commit(a, fa, 0, 1)
	commit(b, fb, 0, 2)
	select {
	case r := <-done:
		t.Fatalf("collected after two commits: %+v", r)
	default:
	}
	commit(a, fa, 1, 3)
	r := <-done
	must(t, r.err)
	if r.report.Deleted != 1 {
		t.Errorf("%d deleted after three commits, want 1", r.report.Deleted)
	}
	if err := readBlob(t, s, noise(1, 20<<10)); !errors.Is(err, lashstore.ErrBlobNotFound) {
		t.Errorf("what was let go of: %v", err)
	}
	for _, seed := range []uint64{2, 3} {
		must(t, readBlob(t, s, noise(seed, 20<<10)))
	}
	commit(b, fb, 1, 4)
	commit(b, fb, 2, 5)
	if n := len(done); n != 0 {
		t.Errorf("%d collections after two more commits", n)
	}
	commit(a, fa, 2, 6)
	r = <-done
	must(t, r.err)
	if r.report.Deleted != 3 {
		t.Errorf("%d deleted after three more commits, want 3", r.report.Deleted)
	}
}

// A commit that comes during a collection does not wait for it.
func TestCommitDuringCollection(t *testing.T) {
	t.Parallel()
	done, on := reports()
	began, goOn := make(chan struct{}), make(chan struct{})
	s := open(t, t.TempDir(), local.Options{
		Retention: lashstore.Retention{Revisions: 1}, Grace: new(time.Duration), CollectEvery: 1, OnCollect: on,
		Step: func(step string) {
			if step == gc.StepCollecting {
				began <- struct{}{}
				<-goOn
			}
		},
	})
	h, f := create(t, s, "s")
	const commits = 5
	for rev := range lashstore.Revision(commits) {
		_, err := h.Commit(t.Context(), state(rev, f, noise(uint64(rev), 20<<10)))
		must(t, err)
		if rev == 0 {
			<-began // the first collection stands still from here on
		}
	}
	if n := len(done); n != 0 {
		t.Fatalf("%d collections are through", n)
	}
	goOn <- struct{}{}
	first := <-done
	must(t, first.err)
	<-began // one more for all the commits that came meanwhile
	goOn <- struct{}{}
	second := <-done
	must(t, second.err)
	if n := first.report.Deleted + second.report.Deleted; n != commits-1 {
		t.Errorf("%d deleted, want %d", n, commits-1)
	}
	must(t, readBlob(t, s, noise(commits-1, 20<<10)))
}

// A schedule needs no commit. A real database works in a bubble; its clock is the
// bubble's.
func TestCollectInterval(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		done, on := reports()
		grace := 150 * time.Minute
		s, err := local.Open(t.Context(), dir, local.Options{
			Driver: memcas.New(), Durability: lashstore.DurabilityNormal,
			Retention: lashstore.Retention{Revisions: 1}, Grace: &grace, CollectInterval: time.Hour, OnCollect: on,
		})
		must(t, err)
		letGo(t, s, "s", noise(1, 20<<10), noise(2, 20<<10))
		for hour, deleted := range []int64{0, 0, 1, 0} {
			time.Sleep(time.Hour) //nolint:forbidigo // the bubble's time
			synctest.Wait()
			if len(done) != 1 {
				t.Fatalf("%d collections in hour %d", len(done), hour)
			}
			r := <-done
			must(t, r.err)
			if r.report.Deleted != deleted {
				t.Errorf("%d deleted in hour %d, want %d", r.report.Deleted, hour, deleted)
			}
		}
		must(t, s.Close())
	})
}

// Closing a store ends a collection that is under way, and the next store completes it.
func TestCloseDuringCollection(t *testing.T) {
	t.Parallel()
	for _, step := range []string{gc.StepCollecting, gc.StepDooming, gc.StepDoomed} {
		dir, driver := t.TempDir(), memcas.New()
		done, on := reports()
		began, closing := make(chan struct{}, 10), make(chan struct{})
		s, err := local.Open(t.Context(), dir, local.Options{
			Driver: driver, Durability: lashstore.DurabilityNormal,
			Retention: lashstore.Retention{Revisions: 1}, Grace: new(time.Duration), CollectEvery: 2, OnCollect: on,
			Step: func(name string) {
				if name == step {
					began <- struct{}{}
					<-closing
				}
			},
		})
		must(t, err)
		h, f := create(t, s, "s")
		for rev := range lashstore.Revision(2) {
			_, err := h.Commit(t.Context(), state(rev, f, noise(uint64(rev), 20<<10)))
			must(t, err)
		}
		<-began
		closed := make(chan error)
		go func() { closed <- s.Close() }()
		close(closing)
		must(t, <-closed)
		after := len(done)
		s = open(t, dir, local.Options{Driver: driver, Retention: lashstore.Retention{Revisions: 1}})
		report, err := s.Collect(t.Context(), atOnce())
		must(t, err)
		if after == 0 && report.Deleted != 1 {
			t.Errorf("closed at %q: the next collection deleted %d", step, report.Deleted)
		}
		if err := readBlob(t, s, noise(0, 20<<10)); !errors.Is(err, lashstore.ErrBlobNotFound) {
			t.Errorf("closed at %q: what was let go of: %v", step, err)
		}
		must(t, readBlob(t, s, noise(1, 20<<10)))
	}
}

// A collection that is refused is told to who asked to be told, and commits go on.
func TestRefusedInTheBackground(t *testing.T) {
	t.Parallel()
	done, on := reports()
	driver := memcas.New()
	s := open(t, t.TempDir(), local.Options{
		Driver: driver, Retention: lashstore.Retention{Revisions: 1}, Grace: new(time.Duration), CollectEvery: 1, OnCollect: on,
	})
	must(t, driver.Put(t.Context(), local.DefaultTenant+"/owner/another", nil))
	h, f := create(t, s, "s")
	var last collected
	for rev := range lashstore.Revision(3) {
		_, err := h.Commit(t.Context(), state(rev, f, noise(uint64(rev), 20<<10)))
		must(t, err)
		last = <-done
	}
	if !errors.Is(last.err, lashstore.ErrCollectionRefused) || last.report.Outcome != lashstore.CollectRefused {
		t.Errorf("got %v, outcome %q", last.err, last.report.Outcome)
	}
	must(t, driver.Delete(context.Background(), []string{local.DefaultTenant + "/owner/another"}))
	_, err := h.Commit(t.Context(), state(3, f, noise(3, 20<<10)))
	must(t, err)
	last = <-done
	must(t, last.err)
	if last.report.Deleted != 3 {
		t.Errorf("%d deleted, want 3", last.report.Deleted)
	}
}

// A store that may not write collects nothing, and a store that is not asked to has no
// goroutine for it.
func TestNoCollectionInTheBackground(t *testing.T) {
	t.Parallel()
	dir, driver := t.TempDir(), memcas.New()
	open(t, dir, local.Options{Driver: driver})
	synctest.Test(t, func(t *testing.T) {
		done, on := reports()
		s, err := local.Open(t.Context(), dir, local.Options{
			Driver: driver, Durability: lashstore.DurabilityNormal, ReadOnly: true, CollectEvery: 1, CollectInterval: time.Minute, OnCollect: on,
		})
		must(t, err)
		time.Sleep(time.Hour) //nolint:forbidigo // the bubble's time
		synctest.Wait()
		if len(done) != 0 {
			t.Errorf("%d collections of a store that may not write", len(done))
		}
		must(t, s.Close())
	})
}
