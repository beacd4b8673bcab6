package conformance

import (
	"slices"
	"time"

	"github.com/lashstore/lashstore"
)

// settleScenarios are where commits and the queue meet.
func settleScenarios() []scenario {
	return []scenario{
		{name: "S53_CompletionIsGuarded", run: s53CompletionIsGuarded},
		{name: "S66_CompletionAfterExpiry", run: s66CompletionAfterExpiry},
		{name: "X_Settle_RowByRow", run: xSettleRowByRow},
		{name: "X_Settle_SeveralClaims", run: xSettleSeveralClaims},
		{name: "X_Settle_EnqueueInCommit", run: xSettleEnqueueInCommit},
		{name: "X_Settle_EnqueueKeys", run: xSettleEnqueueKeys},
	}
}

// twoJoined creates a session with a claim on two batches.
func (e *env) twoJoined() (lashstore.Session, lashstore.Lease, lashstore.Claim) {
	e.Helper()
	s := e.create("root")
	e.enqueue(s, joining("g", "1"))
	e.enqueue(s, joining("g", "2"))
	l := e.lease(s, "a")
	claim := e.claim(s, request(l, "a"))
	equal(e, "claimed", len(claim.Batches), 2)
	return s, l, claim
}

// Work that anybody can declare done is lost (I16).
func s53CompletionIsGuarded(e *env) {
	s, l, claim := e.twoJoined()
	c := completing(claim)
	c.Fence = l.Fence()
	c.Completions[0].Token = "00000000000000000000000000000000"
	e.refuse(s, e.prepare(s, c), lashstore.ErrClaimLost)
	equal(e, "queue after the refused commit", len(e.queued(s)), 2)
	c.Completions = []lashstore.ClaimCompletion{claim.Completion()}
	e.commit(s, c)
	equal(e, "queue", len(e.queued(s)), 0)
}

// A turn that took longer than its claim is not lost as long as nobody took its
// work over.
func s66CompletionAfterExpiry(e *env) {
	s := e.create("root")
	e.enqueue(s, exclusive("work"))
	l, err := s.ClaimLease(e.Context(), owner("a"), time.Hour)
	e.must(err)
	r := request(l, "a")
	r.TTL = 0
	expired := e.claim(s, r)
	renewed, err := s.RenewClaim(e.Context(), expired, 0)
	e.must(err)
	equal(e, "claim id of the renewal", renewed.ClaimID, expired.ClaimID)
	c := completing(expired)
	c.Fence = l.Fence()
	e.commit(s, c)
	equal(e, "queue", len(e.queued(s)), 0)

	e.enqueue(s, exclusive("more work"))
	expired = e.claim(s, r)
	successor := e.claim(s, request(l, "b"))
	c = completing(expired)
	c.Fence = l.Fence()
	lost := as[*lashstore.ClaimLostError](e, e.refusal(s, e.prepare(s, c), lashstore.ErrClaimLost))
	equal(e, "successor", lost.Successor, successor.ClaimID)
	equal(e, "batch", lost.Batch, successor.Batches[0].BatchID)
}

// Section 13, Queue and Commit: completions are compared row by row. Counting lets
// wrong ids of the right number through, and leaves the true ones behind (W7).
func xSettleRowByRow(e *env) {
	s, l, claim := e.twoJoined()
	loose := e.enqueue(s, exclusive("loose")).BatchID
	one, two := claim.Batches[0].BatchID, claim.Batches[1].BatchID
	for name, ids := range map[string][]lashstore.BatchID{
		"too few":           {one},
		"an unclaimed one":  {one, loose},
		"an unknown one":    {one, "qwb:00000000000000000000000000000000"},
		"too many":          {one, two, loose},
		"hostile":           {one, "a\x00b"},
		"none of the claim": {loose, "qwb:00000000000000000000000000000000"},
	} {
		e.Logf("refusing %s", name)
		c := completing(claim)
		c.Fence = l.Fence()
		c.Completions[0].BatchIDs = ids
		e.refuse(s, e.prepare(s, c), lashstore.ErrClaimLost)
	}
	for name, change := range map[string]func(*lashstore.ClaimCompletion){
		"claim":   func(c *lashstore.ClaimCompletion) { c.ClaimID = "qwc:9:9" },
		"session": func(c *lashstore.ClaimCompletion) { c.SessionID = "other" },
	} {
		e.Logf("refusing another %s", name)
		c := completing(claim)
		c.Fence = l.Fence()
		change(&c.Completions[0])
		e.refuse(s, e.prepare(s, c), lashstore.ErrClaimLost)
	}
	c := completing(claim)
	c.Fence = l.Fence()
	e.commit(s, c)
	equal(e, "queue", e.queued(s), []lashstore.BatchID{loose})
}

