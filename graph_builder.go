package lashstore

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"slices"
)

// Prefixes of node ids that a builder makes (spec part 01, section 2.3).
const (
	messageIDPrefix  = "message:"
	protocolIDPrefix = "protocol:"
	pluginIDPrefix   = "plugin:"
	// emptyMessageIDPrefix stands before the random id of a message without one.
	emptyMessageIDPrefix = "m"
	randomIDBytes        = 16
)

// GraphBuilder applies the rules by which a runtime grows its history to a graph in
// memory, and says what a commit has to change. New nodes follow the leaf, which
// moves along. It does no I/O and may be used by one goroutine at a time.
//
// The ids of hidden nodes stay taken in a session, and a graph that was read does
// not show them; [GraphBuilder.Take] tells the builder of such ids.
type GraphBuilder struct {
	// FrameID and CausedBy, if set, go into the nodes that are appended from then on.
	// The cause of a message that came from a process is that process's event.
	FrameID  FrameID
	CausedBy *CausalRef

	rand     io.Reader
	nodes    []Node
	index    map[NodeID]int
	taken    map[NodeID]struct{}
	stored   int // nodes that the session has already
	baseLeaf NodeID
	leaf     NodeID
	replace  bool // the next commit has to replace the graph
}

// NewGraphBuilder returns a builder over a graph as it was loaded. rand is the
// source of ids; it is read 16 bytes at a time.
func NewGraphBuilder(g Graph, rand io.Reader) *GraphBuilder {
	b := &GraphBuilder{
		rand:     rand,
		nodes:    slices.Clone(g.Nodes),
		index:    make(map[NodeID]int, len(g.Nodes)),
		taken:    make(map[NodeID]struct{}),
		stored:   len(g.Nodes),
		baseLeaf: g.LeafNodeID,
		leaf:     g.LeafNodeID,
	}
	for i := range b.nodes {
		b.index[b.nodes[i].NodeID] = i
	}
	return b
}

// Take marks ids as used, such as one that a commit was refused for.
func (b *GraphBuilder) Take(ids ...NodeID) {
	for _, id := range ids {
		b.taken[id] = struct{}{}
	}
}

// Graph returns the graph as it is now. The caller must not change its nodes.
func (b *GraphBuilder) Graph() Graph {
	return Graph{Nodes: slices.Clone(b.nodes), LeafNodeID: b.leaf}
}

// Leaf returns where the active path ends, or "".
func (b *GraphBuilder) Leaf() NodeID { return b.leaf }

// Delta returns what a commit has to change: the whole graph after healing, else
// the appended nodes, else only the leaf if it moved.
func (b *GraphBuilder) Delta() GraphDelta {
	var d GraphDelta
	switch {
	case b.replace:
		d = GraphDelta{Mode: GraphReplace, Nodes: slices.Clone(b.nodes)}
		if b.leaf != "" {
			d.Leaf = Leaf(b.leaf)
		}
		return d
	case len(b.nodes) > b.stored:
		d = GraphDelta{Mode: GraphAppend, Nodes: slices.Clone(b.nodes[b.stored:])}
	default:
		d = GraphDelta{Mode: GraphUnchanged}
	}
	if b.leaf != b.baseLeaf && b.leaf != "" {
		d.Leaf = Leaf(b.leaf)
	}
	return d
}

// Committed tells the builder that its delta was applied.
func (b *GraphBuilder) Committed() {
	b.stored, b.baseLeaf, b.replace = len(b.nodes), b.leaf, false
}

// AppendMessage appends a conversation message and returns its node's id, or "" for
// a transient message, which is never part of the history.
func (b *GraphBuilder) AppendMessage(m Message) (NodeID, error) {
	origin, err := parseOrigin(m)
	if err != nil {
		return "", err
	}
	if origin.Kind == originPlugin && origin.Transient {
		return "", nil
	}
	id, err := b.messageID(m.ID)
	if err != nil {
		return "", err
	}
	n, err := NewMessageNode(id, m)
	if err != nil {
		return "", err
	}
	n.CausedBy = b.CausedBy
	if origin.Kind == originProcess {
		n.CausedBy = &CausalRef{Type: CauseProcessEvent, ProcessID: origin.ProcessID, Sequence: origin.Sequence}
	}
	return b.append(n)
}

// AppendProtocol appends a protocol event.
func (b *GraphBuilder) AppendProtocol(pluginID string, payload json.RawMessage) (NodeID, error) {
	return b.appendGenerated(protocolIDPrefix, NodeEvent, map[string]any{
		"event": map[string]any{"Protocol": map[string]any{"plugin_id": pluginID, "payload": payload}},
	})
}

// AppendPlugin appends a plugin's node.
func (b *GraphBuilder) AppendPlugin(pluginType string, body json.RawMessage) (NodeID, error) {
	return b.appendGenerated(pluginIDPrefix, NodePlugin, map[string]any{"plugin_type": pluginType, "body": body})
}

