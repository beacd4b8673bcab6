package conformance

import (
	"encoding/json"
	"time"

	"github.com/lashstore/lashstore"
)

func turnScenarios() []scenario {
	return []scenario{
		{name: "S14_Replay", run: s14Replay},
		{name: "S15_HashIgnoresRevision", run: s15HashIgnoresRevision},
		{name: "S16_ChangedContent", run: s16ChangedContent},
		{name: "S17_ReplayAfterRelease", run: s17ReplayAfterRelease},
		{name: "S18_QueueAndTurnAreAtomic", run: s18QueueAndTurnAreAtomic},
		{name: "X_Turn_RetryWithNewIDs", run: xTurnRetryWithNewIDs},
		{name: "X_Turn_UserDataCounts", run: xTurnUserDataCounts},
		{name: "X_Turn_ReplayReleasesLease", run: xTurnReplayReleasesLease},
		{name: "X_Turn_ReplaySurvivesTrimming", run: xTurnReplaySurvivesTrimming},
		{name: "X_Turn_ConcurrentReplays", run: xTurnConcurrentReplays},
		{name: "X_Turn_OwnPerSession", run: xTurnOwnPerSession},
	}
}

// turn is a stamped commit with a node, state and usage.
func (e *env) turn(s lashstore.Session, id lashstore.TurnID) lashstore.Commit {
	e.Helper()
	return e.prepare(s, lashstore.Commit{
		TurnID:     id,
		Graph:      lashstore.GraphDelta{Mode: lashstore.GraphAppend, Nodes: []lashstore.Node{node(lashstore.NodeID(id)+"-node", "")}},
		Checkpoint: checkpoint(0, map[string][]byte{lashstore.ComponentToolState: []byte("tools of " + id)}),
		Usage:      []lashstore.UsageEntry{{Source: "turn", Model: "model-a", Usage: lashstore.TokenUsage{InputTokens: 5}}},
		Enqueue:    []lashstore.BatchDraft{afterCommit("follow-up")},
	})
}

// replay applies a commit again and checks that it is answered as the first time
// and changes nothing.
func (e *env) replay(s lashstore.Session, c lashstore.Commit, first lashstore.CommitResult) {
	e.Helper()
	before := e.state(s)
	again := e.apply(s, c)
	first.Replayed = true
	equal(e, "result of the replay", again, first)
	equal(e, "the session after the replay", e.state(s), before)
}

// A turn that is applied twice counts its tokens and says its words twice (I5; G4).
func s14Replay(e *env) {
	s := e.create("root")
	c := e.turn(s, "provider-turn")
	first := e.apply(s, c)
	equal(e, "replayed at first", first.Replayed, false)
	c.Fence, c.ReleaseLease = lashstore.Fence{}, false
	e.Clock.Advance(time.Hour)
	e.replay(s, c, first)
	e.reopen(Settings{})
	e.replay(e.session("root"), c, first)
}

// A retry that read the head again names another revision and is still the same
// turn.
func s15HashIgnoresRevision(e *env) {
	s := e.create("root")
	c := e.turn(s, "provider-turn")
	first := e.apply(s, c)
	c.ExpectedRevision = first.Revision
	e.replay(s, c, first)
	e.commit(s, lashstore.Commit{})
	c.ExpectedRevision = 99
	e.replay(s, c, first)
}

// Another commit under the same turn id must not be taken for a retry, or it is
// lost.
func s16ChangedContent(e *env) {
	s := e.create("root")
	first := e.turn(s, "provider-turn")
	e.apply(s, first)
	e.commit(s, lashstore.Commit{})
	changed := first
	changed.Fence = lashstore.Fence{}
	changed.Checkpoint = checkpoint(1, map[string][]byte{lashstore.ComponentToolState: []byte("tools of provider-turn")})
	conflict := as[*lashstore.TurnConflictError](e, e.refusal(s, changed, lashstore.ErrTurnConflict))
	equal(e, "turn", conflict.Turn, "provider-turn")
	equal(e, "session", conflict.Session, "root")
	equal(e, "revision", conflict.Revision, 1)
}

