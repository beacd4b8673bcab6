package conformance

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/lashstore/lashstore"
)

func graphScenarios() []scenario {
	return []scenario{
		{name: "S05_FullGraph", run: s05FullGraph},
		{name: "S06_ActivePathStoredLeaf", run: s06ActivePathStoredLeaf},
		{name: "S07_ActivePathExplicitLeaf", run: s07ActivePathExplicitLeaf},
		{name: "S108_NodeIDs", run: s108NodeIDs},
		{name: "S109_ReplaceActivePath", run: s109ReplaceActivePath},
		{name: "S110_NoForeignPluginIDs", run: s110NoForeignPluginIDs},
		{name: "X_Graph_AppendRules", run: xGraphAppendRules},
		{name: "X_Graph_Leaf", run: xGraphLeaf},
		{name: "X_Graph_Replace", run: xGraphReplace},
		{name: "X_Graph_PayloadBytes", run: xGraphPayloadBytes},
		{name: "X_Graph_NodeFields", run: xGraphNodeFields},
		{name: "X_Graph_DeepPath", run: xGraphDeepPath},
		{name: "X_Graph_NoGraphScope", run: xGraphNoGraphScope},
	}
}

// branched creates a session with the graph of S5.
func (e *env) branched(id lashstore.SessionID) lashstore.Session {
	e.Helper()
	s := e.create(id)
	e.commit(s, lashstore.Commit{Graph: lashstore.GraphDelta{
		Mode: lashstore.GraphReplace,
		Nodes: []lashstore.Node{
			node("root-node", ""), node("left-node", "root-node"),
			node("left-leaf", "left-node"), node("right-leaf", "root-node"),
		},
		Leaf: lashstore.Leaf("left-leaf"),
	}})
	return s
}

// A graph that loses nodes or their order loses history.
func s05FullGraph(e *env) {
	s := e.branched("root")
	g := e.load(s, lashstore.LoadOptions{Scope: lashstore.ScopeFullGraph}).Graph
	equal(e, "nodes", ids(g.Nodes), []lashstore.NodeID{"root-node", "left-node", "left-leaf", "right-leaf"})
	equal(e, "leaf", g.LeafNodeID, "left-leaf")
	equal(e, "number of nodes", e.head(s).NodeCount, 4)
}

// A path with a foreign branch in it would put words into the wrong conversation.
func s06ActivePathStoredLeaf(e *env) {
	g := e.path(e.branched("root")).Graph
	equal(e, "nodes", ids(g.Nodes), []lashstore.NodeID{"root-node", "left-node", "left-leaf"})
	equal(e, "leaf", g.LeafNodeID, "left-leaf")
}

// As S06, for a branch that is not the current one.
func s07ActivePathExplicitLeaf(e *env) {
	s := e.branched("root")
	g := e.load(s, lashstore.LoadOptions{Scope: lashstore.ScopeActivePath, Leaf: "right-leaf"}).Graph
	equal(e, "nodes", ids(g.Nodes), []lashstore.NodeID{"root-node", "right-leaf"})
	equal(e, "leaf", g.LeafNodeID, "right-leaf")
	_, err := s.Load(e.Context(), lashstore.LoadOptions{Scope: lashstore.ScopeActivePath, Leaf: "unknown"})
	e.is(err, lashstore.ErrNodeNotFound)
	equal(e, "stored leaf", e.head(s).LeafNodeID, "left-leaf")
}

// builder is a builder over the session's graph.
func (e *env) builder(s lashstore.Session) *lashstore.GraphBuilder {
	e.Helper()
	return lashstore.NewGraphBuilder(e.load(s, lashstore.LoadOptions{}).Graph, newReader(e.random("node ids", 4096)))
}

// grown creates a session with a message, a protocol event and a plugin's node.
func (e *env) grown(id lashstore.SessionID) (lashstore.Session, []lashstore.NodeID) {
	e.Helper()
	s := e.create(id)
	b := e.builder(s)
	m1, err := b.AppendMessage(message("m1", "hello"))
	e.must(err)
	protocol, err := b.AppendProtocol("plugin-a", json.RawMessage(`{"k":1}`))
	e.must(err)
	plugin, err := b.AppendPlugin("type-a", json.RawMessage(`null`))
	e.must(err)
	e.commit(s, lashstore.Commit{Graph: b.Delta()})
	return s, []lashstore.NodeID{m1, protocol, plugin}
}

