package gc_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/gc"
)

// interrupt cancels a collection at the first step with the name, and reports whether
// it got there.
func (x *tenant) interrupt(step string, opts lashstore.CollectOptions) bool {
	x.Helper()
	ctx, cancel := context.WithCancel(x.Context())
	defer cancel()
	reached := false
	x.once(step, func() { reached = true; cancel() })
	report, err := x.store.Collect(ctx, opts)
	x.at("", nil)
	if reached && err != nil && !errors.Is(err, context.Canceled) {
		x.Fatalf("cancelled at %q: got error %v", step, err)
	}
	if err != nil && report.Outcome != lashstore.CollectFailed {
		x.Errorf("cancelled at %q: outcome %q (%s)", step, report.Outcome, report.Reason)
	}
	return reached
}

// busy makes a tenant in which each step of a collection has something to do.
func busy(t *testing.T) *tenant {
	t.Helper()
	x := setup(t)
	x.commit("a", "old a", "shared")
	x.commit("b", "old b", "shared")
	x.commit("surplus", "kept")
	_, err := x.store.PutBlob(t.Context(), newReader("upload"), lashstore.PutBlobOptions{})
	must(t, err)
	x.commit("a", "new a", "shared")
	x.commit("b", "new b")
	x.surplus("surplus", "too many")
	must(t, x.tier.Put(t.Context(), x.unknownKey("unknown"), []byte("unknown")))
	x.clock.Advance(lashstore.DefaultUploadTTL)
	return x
}

// Whatever a collection was interrupted in, nothing that lives is gone, and the next
// completes it.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string]lashstore.CollectOptions{"run": now(), "audit": audit()} {
		for _, step := range gc.Steps() {
			t.Run(name+" at "+step, func(t *testing.T) {
				t.Parallel()
				x := busy(t)
				reached := x.interrupt(step, opts)
				onlyAudit := step == gc.StepMarking || step == gc.StepSurplus || step == gc.StepReconciled || step == gc.StepListed
				if !reached && (opts.Audit || !onlyAudit) {
					t.Fatal("the step was not reached")
				}
				x.has("a", "new a", "shared")
				x.has("b", "new b")
				x.reopen()
				x.collect(opts)
				if !opts.Audit {
					x.collect(audit())
				}
				x.has("a", "new a", "shared")
				x.has("b", "new b")
				x.has("surplus", "kept")
				st := x.status()
				equal(t, "an audit is left unfinished", st.AuditRunning, false)
				equal(t, "leases left", len(st.Leases), 0)
				x.exact()
			})
		}
	}
}

// An audit that was interrupted is taken up: shards that it swept, and sessions that it
// compared, are not looked at once more.
func TestAuditIsTakenUp(t *testing.T) {
	t.Parallel()
	x := busy(t)
	began := x.clock.Now()
	listed := 0
	ctx, cancel := context.WithCancel(t.Context())
	x.at(gc.StepListed, func() {
		if listed++; listed == 6 {
			cancel()
		}
	})
	_, err := x.store.Collect(ctx, audit())
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	equal(t, "an audit is unfinished", x.status().AuditRunning, true)
	x.clock.Advance(time.Hour)
	x.at("", nil)
	report := x.collect(audit())
	equal(t, "sessions compared once more", report.Mark.Sessions, 0)
	equal(t, "shards listed", report.ListRequests, gc.ShardCount-5)
	st := x.status()
	equal(t, "an audit is unfinished", st.AuditRunning, false)
	if !st.AuditedAt.Equal(began) {
		t.Errorf("audited at %s, want the beginning of the first, %s", st.AuditedAt, began)
	}
	equal(t, "audits", st.Totals.Audits, 1)
	x.exact()
}

// An audit is not taken up when it is old: so much has changed since that it would say
// little.
func TestOldAuditBeginsAnew(t *testing.T) {
	t.Parallel()
	x := busy(t)
	if !x.interrupt(gc.StepListed, audit()) {
		t.Fatal("not interrupted")
	}
	x.clock.Advance(gc.ResumeTime + time.Millisecond)
	report := x.collect(audit())
	equal(t, "sessions compared", report.Mark.Sessions, 3)
	equal(t, "shards listed", report.ListRequests, gc.ShardCount)
	if st := x.status(); !st.AuditedAt.Equal(x.clock.Now()) {
		t.Errorf("audited at %s", st.AuditedAt)
	}
	x.exact()
}

// A mark phase that was interrupted goes on after the last session that it noted.
func TestMarkIsTakenUp(t *testing.T) {
	t.Parallel()
	x := busy(t)
	marked := 0
	ctx, cancel := context.WithCancel(t.Context())
	x.at(gc.StepMarking, func() {
		x.clock.Advance(time.Minute) // so that each session is noted
		if marked++; marked == 3 {
			cancel()
		}
	})
	_, err := x.store.Collect(ctx, audit())
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	x.at("", nil)
	report := x.collect(audit())
	equal(t, "sessions compared", report.Mark.Sessions, 1)
	equal(t, "surplus edges", report.Mark.SurplusEdges, 1)
	x.exact()
}

// A session that was deleted halfway is deleted by the next collection.
func TestInterruptedDeletion(t *testing.T) {
	t.Parallel()
	x := busy(t)
	x.catalogState("a", "deleting")
	report := x.collect(now())
	equal(t, "sessions removed", report.SessionsRemoved, 1)
	_, err := x.store.OpenSession(t.Context(), "a", lashstore.OpenOptions{})
	if !errors.Is(err, lashstore.ErrSessionDeleted) {
		t.Errorf("got %v", err)
	}
	equal(t, "sessions removed once more", x.collect(now()).SessionsRemoved, 0)
	x.collect(audit())
	x.has("b", "new b")
	x.exact()
}
