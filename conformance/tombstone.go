package conformance

import (
	"github.com/lashstore/lashstore"
)

func tombstoneScenarios() []scenario {
	return []scenario{
		{name: "S09_TombstoneAndVacuum", run: s09TombstoneAndVacuum},
		{name: "X_Tombstone_Leaf", run: xTombstoneLeaf},
		{name: "X_Tombstone_Middle", run: xTombstoneMiddle},
		{name: "X_Tombstone_OldRevisions", run: xTombstoneOldRevisions},
		{name: "X_Tombstone_IDsStayTaken", run: xTombstoneIDsStayTaken},
		{name: "X_Tombstone_NeedsTheLease", run: xTombstoneNeedsTheLease},
	}
}

// hide hides nodes under a lease as commits take it, and returns how many were hidden.
func (e *env) hide(s lashstore.Session, nodes ...lashstore.NodeID) int {
	e.Helper()
	l := e.lease(s, "committer")
	n, err := s.Tombstone(e.Context(), l.Fence(), nodes)
	e.must(err)
	e.must(s.ReleaseLease(e.Context(), l.Fence()))
	return n
}

// vacuum erases hidden nodes, likewise.
func (e *env) vacuum(s lashstore.Session) lashstore.VacuumReport {
	e.Helper()
	l := e.lease(s, "committer")
	report, err := s.Vacuum(e.Context(), l.Fence())
	e.must(err)
	e.must(s.ReleaseLease(e.Context(), l.Fence()))
	return report
}

// What somebody asked to be hidden must not be read again, and what nobody hid must
// stay (I17), through a collection too.
func s09TombstoneAndVacuum(e *env) {
	s := e.create("root")
	e.commit(s, lashstore.Commit{
		Graph:      appendNodes(node("node-live", ""), node("node-delete", "node-live")),
		Checkpoint: checkpoint(1, map[string][]byte{"state": e.random("state", tierSize)}),
	})
	_, err := s.Node(e.Context(), "node-delete")
	e.must(err)
	equal(e, "hidden nodes", e.hide(s, "node-delete"), 1)
	_, err = s.Node(e.Context(), "node-delete")
	e.is(err, lashstore.ErrNodeNotFound)
	equal(e, "nodes", ids(e.load(s, lashstore.LoadOptions{}).Graph.Nodes), []lashstore.NodeID{"node-live"})
	equal(e, "visible nodes", e.head(s).NodeCount, 1)
	equal(e, "revision", e.head(s).Revision, 1)

	equal(e, "nodes removed", e.vacuum(s).RemovedNodes, 1)
	equal(e, "nodes removed again", e.vacuum(s).RemovedNodes, 0)
	e.reopen(Settings{})
	if e.Collects {
		equal(e, "outcome of a collection", e.collect(lashstore.CollectOptions{Grace: atOnce(), Audit: true}).Outcome, lashstore.CollectNothing)
	}
	snap := e.load(e.session("root"), lashstore.LoadOptions{})
	equal(e, "nodes after vacuum", ids(snap.Graph.Nodes), []lashstore.NodeID{"node-live"})
	equal(e, "size of the state", len(e.hydrated(snap, "state")), tierSize)
}

// After hiding the leaf the active path must not end in what is hidden, nor vanish
// (W11).
func xTombstoneLeaf(e *env) {
	s := e.create("root")
	e.commit(s, lashstore.Commit{Graph: appendNodes(chain("n", 4, "")...)})
	e.hide(s, "n3", "n2")
	check := func(s lashstore.Session) {
		e.Helper()
		equal(e, "head's leaf", e.head(s).LeafNodeID, "n1")
		equal(e, "graph's leaf", e.load(s, lashstore.LoadOptions{}).Graph.LeafNodeID, "n1")
		equal(e, "active path", ids(e.path(s).Graph.Nodes), []lashstore.NodeID{"n0", "n1"})
	}
	check(s)
	_, err := s.Load(e.Context(), lashstore.LoadOptions{Scope: lashstore.ScopeActivePath, Leaf: "n3"})
	e.is(err, lashstore.ErrNodeNotFound)
	e.refuse(s, e.prepare(s, lashstore.Commit{Graph: lashstore.GraphDelta{Leaf: lashstore.Leaf("n3")}}), lashstore.ErrGraphInvalid)
	e.vacuum(s)
	check(s)

	e.commit(s, lashstore.Commit{Graph: appendNodes(node("after", "n1"))})
	equal(e, "active path", ids(e.path(s).Graph.Nodes), []lashstore.NodeID{"n0", "n1", "after"})

	e.hide(s, "n0", "n1", "after")
	equal(e, "leaf when all is hidden", e.head(s).LeafNodeID, "")
	equal(e, "active path when all is hidden", len(e.path(s).Graph.Nodes), 0)
	equal(e, "visible nodes", e.head(s).NodeCount, 0)
}