// Ids that do not follow the rules collide with those of other runtimes.
func s108NodeIDs(e *env) {
	s, appended := e.grown("root")
	g := e.load(s, lashstore.LoadOptions{}).Graph
	equal(e, "nodes", ids(g.Nodes), appended)
	equal(e, "message", appended[0], "m1")
	for i, prefix := range map[int]string{1: "protocol:", 2: "plugin:"} {
		suffix, ok := strings.CutPrefix(string(appended[i]), prefix)
		if !ok || len(suffix) != 32 || strings.Trim(suffix, "0123456789abcdef") != "" {
			e.Errorf("node id %q, want %s and 32 hexadecimal digits", appended[i], prefix)
		}
	}
	equal(e, "active path", ids(e.path(s).Graph.Nodes), appended)
}

// Compacting a conversation to one message must leave one message to be read, and
// the ids of the old ones taken.
func s109ReplaceActivePath(e *env) {
	for _, id := range []lashstore.SessionID{"empty", "grown"} {
		s := e.create(id)
		if id == "grown" {
			e.commit(s, lashstore.Commit{Graph: appendNodes(chain("old", 3, "")...)})
		}
		b := e.builder(s)
		e.must(b.ReplaceActivePath(message("old1", "summary")))
		e.commit(s, lashstore.Commit{Graph: b.Delta()})
		messages := 0
		for _, n := range e.path(s).Graph.Nodes {
			m, err := n.Message()
			e.must(err)
			if m != nil {
				messages++
				equal(e, "text", m.Text(), "summary")
			}
		}
		equal(e, "messages on the active path of "+string(id), messages, 1)
	}
	equal(e, "id of a message whose id is taken", e.head(e.session("grown")).LeafNodeID, "message:old1")
}

// A conversation node that looks like a plugin's would be shown as one.
func s110NoForeignPluginIDs(e *env) {
	s, _ := e.grown("root")
	for _, n := range e.load(s, lashstore.LoadOptions{}).Graph.Nodes {
		if _, err := n.CheckPayload(); err != nil {
			e.Errorf("node %s: %v", n.NodeID, err)
		}
		if isPlugin := strings.HasPrefix(string(n.NodeID), "plugin:"); isPlugin != (n.Kind == lashstore.NodePlugin) {
			e.Errorf("node %s is of kind %s", n.NodeID, n.Kind)
		}
	}
}

