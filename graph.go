package lashstore

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// NodeKind says what a node's payload is.
type NodeKind string

// The kinds of node.
const (
	NodeEvent  NodeKind = "event"  // payload has the member "event"
	NodePlugin NodeKind = "plugin" // payload has the members "plugin_type" and "body"
)

// Node is one immutable entry of the history. Each names at most one parent, so
// history is a forest; several branches may coexist.
type Node struct {
	NodeID       NodeID     `json:"node_id"`
	ParentNodeID NodeID     `json:"parent_node_id,omitempty"` // empty: a root
	CausedBy     *CausalRef `json:"caused_by,omitempty"`
	AgentFrameID FrameID    `json:"agent_frame_id,omitempty"`
	Timestamp    time.Time  `json:"timestamp"` // zero on append means now
	Kind         NodeKind   `json:"kind"`
	// Payload is a JSON object with the members that Kind asks for. The store keeps
	// it byte for byte and reads only what session lists show: role and text parts of
	// a conversation message ([Message]).
	Payload json.RawMessage `json:"payload"`
}

// Validate checks a node for append, its parent's existence aside.
func (n *Node) Validate() error {
	if err := n.NodeID.Validate(); err != nil {
		return err
	}
	if n.ParentNodeID != "" {
		if err := validateText("parent_node_id", string(n.ParentNodeID), MaxNodeIDBytes); err != nil {
			return err
		}
		if n.ParentNodeID == n.NodeID {
			return &GraphError{Node: n.NodeID, Reason: "is its own parent"}
		}
	}
	if err := n.CausedBy.Validate(); err != nil {
		return err
	}
	if err := validateOptionalText("agent_frame_id", string(n.AgentFrameID), MaxNameBytes); err != nil {
		return err
	}
	if err := validateTime("timestamp", n.Timestamp); err != nil {
		return err
	}
	if err := validateObject("payload", n.Payload); err != nil {
		if errors.Is(err, ErrLimitExceeded) {
			return fmt.Errorf("node %q: %w", n.NodeID, err)
		}
		return &GraphError{Node: n.NodeID, Reason: err.Error()}
	}
	switch n.Kind {
	case NodeEvent, NodePlugin:
		return nil
	default:
		return Invalid("kind", string(n.Kind), "is not event or plugin")
	}
}

// Graph is a set of nodes with a leaf.
type Graph struct {
	Nodes []Node `json:"nodes"`
	// LeafNodeID is where the active path ends: empty if there is none. If the stored
	// leaf was hidden, reads report its nearest visible ancestor.
	LeafNodeID NodeID `json:"leaf_node_id,omitempty"`
}

// GraphMode says how a commit changes the graph.
type GraphMode string

// The modes. The empty mode means [GraphUnchanged].
const (
	GraphUnchanged GraphMode = "unchanged" // only the leaf may move
	GraphAppend    GraphMode = "append"    // Nodes are added
	GraphReplace   GraphMode = "replace"   // Nodes are all there is from this revision on
)

// GraphDelta is a commit's change of the graph.
//
// A parent stands before its children: it is either in the graph or earlier in
// Nodes. Ids are unique among all nodes of the graph, hidden ones included.
// Replacing keeps the nodes that earlier revisions need.
type GraphDelta struct {
	Mode  GraphMode
	Nodes []Node
	// Leaf is the leaf of the new revision and must be a visible node of it. Nil
	// keeps the leaf of the previous revision; with [GraphReplace] it means no leaf.
	Leaf *NodeID
}

// Leaf returns a pointer to id, for [GraphDelta.Leaf].
func Leaf(id NodeID) *NodeID { return new(id) }

// Validate checks everything that can be checked without the stored graph.
func (d *GraphDelta) Validate() error {
	switch d.Mode {
	case "", GraphUnchanged:
		if len(d.Nodes) > 0 {
			return Invalid("graph.mode", string(d.Mode), "does not take nodes")
		}
	case GraphAppend, GraphReplace:
	default:
		return Invalid("graph.mode", string(d.Mode), "is not unchanged, append or replace")
	}
	seen := make(map[NodeID]struct{}, len(d.Nodes))
	for i := range d.Nodes {
		n := &d.Nodes[i]
		if err := n.Validate(); err != nil {
			return err
		}
		if _, dup := seen[n.NodeID]; dup {
			return &GraphError{Node: n.NodeID, Reason: "is given twice"}
		}
		if n.ParentNodeID != "" && d.Mode == GraphReplace {
			if _, known := seen[n.ParentNodeID]; !known {
				return &GraphError{Node: n.NodeID, Reason: "its parent does not stand before it"}
			}
		}
		seen[n.NodeID] = struct{}{}
	}
	if d.Leaf == nil {
		return nil
	}
	if err := d.Leaf.Validate(); err != nil {
		return err
	}
	if _, known := seen[*d.Leaf]; !known && d.Mode == GraphReplace {
		return &GraphError{Node: *d.Leaf, Reason: "is the leaf but not among the nodes"}
	}
	return nil
}

// VacuumReport says what a vacuum removed.
type VacuumReport struct {
	RemovedNodes int64 `json:"removed_node_count"`
	// ReturnedBytes is by how much the database file shrank.
	ReturnedBytes int64 `json:"returned_bytes"`
}
