package conformance

import (
	"strconv"

	"github.com/lashstore/lashstore"
)

func commitScenarios() []scenario {
	return []scenario{
		{name: "S12_FirstRevision", run: s12FirstRevision},
		{name: "X_Commit_Whole", run: xCommitWhole},
		{name: "X_Commit_ConcurrentWriters", run: xCommitConcurrentWriters},
		{name: "X_Commit_CheckOrder", run: xCommitCheckOrder},
		{name: "X_Commit_Config", run: xCommitConfig},
	}
}

// Section 13, Commit: the expected revision is mandatory, 0 for a new session. A
// commit that skips the check overwrites what it has not seen (I1, I3, W8).
func s12FirstRevision(e *env) {
	s := e.create("root")
	c := lashstore.Commit{Fence: e.lease(s, "a").Fence(), Config: config("provider-a")}
	equal(e, "first revision", e.apply(s, c).Revision, 1)
	c.ExpectedRevision = 1
	equal(e, "second revision", e.apply(s, c).Revision, 2)
	for _, expected := range []lashstore.Revision{1, 0, 3, lashstore.MaxCounter} {
		c.ExpectedRevision = expected
		moved := as[*lashstore.HeadMovedError](e, e.refusal(s, c, lashstore.ErrHeadMoved))
		equal(e, "expected", moved.Expected, expected)
		equal(e, "actual", moved.Actual, 2)
		equal(e, "session", moved.Session, "root")
	}
}

// everything is a commit with something in each of its parts, settling a claim and
// marking an attachment.
func (e *env) everything(s lashstore.Session, n int) lashstore.Commit {
	e.Helper()
	l := e.lease(s, "committer")
	e.enqueue(s, exclusive("work"))
	claim := e.claim(s, request(l, "committer"))
	ref, err := s.PutAttachment(e.Context(), newReader(e.random("attachment"+strconv.Itoa(n), 100)),
		lashstore.AttachmentMeta{MediaType: "image/png"})
	e.must(err)
	id := strconv.Itoa(n)
	return lashstore.Commit{
		ExpectedRevision: e.head(s).Revision,
		Fence:            l.Fence(),
		ReleaseLease:     true,
		TurnID:           lashstore.TurnID("turn-" + id),
		Config:           config("provider-" + id),
		Frames:           []lashstore.AgentFrame{frame(lashstore.FrameID("frame-"+id), "")},
		Graph:            appendNodes(node(lashstore.NodeID("node-"+id), e.head(s).LeafNodeID)),
		Checkpoint: checkpoint(uint64(n), map[string][]byte{
			"small": []byte("small " + id), "large": e.random("large"+id, tierSize),
		}),
		Usage:       []lashstore.UsageEntry{{Source: "turn", Model: "model-a", Usage: lashstore.TokenUsage{InputTokens: 1}}},
		Completions: []lashstore.ClaimCompletion{claim.Completion()},
		Enqueue:     []lashstore.BatchDraft{afterCommit("next " + id)},
		Attachments: []lashstore.Digest{ref.ID},
	}
}

// A commit of which a part is missing, or that leaves a part when it is refused, is
// no commit (I2, I6; G2).
func xCommitWhole(e *env) {
	s := e.create("root")
	c := e.everything(s, 1)

	wrong := c
	wrong.Completions = []lashstore.ClaimCompletion{c.Completions[0]}
	wrong.Completions[0].Token = "00000000000000000000000000000000"
	e.refuse(s, wrong, lashstore.ErrClaimLost)
	wrong = c
	wrong.Checkpoint = &lashstore.Checkpoint{Components: map[string]lashstore.Component{
		"large": c.Checkpoint.Components["large"], "gone": lashstore.Unchanged(refOf([]byte("never stored"))),
	}}
	e.refuse(s, wrong, lashstore.ErrUnknownReference)
	wrong = c
	wrong.Attachments = []lashstore.Digest{c.Attachments[0], lashstore.DigestOf([]byte("never put"))}
	e.refuse(s, wrong, lashstore.ErrUnknownReference)
	wrong = c
	wrong.Enqueue = []lashstore.BatchDraft{keyed("k", "one"), keyed("k", "two")}
	e.refuse(s, wrong, lashstore.ErrSourceKeyConflict)

	res := e.apply(s, c)
	equal(e, "result's revision", res.Revision, 1)
	equal(e, "result's time", res.CommittedAt, e.Clock.Now())
	equal(e, "result's batches", len(res.Enqueued), 1)
	equal(e, "replayed", res.Replayed, false)
	equal(e, "result's references", res.Components, map[string]lashstore.BlobRef{
		"small": refOf(c.Checkpoint.Components["small"].Bytes), "large": refOf(c.Checkpoint.Components["large"].Bytes),
	})

	e.reopen(Settings{})
	s = e.session("root")
	st := e.state(s)
	equal(e, "provider", st.Snapshot.Config, *c.Config)
	equal(e, "frames", frameIDs(st.Snapshot.Frames), []lashstore.FrameID{"frame-1"})
	equal(e, "nodes", ids(st.Snapshot.Graph.Nodes), []lashstore.NodeID{"node-1"})
	equal(e, "small component", e.hydrated(st.Snapshot, "small"), "small 1")
	equal(e, "size of the large component", len(e.hydrated(st.Snapshot, "large")), tierSize)
	equal(e, "usage", st.Snapshot.Usage, c.Usage)
	equal(e, "queue", batchIDs(st.Queue), res.Enqueued)
	equal(e, "attachment's commit", st.Attachments[0].CommittedAt, e.Clock.Now())
	equal(e, "revisions", len(st.Revisions), 1)
	equal(e, "turn of the revision", st.Revisions[0].TurnID, c.TurnID)
	if st.Lease.Holder != nil {
		e.Errorf("the lease is still held by %q", st.Lease.Holder.Owner.OwnerID)
	}
	equal(e, "a replay", e.apply(s, c).Replayed, true)
}

