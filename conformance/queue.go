package conformance

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/lashstore/lashstore"
)

func queueScenarios() []scenario {
	return []scenario{
		{name: "S40_CancelUnclaimed", run: s40CancelUnclaimed},
		{name: "S41_CancelClaimed", run: s41CancelClaimed},
		{name: "S49_SessionIsolation", run: s49SessionIsolation},
		{name: "S64_BatchIDs", run: s64BatchIDs},
		{name: "X_Queue_Fields", run: xQueueFields},
		{name: "X_Queue_Paging", run: xQueuePaging},
		{name: "X_Queue_SequenceNeverReused", run: xQueueSequenceNeverReused},
		{name: "X_Queue_BadInput", run: xQueueBadInput},
		{name: "X_Queue_ConcurrentEnqueue", run: xQueueConcurrentEnqueue},
	}
}

// What a user takes back must not be delivered.
func s40CancelUnclaimed(e *env) {
	s := e.create("root")
	batch := e.enqueue(s, exclusive("take me back"))
	got, err := s.CancelBatch(e.Context(), batch.BatchID)
	e.must(err)
	equal(e, "cancelled batch", got, batch)
	equal(e, "queue", len(e.queued(s)), 0)
	_, err = s.CancelBatch(e.Context(), batch.BatchID)
	e.is(err, lashstore.ErrBatchNotFound)
}

// Section 13, Errors: "held" and "missing" are two answers. What is being worked on
// cannot be taken back, and the caller has to know.
func s41CancelClaimed(e *env) {
	s := e.create("root")
	batch := e.enqueue(s, exclusive("work"))
	claim := e.claim(s, request(e.lease(s, "a"), "a"))
	equal(e, "pending", len(e.pending(s)), 0)
	equal(e, "queue", e.queued(s), []lashstore.BatchID{batch.BatchID})
	_, err := s.CancelBatch(e.Context(), batch.BatchID)
	e.is(err, lashstore.ErrBatchHeld)
	held := as[*lashstore.BatchHeldError](e, err)
	equal(e, "claim", held.Claim, claim.ClaimID)
	equal(e, "until", held.Until, claim.ExpiresAt)

	e.must(s.AbandonClaim(e.Context(), claim))
	equal(e, "pending after abandoning", e.pending(s), []lashstore.BatchID{batch.BatchID})
	got, err := s.CancelBatch(e.Context(), batch.BatchID)
	e.must(err)
	equal(e, "cancelled batch", got, batch)

	// A claim that has expired holds nothing.
	batch = e.enqueue(s, exclusive("more work"))
	claim = e.claim(s, request(e.lease(s, "a"), "a"))
	e.Clock.Advance(leaseTTL)
	_, err = s.CancelBatch(e.Context(), batch.BatchID)
	e.must(err)
	_, err = s.RenewClaim(e.Context(), claim, leaseTTL)
	e.is(err, lashstore.ErrClaimLost)
}

// Work of another session would be done in the wrong conversation.
func s49SessionIsolation(e *env) {
	sessions := []lashstore.Session{e.create("root"), e.create("other")}
	var batches []lashstore.Batch
	for _, s := range sessions {
		batches = append(batches, e.enqueue(s, exclusive(string(s.ID()))))
	}
	for i, s := range sessions {
		claim := e.claim(s, request(e.lease(s, "a"), "a"))
		equal(e, "claimed by "+string(s.ID()), batchIDs(claim.Batches), []lashstore.BatchID{batches[i].BatchID})
		equal(e, "session of the claim", claim.SessionID, s.ID())
		_, err := sessions[1-i].CancelBatch(e.Context(), batches[i].BatchID)
		e.is(err, lashstore.ErrBatchNotFound)
	}
	_, err := sessions[1].RenewClaim(e.Context(), e.claimOf(sessions[0]), leaseTTL)
	e.is(err, lashstore.ErrClaimLost)
}

// claimOf enqueues and claims one more batch of a session.
func (e *env) claimOf(s lashstore.Session) lashstore.Claim {
	e.Helper()
	e.enqueue(s, exclusive("one more"))
	return e.claim(s, request(e.lease(s, "a"), "a"))
}

