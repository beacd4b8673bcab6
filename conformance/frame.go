package conformance

import (
	"encoding/json"

	"github.com/lashstore/lashstore"
)

func frameScenarios() []scenario {
	return []scenario{
		{name: "S02_FramesAndExecutionState", run: s02FramesAndExecutionState},
		{name: "X_Frame_Supersede", run: xFrameSupersede},
		{name: "X_Frame_Fields", run: xFrameFields},
		{name: "X_Frame_Refused", run: xFrameRefused},
	}
}

func frameIDs(frames []lashstore.AgentFrame) []lashstore.FrameID {
	out := make([]lashstore.FrameID, len(frames))
	for i := range frames {
		out[i] = frames[i].FrameID
	}
	return out
}

// A frame's state that is lost, or written twice and different, resumes the wrong
// execution (W5a, W18).
func s02FramesAndExecutionState(e *env) {
	s := e.create("root")
	state := []byte("frame-vm")
	second := frame("frame-2", "plan_mode")
	own := lashstore.Changed(state)
	second.ExecutionState = &own
	e.commit(s, lashstore.Commit{
		Frames:     []lashstore.AgentFrame{frame(lashstore.InitialFrameID("root"), ""), second},
		Checkpoint: checkpoint(0, map[string][]byte{lashstore.ComponentExecutionState: state}),
	})
	e.reopen(Settings{})
	s = e.session("root")
	snap := e.load(s, lashstore.LoadOptions{})
	equal(e, "current frame", snap.CurrentFrameID, "frame-2")
	equal(e, "frames", frameIDs(snap.Frames), []lashstore.FrameID{"root:frame:initial", "frame-2"})
	initial, current := snap.Frames[0], snap.Frames[1]
	equal(e, "initial frame's status", initial.Status, lashstore.FrameSuperseded)
	equal(e, "initial frame's reason", initial.Reason, lashstore.FrameReasonInitial)
	equal(e, "current frame's status", current.Status, lashstore.FrameActive)
	equal(e, "current frame's reason", current.Reason, "plan_mode")
	equal(e, "current frame's predecessor", current.PreviousFrameID, initial.FrameID)
	equal(e, "current frame's session", current.SessionID, "root")
	if current.ExecutionState == nil {
		e.Fatal("the frame's execution state is gone")
	}
	equal(e, "reference of the frame's state", current.ExecutionState.Ref, refOf(state))
	equal(e, "the frame's state", string(e.content(s, current.ExecutionState.Ref.Digest)), string(state))
	equal(e, "the checkpoint's state", e.hydrated(snap, lashstore.ComponentExecutionState), string(state))
}

// Two current frames, or none, leave it open what the session runs.
func xFrameSupersede(e *env) {
	s := e.create("root")
	e.commit(s, lashstore.Commit{Frames: []lashstore.AgentFrame{frame("f1", "")}})
	e.commit(s, lashstore.Commit{})
	equal(e, "current frame after a commit without frames", e.head(s).CurrentFrameID, "f1")
	e.Clock.Advance(1e9)
	e.commit(s, lashstore.Commit{Frames: []lashstore.AgentFrame{
		frame("f2", lashstore.FrameReasonContinueAs), frame("f3", lashstore.FrameReasonCompaction),
	}})
	statuses := func() map[lashstore.FrameID]lashstore.FrameStatus {
		out := map[lashstore.FrameID]lashstore.FrameStatus{}
		for _, f := range e.load(s, lashstore.LoadOptions{}).Frames {
			out[f.FrameID] = f.Status
		}
		return out
	}
	equal(e, "current frame", e.head(s).CurrentFrameID, "f3")
	equal(e, "statuses", statuses(), map[lashstore.FrameID]lashstore.FrameStatus{
		"f1": lashstore.FrameSuperseded, "f2": lashstore.FrameSuperseded, "f3": lashstore.FrameActive,
	})
	frames := e.load(s, lashstore.LoadOptions{}).Frames
	equal(e, "predecessor of f1", frames[0].PreviousFrameID, "")
	equal(e, "predecessor of f2", frames[1].PreviousFrameID, "f1")
	equal(e, "predecessor of f3", frames[2].PreviousFrameID, "f2")
	equal(e, "creation of f3", frames[2].CreatedAt, e.Clock.Now())

	e.commit(s, lashstore.Commit{CurrentFrameID: "f1"})
	equal(e, "current frame after going back", e.head(s).CurrentFrameID, "f1")
	equal(e, "statuses after going back", statuses(), map[lashstore.FrameID]lashstore.FrameStatus{
		"f1": lashstore.FrameActive, "f2": lashstore.FrameSuperseded, "f3": lashstore.FrameSuperseded,
	})
}

// A field of a frame that is dropped changes what the agent may do.
func xFrameFields(e *env) {
	s := e.create("root")
	parent, turns := lashstore.SessionID("parent"), uint64(5)
	want := frame("f1", "anything else")
	want.CreatedAt = e.Clock.Now().AddDate(0, 0, -1)
	want.CausedBy = &lashstore.CausalRef{Type: lashstore.CauseTurn, SessionID: "root", TurnID: "t1"}
	want.ProtocolTurnOptions = json.RawMessage(`{"deep":{"er":[1,2.50]}}`)
	want.Assignment = lashstore.FrameAssignment{
		Policy: lashstore.SessionPolicy{
			Model:      lashstore.ModelSpec{ID: "m", Variant: "v", Limits: lashstore.ModelLimits{ContextWindowTokens: 1, OutputTokenCapacity: 2}},
			ProviderID: "p", SessionID: &parent, Autonomous: true, MaxTurns: &turns, Prompt: json.RawMessage(`["prompt"]`),
		},
		PluginOptions: json.RawMessage(`{"plugins":{"a":{"k":1}}}`),
		PluginSource:  lashstore.PluginsHostFresh,
		ToolAccess:    json.RawMessage(`{"tools":["a"],"hidden_tools":["b"]}`),
		Subagent:      &lashstore.Subagent{ParentSessionID: parent, Capability: "search", Depth: 1, MaxDepth: 3},
		UsageSource:   "subagent",
	}
	e.commit(s, lashstore.Commit{Frames: []lashstore.AgentFrame{want}})
	want.SessionID, want.Status = "root", lashstore.FrameActive
	equal(e, "frame", e.load(s, lashstore.LoadOptions{}).Frames, []lashstore.AgentFrame{want})
}

// A frame that cannot be addressed, or that names what does not exist, breaks the
// next start of the runtime.
func xFrameRefused(e *env) {
	s := e.create("root")
	e.commit(s, lashstore.Commit{Frames: []lashstore.AgentFrame{frame("f1", "")}})
	unknown := frame("f2", "")
	ref := lashstore.Unchanged(refOf([]byte("never stored")))
	unknown.ExecutionState = &ref
	for name, c := range map[string]struct {
		commit lashstore.Commit
		want   error
	}{
		"an unknown current frame": {lashstore.Commit{CurrentFrameID: "nowhere"}, lashstore.ErrInvalid},
		"an id that is stored":     {lashstore.Commit{Frames: []lashstore.AgentFrame{frame("f1", "")}}, lashstore.ErrInvalid},
		"an id given twice":        {lashstore.Commit{Frames: []lashstore.AgentFrame{frame("f2", ""), frame("f2", "")}}, lashstore.ErrInvalid},
		"an unknown state":         {lashstore.Commit{Frames: []lashstore.AgentFrame{unknown}}, lashstore.ErrUnknownReference},
	} {
		e.Logf("refusing %s", name)
		e.refuse(s, e.prepare(s, c.commit), c.want)
	}
}
