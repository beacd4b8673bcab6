package lashstore_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/lashstore/lashstore"
)

// zeros is a source of ids that are all the same.
func zeros() io.Reader { return bytes.NewReader(make([]byte, 1<<10)) }

const (
	zeroID = "00000000000000000000000000000000"
	oneID  = "01010101010101010101010101010101"
)

func userMessage(id string) lashstore.Message {
	return lashstore.Message{ID: id, Role: lashstore.RoleUser, Parts: []lashstore.Part{{ID: "p", Kind: lashstore.PartText, Content: "x"}}}
}

func nodeIDs(nodes []lashstore.Node) []lashstore.NodeID {
	out := make([]lashstore.NodeID, len(nodes))
	for i := range nodes {
		out[i] = nodes[i].NodeID
	}
	return out
}

func mustAppend(t *testing.T, b *lashstore.GraphBuilder, id string) lashstore.NodeID {
	t.Helper()
	got, err := b.AppendMessage(userMessage(id))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func wantIDs(t *testing.T, what string, got []lashstore.Node, want ...lashstore.NodeID) {
	t.Helper()
	if !slices.Equal(nodeIDs(got), want) {
		t.Errorf("%s: got %q, want %q", what, nodeIDs(got), want)
	}
}

// Ids that do not follow the rules collide with those of other runtimes (S108).
func TestAppendedIDs(t *testing.T) {
	t.Parallel()
	b := lashstore.NewGraphBuilder(lashstore.Graph{}, io.MultiReader(bytes.NewReader(make([]byte, 48)), bytes.NewReader(bytes.Repeat([]byte{1}, 48))))
	var got []lashstore.NodeID
	add := func(id lashstore.NodeID, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, id)
	}
	add(b.AppendMessage(userMessage("m1")))
	add(b.AppendMessage(userMessage("m1")))
	add(b.AppendMessage(userMessage("m1")))
	add(b.AppendMessage(userMessage("m1")))
	add(b.AppendMessage(userMessage("message:m1")))
	add(b.AppendMessage(userMessage("")))
	add(b.AppendProtocol("plugin", json.RawMessage(`{}`)))
	add(b.AppendPlugin("type", json.RawMessage(`null`)))
	add(b.AppendMessage(userMessage("")))
	add(b.AppendProtocol("plugin", json.RawMessage(`{}`)))
	add(b.AppendPlugin("type", json.RawMessage(`1`)))
	want := []lashstore.NodeID{
		"m1", "message:m1", "message:m1:2", "message:m1:3", "message:message:m1",
		"m" + zeroID, "protocol:" + zeroID, "plugin:" + zeroID, "m" + oneID, "protocol:" + oneID, "plugin:" + oneID,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	wantIDs(t, "active path", b.ActivePath(), want...)
	for _, n := range b.Graph().Nodes {
		if _, err := n.CheckPayload(); err != nil {
			t.Errorf("payload of %s: %v", n.NodeID, err)
		}
	}
	if d := b.Delta(); d.Mode != lashstore.GraphAppend || d.Validate() != nil || *d.Leaf != want[len(want)-1] {
		t.Errorf("delta is %s to %q, %v", d.Mode, *d.Leaf, d.Validate())
	}
}

// Ids that the graph does not show may be taken all the same: by hidden nodes.
func TestTakenIDs(t *testing.T) {
	t.Parallel()
	b := lashstore.NewGraphBuilder(lashstore.Graph{}, zeros())
	b.Take("m1", "message:m1")
	if got := mustAppend(t, b, "m1"); got != "message:m1:2" {
		t.Errorf("got %q, want the first free one", got)
	}
	b.Take("protocol:" + zeroID)
	if _, err := b.AppendProtocol("p", json.RawMessage(`1`)); !errors.Is(err, lashstore.ErrGraphInvalid) {
		t.Errorf("a random id that is taken: %v, want %q", err, lashstore.ErrGraphInvalid)
	}
}

// Transient messages are never part of the history; those of a process name its
// event as their cause.
func TestOrigins(t *testing.T) {
	t.Parallel()
	b := lashstore.NewGraphBuilder(lashstore.Graph{}, zeros())
	b.FrameID = "f1"
	b.CausedBy = &lashstore.CausalRef{Type: lashstore.CauseTurn, SessionID: "s", TurnID: "t"}
	with := func(id, origin string) lashstore.Message {
		m := userMessage(id)
		m.Origin = json.RawMessage(origin)
		return m
	}
	if id, err := b.AppendMessage(with("gone", `{"kind":"plugin","plugin_id":"p","transient":true}`)); id != "" || err != nil || b.Leaf() != "" {
		t.Errorf("a transient message became %q, %v", id, err)
	}
	for _, m := range []lashstore.Message{
		with("kept", `{"kind":"plugin","plugin_id":"p"}`),
		with("wake", `{"kind":"process","process_id":"p1","event_type":"done","sequence":7}`),
		with("own", `{"kind":"something new"}`),
	} {
		if _, err := b.AppendMessage(m); err != nil {
			t.Fatal(err)
		}
	}
	nodes := b.Graph().Nodes
	wantIDs(t, "nodes", nodes, "kept", "wake", "own")
	if c := nodes[1].CausedBy; c == nil || *c != (lashstore.CausalRef{Type: lashstore.CauseProcessEvent, ProcessID: "p1", Sequence: 7}) {
		t.Errorf("cause of the wake is %+v", c)
	}
	for _, i := range []int{0, 2} {
		if nodes[i].CausedBy != b.CausedBy || nodes[i].AgentFrameID != "f1" {
			t.Errorf("node %s has cause %+v, frame %q", nodes[i].NodeID, nodes[i].CausedBy, nodes[i].AgentFrameID)
		}
	}
	for _, bad := range []string{`{`, `[]`, `{"kind":1}`, `{"kind":"process"}`, `{"kind":"process","process_id":"a\u0000"}`} {
		if _, err := b.AppendMessage(with("bad", bad)); !errors.Is(err, lashstore.ErrInvalid) {
			t.Errorf("origin %s: got %v, want %q", bad, err, lashstore.ErrInvalid)
		}
	}
	wantIDs(t, "nodes after refused ones", b.Graph().Nodes, "kept", "wake", "own")
}

// What was refused must leave the graph as it was.
func TestBuilderRefuses(t *testing.T) {
	t.Parallel()
	b := lashstore.NewGraphBuilder(lashstore.Graph{}, iotest.ErrReader(io.ErrNoProgress))
	mustAppend(t, b, "m1")
	for name, f := range map[string]func() error{
		"long id":       func() error { _, err := b.AppendMessage(userMessage(strings.Repeat("x", 513))); return err },
		"hostile id":    func() error { _, err := b.AppendMessage(userMessage("a\x00")); return err },
		"unknown leaf":  func() error { return b.SetLeaf("nowhere") },
		"no randomness": func() error { _, err := b.AppendMessage(userMessage("")); return err },
		"no randomness for a protocol": func() error {
			_, err := b.AppendProtocol("p", json.RawMessage(`1`))
			return err
		},
		"no randomness for a plugin": func() error { _, err := b.AppendPlugin("p", json.RawMessage(`1`)); return err },
		"replacing":                  func() error { return b.ReplaceActivePath(userMessage("m2"), userMessage("a\x00")) },
	} {
		if err := f(); err == nil {
			t.Errorf("%s was accepted", name)
		}
		wantIDs(t, "nodes after "+name, b.Graph().Nodes, "m1")
		if b.Leaf() != "m1" {
			t.Errorf("leaf after %s is %q", name, b.Leaf())
		}
	}
	if got := mustAppend(t, b, "m2"); got != "m2" {
		t.Errorf("an id that was given back is still taken: %q", got)
	}
	b = lashstore.NewGraphBuilder(lashstore.Graph{}, zeros())
	if _, err := b.AppendPlugin("p", json.RawMessage(`{`)); !errors.Is(err, lashstore.ErrGraphInvalid) {
		t.Errorf("a body that is no JSON: %v, want %q", err, lashstore.ErrGraphInvalid)
	}
}

// A delta that names more than what changed rewrites history; one that names less
// loses it.
func TestDelta(t *testing.T) {
	t.Parallel()
	stored := lashstore.Graph{Nodes: []lashstore.Node{validNode("a"), validNode("b")}, LeafNodeID: "a"}
	b := lashstore.NewGraphBuilder(stored, zeros())
	if d := b.Delta(); d.Mode != lashstore.GraphUnchanged || d.Leaf != nil || len(d.Nodes) != 0 {
		t.Errorf("delta of nothing is %+v", d)
	}
	if err := b.SetLeaf("b"); err != nil {
		t.Fatal(err)
	}
	if d := b.Delta(); d.Mode != lashstore.GraphUnchanged || *d.Leaf != "b" {
		t.Errorf("delta of a move is %+v", d)
	}
	mustAppend(t, b, "c")
	if n := b.Graph().Nodes[2]; n.ParentNodeID != "b" {
		t.Errorf("the new node's parent is %q", n.ParentNodeID)
	}
	d := b.Delta()
	wantIDs(t, "delta's nodes", d.Nodes, "c")
	if d.Mode != lashstore.GraphAppend || *d.Leaf != "c" {
		t.Errorf("delta of an append is %+v", d)
	}
	b.Committed()
	if d := b.Delta(); d.Mode != lashstore.GraphUnchanged || d.Leaf != nil {
		t.Errorf("delta after the commit is %+v", d)
	}
	if len(stored.Nodes) != 2 {
		t.Error("the graph that was given was changed")
	}
}

// An orphaned leaf would continue from nowhere; after healing the graph is replaced,
// as the stored one cannot be trusted.
func TestHealOrphanedLeaf(t *testing.T) {
	t.Parallel()
	message, err := lashstore.NewMessageNode("m", userMessage("m"))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		graph   lashstore.Graph
		changed bool
		leaf    lashstore.NodeID
	}{
		"sound":         {lashstore.Graph{Nodes: []lashstore.Node{message}, LeafNodeID: "m"}, false, "m"},
		"no leaf":       {lashstore.Graph{Nodes: []lashstore.Node{message}}, false, ""},
		"last message":  {lashstore.Graph{Nodes: []lashstore.Node{validNode("p"), message, validNode("q")}, LeafNodeID: "lost"}, true, "m"},
		"no message":    {lashstore.Graph{Nodes: []lashstore.Node{validNode("p")}, LeafNodeID: "lost"}, true, ""},
		"nothing there": {lashstore.Graph{LeafNodeID: "lost"}, true, ""},
	} {
		b := lashstore.NewGraphBuilder(c.graph, zeros())
		if changed := b.HealOrphanedLeaf(); changed != c.changed || b.Leaf() != c.leaf {
			t.Errorf("%s: changed %t, leaf %q, want %t, %q", name, changed, b.Leaf(), c.changed, c.leaf)
		}
		if b.HealOrphanedLeaf() {
			t.Errorf("%s: healed twice", name)
		}
		d := b.Delta()
		if (d.Mode == lashstore.GraphReplace) != c.changed || d.Validate() != nil {
			t.Errorf("%s: delta is %s, %v", name, d.Mode, d.Validate())
		}
		if c.changed && len(d.Nodes) != len(c.graph.Nodes) {
			t.Errorf("%s: the delta has %d of %d nodes", name, len(d.Nodes), len(c.graph.Nodes))
		}
	}
}