// A retry after the lease was released, or taken by another, is still answered.
func s17ReplayAfterRelease(e *env) {
	s := e.create("root")
	c := e.turn(s, "provider-turn")
	first := e.apply(s, c)
	c.ReleaseLease = false
	c.Fence = lashstore.Fence{}
	e.replay(s, c, first)
	e.lease(s, "b")
	e.replay(s, c, first)
}

// A turn that is recorded although its queue was not settled, or the reverse, is
// delivered twice or never.
func s18QueueAndTurnAreAtomic(e *env) {
	s := e.create("root")
	l := e.lease(s, "a")
	batch := e.enqueue(s, exclusive("work"))
	claim := e.claim(s, request(l, "a"))
	c := completing(claim)
	c.Fence, c.Config, c.TurnID, c.ReleaseLease = l.Fence(), config("provider-a"), "turn-41", true
	c.Checkpoint = checkpoint(41, nil)
	wrong := c
	wrong.Completions = []lashstore.ClaimCompletion{c.Completions[0]}
	wrong.Completions[0].Token = "ffffffffffffffffffffffffffffffff"
	e.refuse(s, wrong, lashstore.ErrClaimLost)
	equal(e, "revision after the refused commit", e.head(s).Revision, 0)
	equal(e, "queue after the refused commit", e.queued(s), []lashstore.BatchID{batch.BatchID})

	c.Completions = []lashstore.ClaimCompletion{claim.Completion()}
	first := e.apply(s, c)
	equal(e, "queue after the commit", len(e.queued(s)), 0)
	e.replay(s, c, first)
	equal(e, "turn index", e.load(s, lashstore.LoadOptions{}).Checkpoint.TurnState.TurnIndex, 41)
}

// Section 13, Commit: the store hashes named fields. A retry after a re-claim has a
// new fence, new claim tokens and new random ids, and is still the same turn (W12).
func xTurnRetryWithNewIDs(e *env) {
	s := e.create("root")
	e.commit(s, lashstore.Commit{Graph: appendNodes(node("base", ""))})
	batch := e.enqueue(s, exclusive("work"))

	attempt := func(owner string, first lashstore.NodeID, at time.Time) lashstore.Commit {
		l := e.lease(s, owner)
		claim := e.claim(s, request(l, owner))
		equal(e, "claimed", batchIDs(claim.Batches), []lashstore.BatchID{batch.BatchID})
		c := completing(claim)
		c.Fence, c.ExpectedRevision, c.TurnID = l.Fence(), 1, "turn"
		second := textNode(first+"-second", first, "two")
		c.Graph = appendNodes(textNode(first, "base", "one"), second)
		for i := range c.Graph.Nodes {
			c.Graph.Nodes[i].Timestamp = at
		}
		return c
	}
	lost := attempt("a", "message:1", e.Clock.Now())
	e.Clock.Advance(2 * leaseTTL) // the answer got lost, or the commit did
	retry := attempt("b", "message:2", e.Clock.Now())
	first := e.apply(s, retry)
	e.replay(s, retry, first)
	lost.Graph.Nodes = sameMessages(lost.Graph.Nodes, retry.Graph.Nodes)
	e.replay(s, lost, first)
	equal(e, "active path", ids(e.path(s).Graph.Nodes), []lashstore.NodeID{"base", "message:2", "message:2-second"})
}

// sameMessages gives nodes the payloads of others, which carry message ids of their
// own: those are content.
func sameMessages(nodes, from []lashstore.Node) []lashstore.Node {
	for i := range nodes {
		nodes[i].Payload = from[i].Payload
	}
	return nodes
}