// Of commits that expect the same revision one applies; a store that let two would
// lose one of them, and one that answered with a lock error would make callers
// guess (G3).
func xCommitConcurrentWriters(e *env) {
	first := e.create("root")
	handles := []lashstore.Session{first, e.session("root"), e.sessionOf(e.second(Settings{}), "root")}
	fence := e.lease(first, "a").Fence()
	for round := range lashstore.Revision(5) {
		const writers = 6
		errs := race(writers, func(i int) error {
			_, err := handles[i%len(handles)].Commit(e.Context(), lashstore.Commit{
				ExpectedRevision: round, Fence: fence, Config: config("provider-a"),
				Graph: appendNodes(node(lashstore.NodeID(strconv.Itoa(int(round))+"-"+strconv.Itoa(i)), "")),
			})
			return err
		})
		equal(e, "winners", e.winners(errs, lashstore.ErrHeadMoved), 1)
		equal(e, "revision", e.head(first).Revision, round+1)
	}
	equal(e, "nodes", len(e.load(first, lashstore.LoadOptions{}).Graph.Nodes), 5)
}

// Callers decide by the error what to do, so of several things that are wrong the
// first of the documented order must be named.
func xCommitCheckOrder(e *env) {
	s := e.create("root")
	e.commit(s, lashstore.Commit{TurnID: "used", Graph: appendNodes(node("n1", ""))})
	// Each step repairs what the error of the step before named.
	c := lashstore.Commit{
		ExpectedRevision: 7,
		TurnID:           "used",
		Usage:            []lashstore.UsageEntry{{Source: "", Model: "m"}},
		Completions: []lashstore.ClaimCompletion{{
			SessionID: "root", ClaimID: "qwc:1:1", Token: "00000000000000000000000000000000", BatchIDs: []lashstore.BatchID{"qwb:1"},
		}},
		Graph: lashstore.GraphDelta{Mode: lashstore.GraphAppend, Nodes: []lashstore.Node{node("n1", "")}},
	}
	e.refuse(s, c, lashstore.ErrInvalid)
	c.Usage = nil
	e.refuse(s, c, lashstore.ErrTurnConflict)
	c.TurnID = "new"
	e.refuse(s, c, lashstore.ErrFenced)
	c.Fence = e.lease(s, "a").Fence()
	e.refuse(s, c, lashstore.ErrHeadMoved)
	c.ExpectedRevision = 1
	e.refuse(s, c, lashstore.ErrClaimLost)
	c.Completions = nil
	e.refuse(s, c, lashstore.ErrGraphInvalid)
	c.Graph = appendNodes(node("n2", "n1"))
	equal(e, "revision", e.apply(s, c).Revision, 2)
}

// A first commit without configuration would make a session that cannot run; a
// later one keeps what there is.
func xCommitConfig(e *env) {
	s := e.create("root")
	l := e.lease(s, "a")
	e.refuse(s, lashstore.Commit{Fence: l.Fence()}, lashstore.ErrInvalid)
	want := lashstore.SessionConfig{ProviderID: "p", Model: lashstore.ModelSpec{
		ID: "m", Variant: "v", Limits: lashstore.ModelLimits{ContextWindowTokens: lashstore.MaxCounter, OutputTokenCapacity: 1},
	}}
	e.apply(s, lashstore.Commit{Fence: l.Fence(), Config: &want})
	e.apply(s, lashstore.Commit{Fence: l.Fence(), ExpectedRevision: 1})
	equal(e, "configuration", e.head(s).Config, want)
	e.apply(s, lashstore.Commit{Fence: l.Fence(), ExpectedRevision: 2, Config: config("other")})
	equal(e, "configuration after a change", e.head(s).Config, *config("other"))
}