// A fork is the conversation so far and nothing else.
func TestForkCurrentPath(t *testing.T) {
	t.Parallel()
	b := lashstore.NewGraphBuilder(lashstore.Graph{}, zeros())
	for _, id := range []string{"a", "b", "c"} {
		mustAppend(t, b, id)
	}
	if err := b.SetLeaf("a"); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, b, "d")
	fork := b.ForkCurrentPath()
	wantIDs(t, "fork", fork.Nodes, "a", "d")
	if fork.LeafNodeID != "d" {
		t.Errorf("leaf of the fork is %q", fork.LeafNodeID)
	}
	if empty := lashstore.NewGraphBuilder(lashstore.Graph{}, zeros()).ForkCurrentPath(); len(empty.Nodes) != 0 || empty.LeafNodeID != "" {
		t.Errorf("fork of nothing is %+v", empty)
	}

	// A path whose beginning is missing still makes a graph of its own.
	orphan := validNode("x")
	orphan.ParentNodeID = "missing"
	fork = lashstore.NewGraphBuilder(lashstore.Graph{Nodes: []lashstore.Node{orphan}, LeafNodeID: "x"}, zeros()).ForkCurrentPath()
	if err := (&lashstore.GraphDelta{Mode: lashstore.GraphReplace, Nodes: fork.Nodes, Leaf: &fork.LeafNodeID}).Validate(); err != nil {
		t.Errorf("a fork that cannot be stored: %v", err)
	}
}

