package conformance

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/lashstore/lashstore"
)

func noCollectionScenarios() []scenario {
	return []scenario{
		{name: "X_Collect_BadOptions", needs: needCollector, run: xCollectBadOptions},
		{name: "X_Collect_Cancelled", needs: needCollector, run: xCollectCancelled},
		{name: "X_Collect_ReadOnly", needs: needCollector, run: xCollectReadOnly},
		{name: "X_Collect_Closed", needs: needCollector, run: xCollectClosed},
		{name: "X_Collect_Progress", needs: needCollector, run: xCollectProgress},
		{name: "X_Collect_TierFails", needs: needCollector | needFaults, run: xCollectTierFails},
	}
}

// A value that is clamped in silence deletes at a time that nobody asked for.
func xCollectBadOptions(e *env) {
	e.reopen(keepOne())
	old, kept := e.random("old", tierSize), e.random("kept", tierSize)
	e.let(keepOne(), "root", old, kept)
	for name, opts := range map[string]lashstore.CollectOptions{
		"negative grace":   {Grace: grace(-1)},
		"endless grace":    {Grace: grace(lashstore.MaxGrace + 1)},
		"negative workers": {Grace: atOnce(), Workers: -1},
		"too many workers": {Grace: atOnce(), Workers: lashstore.MaxCollectWorkers + 1},
	} {
		if _, err := e.collector().Collect(e.Context(), opts); !isErr(err, lashstore.ErrInvalid) {
			e.Errorf("%s: got %v, want %q", name, err, lashstore.ErrInvalid)
		}
	}
	e.waiting(old)
	equal(e, "runs", e.status().Totals.Runs, 0)
	report := e.collect(lashstore.CollectOptions{Grace: atOnce(), Workers: lashstore.MaxCollectWorkers})
	equal(e, "deleted by as many workers as there may be", report.Deleted, 1)
}

// A collection whose caller gave up deletes nothing more, and the next completes it.
func xCollectCancelled(e *env) {
	e.reopen(keepOne())
	old, kept := e.random("old", tierSize), e.random("kept", tierSize)
	e.let(keepOne(), "root", old, kept)
	done, cancel := context.WithCancel(e.Context())
	cancel()
	for _, audit := range []bool{false, true} {
		report, err := e.collector().Collect(done, lashstore.CollectOptions{Grace: atOnce(), Audit: audit})
		e.is(err, context.Canceled)
		equal(e, "deleted", report.Deleted+report.Doomed, 0)
	}
	_, err := e.collector().CollectionStatus(done)
	e.is(err, context.Canceled)
	_, err = e.collector().Undelete(done, lashstore.UndeleteOptions{All: true})
	e.is(err, context.Canceled)
	e.waiting(old)

	// In the midst of it. An audit that was interrupted goes on where it was.
	for _, phase := range []lashstore.CollectPhase{lashstore.PhaseMark, lashstore.PhaseSweep} {
		during, cancel := context.WithCancel(e.Context())
		report, err := e.collector().Collect(during, lashstore.CollectOptions{
			Grace: atOnce(), Audit: true, Workers: 1,
			Progress: func(p lashstore.CollectProgress) {
				if p.Phase == phase {
					cancel()
				}
			},
		})
		e.is(err, context.Canceled)
		equal(e, "outcome", report.Outcome, lashstore.CollectFailed)
		cancel()
	}
	report := e.collect(lashstore.CollectOptions{Grace: atOnce(), Audit: true})
	equal(e, "outcome of the next", report.Outcome, lashstore.CollectSwept)
	equal(e, "an audit is left unfinished", e.status().AuditRunning, false)
	e.deleted(old)
	e.live(e.session("root"), kept)
}