// Two batches with one id cannot be told apart (W15).
func s64BatchIDs(e *env) {
	s := e.create("root")
	handles := []lashstore.Session{s, e.sessionOf(e.second(Settings{}), "root")}
	seen := map[lashstore.BatchID]bool{}
	for i := range 6 {
		id := e.enqueue(handles[i%2], exclusive("work")).BatchID
		random, ok := strings.CutPrefix(string(id), "qwb:")
		if !ok || len(random) != 32 || strings.Trim(random, "0123456789abcdef") != "" || seen[id] {
			e.Errorf("batch id %q, want qwb: and 32 new hexadecimal digits", id)
		}
		seen[id] = true
	}
}

// A field of a batch that is dropped changes when and with what it is delivered.
func xQueueFields(e *env) {
	s := e.create("root")
	at := e.Clock.Now().Add(time.Hour)
	d := lashstore.BatchDraft{
		SourceKey:      "key",
		DeliveryPolicy: lashstore.DeliverAfterCommit,
		SlotPolicy:     lashstore.SlotJoin,
		MergeKey:       lashstore.MergeGroup("g"),
		AvailableAt:    at,
		Payloads: []lashstore.Payload{
			{Type: lashstore.PayloadTurnInput, Body: json.RawMessage(`{ "input" : {"b":1.0,"a":"\u00e9"} }`)},
			{Type: lashstore.PayloadProcessWake, Body: json.RawMessage(`{}`)},
		},
	}
	got := e.enqueue(s, d)
	want := lashstore.Batch{
		BatchID: got.BatchID, SessionID: "root", EnqueueSeq: got.EnqueueSeq, SourceKey: "key", Class: lashstore.WorkTurn,
		DeliveryPolicy: lashstore.DeliverAfterCommit, SlotPolicy: lashstore.SlotJoin, MergeKey: "group:g",
		AvailableAt: at, EnqueuedAt: e.Clock.Now(),
	}
	for i, p := range d.Payloads {
		id := lashstore.ItemID(string(got.BatchID) + ":item:" + string(rune('0'+i)))
		want.Items = append(want.Items, lashstore.Item{ItemID: id, Payload: p})
	}
	equal(e, "batch", got, want)
	e.reopen(Settings{})
	s = e.session("root")
	list, err := s.ListQueue(e.Context(), lashstore.ListQueue{})
	e.must(err)
	equal(e, "queue after reopening", list, []lashstore.Batch{want})

	e.Clock.Advance(time.Hour)
	claim := e.claim(s, request(e.lease(s, "a"), "a"))
	list, err = s.ListQueue(e.Context(), lashstore.ListQueue{})
	e.must(err)
	want.Claim = &lashstore.BatchClaim{
		ClaimID: claim.ClaimID, Owner: claim.Owner, FencingToken: claim.FencingToken, ExpiresAt: claim.ExpiresAt,
	}
	equal(e, "queue with a claim", list, []lashstore.Batch{want})

	empty := e.enqueue(s, lashstore.BatchDraft{Payloads: []lashstore.Payload{turnInput("x")}})
	equal(e, "default delivery policy", empty.DeliveryPolicy, lashstore.DeliverEarliest)
	equal(e, "default slot policy", empty.SlotPolicy, lashstore.SlotExclusive)
	equal(e, "default merge key", empty.MergeKey, lashstore.MergeNever)
}

// A page that repeats or skips a batch shows another queue.
func xQueuePaging(e *env) {
	s := e.create("root")
	var want []lashstore.BatchID
	var seqs []uint64
	for range 5 {
		b := e.enqueue(s, exclusive("work"))
		want, seqs = append(want, b.BatchID), append(seqs, b.EnqueueSeq)
	}
	equal(e, "first page", e.list(s, lashstore.ListQueue{Limit: 2}), want[:2])
	equal(e, "second page", e.list(s, lashstore.ListQueue{Limit: 2, AfterSeq: seqs[1]}), want[2:4])
	equal(e, "last page", e.list(s, lashstore.ListQueue{Limit: 2, AfterSeq: seqs[3]}), want[4:])
	equal(e, "after the end", e.list(s, lashstore.ListQueue{AfterSeq: seqs[4]}), []lashstore.BatchID(nil))
	e.claim(s, request(e.lease(s, "a"), "a"))
	equal(e, "pending, first page", e.list(s, lashstore.ListQueue{Limit: 2, PendingOnly: true}), want[1:3])
	for _, l := range []lashstore.ListQueue{{Limit: -1}, {Limit: lashstore.MaxListLimit + 1}, {AfterSeq: lashstore.MaxCounter + 1}} {
		_, err := s.ListQueue(e.Context(), l)
		e.is(err, lashstore.ErrInvalid)
	}
}