// A graph with a missing parent, two nodes of one id or a cycle is found out when
// it is read, too late (W11; section 13, Commit).
func xGraphAppendRules(e *env) {
	s := e.branched("root")
	leaf := func(id lashstore.NodeID) *lashstore.NodeID { return lashstore.Leaf(id) }
	appending := func(l *lashstore.NodeID, nodes ...lashstore.Node) lashstore.GraphDelta {
		return lashstore.GraphDelta{Mode: lashstore.GraphAppend, Nodes: nodes, Leaf: l}
	}
	for name, d := range map[string]lashstore.GraphDelta{
		"an id that is stored":        appending(nil, node("left-node", "root-node")),
		"an id given twice":           appending(nil, node("a", ""), node("a", "")),
		"an unknown parent":           appending(nil, node("a", "nowhere")),
		"a parent that comes later":   appending(nil, node("a", "b"), node("b", "left-leaf")),
		"a cycle of two":              appending(nil, node("a", "b"), node("b", "a")),
		"its own parent":              appending(nil, node("a", "a")),
		"an unknown leaf":             appending(leaf("nowhere"), node("a", "left-leaf")),
		"an unknown leaf, unchanged":  {Leaf: leaf("nowhere")},
		"replace, dangling parent":    {Mode: lashstore.GraphReplace, Nodes: []lashstore.Node{node("a", "left-leaf")}},
		"replace, a cycle":            {Mode: lashstore.GraphReplace, Nodes: []lashstore.Node{node("a", "b"), node("b", "a")}},
		"replace, leaf left behind":   {Mode: lashstore.GraphReplace, Nodes: []lashstore.Node{node("a", "")}, Leaf: leaf("left-leaf")},
		"replace, an id given twice":  {Mode: lashstore.GraphReplace, Nodes: []lashstore.Node{node("a", ""), node("a", "")}},
		"a payload that is no object": appending(nil, lashstore.Node{NodeID: "a", Kind: lashstore.NodeEvent, Payload: json.RawMessage(`[]`)}),
		"an event without content":    appending(nil, lashstore.Node{NodeID: "a", Kind: lashstore.NodeEvent, Payload: json.RawMessage(`{}`)}),
		"a plugin node without body":  appending(nil, lashstore.Node{NodeID: "a", Kind: lashstore.NodePlugin, Payload: json.RawMessage(`{"plugin_type":"t"}`)}),
	} {
		e.Logf("refusing %s", name)
		err := e.refusal(s, e.prepare(s, lashstore.Commit{Graph: d}), lashstore.ErrGraphInvalid)
		if named := as[*lashstore.GraphError](e, err); named.Node == "" {
			e.Errorf("%s: the error names no node: %v", name, err)
		}
	}
	e.commit(s, lashstore.Commit{Graph: appendNodes(node("a", "left-leaf"), node("b", "a"), node("c", ""))})
	equal(e, "nodes", len(e.load(s, lashstore.LoadOptions{}).Graph.Nodes), 7)
}

// A leaf that moves by itself continues another branch than the one shown.
func xGraphLeaf(e *env) {
	s := e.branched("root")
	e.commit(s, lashstore.Commit{})
	equal(e, "leaf after a commit without graph", e.head(s).LeafNodeID, "left-leaf")
	e.commit(s, lashstore.Commit{Graph: lashstore.GraphDelta{Mode: lashstore.GraphUnchanged, Leaf: lashstore.Leaf("right-leaf")}})
	equal(e, "leaf after moving it", e.head(s).LeafNodeID, "right-leaf")
	e.commit(s, lashstore.Commit{Graph: lashstore.GraphDelta{Mode: lashstore.GraphAppend, Nodes: []lashstore.Node{node("new", "left-leaf")}}})
	equal(e, "leaf after an append that does not name one", e.head(s).LeafNodeID, "right-leaf")
	equal(e, "active path", ids(e.path(s).Graph.Nodes), []lashstore.NodeID{"root-node", "right-leaf"})
	equal(e, "number of nodes", e.head(s).NodeCount, 5)
}

// Replacing the graph must leave nothing of the old one to be read.
func xGraphReplace(e *env) {
	s := e.branched("root")
	e.commit(s, lashstore.Commit{Graph: lashstore.GraphDelta{
		Mode: lashstore.GraphReplace,
		// An id may come back, with another parent and another payload.
		Nodes: []lashstore.Node{textNode("left-leaf", "", "rewritten"), node("new", "left-leaf")},
		Leaf:  lashstore.Leaf("new"),
	}})
	equal(e, "nodes", ids(e.load(s, lashstore.LoadOptions{}).Graph.Nodes), []lashstore.NodeID{"left-leaf", "new"})
	equal(e, "active path", ids(e.path(s).Graph.Nodes), []lashstore.NodeID{"left-leaf", "new"})
	equal(e, "number of nodes", e.head(s).NodeCount, 2)
	n, err := s.Node(e.Context(), "left-leaf")
	e.must(err)
	m, err := n.Message()
	e.must(err)
	equal(e, "text of the node that came back", m.Text(), "rewritten")
	_, err = s.Node(e.Context(), "root-node")
	e.is(err, lashstore.ErrNodeNotFound)
	info, err := s.PickerInfo(e.Context())
	e.must(err)
	equal(e, "first user message", info.FirstUserMessage, "rewritten")
	equal(e, "user messages", info.UserMessageCount, 2)

	e.commit(s, lashstore.Commit{Graph: lashstore.GraphDelta{Mode: lashstore.GraphReplace}})
	equal(e, "an empty graph", e.load(s, lashstore.LoadOptions{}).Graph, lashstore.Graph{})
	equal(e, "number of nodes", e.head(s).NodeCount, 0)
	e.commit(s, lashstore.Commit{Graph: appendNodes(node("root-node", ""))})
	equal(e, "active path", ids(e.path(s).Graph.Nodes), []lashstore.NodeID{"root-node"})
}