// Whoever may not write may look.
func xCollectReadOnly(e *env) {
	e.reopen(keepOne())
	old, kept := e.random("old", tierSize), e.random("kept", tierSize)
	e.let(keepOne(), "root", old, kept)
	before := e.status()
	e.reopen(Settings{ReadOnly: true})
	_, err := e.collector().Collect(e.Context(), lashstore.CollectOptions{Grace: atOnce()})
	e.is(err, lashstore.ErrReadOnly)
	_, err = e.collector().Undelete(e.Context(), lashstore.UndeleteOptions{All: true})
	e.is(err, lashstore.ErrReadOnly)
	for _, audit := range []bool{false, true} {
		report := e.collect(lashstore.CollectOptions{DryRun: true, Audit: audit, Grace: atOnce()})
		equal(e, "would be doomed", report.Doomed, 1)
	}
	equal(e, "status", e.status(), before)
	e.waiting(old)
	e.live(e.session("root"), kept)
}

func xCollectClosed(e *env) {
	e.create("root")
	c := e.collector()
	e.closeAll()
	_, err := c.Collect(e.Context(), lashstore.CollectOptions{})
	e.is(err, lashstore.ErrClosed)
	_, err = c.CollectionStatus(e.Context())
	e.is(err, lashstore.ErrClosed)
	_, err = c.Undelete(e.Context(), lashstore.UndeleteOptions{All: true})
	e.is(err, lashstore.ErrClosed)
}

// Who watches must see each phase in its order, from one goroutine at a time.
func xCollectProgress(e *env) {
	e.reopen(keepOne())
	e.let(keepOne(), "root", e.random("old", tierSize), e.random("kept", tierSize))
	e.createTTL("brief", time.Minute)
	e.Clock.Advance(time.Hour)
	var (
		alone  sync.Mutex
		phases []lashstore.CollectPhase
	)
	e.collect(lashstore.CollectOptions{Grace: atOnce(), Audit: true, Workers: 1, Progress: func(p lashstore.CollectProgress) {
		if !alone.TryLock() {
			e.Error("two goroutines report progress at once")
			return
		}
		defer alone.Unlock()
		if p.Phase == lashstore.PhaseMark && p.Total != 2 {
			e.Errorf("%d of %d sessions are marked, want 2 in all", p.Done, p.Total)
		}
		if len(phases) == 0 || phases[len(phases)-1] != p.Phase {
			phases = append(phases, p.Phase)
		}
	}})
	seen := map[lashstore.CollectPhase]bool{}
	for _, p := range phases {
		seen[p] = true
	}
	for i, p := range []lashstore.CollectPhase{lashstore.PhaseMark, lashstore.PhaseRelease} {
		if i >= len(phases) || phases[i] != p {
			e.Fatalf("phases %q: want mark and release to come first", phases)
		}
	}
	if !seen[lashstore.PhaseSweep] || !seen[lashstore.PhaseDelete] {
		e.Errorf("phases %q: want all", phases)
	}
}

// A tier that cannot be asked whose it is, or listed, is no reason to delete what may
// not be seen.
func xCollectTierFails(e *env) {
	e.reopen(keepOne())
	old, kept := e.random("old", tierSize), e.random("kept", tierSize)
	e.let(keepOne(), "root", old, kept)
	down := errors.New("object store is down")
	e.Faults.FailBlobs(down)
	for _, audit := range []bool{false, true} {
		report, err := e.collector().Collect(e.Context(), lashstore.CollectOptions{Grace: atOnce(), Audit: audit})
		e.is(err, down)
		equal(e, "deleted", report.Deleted, 0)
	}
	_, err := e.collector().CollectionStatus(e.Context())
	e.must(err)
	e.Faults.FailBlobs(nil)
	e.live(e.session("root"), kept)
	report := e.collect(lashstore.CollectOptions{Grace: atOnce(), Audit: true})
	equal(e, "deleted when the tier is back", report.Deleted, 1)
	equal(e, "missing", report.Sweep.Missing, 0)
	e.deleted(old)
	e.live(e.session("root"), kept)
}
