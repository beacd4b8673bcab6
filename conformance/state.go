package conformance

import (
	"encoding/json"
	"time"

	"github.com/lashstore/lashstore"
)

func stateScenarios() []scenario {
	return []scenario{
		{name: "S01_Tier", run: s01Tier},
		{name: "S03_Binding", run: s03Binding},
		{name: "S04_HydrationAndUsage", run: s04HydrationAndUsage},
		{name: "S08_Metadata", run: s08Metadata},
		{name: "S10_ProviderID", run: s10ProviderID},
		{name: "S11_EmptySession", run: s11EmptySession},
		{name: "S13_ReferenceWithoutBody", run: s13ReferenceWithoutBody},
		{name: "X_State_PickerInfo", run: xStatePickerInfo},
		{name: "X_State_TimesAreUTCMilliseconds", run: xStateTimes},
		{name: "X_State_TwoHandles", run: xStateTwoHandles},
	}
}

// A store of another tier than declared would be trusted with what it loses.
func s01Tier(e *env) {
	equal(e, "tier", e.store().Tier(), e.Tier)
}

// Section 13, Lifecycle: a handle is bound to its session, so a commit for another
// session can only show in the lease that it presents. Were it accepted, two
// sessions would share one history (I4).
func s03Binding(e *env) {
	alpha, beta := e.create("alpha"), e.create("beta")
	e.commit(alpha, lashstore.Commit{})
	c := e.prepare(alpha, lashstore.Commit{Fence: e.lease(beta, "a").Fence()})
	fenced := as[*lashstore.FencedError](e, e.refusal(alpha, c, lashstore.ErrFenced))
	equal(e, "reason", fenced.Reason, lashstore.FenceWrongSession)
	equal(e, "session", fenced.Session, "alpha")
	equal(e, "revision of beta", e.head(beta).Revision, 0)
}

// State that does not come back as it was given makes every resumed turn wrong.
func s04HydrationAndUsage(e *env) {
	s := e.create("hydrated")
	tools := []byte(`{"generation":9,"tools":{}}`)
	snapshot := []byte(`{"plugins":{}}`)
	used := lashstore.TokenUsage{InputTokens: 11, OutputTokens: 7, CachedInputTokens: 3, ReasoningTokens: 5}
	prompt := &lashstore.PromptUsage{PromptContextTokens: 10, InputTokens: 11, CachedInputTokens: 3, ContextBudgetTokens: 100}
	plugin := lashstore.Changed(snapshot)
	plugin.Revision = 12
	e.commit(s, lashstore.Commit{
		Checkpoint: &lashstore.Checkpoint{
			TurnState: lashstore.TurnState{
				TurnIndex: 4, TokenUsage: used, LastPromptUsage: prompt,
				ProtocolTurnOptions: json.RawMessage(`{"mode":"fast"}`),
			},
			Components: map[string]lashstore.Component{
				lashstore.ComponentToolState:      lashstore.Changed(tools),
				lashstore.ComponentPluginSnapshot: plugin,
			},
		},
		Usage: []lashstore.UsageEntry{{Source: "turn", Model: "mock-model", Usage: used}},
	})
	e.reopen(Settings{})
	snap := e.load(e.session("hydrated"), lashstore.LoadOptions{})
	equal(e, "session id", snap.SessionID, "hydrated")
	if snap.Checkpoint == nil {
		e.Fatal("no checkpoint was loaded")
	}
	equal(e, "turn index", snap.Checkpoint.TurnState.TurnIndex, 4)
	equal(e, "turn's tokens", snap.Checkpoint.TurnState.TokenUsage, used)
	equal(e, "last prompt", snap.Checkpoint.TurnState.LastPromptUsage, prompt)
	equal(e, "turn options", string(snap.Checkpoint.TurnState.ProtocolTurnOptions), `{"mode":"fast"}`)
	equal(e, "number of components", len(snap.Checkpoint.Components), 2)
	equal(e, "tool state", e.hydrated(snap, lashstore.ComponentToolState), string(tools))
	equal(e, "plugin snapshot", e.hydrated(snap, lashstore.ComponentPluginSnapshot), string(snapshot))
	equal(e, "plugin snapshot's revision", snap.Checkpoint.Components[lashstore.ComponentPluginSnapshot].Revision, 12)
	equal(e, "usage", snap.Usage, []lashstore.UsageEntry{{Source: "turn", Model: "mock-model", Usage: used}})
}

// hydrated returns a component's bytes after checking its reference.
func (e *env) hydrated(snap *lashstore.Snapshot, key string) string {
	e.Helper()
	if snap.Checkpoint == nil {
		e.Fatalf("no checkpoint with component %s", key)
	}
	c, ok := snap.Checkpoint.Components[key]
	if !ok {
		e.Fatalf("component %s is missing", key)
	}
	if !c.Hydrated {
		e.Fatalf("component %s is not hydrated", key)
	}
	equal(e, "reference of "+key, c.Ref, refOf(c.Bytes))
	return string(c.Bytes)
}