// A payload that is decoded and written again loses numbers, order and what the
// store does not know.
func xGraphPayloadBytes(e *env) {
	s := e.create("root")
	payload := json.RawMessage(`{ "event" : {"Protocol":{"plugin_id":"p","payload":` +
		`{"b":1.0,"a":12345678901234567890123,"a":"twice","node_id":"n","id":"x","é":"\u00e9\u2028<&>"}}}, "unknown":[ ] }`)
	n := lashstore.Node{NodeID: "n1", Kind: lashstore.NodeEvent, Payload: payload}
	e.commit(s, lashstore.Commit{Graph: appendNodes(n)})
	e.reopen(Settings{})
	got, err := e.session("root").Node(e.Context(), "n1")
	e.must(err)
	equal(e, "payload", string(got.Payload), string(payload))

	large := textNode("large", "n1", string(compressible(1<<20)))
	s = e.session("root")
	e.commit(s, lashstore.Commit{Graph: appendNodes(large)})
	got, err = s.Node(e.Context(), "large")
	e.must(err)
	if string(got.Payload) != string(large.Payload) {
		e.Errorf("a payload of %d bytes read back differs", len(large.Payload))
	}
}

// A field of a node that is dropped is lost for good, whatever read shows it.
func xGraphNodeFields(e *env) {
	s := e.create("root")
	e.commit(s, lashstore.Commit{Frames: []lashstore.AgentFrame{frame("f1", "")}, Graph: appendNodes(node("parent", ""))})
	want := node("n1", "parent")
	want.AgentFrameID = "f1"
	want.CausedBy = &lashstore.CausalRef{Type: lashstore.CauseEffect, SessionID: "root", TurnID: "t", EffectID: "e"}
	want.Timestamp = e.Clock.Now().AddDate(0, -1, 0)
	e.commit(s, lashstore.Commit{Graph: appendNodes(want)})
	one, err := s.Node(e.Context(), "n1")
	e.must(err)
	equal(e, "the node alone", one, want)
	equal(e, "the node in the graph", e.load(s, lashstore.LoadOptions{}).Graph.Nodes[1], want)
	equal(e, "the node on the path", e.path(s).Graph.Nodes[1], want)
}

// A path that is read by recursion, or step by step, breaks on long histories.
func xGraphDeepPath(e *env) {
	s := e.create("root")
	const depth = 5000
	e.commit(s, lashstore.Commit{Graph: appendNodes(chain("n", depth, "")...)})
	e.commit(s, lashstore.Commit{Graph: appendNodes(node("side", "n10"), node("last", lashstore.NodeID(fmt.Sprintf("n%d", depth-1))))})
	path := e.path(s).Graph.Nodes
	equal(e, "length of the path", len(path), depth+1)
	for i := 1; i < len(path); i++ {
		if path[i].ParentNodeID != path[i-1].NodeID {
			e.Fatalf("node %d has parent %q, the one before is %q", i, path[i].ParentNodeID, path[i-1].NodeID)
		}
	}
	equal(e, "number of nodes", e.head(s).NodeCount, depth+2)
}

// A load that was asked for no graph must not read one, nor forget the rest.
func xGraphNoGraphScope(e *env) {
	s := e.branched("root")
	snap := e.load(s, lashstore.LoadOptions{Scope: lashstore.ScopeNoGraph})
	equal(e, "nodes", snap.Graph.Nodes, []lashstore.Node(nil))
	equal(e, "head", snap.Head, e.head(s))
	equal(e, "head's leaf", snap.LeafNodeID, "left-leaf")
}
