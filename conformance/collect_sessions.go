package conformance

import (
	"fmt"
	"time"

	"github.com/lashstore/lashstore"
)

func sessionCollectionScenarios() []scenario {
	return []scenario{
		{name: "X_Collect_DeletedSessions", needs: needCollector, run: xCollectDeletedSessions},
		{name: "X_Collect_Uploads", needs: needCollector, run: xCollectUploads},
		{name: "X_Collect_UncommittedAttachments", needs: needCollector, run: xCollectUncommittedAttachments},
		{name: "X_Collect_ExpiredAttachments", needs: needCollector, run: xCollectExpiredAttachments},
		{name: "X_Collect_ExpiredSessions", needs: needCollector, run: xCollectExpiredSessions},
		{name: "X_Collect_SessionsInUse", needs: needCollector, run: xCollectSessionsInUse},
		{name: "X_Collect_ExpiredAndCreatedAgain", needs: needCollector, run: xCollectExpiredAndCreatedAgain},
	}
}

// A deleted session's content goes, but for what others refer to; also where the id is
// in use again.
func xCollectDeletedSessions(e *env) {
	own, shared, fresh := e.random("own", piecesSize), e.random("shared", tierSize), e.random("fresh", tierSize)
	both := checkpoint(0, map[string][]byte{"own": own, "shared": shared})
	for _, id := range []lashstore.SessionID{"gone", "again"} {
		e.commit(e.create(id), lashstore.Commit{Checkpoint: both})
	}
	e.replace(e.create("stays"), shared)
	for _, id := range []lashstore.SessionID{"gone", "again"} {
		e.must(e.store().DeleteSession(e.Context(), id))
	}
	s, _, err := e.store().CreateSession(e.Context(), lashstore.CreateSession{Meta: lashstore.SessionMeta{SessionID: "again"}, Recreate: true})
	e.must(err)
	e.replace(s, fresh)
	objects := int64(e.stat(lashstore.DigestOf(own)).Objects)
	if got := e.sweep(Settings{}); got != objects {
		e.Errorf("%d objects deleted, want the %d of the deleted sessions' own content", got, objects)
	}
	e.deleted(own)
	e.live(e.session("stays"), shared)
	e.live(e.session("again"), fresh)
	equal(e, "outcome of an audit", e.collect(lashstore.CollectOptions{Grace: atOnce(), Audit: true}).Outcome, lashstore.CollectNothing)
	e.live(e.session("stays"), shared)
}

// An upload is kept for its time, whether it is used or not; what a session took over
// by then is kept for good.
func xCollectUploads(e *env) {
	const ttl = time.Hour
	e.reopen(Settings{UploadTTL: ttl})
	unused, pieces, used := e.random("unused", tierSize), e.random("pieces", piecesSize), e.random("used", tierSize)
	for _, content := range [][]byte{unused, pieces, used} {
		e.put(content, lashstore.PutBlobOptions{})
	}
	objects := int64(e.stat(lashstore.DigestOf(unused)).Objects + e.stat(lashstore.DigestOf(pieces)).Objects)
	e.commit(e.create("root"), lashstore.Commit{Checkpoint: &lashstore.Checkpoint{
		Components: map[string]lashstore.Component{"used": lashstore.Unchanged(refOf(used))},
	}})
	e.reopen(Settings{})
	e.Clock.Advance(ttl - time.Millisecond)
	for _, audit := range []bool{false, true} {
		equal(e, "deleted in time", e.collect(lashstore.CollectOptions{Grace: atOnce(), Audit: audit}).Deleted, 0)
	}
	e.readable(unused)
	e.Clock.Advance(time.Millisecond)
	report := e.collect(lashstore.CollectOptions{Grace: grace(time.Hour)})
	equal(e, "uploads that expired", report.UploadsExpired, 3)
	equal(e, "condemned", report.Condemned, objects)
	equal(e, "deleted in the grace period", report.Deleted, 0)
	e.waiting(unused)
	e.Clock.Advance(time.Hour)
	equal(e, "deleted", e.collect(lashstore.CollectOptions{Grace: grace(time.Hour)}).Deleted, objects)
	e.deleted(unused, pieces)
	e.live(e.session("root"), used)
	equal(e, "uploads", e.status().Uploads, 0)
}