// A cycle, which no store lets in, must not hang a runtime (W11).
func TestActivePathOfACycle(t *testing.T) {
	t.Parallel()
	a, b := validNode("a"), validNode("b")
	a.ParentNodeID, b.ParentNodeID = "b", "a"
	g := lashstore.Graph{Nodes: []lashstore.Node{a, b}, LeafNodeID: "a"}
	if path := lashstore.NewGraphBuilder(g, zeros()).ActivePath(); len(path) > 3 {
		t.Errorf("the path has %d nodes", len(path))
	}
}

// Compacting to one message leaves one message to be read (S109).
func TestReplaceActivePath(t *testing.T) {
	t.Parallel()
	b := lashstore.NewGraphBuilder(lashstore.Graph{}, zeros())
	for _, id := range []string{"a", "b"} {
		mustAppend(t, b, id)
	}
	if err := b.ReplaceActivePath(userMessage("summary"), userMessage("b")); err != nil {
		t.Fatal(err)
	}
	wantIDs(t, "active path", b.ActivePath(), "summary", "message:b")
	wantIDs(t, "graph", b.Graph().Nodes, "a", "b", "summary", "message:b")
	transient := userMessage("t")
	transient.Origin = json.RawMessage(`{"kind":"plugin","plugin_id":"p","transient":true}`)
	if err := b.ReplaceActivePath(transient); err != nil || b.Leaf() != "message:b" {
		t.Errorf("replacing by nothing moved the leaf to %q, %v", b.Leaf(), err)
	}
}
