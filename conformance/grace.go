package conformance

import (
	"errors"
	"time"

	"github.com/lashstore/lashstore"
)

func graceScenarios() []scenario {
	return []scenario{
		{name: "X_Collect_Grace", needs: needCollector, run: xCollectGrace},
		{name: "X_Collect_ReviveInGrace", needs: needCollector | needFaults, run: xCollectReviveInGrace},
		{name: "X_Collect_StoreGrace", needs: needCollector, run: xCollectStoreGrace},
		{name: "X_Collect_DryRun", needs: needCollector, run: xCollectDryRun},
		{name: "X_Collect_Nothing", needs: needCollector, run: xCollectNothing},
		{name: "X_Collect_LongPause", needs: needCollector, run: xCollectLongPause},
		{name: "X_Collect_ClockSetBack", needs: needCollector, run: xCollectClockSetBack},
	}
}

// The grace period is counted from the last reference, not from the upload, and to the
// millisecond: a backup is restored, and a mistake undone, within it.
func xCollectGrace(e *env) {
	const keep = time.Hour
	e.reopen(keepOne())
	old, kept := e.random("old", tierSize), e.random("kept", tierSize)
	e.Clock.Advance(-10 * time.Hour)
	e.replace(e.create("root"), old)
	e.Clock.Advance(10 * time.Hour)
	s := e.session("root")
	e.replace(s, kept)
	e.reopen(keepOne())
	opts := lashstore.CollectOptions{Grace: grace(keep)}

	report := e.collect(opts)
	equal(e, "deleted at once", report.Deleted, 0)
	equal(e, "condemned", report.Condemned, 1)
	equal(e, "condemned bytes", report.CondemnedBytes, e.stat(lashstore.DigestOf(old)).StoredBytes)
	equal(e, "oldest", e.status().CondemnedSince, e.Clock.Now())
	e.Clock.Advance(keep - time.Millisecond)
	for _, audit := range []bool{false, true} {
		opts.Audit = audit
		report = e.collect(opts)
		equal(e, "deleted within the grace period", report.Deleted+report.Doomed, 0)
		e.waiting(old)
	}
	opts.Audit = false
	e.Clock.Advance(time.Millisecond)
	report = e.collect(opts)
	equal(e, "outcome", report.Outcome, lashstore.CollectSwept)
	equal(e, "deleted after the grace period", report.Deleted, 1)
	equal(e, "condemned after the grace period", report.Condemned, 0)
	e.deleted(old)
	e.live(e.session("root"), kept)

	// What was deleted can come back.
	e.replace(e.session("root"), old)
	e.live(e.session("root"), old)
	e.reopen(keepOne())
	e.collect(lashstore.CollectOptions{Grace: atOnce(), Audit: true})
	e.live(e.session("root"), old)
	e.deleted(kept)
}

// Content that comes back within its grace period is not stored again, and its time
// begins anew when it is let go of once more.
func xCollectReviveInGrace(e *env) {
	const keep = time.Hour
	opts := lashstore.CollectOptions{Grace: grace(keep)}
	e.reopen(keepOne())
	content, other := e.random("content", tierSize), e.random("other", tierSize)
	e.let(keepOne(), "root", content, other)
	e.Clock.Advance(keep - time.Millisecond)
	equal(e, "condemned", e.collect(opts).Condemned, 1)

	s := e.session("root")
	c := e.prepare(s, lashstore.Commit{Checkpoint: checkpoint(1, map[string][]byte{"state": content})})
	e.Faults.FailBlobs(errors.New("nothing is to be stored"))
	e.apply(s, c)
	e.Faults.FailBlobs(nil)
	e.reopen(keepOne())
	e.Clock.Advance(keep - time.Millisecond)
	equal(e, "deleted", e.collect(opts).Deleted, 0)
	e.live(e.session("root"), content)
	e.Clock.Advance(time.Millisecond)
	equal(e, "deleted, of the other", e.collect(opts).Deleted, 1)
	e.live(e.session("root"), content)
	e.deleted(other)

	e.replace(e.session("root"), e.random("third", tierSize))
	e.reopen(keepOne())
	e.Clock.Advance(keep - time.Millisecond)
	equal(e, "deleted before the second grace period is over", e.collect(opts).Deleted, 0)
	e.waiting(content)
	e.Clock.Advance(time.Millisecond)
	equal(e, "deleted after it", e.collect(opts).Deleted, 1)
	e.deleted(content)
}

// A grace period that a store was opened with counts where a collection names none, and
// the default where neither does.
func xCollectStoreGrace(e *env) {
	minute := keepOne()
	minute.Grace = grace(time.Minute)
	e.reopen(keepOne())
	first, second, third := e.random("first", tierSize), e.random("second", tierSize), e.random("third", tierSize)
	e.let(minute, "root", first, second)
	equal(e, "the store's grace period", e.collect(lashstore.CollectOptions{}).Grace, time.Minute)
	e.Clock.Advance(time.Minute)
	equal(e, "deleted after the store's grace period", e.collect(lashstore.CollectOptions{}).Deleted, 1)
	e.deleted(first)

	e.replace(e.session("root"), third)
	e.reopen(keepOne())
	equal(e, "the default", e.collect(lashstore.CollectOptions{}).Grace, lashstore.DefaultGrace)
	e.Clock.Advance(lashstore.DefaultGrace - time.Millisecond)
	equal(e, "deleted before the default is over", e.collect(lashstore.CollectOptions{}).Deleted, 0)
	e.Clock.Advance(time.Millisecond)
	equal(e, "deleted after the default", e.collect(lashstore.CollectOptions{}).Deleted, 1)
	e.deleted(second)
	e.live(e.session("root"), third)
}