// An attachment that no commit refers to is kept as long as an upload, and one that a
// commit refers to until it is forgotten.
func xCollectUncommittedAttachments(e *env) {
	s := e.create("root")
	committed, pending, forgotten := e.random("committed", tierSize), e.random("pending", piecesSize), e.random("forgotten", tierSize)
	id := e.attach(s, committed, png()).ID
	late := e.attach(s, pending, png()).ID
	e.attach(s, forgotten, png())
	e.commit(s, lashstore.Commit{Attachments: []lashstore.Digest{id, lashstore.DigestOf(forgotten)}})
	e.Clock.Advance(lashstore.DefaultUploadTTL - time.Millisecond)
	e.reopen(Settings{})
	e.collect(lashstore.CollectOptions{Grace: atOnce()})
	_, r, err := e.session("root").OpenAttachment(e.Context(), late)
	equal(e, "size of the pending attachment in time", len(e.read(r, err)), len(pending))

	e.must(e.session("root").ForgetAttachment(e.Context(), lashstore.DigestOf(forgotten)))
	e.Clock.Advance(time.Millisecond)
	e.reopen(Settings{})
	equal(e, "uploads that expired", e.collect(lashstore.CollectOptions{Grace: atOnce()}).UploadsExpired, 3)
	e.deleted(pending, forgotten)
	s = e.session("root")
	e.live(s, committed)
	_, _, err = s.OpenAttachment(e.Context(), late)
	e.is(err, lashstore.ErrAttachmentNotFound)
	_, r, err = s.OpenAttachment(e.Context(), id)
	equal(e, "size of the committed attachment", len(e.read(r, err)), len(committed))

	// It can be put again, and is whole then.
	equal(e, "id", e.attach(s, pending, png()).ID, late)
	e.commit(s, lashstore.Commit{Attachments: []lashstore.Digest{late}})
	equal(e, "deleted", e.sweep(Settings{}), 0)
	e.live(e.session("root"), pending)
}

// W19: what was put and never committed is not listed for ever, small or large. An
// audit removes it after its time, and nothing that was committed.
func xCollectExpiredAttachments(e *env) {
	s := e.create("root")
	small, large := e.random("small", 100), e.random("large", tierSize)
	kept, later := e.random("kept", 100), e.random("later", 100)
	e.attach(s, small, png())
	e.attach(s, large, png())
	id := e.attach(s, kept, png()).ID
	e.commit(s, lashstore.Commit{Attachments: []lashstore.Digest{id}})
	e.Clock.Advance(time.Millisecond)
	again := e.attach(s, later, png()).ID
	e.Clock.Advance(lashstore.DefaultUploadTTL - time.Millisecond)
	e.collect(lashstore.CollectOptions{Grace: atOnce(), Audit: true, DryRun: true})
	equal(e, "attachments after a dry run", len(e.attachments(s)), 4)
	report := e.collect(lashstore.CollectOptions{Grace: atOnce(), Audit: true})
	equal(e, "attachments that expired", report.Mark.AttachmentsExpired, 2)
	e.deleted(large)
	equal(e, "uncommitted attachments", e.uncommitted(s, e.Clock.Now()), []lashstore.Digest{again})
	equal(e, "attachments", len(e.attachments(s)), 2)
	for _, gone := range [][]byte{small, large} {
		_, _, err := s.OpenAttachment(e.Context(), lashstore.DigestOf(gone))
		e.is(err, lashstore.ErrAttachmentNotFound)
	}
	_, r, err := s.OpenAttachment(e.Context(), id)
	equal(e, "size of the committed attachment", len(e.read(r, err)), len(kept))
	e.commit(s, lashstore.Commit{Attachments: []lashstore.Digest{again}})
	e.Clock.Advance(lashstore.DefaultUploadTTL)
	equal(e, "expired later", e.collect(lashstore.CollectOptions{Grace: atOnce(), Audit: true}).Mark.AttachmentsExpired, 0)
	equal(e, "committed attachments", len(e.attachments(s)), 2)
}