// Section 13, Commit: payload keys are never dropped. Two commits that differ only
// in a user's key "id" or "timestamp" are two commits, or the second is lost as a
// replay (W12).
func xTurnUserDataCounts(e *env) {
	for _, key := range []string{"id", "node_id", "parent_node_id", "leaf_node_id", "timestamp", "role", "lease_token"} {
		s := e.create(lashstore.SessionID("key-" + key))
		build := func(value string) lashstore.Commit {
			body, err := json.Marshal(map[string]any{
				"plugin_type": "t", "body": map[string]any{"kind": "k", "content": "c", "prune_state": "p", "parts": nil, key: value},
			})
			e.must(err)
			return e.prepare(s, lashstore.Commit{TurnID: "turn", Graph: appendNodes(lashstore.Node{
				NodeID: "plugin:1", Kind: lashstore.NodePlugin, Payload: body,
			})})
		}
		c := build("one")
		first := e.apply(s, c)
		e.replay(s, c, first)
		e.refuse(s, build("two"), lashstore.ErrTurnConflict)
	}
}

// A replay that asks for the lease's release frees it, or the next holder waits for
// its expiry; if the lease is lost meanwhile, that is no reason to fail.
func xTurnReplayReleasesLease(e *env) {
	s := e.create("root")
	c := e.turn(s, "turn")
	c.ReleaseLease = false
	first := e.apply(s, c)
	c.ReleaseLease = true
	again := e.apply(s, c)
	equal(e, "replayed", again.Replayed, true)
	equal(e, "revision", again.Revision, first.Revision)
	status, err := s.LeaseStatus(e.Context())
	e.must(err)
	if status.Holder != nil {
		e.Errorf("the lease is still held by %q", status.Holder.Owner.OwnerID)
	}

	held := e.lease(s, "b")
	equal(e, "replayed with a lost lease", e.apply(s, c).Replayed, true)
	status, err = s.LeaseStatus(e.Context())
	e.must(err)
	if status.Holder == nil {
		e.Fatal("the replay released the lease of another")
	}
	equal(e, "holder", *status.Holder, held.LeaseHolder)
}

// A turn whose revision is no longer kept must still be answered, not applied again.
func xTurnReplaySurvivesTrimming(e *env) {
	e.reopen(Settings{Retention: lashstore.Retention{Revisions: 1}})
	s := e.create("root")
	c := e.turn(s, "turn")
	first := e.apply(s, c)
	for range 3 {
		e.commit(s, lashstore.Commit{Checkpoint: checkpoint(9, nil)})
	}
	e.reopen(Settings{Retention: lashstore.Retention{Revisions: 1}})
	e.replay(e.session("root"), c, first)
}

// Several retries that arrive at once must apply one.
func xTurnConcurrentReplays(e *env) {
	first := e.create("root")
	handles := []lashstore.Session{first, e.sessionOf(e.second(Settings{}), "root")}
	c := e.turn(first, "turn")
	const retries = 6
	results := make([]lashstore.CommitResult, retries)
	for _, err := range race(retries, func(i int) error {
		var err error
		results[i], err = handles[i%len(handles)].Commit(e.Context(), c)
		return err
	}) {
		e.must(err)
	}
	applied := 0
	for _, r := range results {
		if !r.Replayed {
			applied++
		}
		equal(e, "revision", r.Revision, 1)
		equal(e, "batches", r.Enqueued, results[0].Enqueued)
	}
	equal(e, "commits applied", applied, 1)
	equal(e, "queue", len(e.queued(first)), 1)
	equal(e, "usage", e.load(first, lashstore.LoadOptions{}).Usage[0].Usage.InputTokens, 5)
}

// Turn ids belong to a session: the same id elsewhere is another turn.
func xTurnOwnPerSession(e *env) {
	for _, id := range []lashstore.SessionID{"a", "b"} {
		s := e.create(id)
		equal(e, "replayed", e.apply(s, e.turn(s, "turn")).Replayed, false)
	}
}
