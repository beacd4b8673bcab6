package conformance

import (
	"math"
	"strconv"
	"time"

	"github.com/lashstore/lashstore"
)

func historyScenarios() []scenario {
	return []scenario{
		{name: "X_History_DefaultRetention", run: xHistoryDefaultRetention},
		{name: "X_History_GraphAfterAppend", run: xHistoryGraphAfterAppend},
		{name: "X_History_GraphAfterReplace", run: xHistoryGraphAfterReplace},
		{name: "X_History_ComponentsPerKey", run: xHistoryComponentsPerKey},
		{name: "X_History_ConfigAndFrames", run: xHistoryConfigAndFrames},
		{name: "X_History_RetentionAll", run: xHistoryRetentionAll},
		{name: "X_History_RetentionByAge", run: xHistoryRetentionByAge},
		{name: "X_History_RetentionLowered", run: xHistoryRetentionLowered},
		{name: "X_History_RevisionInfo", run: xHistoryRevisionInfo},
		{name: "X_History_BadInput", run: xHistoryBadInput},
	}
}

func (e *env) revisions(s lashstore.Session, l lashstore.ListRevisions) []lashstore.Revision {
	e.Helper()
	list, err := s.Revisions(e.Context(), l)
	e.must(err)
	out := make([]lashstore.Revision, len(list))
	for i := range list {
		out[i] = list[i].Revision
	}
	return out
}

// from returns the revisions from newest down to oldest.
func from(newest, oldest lashstore.Revision) []lashstore.Revision {
	var out []lashstore.Revision
	for r := newest; r >= oldest && r > 0; r-- {
		out = append(out, r)
	}
	return out
}

// gone checks that a revision is not kept, and which are.
func (e *env) gone(s lashstore.Session, r, oldest, newest lashstore.Revision) {
	e.Helper()
	_, err := s.Load(e.Context(), lashstore.LoadOptions{Revision: r})
	e.is(err, lashstore.ErrRevisionNotFound)
	missing := as[*lashstore.RevisionNotFoundError](e, err)
	equal(e, "missing revision", missing.Revision, r)
	equal(e, "oldest kept revision", missing.Oldest, oldest)
	equal(e, "newest kept revision", missing.Newest, newest)
}

// History that is kept for ever fills the disk; a revision that is listed must be
// readable, and the head always stays.
func xHistoryDefaultRetention(e *env) {
	s := e.create("root")
	const commits = lashstore.DefaultRetainedRevisions + 5
	fence := e.lease(s, "a").Fence()
	for i := range lashstore.Revision(commits) {
		e.apply(s, lashstore.Commit{
			ExpectedRevision: i, Fence: fence, Config: config("provider-a"),
			Checkpoint: checkpoint(uint64(i+1), map[string][]byte{"state": []byte(strconv.Itoa(int(i) + 1))}),
		})
	}
	equal(e, "kept revisions", e.revisions(s, lashstore.ListRevisions{Limit: lashstore.MaxListLimit}), from(commits, 6))
	equal(e, "first page", e.revisions(s, lashstore.ListRevisions{Limit: 2}), from(commits, commits-1))
	equal(e, "a page below 9", e.revisions(s, lashstore.ListRevisions{Before: 9, Limit: 2}), from(8, 7))
	equal(e, "the last page", e.revisions(s, lashstore.ListRevisions{Before: 8, Limit: 10}), from(7, 6))
	equal(e, "below the last", len(e.revisions(s, lashstore.ListRevisions{Before: 6})), 0)
	for _, r := range []lashstore.Revision{6, 57, commits} {
		snap := e.load(s, lashstore.LoadOptions{Revision: r})
		equal(e, "revision", snap.Revision, r)
		equal(e, "turn index", snap.Checkpoint.TurnState.TurnIndex, uint64(r))
		equal(e, "state", e.hydrated(snap, "state"), strconv.Itoa(int(r)))
	}
	for _, r := range []lashstore.Revision{1, 5, commits + 1, lashstore.MaxCounter} {
		e.gone(s, r, 6, commits)
	}
}