// A session goes when nothing was committed to it for its time to live, not a
// millisecond before, and with it what only it referred to.
func xCollectExpiredSessions(e *env) {
	const ttl = time.Hour
	own, shared := e.random("own", tierSize), e.random("shared", tierSize)
	brief := e.createTTL("brief", ttl)
	e.commit(brief, lashstore.Commit{Checkpoint: checkpoint(0, map[string][]byte{"own": own, "shared": shared})})
	e.replace(e.create("lasting"), shared)
	e.createTTL("empty", ttl)
	e.Clock.Advance(30 * time.Minute)
	e.commit(e.session("brief"), lashstore.Commit{})
	e.reopen(Settings{})

	e.Clock.Advance(30 * time.Minute)
	report := e.collect(lashstore.CollectOptions{Grace: atOnce()})
	equal(e, "expired an hour after the first commit", report.SessionsExpired, 1)
	_, err := e.store().OpenSession(e.Context(), "empty", lashstore.OpenOptions{})
	e.is(err, lashstore.ErrSessionDeleted)
	e.Clock.Advance(30*time.Minute - time.Millisecond)
	for _, audit := range []bool{false, true} {
		equal(e, "expired early", e.collect(lashstore.CollectOptions{Grace: atOnce(), Audit: audit}).SessionsExpired, 0)
	}
	e.live(e.session("brief"), own)

	e.Clock.Advance(time.Millisecond)
	report = e.collect(lashstore.CollectOptions{Grace: atOnce()})
	equal(e, "expired an hour after the last commit", report.SessionsExpired, 1)
	equal(e, "deleted", report.Deleted, 1)
	equal(e, "outcome", report.Outcome, lashstore.CollectSwept)
	_, err = e.store().OpenSession(e.Context(), "brief", lashstore.OpenOptions{})
	e.is(err, lashstore.ErrSessionDeleted)
	_, err = brief.Head(e.Context())
	e.oneOf(err, lashstore.ErrSessionDeleted, lashstore.ErrClosed)
	e.deleted(own)
	e.live(e.session("lasting"), shared)
	equal(e, "expired again", e.collect(lashstore.CollectOptions{Grace: atOnce()}).SessionsExpired, 0)
}

// A session that somebody is at work on, or that has work waiting, is not deleted,
// however long ago its last commit was.
func xCollectSessionsInUse(e *env) {
	const ttl = time.Minute
	content := func(name string) []byte { return e.random(name, tierSize) }
	sessions := map[string]lashstore.Session{}
	for _, name := range []string{"leased", "queued", "committed", "prolonged"} {
		s := e.createTTL(lashstore.SessionID(name), ttl)
		e.replace(s, content(name))
		sessions[name] = s
	}
	lease, err := sessions["leased"].ClaimLease(e.Context(), owner("worker"), 24*time.Hour)
	e.must(err)
	batch := e.enqueue(sessions["queued"], exclusive("work"))
	e.reopen(Settings{}) // the catalog has heard of all of them
	e.Clock.Advance(time.Hour)

	e.commit(e.session("committed"), lashstore.Commit{})
	m := e.meta(e.session("prolonged"))
	m.TTL = 2 * time.Hour
	e.must(e.session("prolonged").SetMeta(e.Context(), m))
	for _, audit := range []bool{false, true} {
		report := e.collect(lashstore.CollectOptions{Grace: atOnce(), Audit: audit})
		equal(e, "expired", report.SessionsExpired, 0)
		equal(e, "deleted", report.Deleted, 0)
	}
	for name := range sessions {
		e.live(e.session(lashstore.SessionID(name)), content(name))
	}

	e.must(e.session("leased").ReleaseLease(e.Context(), lease.Fence()))
	_, err = e.session("queued").CancelBatch(e.Context(), batch.BatchID)
	e.must(err)
	report := e.collect(lashstore.CollectOptions{Grace: atOnce()})
	equal(e, "expired when nobody is at work", report.SessionsExpired, 2)
	e.deleted(content("leased"), content("queued"))
	e.live(e.session("committed"), content("committed"))
	e.live(e.session("prolonged"), content("prolonged"))
}

// An id whose session expired can be used again, and its new content is not taken for
// the old.
func xCollectExpiredAndCreatedAgain(e *env) {
	content := e.random("content", tierSize)
	for round := range 3 {
		s, created, err := e.store().CreateSession(e.Context(), lashstore.CreateSession{
			Meta: lashstore.SessionMeta{SessionID: "brief", TTL: time.Minute}, Recreate: true,
		})
		e.must(err)
		equal(e, fmt.Sprint("created in round ", round), created, true)
		e.replace(s, content)
		e.reopen(Settings{})
		equal(e, "deleted while it lives", e.collect(lashstore.CollectOptions{Grace: atOnce()}).Deleted, 0)
		e.live(e.session("brief"), content)
		e.Clock.Advance(time.Hour)
		equal(e, "deleted when it is over", e.collect(lashstore.CollectOptions{Grace: atOnce()}).Deleted, 1)
		e.deleted(content)
	}
}