// A hidden node in the middle must not cut its descendants off (W11).
func xTombstoneMiddle(e *env) {
	s := e.create("root")
	e.commit(s, lashstore.Commit{Graph: appendNodes(chain("n", 6, "")...)})
	equal(e, "hidden nodes", e.hide(s, "n1", "unknown", "n3", "n1"), 2)
	equal(e, "hidden again", e.hide(s, "n1", "n2"), 1)
	equal(e, "hidden with an empty list", e.hide(s), 0)
	want := []lashstore.NodeID{"n0", "n4", "n5"}
	equal(e, "active path", ids(e.path(s).Graph.Nodes), want)
	e.vacuum(s)
	equal(e, "active path after vacuum", ids(e.path(s).Graph.Nodes), want)
	equal(e, "all nodes after vacuum", ids(e.load(s, lashstore.LoadOptions{}).Graph.Nodes), want)
	n, err := s.Node(e.Context(), "n4")
	e.must(err)
	equal(e, "the parent that n4 is read under", n.ParentNodeID, "n0")
	e.hide(s, "n0")
	equal(e, "active path without its root", ids(e.path(s).Graph.Nodes), []lashstore.NodeID{"n4", "n5"})
}

// What is hidden but shown in an old revision is not hidden.
func xTombstoneOldRevisions(e *env) {
	s := e.create("root")
	e.commit(s, lashstore.Commit{Graph: appendNodes(chain("n", 3, "")...)})
	e.commit(s, lashstore.Commit{Graph: appendNodes(node("later", "n2"))})
	e.commit(s, lashstore.Commit{Graph: lashstore.GraphDelta{
		Mode: lashstore.GraphReplace, Nodes: []lashstore.Node{node("n1", "")}, Leaf: lashstore.Leaf("n1"),
	}})
	e.hide(s, "n2", "n1")
	want := []lashstore.NodeID{"n0", "later"}
	for _, scope := range []lashstore.LoadScope{lashstore.ScopeFullGraph, lashstore.ScopeActivePath} {
		got := e.load(s, lashstore.LoadOptions{Revision: 2, Scope: scope}).Graph
		equal(e, "revision 2, scope "+string(scope), ids(got.Nodes), want)
		equal(e, "leaf of revision 1, scope "+string(scope),
			e.load(s, lashstore.LoadOptions{Revision: 1, Scope: scope}).Graph.LeafNodeID, "n0")
	}
	equal(e, "the head", len(e.load(s, lashstore.LoadOptions{}).Graph.Nodes), 0)
	e.vacuum(s)
	equal(e, "revision 2 after vacuum", ids(e.load(s, lashstore.LoadOptions{Revision: 2}).Graph.Nodes), want)
}

// An id that could be used again after hiding would let a new node take the place
// of the one that its children name.
func xTombstoneIDsStayTaken(e *env) {
	s := e.create("root")
	e.commit(s, lashstore.Commit{Graph: appendNodes(chain("n", 3, "")...)})
	e.hide(s, "n1")
	again := lashstore.Commit{Graph: lashstore.GraphDelta{Mode: lashstore.GraphAppend, Nodes: []lashstore.Node{node("n1", "")}}}
	e.refuse(s, e.prepare(s, again), lashstore.ErrGraphInvalid)
	e.vacuum(s)
	e.refuse(s, e.prepare(s, again), lashstore.ErrGraphInvalid)
	e.reopen(Settings{})
	s = e.session("root")
	e.refuse(s, e.prepare(s, again), lashstore.ErrGraphInvalid)

	b := e.builder(s)
	b.Take("n1") // what a runtime does with the id that was refused
	id, err := b.AppendMessage(message("n1", "again"))
	e.must(err)
	equal(e, "id of the message", id, "message:n1")
	e.commit(s, lashstore.Commit{Graph: b.Delta()})
	equal(e, "active path", ids(e.path(s).Graph.Nodes), []lashstore.NodeID{"n0", "n2", "message:n1"})
}

// Hiding without the lease would change a session under its holder's feet (W8).
func xTombstoneNeedsTheLease(e *env) {
	s := e.branched("root")
	l := e.lease(s, "a")
	e.must(s.ReleaseLease(e.Context(), l.Fence()))
	before := e.state(s)
	for name, fence := range map[string]lashstore.Fence{
		"no fence":         {},
		"a released fence": l.Fence(),
	} {
		if _, err := s.Tombstone(e.Context(), fence, []lashstore.NodeID{"left-leaf"}); !isErr(err, lashstore.ErrFenced) {
			e.Errorf("tombstone with %s: got %v, want %q", name, err, lashstore.ErrFenced)
		}
		if _, err := s.Vacuum(e.Context(), fence); !isErr(err, lashstore.ErrFenced) {
			e.Errorf("vacuum with %s: got %v, want %q", name, err, lashstore.ErrFenced)
		}
	}
	l = e.lease(s, "a")
	for _, id := range hostileTexts(lashstore.MaxNodeIDBytes) {
		if _, err := s.Tombstone(e.Context(), l.Fence(), []lashstore.NodeID{lashstore.NodeID(id)}); !isErr(err, lashstore.ErrInvalid) {
			e.Errorf("tombstone of %.20q: got %v, want %q", id, err, lashstore.ErrInvalid)
		}
	}
	e.must(s.ReleaseLease(e.Context(), l.Fence()))
	after := e.state(s)
	after.Lease = before.Lease
	equal(e, "the session afterwards", after, before)
}