// An older revision must not show what came later.
func xHistoryGraphAfterAppend(e *env) {
	s := e.branched("root")
	e.commit(s, lashstore.Commit{Graph: appendNodes(node("five", "right-leaf"), node("six", "five"))})
	e.commit(s, lashstore.Commit{Graph: lashstore.GraphDelta{Leaf: lashstore.Leaf("left-node")}})
	all := []lashstore.NodeID{"root-node", "left-node", "left-leaf", "right-leaf", "five", "six"}
	for revision, want := range map[lashstore.Revision]struct {
		full, path []lashstore.NodeID
	}{
		1: {all[:4], []lashstore.NodeID{"root-node", "left-node", "left-leaf"}},
		2: {all, []lashstore.NodeID{"root-node", "right-leaf", "five", "six"}},
		3: {all, []lashstore.NodeID{"root-node", "left-node"}},
	} {
		full := e.load(s, lashstore.LoadOptions{Revision: revision})
		name := " of revision " + strconv.Itoa(int(revision))
		equal(e, "nodes"+name, ids(full.Graph.Nodes), want.full)
		equal(e, "number of nodes"+name, full.NodeCount, int64(len(want.full)))
		path := e.load(s, lashstore.LoadOptions{Revision: revision, Scope: lashstore.ScopeActivePath})
		equal(e, "path"+name, ids(path.Graph.Nodes), want.path)
		equal(e, "leaf"+name, path.Graph.LeafNodeID, want.path[len(want.path)-1])
	}
	_, err := s.Load(e.Context(), lashstore.LoadOptions{Revision: 1, Scope: lashstore.ScopeActivePath, Leaf: "five"})
	e.is(err, lashstore.ErrNodeNotFound)
	path := e.load(s, lashstore.LoadOptions{Revision: 1, Scope: lashstore.ScopeActivePath, Leaf: "right-leaf"})
	equal(e, "path to another leaf of revision 1", ids(path.Graph.Nodes), []lashstore.NodeID{"root-node", "right-leaf"})
}

// Replacing keeps the nodes that earlier revisions need, with their old payloads.
func xHistoryGraphAfterReplace(e *env) {
	s := e.branched("root")
	e.commit(s, lashstore.Commit{Graph: lashstore.GraphDelta{
		Mode: lashstore.GraphReplace,
		// The same ids with another text, another parent and in another order.
		Nodes: []lashstore.Node{textNode("left-leaf", "", "rewritten"), textNode("root-node", "left-leaf", "root-node")},
		Leaf:  lashstore.Leaf("root-node"),
	}})
	e.commit(s, lashstore.Commit{Graph: appendNodes(node("new", "root-node"), node("left-node", "new"))})
	e.reopen(Settings{})
	s = e.session("root")
	for revision, want := range map[lashstore.Revision]struct {
		full, path []lashstore.NodeID
		text       string
	}{
		1: {[]lashstore.NodeID{"root-node", "left-node", "left-leaf", "right-leaf"}, []lashstore.NodeID{"root-node", "left-node", "left-leaf"}, "left-leaf"},
		2: {[]lashstore.NodeID{"left-leaf", "root-node"}, []lashstore.NodeID{"left-leaf", "root-node"}, "rewritten"},
		3: {[]lashstore.NodeID{"left-leaf", "root-node", "new", "left-node"}, []lashstore.NodeID{"left-leaf", "root-node", "new", "left-node"}, "rewritten"},
	} {
		name := " of revision " + strconv.Itoa(int(revision))
		full := e.load(s, lashstore.LoadOptions{Revision: revision}).Graph
		equal(e, "nodes"+name, ids(full.Nodes), want.full)
		path := e.load(s, lashstore.LoadOptions{Revision: revision, Scope: lashstore.ScopeActivePath}).Graph
		equal(e, "path"+name, ids(path.Nodes), want.path)
		for _, n := range full.Nodes {
			if n.NodeID != "left-leaf" {
				continue
			}
			m, err := n.Message()
			e.must(err)
			equal(e, "text of left-leaf"+name, m.Text(), want.text)
		}
	}
}