func refOf(content []byte) lashstore.BlobRef {
	return lashstore.BlobRef{Digest: lashstore.DigestOf(content), SizeBytes: int64(len(content))}
}

// A field of the metadata that is dropped is lost for good.
func s08Metadata(e *env) {
	s := e.create("root")
	cwd := "/somewhere else"
	want := lashstore.SessionMeta{
		SessionID: "root", SessionName: "Réunion \"A\"", CreatedAt: e.Clock.Now().AddDate(-3, 0, 0),
		Model: "model-b", Cwd: &cwd, Relation: lashstore.SessionRelation{Kind: lashstore.RelationRoot},
	}
	e.must(s.SetMeta(e.Context(), want))
	got, err := s.Meta(e.Context())
	e.must(err)
	equal(e, "metadata", got, want)

	want.Cwd, want.SessionName, want.Model = nil, "", ""
	want.Relation = lashstore.SessionRelation{
		Kind: lashstore.RelationChild, ParentSessionID: "p",
		CausedBy: &lashstore.CausalRef{Type: lashstore.CauseProcessEvent, ProcessID: "process-1", Sequence: 7},
	}
	e.must(s.SetMeta(e.Context(), want))
	got, err = s.Meta(e.Context())
	e.must(err)
	want.SessionName = "root" // which the empty name means
	equal(e, "metadata without its optional parts", got, want)
}

// A frame that ran with another provider than the stored one would send a
// session's content to it.
func s10ProviderID(e *env) {
	bare := e.create("bare")
	for range 6 {
		e.commit(bare, lashstore.Commit{})
	}
	e.commit(bare, lashstore.Commit{Config: config("stored-provider")})
	st := e.load(bare, lashstore.LoadOptions{}).RuntimeState()
	equal(e, "revision", st.Revision, 7)
	equal(e, "policy's provider", st.Policy.ProviderID, "stored-provider")
	equal(e, "frames", len(st.Frames), 0)

	framed := e.create("framed")
	e.commit(framed, lashstore.Commit{
		Config: config("stored-provider"),
		Frames: []lashstore.AgentFrame{frame("f1", ""), frame("f2", lashstore.FrameReasonContinueAs)},
	})
	st = e.load(framed, lashstore.LoadOptions{}).RuntimeState()
	equal(e, "policy's provider", st.Policy.ProviderID, "stored-provider")
	for _, f := range st.Frames {
		equal(e, "provider of frame "+string(f.FrameID), f.Assignment.Policy.ProviderID, "stored-provider")
	}
}

// Reads of an empty session must say "nothing", not fail and not invent anything.
func s11EmptySession(e *env) {
	s := e.create("fresh")
	equal(e, "head", e.head(s), lashstore.Head{SessionID: "fresh"})
	for _, scope := range []lashstore.LoadScope{"", lashstore.ScopeFullGraph, lashstore.ScopeActivePath, lashstore.ScopeNoGraph} {
		snap := e.load(s, lashstore.LoadOptions{Scope: scope})
		equal(e, "snapshot, scope "+string(scope), snap, &lashstore.Snapshot{Head: lashstore.Head{SessionID: "fresh"}})
	}
	_, err := s.Node(e.Context(), "n1")
	e.is(err, lashstore.ErrNodeNotFound)
	_, err = s.Load(e.Context(), lashstore.LoadOptions{Scope: lashstore.ScopeActivePath, Leaf: "n1"})
	e.is(err, lashstore.ErrNodeNotFound)
	_, err = s.Load(e.Context(), lashstore.LoadOptions{Revision: 1})
	e.is(err, lashstore.ErrRevisionNotFound)
	_, err = s.OpenContent(e.Context(), lashstore.DigestOf([]byte("unknown")))
	e.is(err, lashstore.ErrBlobNotFound)
	usage, err := s.Usage(e.Context())
	e.must(err)
	equal(e, "usage", usage, []lashstore.UsageEntry(nil))
	st := e.state(s)
	equal(e, "queue", st.Queue, []lashstore.Batch(nil))
	equal(e, "attachments", st.Attachments, []lashstore.AttachmentEntry(nil))
	equal(e, "artifacts", st.Artifacts, []lashstore.ArtifactInfo(nil))
	equal(e, "revisions", st.Revisions, []lashstore.RevisionInfo(nil))
	equal(e, "lease", st.Lease, lashstore.LeaseStatus{})
	info, err := s.PickerInfo(e.Context())
	e.must(err)
	equal(e, "user messages", info.UserMessageCount, 0)
}