// Whoever looks first must see what would happen, and nothing may happen.
func xCollectDryRun(e *env) {
	e.reopen(keepOne())
	old, kept, upload := e.random("old", tierSize), e.random("kept", tierSize), e.random("upload", tierSize)
	e.put(upload, lashstore.PutBlobOptions{})
	_, _, err := e.store().CreateSession(e.Context(), lashstore.CreateSession{Meta: lashstore.SessionMeta{SessionID: "brief", TTL: time.Hour}})
	e.must(err)
	e.Clock.Advance(lashstore.DefaultUploadTTL)
	e.let(keepOne(), "root", old, kept)
	before := e.status()
	for _, audit := range []bool{false, true} {
		report := e.collect(lashstore.CollectOptions{DryRun: true, Audit: audit, Grace: atOnce()})
		equal(e, "dry run", report.DryRun, true)
		equal(e, "would be doomed", report.Doomed, 1)
		equal(e, "bytes that would be doomed", report.DoomedBytes, e.stat(lashstore.DigestOf(old)).StoredBytes)
		equal(e, "uploads that would expire", report.UploadsExpired, 1)
		equal(e, "sessions that would expire", report.SessionsExpired, 1)
		equal(e, "deleted", report.Deleted, 0)
		equal(e, "requests to delete", report.DeleteRequests, 0)
		equal(e, "the state of collections after a dry run", e.status(), before)
		e.waiting(old)
		e.live(e.session("root"), kept)
		e.session("brief")
	}
	report := e.collect(lashstore.CollectOptions{Grace: atOnce()})
	equal(e, "deleted in earnest", report.Deleted, 2)
	equal(e, "uploads expired in earnest", report.UploadsExpired, 1)
	equal(e, "sessions expired in earnest", report.SessionsExpired, 1)
	e.deleted(old, upload)
	e.live(e.session("root"), kept)
}

// A collection without anything to do must say so, and cost no request.
func xCollectNothing(e *env) {
	content := e.random("content", tierSize)
	s := e.create("root")
	e.replace(s, content)
	e.reopen(Settings{})
	report := e.collect(lashstore.CollectOptions{Grace: atOnce()})
	equal(e, "report", noTime(report), lashstore.CollectReport{Outcome: lashstore.CollectNothing})
	equal(e, "time of the run", e.status().RanAt, e.Clock.Now())

	report = e.collect(lashstore.CollectOptions{Grace: atOnce(), Audit: true})
	equal(e, "outcome of an audit", report.Outcome, lashstore.CollectNothing)
	equal(e, "roots", report.Roots, 1)
	equal(e, "retained", report.Retained, 1)
	equal(e, "marked", *report.Mark, lashstore.MarkReport{Sessions: 1, Objects: 1})
	equal(e, "listed", report.Sweep.Objects, 1)
	equal(e, "rows", report.Sweep.Rows, 1)
	equal(e, "damage", report.Sweep.Missing+report.Sweep.WrongSize+report.Sweep.Unknown+report.Sweep.Unreferenced, 0)
	st := e.status()
	equal(e, "time of the audit", st.AuditedAt, e.Clock.Now())
	equal(e, "objects", st.Objects, 1)
	equal(e, "totals", st.Totals, lashstore.CollectTotals{Runs: 2, Audits: 1})
	e.live(e.session("root"), content)
}

// refusedCollection checks that a collection deletes nothing on purpose.
func (e *env) refusedCollection(opts lashstore.CollectOptions) lashstore.CollectReport {
	e.Helper()
	report, err := e.collector().Collect(e.Context(), opts)
	e.is(err, lashstore.ErrCollectionRefused)
	equal(e, "outcome", report.Outcome, lashstore.CollectRefused)
	equal(e, "deleted by a collection that was refused", report.Deleted+report.Doomed, 0)
	if report.Reason == "" {
		e.Error("a collection was refused without a reason")
	}
	return report
}

// A clock that jumped ahead would end all grace at once. After a long pause, the first
// collection only says so, and the next one goes by the clock.
func xCollectLongPause(e *env) {
	e.reopen(keepOne())
	old, kept := e.random("old", tierSize), e.random("kept", tierSize)
	e.let(keepOne(), "root", old, kept)
	e.collect(lashstore.CollectOptions{})
	e.Clock.Advance(365 * 24 * time.Hour)
	e.refusedCollection(lashstore.CollectOptions{DryRun: true})
	e.refusedCollection(lashstore.CollectOptions{})
	e.waiting(old)
	equal(e, "deleted by the second", e.collect(lashstore.CollectOptions{}).Deleted, 1)
	e.deleted(old)
	e.live(e.session("root"), kept)
}

// A clock that was set back says nothing of how old anything is.
func xCollectClockSetBack(e *env) {
	e.reopen(keepOne())
	old, kept := e.random("old", tierSize), e.random("kept", tierSize)
	e.let(keepOne(), "root", old, kept)
	e.collect(lashstore.CollectOptions{})
	now := e.Clock.Now()
	e.Clock.Advance(-time.Hour)
	e.reopen(keepOne()) // as another process, which has not seen the later time
	e.refusedCollection(lashstore.CollectOptions{Grace: atOnce()})
	e.refusedCollection(lashstore.CollectOptions{Grace: atOnce(), Audit: true})
	e.waiting(old)
	e.Clock.Set(now)
	equal(e, "deleted with the clock put right", e.collect(lashstore.CollectOptions{Grace: atOnce()}).Deleted, 1)
	e.deleted(old)
	e.live(e.session("root"), kept)
}