// A checkpoint put together from several revisions resumes what never was.
func xHistoryComponentsPerKey(e *env) {
	s := e.create("root")
	large := e.random("large", tierSize)
	first := e.commit(s, lashstore.Commit{Checkpoint: checkpoint(1, map[string][]byte{"a": []byte("a1"), "b": large})})
	e.commit(s, lashstore.Commit{Checkpoint: &lashstore.Checkpoint{
		TurnState: lashstore.TurnState{TurnIndex: 2},
		Components: map[string]lashstore.Component{
			"a": lashstore.Changed([]byte("a2")), "b": lashstore.Unchanged(first.Components["b"]), "c": lashstore.Changed([]byte("c2")),
		},
	}})
	e.commit(s, lashstore.Commit{})
	e.commit(s, lashstore.Commit{Checkpoint: checkpoint(4, map[string][]byte{"c": []byte("c4")})})
	e.reopen(Settings{})
	s = e.session("root")
	for revision, want := range map[lashstore.Revision]map[string]string{
		1: {"a": "a1", "b": string(large)},
		2: {"a": "a2", "b": string(large), "c": "c2"},
		3: {"a": "a2", "b": string(large), "c": "c2"},
		4: {"c": "c4"},
	} {
		snap := e.load(s, lashstore.LoadOptions{Revision: revision})
		got := map[string]string{}
		for _, key := range keys(snap.Checkpoint) {
			got[key] = e.hydrated(snap, key)
		}
		equal(e, "components of revision "+strconv.Itoa(int(revision)), got, want)
	}
	equal(e, "turn index of revision 3", e.load(s, lashstore.LoadOptions{Revision: 3}).Checkpoint.TurnState.TurnIndex, 2)

	without := e.create("without")
	e.commit(without, lashstore.Commit{})
	e.commit(without, lashstore.Commit{Checkpoint: checkpoint(1, nil)})
	if c := e.load(without, lashstore.LoadOptions{Revision: 1}).Checkpoint; c != nil {
		e.Errorf("a revision without checkpoint has %v", c)
	}
	if c := e.load(without, lashstore.LoadOptions{}).Checkpoint; c == nil {
		e.Error("a checkpoint without components is gone")
	}
}

// A revision is what the session was: its configuration and frames too.
func xHistoryConfigAndFrames(e *env) {
	s := e.create("root")
	e.commit(s, lashstore.Commit{Config: config("first"), Frames: []lashstore.AgentFrame{frame("f1", "")}})
	at := e.Clock.Now()
	e.Clock.Advance(time.Minute)
	e.commit(s, lashstore.Commit{Config: config("second"), Frames: []lashstore.AgentFrame{frame("f2", "")}})
	old := e.load(s, lashstore.LoadOptions{Revision: 1})
	equal(e, "provider of revision 1", old.Config.ProviderID, "first")
	equal(e, "time of revision 1", old.CommittedAt, at)
	equal(e, "current frame of revision 1", old.CurrentFrameID, "f1")
	equal(e, "frames of revision 1", frameIDs(old.Frames), []lashstore.FrameID{"f1"})
	equal(e, "status of the frame in revision 1", old.Frames[0].Status, lashstore.FrameActive)
	equal(e, "provider of the head", e.head(s).Config.ProviderID, "second")
	equal(e, "frames of the head", frameIDs(e.load(s, lashstore.LoadOptions{}).Frames), []lashstore.FrameID{"f1", "f2"})
}

