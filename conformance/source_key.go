package conformance

import (
	"time"

	"github.com/lashstore/lashstore"
)

func sourceKeyScenarios() []scenario {
	return []scenario{
		{name: "S39_SourceKey", run: s39SourceKey},
		{name: "S54_Wake", run: s54Wake},
		{name: "S67_SourceKeyIsRemembered", run: s67SourceKeyIsRemembered},
		{name: "X_SourceKey_Cancelled", run: xSourceKeyCancelled},
		{name: "X_SourceKey_OwnRetention", run: xSourceKeyOwnRetention},
		{name: "X_SourceKey_Concurrent", run: xSourceKeyConcurrent},
	}
}

// outcome enqueues and checks what became of it.
func (e *env) outcome(s lashstore.Session, d lashstore.BatchDraft, want lashstore.EnqueueOutcome) lashstore.Batch {
	e.Helper()
	res, err := s.Enqueue(e.Context(), d)
	e.must(err)
	equal(e, "outcome", res.Outcome, want)
	return res.Batch
}

// conflict enqueues another payload under a key that is taken.
func (e *env) conflict(s lashstore.Session, d lashstore.BatchDraft, with lashstore.BatchID) {
	e.Helper()
	_, err := s.Enqueue(e.Context(), d)
	e.is(err, lashstore.ErrSourceKeyConflict)
	conflict := as[*lashstore.SourceKeyConflictError](e, err)
	equal(e, "source key", conflict.SourceKey, d.SourceKey)
	equal(e, "batch", conflict.Batch, with)
}

// Section 13, Queue: reuse of a source key with another payload is a conflict, not a
// silent replay: one of the two inputs would be lost (W10). The same payload is one
// batch (I11).
func s39SourceKey(e *env) {
	s, other := e.create("root"), e.create("other")
	first := e.enqueue(s, keyed("source:first", "first"))
	e.conflict(s, keyed("source:first", "second"), first.BatchID)
	again := e.outcome(s, keyed("source:first", "first"), lashstore.EnqueueDuplicate)
	equal(e, "batch of the same key and payload", again, first)

	second := e.enqueue(s, exclusive("second"))
	e.enqueue(other, keyed("source:first", "the key of another session"))
	equal(e, "queue", e.queued(s), []lashstore.BatchID{first.BatchID, second.BatchID})
	if second.EnqueueSeq <= first.EnqueueSeq {
		e.Errorf("sequence numbers %d and %d, want them to rise", first.EnqueueSeq, second.EnqueueSeq)
	}
	list, err := s.ListQueue(e.Context(), lashstore.ListQueue{})
	e.must(err)
	equal(e, "payload", string(list[0].Items[0].Body), string(turnInput("first").Body))
}

// A wake that is delivered twice runs the parent twice.
func s54Wake(e *env) {
	s := e.create("root")
	d, err := lashstore.NewWakeDraft(lashstore.ProcessWake{
		WakeID: "wake-1", TargetSessionID: "root", ProcessID: "process-1", Sequence: 7, CreatedAt: e.Clock.Now(),
	})
	e.must(err)
	first := e.enqueue(s, d)
	equal(e, "source key", first.SourceKey, "process:process-1:event:7:wake")
	equal(e, "batch of the second enqueue", e.outcome(s, d, lashstore.EnqueueDuplicate).BatchID, first.BatchID)
	l := e.lease(s, "committer")
	claim := e.claim(s, request(l, "a"))
	equal(e, "claimed", batchIDs(claim.Batches), []lashstore.BatchID{first.BatchID})
	equal(e, "items", len(claim.Batches[0].Items), 1)
	equal(e, "type", claim.Batches[0].Items[0].Type, lashstore.PayloadProcessWake)
	e.commit(s, completing(claim))
	equal(e, "queue", len(e.queued(s)), 0)
	e.outcome(s, d, lashstore.EnqueueCompleted)
}

// complete claims everything that is ready and settles it.
func (e *env) complete(s lashstore.Session) {
	e.Helper()
	l := e.lease(s, "committer")
	c := completing(e.claim(s, request(l, "committer")))
	e.commit(s, c)
}

// Section 13, Queue: source keys are remembered for 7 days after completion, where
// the reference forgets them at once. A late retry would be delivered again (W10).
func s67SourceKeyIsRemembered(e *env) {
	s := e.create("root")
	d := keyed("key", "input")
	first := e.enqueue(s, d)
	e.complete(s)
	ended := e.outcome(s, d, lashstore.EnqueueCompleted)
	equal(e, "batch that ended", ended, lashstore.Batch{BatchID: first.BatchID, SessionID: "root", SourceKey: "key"})
	e.conflict(s, keyed("key", "other input"), first.BatchID)
	equal(e, "queue", len(e.queued(s)), 0)

	e.Clock.Advance(lashstore.DefaultSourceKeyRetention - time.Second)
	e.reopen(Settings{})
	s = e.session("root")
	e.outcome(s, d, lashstore.EnqueueCompleted)
	e.Clock.Advance(2 * time.Second)
	second := e.enqueue(s, keyed("key", "other input"))
	if second.BatchID == first.BatchID || second.EnqueueSeq <= first.EnqueueSeq {
		e.Errorf("batch %s (%d) after %s (%d), want a new one", second.BatchID, second.EnqueueSeq, first.BatchID, first.EnqueueSeq)
	}
	// While the batch is queued, the key is not forgotten, however long that is.
	e.Clock.Advance(10 * lashstore.DefaultSourceKeyRetention)
	e.outcome(s, keyed("key", "other input"), lashstore.EnqueueDuplicate)
}

// What was taken back must not come in again by a retry.
func xSourceKeyCancelled(e *env) {
	s := e.create("root")
	d := keyed("key", "input")
	first := e.enqueue(s, d)
	_, err := s.CancelBatch(e.Context(), first.BatchID)
	e.must(err)
	equal(e, "batch that ended", e.outcome(s, d, lashstore.EnqueueCancelled),
		lashstore.Batch{BatchID: first.BatchID, SessionID: "root", SourceKey: "key"})
	e.conflict(s, keyed("key", "other input"), first.BatchID)
	e.Clock.Advance(lashstore.DefaultSourceKeyRetention + time.Second)
	e.enqueue(s, d)
}

// The time for which keys are remembered is the operator's choice.
func xSourceKeyOwnRetention(e *env) {
	e.reopen(Settings{SourceKeyRetention: time.Minute})
	s := e.create("root")
	d := keyed("key", "input")
	e.enqueue(s, d)
	e.complete(s)
	e.outcome(s, d, lashstore.EnqueueCompleted)
	e.Clock.Advance(2 * time.Minute)
	e.enqueue(s, d)
}

// Retries that arrive at once must make one batch.
func xSourceKeyConcurrent(e *env) {
	handles := []lashstore.Session{e.create("root"), e.sessionOf(e.second(Settings{}), "root")}
	const retries = 8
	results := make([]lashstore.EnqueueResult, retries)
	for _, err := range race(retries, func(i int) error {
		var err error
		results[i], err = handles[i%2].Enqueue(e.Context(), keyed("key", "input"))
		return err
	}) {
		e.must(err)
	}
	accepted := 0
	for _, r := range results {
		if r.Outcome == lashstore.EnqueueAccepted {
			accepted++
		}
		equal(e, "batch", r.Batch.BatchID, results[0].Batch.BatchID)
	}
	equal(e, "accepted", accepted, 1)
	equal(e, "queue", len(e.queued(handles[0])), 1)
}