// A commit that settles some of its claims and then fails must settle none.
func xSettleSeveralClaims(e *env) {
	s := e.create("root")
	l := e.lease(s, "a")
	var claims []lashstore.Claim
	for range 3 {
		e.enqueue(s, exclusive("work"))
		claims = append(claims, e.claim(s, request(l, "a")))
	}
	wrong := slices.Clone(claims)
	wrong[2].Token = "00000000000000000000000000000000"
	c := completing(wrong...)
	c.Fence = l.Fence()
	e.refuse(s, e.prepare(s, c), lashstore.ErrClaimLost)
	c = completing(claims...)
	c.Fence = l.Fence()
	e.commit(s, c)
	equal(e, "queue", len(e.queued(s)), 0)
}

// Section 13, Commit: a commit may enqueue. "Commit, then enqueue" loses the work in
// a crash between the two, and a retry must not enqueue it twice.
func xSettleEnqueueInCommit(e *env) {
	s := e.create("root")
	c := e.prepare(s, lashstore.Commit{
		TurnID:  "turn",
		Enqueue: []lashstore.BatchDraft{afterCommit("one"), command("k"), joining("g", "three")},
	})
	wrong := c
	wrong.Checkpoint = &lashstore.Checkpoint{Components: map[string]lashstore.Component{"k": lashstore.Unchanged(refOf([]byte("gone")))}}
	e.refuse(s, wrong, lashstore.ErrUnknownReference)
	equal(e, "queue after the refused commit", len(e.queued(s)), 0)

	first := e.apply(s, c)
	equal(e, "batches", len(first.Enqueued), 3)
	equal(e, "queue", e.queued(s), first.Enqueued)
	e.replay(s, c, first)
	list, err := s.ListQueue(e.Context(), lashstore.ListQueue{})
	e.must(err)
	equal(e, "class of the second", list[1].Class, lashstore.WorkCommand)
	equal(e, "time of the enqueue", list[0].EnqueuedAt, e.Clock.Now())

	l := e.lease(s, "committer")
	claim := e.claim(s, request(l, "committer"))
	next := completing(claim)
	next.Enqueue = []lashstore.BatchDraft{exclusive("next")}
	res := e.commit(s, next)
	equal(e, "queue after settling and enqueueing", e.queued(s),
		[]lashstore.BatchID{first.Enqueued[1], first.Enqueued[2], res.Enqueued[0]})
}

// A source key means the same in a commit as in an enqueue.
func xSettleEnqueueKeys(e *env) {
	s := e.create("root")
	queued := e.enqueue(s, keyed("key", "input"))
	res := e.commit(s, lashstore.Commit{Enqueue: []lashstore.BatchDraft{keyed("key", "input"), keyed("new", "x"), keyed("new", "x")}})
	equal(e, "batch of the key", res.Enqueued[0], queued.BatchID)
	equal(e, "batch of a key given twice", res.Enqueued[2], res.Enqueued[1])
	equal(e, "queue", e.queued(s), []lashstore.BatchID{queued.BatchID, res.Enqueued[1]})
	e.refuse(s, e.prepare(s, lashstore.Commit{Enqueue: []lashstore.BatchDraft{exclusive("fine"), keyed("key", "other")}}),
		lashstore.ErrSourceKeyConflict)
}