// "All" means all.
func xHistoryRetentionAll(e *env) {
	all := Settings{Retention: lashstore.Retention{Revisions: -1}}
	e.reopen(all)
	s := e.create("root")
	fence := e.lease(s, "a").Fence()
	const commits = lashstore.DefaultRetainedRevisions + 2
	for i := range lashstore.Revision(commits) {
		e.apply(s, lashstore.Commit{ExpectedRevision: i, Fence: fence, Config: config("provider-a")})
	}
	equal(e, "kept revisions", e.revisions(s, lashstore.ListRevisions{Limit: lashstore.MaxListLimit}), from(commits, 1))
	equal(e, "a page of the default size", len(e.revisions(s, lashstore.ListRevisions{})), lashstore.DefaultListLimit)
}

// Age trims too, but never the head.
func xHistoryRetentionByAge(e *env) {
	hour := Settings{Retention: lashstore.Retention{Revisions: -1, MaxAge: time.Hour}}
	e.reopen(hour)
	s := e.create("root")
	e.commit(s, lashstore.Commit{})
	e.Clock.Advance(40 * time.Minute)
	e.commit(s, lashstore.Commit{})
	equal(e, "kept within the hour", e.revisions(s, lashstore.ListRevisions{}), from(2, 1))
	e.Clock.Advance(40 * time.Minute)
	e.commit(s, lashstore.Commit{})
	equal(e, "kept after 80 minutes", e.revisions(s, lashstore.ListRevisions{}), from(3, 2))
	e.Clock.Advance(1000 * time.Hour)
	equal(e, "kept without a commit", e.head(s).Revision, 3)
	e.commit(s, lashstore.Commit{})
	equal(e, "kept after a long time", e.revisions(s, lashstore.ListRevisions{}), from(4, 4))
	e.gone(s, 3, 4, 4)
}

// A lower retention takes effect with the next commit, and not before.
func xHistoryRetentionLowered(e *env) {
	s := e.create("root")
	for range 5 {
		e.commit(s, lashstore.Commit{})
	}
	three := Settings{Retention: lashstore.Retention{Revisions: 3}}
	e.reopen(three)
	s = e.session("root")
	equal(e, "kept before a commit", e.revisions(s, lashstore.ListRevisions{}), from(5, 1))
	e.commit(s, lashstore.Commit{})
	equal(e, "kept after a commit", e.revisions(s, lashstore.ListRevisions{}), from(6, 4))
}

// A line of the history must say what the revision says.
func xHistoryRevisionInfo(e *env) {
	s := e.create("root")
	e.commit(s, lashstore.Commit{Graph: appendNodes(chain("n", 3, "")...)})
	e.Clock.Advance(time.Minute)
	res := e.commit(s, lashstore.Commit{TurnID: "turn-2", Checkpoint: checkpoint(12, map[string][]byte{"k": []byte("v")})})
	list, err := s.Revisions(e.Context(), lashstore.ListRevisions{})
	e.must(err)
	equal(e, "history", list, []lashstore.RevisionInfo{
		{
			Revision: 2, CommittedAt: e.Clock.Now(), TurnID: "turn-2", TurnIndex: 12, LeafNodeID: "n2", NodeCount: 3,
			Components: res.Components,
		},
		{Revision: 1, CommittedAt: e.Clock.Now().Add(-time.Minute), LeafNodeID: "n2", NodeCount: 3},
	})
}

// A revision or a limit that no session can have is a mistake, not an empty answer.
func xHistoryBadInput(e *env) {
	s := e.create("root")
	e.commit(s, lashstore.Commit{})
	for _, l := range []lashstore.ListRevisions{{Limit: -1}, {Limit: lashstore.MaxListLimit + 1}, {Before: math.MaxUint64}} {
		_, err := s.Revisions(e.Context(), l)
		e.is(err, lashstore.ErrInvalid)
	}
	_, err := s.Load(e.Context(), lashstore.LoadOptions{Revision: math.MaxUint64})
	e.is(err, lashstore.ErrInvalid)
	e.gone(s, 2, 1, 1)
}