// A runtime that sends only the reference of unchanged state must not lose the
// state by it.
func s13ReferenceWithoutBody(e *env) {
	for _, size := range []int{100, tierSize} {
		s := e.create(sized("size", size))
		tools := e.random("tools", size)
		first := e.commit(s, lashstore.Commit{Checkpoint: checkpoint(0, map[string][]byte{lashstore.ComponentToolState: tools})})
		ref := first.Components[lashstore.ComponentToolState]
		equal(e, "returned reference", ref, refOf(tools))
		second := e.commit(s, lashstore.Commit{Checkpoint: &lashstore.Checkpoint{
			Components: map[string]lashstore.Component{lashstore.ComponentToolState: lashstore.Unchanged(ref)},
		}})
		equal(e, "reference after the second commit", second.Components, first.Components)
		if got := e.hydrated(e.load(s, lashstore.LoadOptions{}), lashstore.ComponentToolState); got != string(tools) {
			e.Errorf("%d bytes of tool state read back differ from those given", size)
		}
	}
}

// A resume list shows the first message over all visible nodes, not over the
// active path.
func xStatePickerInfo(e *env) {
	s := e.create("picker")
	mixed := lashstore.Message{ID: "mixed", Role: lashstore.RoleUser, Parts: []lashstore.Part{
		{ID: "0", Kind: lashstore.PartToolCall, Content: "call"},
		{ID: "1", Kind: lashstore.PartText, Content: "  look at this"},
		{ID: "2", Kind: lashstore.PartText, Content: " \n"},
		{ID: "3", Kind: lashstore.PartImage, Content: "ignored"},
		{ID: "4", Kind: lashstore.PartToolResult, Content: "result"},
		{ID: "5", Kind: lashstore.PartCode, Content: "x := 1"},
	}}
	first, err := lashstore.NewMessageNode("mixed", mixed)
	e.must(err)
	answer, err := lashstore.NewMessageNode("answer", lashstore.Message{ID: "answer", Role: lashstore.RoleAssistant})
	e.must(err)
	answer.ParentNodeID = "mixed"
	plugin := lashstore.Node{NodeID: "plugin", Kind: lashstore.NodePlugin, Payload: json.RawMessage(`{"plugin_type":"t","body":null}`)}
	e.commit(s, lashstore.Commit{Graph: appendNodes(plugin, first, answer)})
	e.commit(s, lashstore.Commit{Graph: appendNodes(textNode("branch", "", "another beginning"))})

	info, err := s.PickerInfo(e.Context())
	e.must(err)
	equal(e, "first user message", info.FirstUserMessage, "look at this\n\n[Image attached]\n\nx := 1")
	equal(e, "user messages", info.UserMessageCount, 2)

	l := e.lease(s, "a")
	_, err = s.Tombstone(e.Context(), l.Fence(), []lashstore.NodeID{"mixed"})
	e.must(err)
	info, err = s.PickerInfo(e.Context())
	e.must(err)
	equal(e, "first user message after hiding it", info.FirstUserMessage, "another beginning")
	equal(e, "user messages after hiding one", info.UserMessageCount, 1)
}

// Times that come back in another zone or finer than they are stored would not
// compare after a reload.
func xStateTimes(e *env) {
	s := e.create("times")
	given := e.Clock.Now().Add(123_456 * time.Nanosecond) // which are cut off
	zone := given.In(fixedZone())
	n := node("n1", "")
	n.Timestamp = zone
	e.commit(s, lashstore.Commit{Graph: appendNodes(n, node("n2", "n1"))})
	got, err := s.Node(e.Context(), "n1")
	e.must(err)
	equal(e, "a node's time as it is printed", got.Timestamp.String(), e.Clock.Now().UTC().String())
	got, err = s.Node(e.Context(), "n2")
	e.must(err)
	equal(e, "a node's time by default", got.Timestamp, e.Clock.Now())
	equal(e, "time of the commit as it is printed", e.head(s).CommittedAt.String(), e.Clock.Now().UTC().String())
}

// A handle that caches what another one changed would show two truths.
func xStateTwoHandles(e *env) {
	first := e.create("shared")
	second := e.sessionOf(e.second(Settings{}), "shared")
	for i := range 4 {
		writer, reader := first, second
		if i%2 == 1 {
			writer, reader = second, first
		}
		c := lashstore.Commit{Graph: lashstore.GraphDelta{
			Mode: lashstore.GraphAppend, Nodes: chain(string(rune('a'+i)), 1, e.head(reader).LeafNodeID),
		}}
		c.Graph.Leaf = lashstore.Leaf(c.Graph.Nodes[0].NodeID)
		e.commit(writer, c)
		equal(e, "what the other handle reads", e.state(reader), e.state(writer))
	}
	equal(e, "active path", ids(e.path(second).Graph.Nodes), []lashstore.NodeID{"a0", "b0", "c0", "d0"})
}