// SetLeaf moves the leaf to a node of the graph.
func (b *GraphBuilder) SetLeaf(id NodeID) error {
	if _, known := b.index[id]; !known {
		return &GraphError{Node: id, Reason: "is not in the graph"}
	}
	b.leaf = id
	return nil
}

// ActivePath returns the nodes from the root to the leaf. A parent that is not in
// the graph ends the path.
func (b *GraphBuilder) ActivePath() []Node {
	var path []Node
	for id := b.leaf; len(path) <= len(b.nodes); { // the bound holds even if parents form a cycle
		i, known := b.index[id]
		if !known {
			break
		}
		path = append(path, b.nodes[i])
		id = b.nodes[i].ParentNodeID
	}
	slices.Reverse(path)
	return path
}

// ForkCurrentPath returns a graph of the active path alone, to begin another
// session with.
func (b *GraphBuilder) ForkCurrentPath() Graph {
	path := b.ActivePath()
	if len(path) > 0 {
		path[0].ParentNodeID = ""
	}
	return Graph{Nodes: path, LeafNodeID: b.leaf}
}

// HealOrphanedLeaf repairs a leaf that names no node of the graph: it becomes the
// last node that holds a message, or nothing. It reports whether it changed
// anything; the next delta then replaces the graph.
func (b *GraphBuilder) HealOrphanedLeaf() bool {
	if _, known := b.index[b.leaf]; known || b.leaf == "" {
		return false
	}
	b.leaf, b.replace = "", true
	for _, n := range slices.Backward(b.nodes) {
		if m, err := n.Message(); err == nil && m != nil {
			b.leaf = n.NodeID
			break
		}
	}
	return true
}

// ReplaceActivePath makes the messages, from a new root, the active path. What was
// there stays in the graph as another branch. An error changes nothing.
func (b *GraphBuilder) ReplaceActivePath(messages ...Message) error {
	before, nodes := b.leaf, len(b.nodes)
	b.leaf = ""
	for _, m := range messages {
		if _, err := b.AppendMessage(m); err != nil {
			for _, n := range b.nodes[nodes:] {
				delete(b.index, n.NodeID)
			}
			b.leaf, b.nodes = before, b.nodes[:nodes]
			return err
		}
	}
	if b.leaf == "" { // nothing that is part of the history
		b.leaf = before
	}
	return nil
}

func (b *GraphBuilder) appendGenerated(prefix string, kind NodeKind, payload map[string]any) (NodeID, error) {
	random, err := b.randomHex()
	if err != nil {
		return "", err
	}
	id := NodeID(prefix + random)
	raw, err := json.Marshal(payload)
	if err != nil {
		return "", &GraphError{Node: id, Reason: "encode payload: " + err.Error()}
	}
	return b.append(Node{NodeID: id, Kind: kind, Payload: raw, CausedBy: b.CausedBy})
}

func (b *GraphBuilder) append(n Node) (NodeID, error) {
	n.ParentNodeID, n.AgentFrameID = b.leaf, b.FrameID
	if err := n.Validate(); err != nil {
		return "", err
	}
	if b.used(n.NodeID) {
		return "", &GraphError{Node: n.NodeID, Reason: "is taken"}
	}
	b.index[n.NodeID] = len(b.nodes)
	b.nodes = append(b.nodes, n)
	b.leaf = n.NodeID
	return n.NodeID, nil
}

// messageID is the message's own id, or the first free one derived from it.
func (b *GraphBuilder) messageID(own string) (NodeID, error) {
	if own == "" {
		random, err := b.randomHex()
		return NodeID(emptyMessageIDPrefix + random), err
	}
	id := NodeID(own)
	for n := 1; b.used(id); n++ {
		id = NodeID(messageIDPrefix + own)
		if n > 1 {
			id = NodeID(fmt.Sprintf("%s%s:%d", messageIDPrefix, own, n))
		}
	}
	return id, nil
}

func (b *GraphBuilder) used(id NodeID) bool {
	if _, known := b.index[id]; known {
		return true
	}
	_, taken := b.taken[id]
	return taken
}

func (b *GraphBuilder) randomHex() (string, error) {
	var raw [randomIDBytes]byte
	if _, err := io.ReadFull(b.rand, raw[:]); err != nil {
		return "", fmt.Errorf("make node id: %w", err)
	}
	return hex.EncodeToString(raw[:]), nil
}

// The kinds of a message's origin.
const (
	originPlugin  = "plugin"
	originProcess = "process"
)

// origin is what the append rules read of a message's origin.
type origin struct {
	Kind      string `json:"kind"`
	Transient bool   `json:"transient"`
	ProcessID string `json:"process_id"`
	Sequence  uint64 `json:"sequence"`
}

func parseOrigin(m Message) (origin, error) {
	var o origin
	if len(m.Origin) == 0 {
		return o, nil
	}
	if err := json.Unmarshal(m.Origin, &o); err != nil {
		return o, Invalid("origin", string(m.Origin), "is not a message origin: %s", err)
	}
	return o, nil
}
