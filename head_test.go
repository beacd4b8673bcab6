package lashstore_test

import (
	"testing"

	"github.com/lashstore/lashstore"
)

// The runtime starts from the stored provider; a frame that kept another would send
// the session's content to it (S10).
func TestRuntimeState(t *testing.T) {
	t.Parallel()
	turns := uint64(3)
	frame := func(id lashstore.FrameID, provider string) lashstore.AgentFrame {
		f := validFrame()
		f.FrameID = id
		f.Assignment.Policy.ProviderID = provider
		f.Assignment.Policy.MaxTurns = &turns
		return f
	}
	snap := &lashstore.Snapshot{
		Head:   lashstore.Head{Revision: 7, CurrentFrameID: "f2", Config: lashstore.SessionConfig{ProviderID: "stored-provider", Model: validModel()}},
		Frames: []lashstore.AgentFrame{frame("f1", "a"), frame("f2", "b")},
	}
	st := snap.RuntimeState()
	if st.Revision != 7 || st.Policy.ProviderID != "stored-provider" || st.Policy.MaxTurns != &turns {
		t.Errorf("state is %+v", st)
	}
	for _, f := range st.Frames {
		if f.Assignment.Policy.ProviderID != "stored-provider" {
			t.Errorf("frame %s has the provider %s", f.FrameID, f.Assignment.Policy.ProviderID)
		}
	}
	if snap.Frames[0].Assignment.Policy.ProviderID != "a" {
		t.Error("the snapshot was changed")
	}

	snap.Frames, snap.CurrentFrameID = nil, ""
	if st := snap.RuntimeState(); st.Policy.ProviderID != "stored-provider" || st.Policy.Model.ID != "m" || len(st.Frames) != 0 {
		t.Errorf("state without frames is %+v", st)
	}
}

// A load whose options contradict each other would answer another question.
func TestLoadOptions(t *testing.T) {
	t.Parallel()
	for _, bad := range []lashstore.LoadOptions{
		{Leaf: "n"}, {Scope: lashstore.ScopeFullGraph, Leaf: "n"}, {Scope: lashstore.ScopeNoGraph, Leaf: "n"},
	} {
		wantInvalid(t, string(bad.Scope), bad.Validate())
	}
	for _, good := range []lashstore.LoadOptions{
		{}, {Scope: lashstore.ScopeActivePath}, {Scope: lashstore.ScopeActivePath, Leaf: "n"}, {HydrateLimit: -1}, {Revision: 1},
	} {
		wantValid(t, string(good.Scope), good.Validate())
	}
}