// A sequence number, or a claim id made of it, that recurs names two batches (W24).
func xQueueSequenceNeverReused(e *env) {
	s := e.create("root")
	last := uint64(0)
	claims := map[lashstore.ClaimID]bool{}
	for i := range 4 {
		b := e.enqueue(s, exclusive("work"))
		if b.EnqueueSeq <= last {
			e.Errorf("sequence number %d after %d", b.EnqueueSeq, last)
		}
		last = b.EnqueueSeq
		l := e.lease(s, "committer")
		claim := e.claim(s, request(l, "committer"))
		if claims[claim.ClaimID] {
			e.Errorf("claim id %s recurs", claim.ClaimID)
		}
		claims[claim.ClaimID] = true
		e.commit(s, completing(claim))
		if i == 1 {
			e.reopen(Settings{})
			s = e.session("root")
		}
	}
}

// A batch that cannot be claimed, or that makes every claim fail, poisons the queue
// (W13). Section 13, Queue: refused at enqueue.
func xQueueBadInput(e *env) {
	s := e.create("root")
	mixed := exclusive("x")
	mixed.Payloads = append(mixed.Payloads, command("k").Payloads...)
	bad := map[string]lashstore.BatchDraft{"no payload": {}, "mixed": mixed}
	for name, change := range map[string]func(*lashstore.BatchDraft){
		"delivery policy": func(d *lashstore.BatchDraft) { d.DeliveryPolicy = "soon" },
		"slot policy":     func(d *lashstore.BatchDraft) { d.SlotPolicy = "share" },
		"merge key":       func(d *lashstore.BatchDraft) { d.MergeKey = "always" },
		"empty group":     func(d *lashstore.BatchDraft) { d.MergeKey = "group:" },
		"payload type":    func(d *lashstore.BatchDraft) { d.Payloads[0].Type = "mail" },
		"no type":         func(d *lashstore.BatchDraft) { d.Payloads[0].Type = "" },
		"no body":         func(d *lashstore.BatchDraft) { d.Payloads[0].Body = nil },
		"body array":      func(d *lashstore.BatchDraft) { d.Payloads[0].Body = json.RawMessage(`[{}]`) },
		"body cut":        func(d *lashstore.BatchDraft) { d.Payloads[0].Body = json.RawMessage(`{`) },
		"time":            func(d *lashstore.BatchDraft) { d.AvailableAt = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
		"source key":      func(d *lashstore.BatchDraft) { d.SourceKey = "a\x00b" },
		"long source key": func(d *lashstore.BatchDraft) { d.SourceKey = strings.Repeat("k", 10<<10) },
	} {
		d := exclusive("x")
		change(&d)
		bad[name] = d
	}
	for name, d := range bad {
		if _, err := s.Enqueue(e.Context(), d); !isErr(err, lashstore.ErrInvalid) {
			e.Errorf("%s: got %v, want %q", name, err, lashstore.ErrInvalid)
		}
	}
	equal(e, "queue", len(e.queued(s)), 0)
	for _, text := range hostileTexts(lashstore.MaxNameBytes) {
		if _, err := s.CancelBatch(e.Context(), lashstore.BatchID(text)); !isErr(err, lashstore.ErrBatchNotFound) && !isErr(err, lashstore.ErrInvalid) {
			e.Errorf("cancel %.20q: got %v", text, err)
		}
	}
}

// Producers that enqueue at once must all be served, in some order.
func xQueueConcurrentEnqueue(e *env) {
	handles := []lashstore.Session{e.create("root"), e.sessionOf(e.second(Settings{}), "root")}
	const producers = 12
	for _, err := range race(producers, func(i int) error {
		_, err := handles[i%2].Enqueue(e.Context(), exclusive("work"))
		return err
	}) {
		e.must(err)
	}
	list, err := handles[0].ListQueue(e.Context(), lashstore.ListQueue{})
	e.must(err)
	equal(e, "batches", len(list), producers)
	for i := 1; i < len(list); i++ {
		if list[i].EnqueueSeq <= list[i-1].EnqueueSeq {
			e.Errorf("sequence numbers %d and %d", list[i-1].EnqueueSeq, list[i].EnqueueSeq)
		}
	}
}
