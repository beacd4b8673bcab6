package metadata

import (
	"bytes"
	"context"
	"database/sql"
	"time"

	"github.com/lashstore/lashstore"
)

// graphWriter applies one commit's change of the graph.
type graphWriter struct {
	s      *SessionDB
	rev    int64
	now    time.Time
	placed map[lashstore.NodeID]placedNode // nodes of this commit
	picker picker
	dirty  bool // the picker changed
}

type placedNode struct{ seq, depth int64 }

// apply changes the graph and returns leaf and visible node count of the revision.
func (w *graphWriter) apply(ctx context.Context, c *conn, d *lashstore.GraphDelta, prev *revisionRow) (leaf sql.NullInt64, count int64, err error) {
	if prev != nil {
		leaf, count = prev.leafSeq, prev.nodeCount
	}
	switch d.Mode {
	case lashstore.GraphReplace:
		leaf = sql.NullInt64{}
		count = int64(len(d.Nodes))
		err = w.replace(ctx, c, d.Nodes)
	case lashstore.GraphAppend:
		count += int64(len(d.Nodes))
		err = w.append(ctx, c, d.Nodes)
	case lashstore.GraphUnchanged:
	}
	if err != nil || d.Leaf == nil {
		return leaf, count, err
	}
	place, err := w.find(ctx, c, *d.Leaf, *d.Leaf, "is the leaf but does not exist", "is the leaf but is hidden")
	return sql.NullInt64{Int64: place.seq, Valid: true}, count, err
}

// find returns the place of a visible node; blame is the node an error names.
func (w *graphWriter) find(ctx context.Context, c *conn, id, blame lashstore.NodeID, absent, hidden string) (placedNode, error) {
	if p, ok := w.placed[id]; ok {
		return p, nil
	}
	row, err := w.s.liveNode(ctx, c, id)
	switch {
	case err != nil:
		return placedNode{}, err
	case row == nil:
		return placedNode{}, &lashstore.GraphError{Node: blame, Reason: absent}
	case row.hidden != nodeVisible:
		return placedNode{}, &lashstore.GraphError{Node: blame, Reason: hidden}
	}
	w.placed[id] = placedNode{row.seq, row.depth}
	return w.placed[id], nil
}

func (w *graphWriter) append(ctx context.Context, c *conn, nodes []lashstore.Node) error {
	for i := range nodes {
		if err := w.add(ctx, c, &nodes[i]); err != nil {
			return err
		}
	}
	return nil
}

// row places a node under its parent.
func (w *graphWriter) row(ctx context.Context, c *conn, n *lashstore.Node) (*nodeRow, *lashstore.Message, error) {
	r := &nodeRow{addedRev: w.rev, node: *n}
	if r.node.Timestamp.IsZero() {
		r.node.Timestamp = w.now
	}
	r.node.Timestamp = fromMS(toMS(r.node.Timestamp))
	msg, err := n.CheckPayload()
	if err != nil {
		return nil, nil, err
	}
	r.userMessage = msg != nil && msg.Role == lashstore.RoleUser
	if n.ParentNodeID != "" {
		p, err := w.find(ctx, c, n.ParentNodeID, n.NodeID, "its parent does not exist", "its parent is hidden")
		if err != nil {
			return nil, nil, err
		}
		r.parentSeq, r.depth = sql.NullInt64{Int64: p.seq, Valid: true}, p.depth+1
	}
	return r, msg, nil
}

func (w *graphWriter) add(ctx context.Context, c *conn, n *lashstore.Node) error {
	r, msg, err := w.row(ctx, c, n)
	if err != nil {
		return err
	}
	if r.seq, err = w.s.insertNode(ctx, c, r); err != nil {
		return err
	}
	if r.seq == 0 {
		return &lashstore.GraphError{Node: n.NodeID, Reason: "its id is taken"}
	}
	w.placed[n.NodeID] = placedNode{r.seq, r.depth}
	if r.userMessage {
		w.picker.add(r.seq, msg.Text())
		w.dirty = true
	}
	return nil
}

// replace makes the given nodes all there is from this revision on. Rows that stay
// the same are kept, as long as that keeps the given order; the others of earlier
// revisions are marked as removed, and stay for them.
func (w *graphWriter) replace(ctx context.Context, c *conn, nodes []lashstore.Node) error {
	kept, err := w.keep(ctx, c, nodes)
	if err != nil {
		return err
	}
	live, err := w.s.nodes(ctx, c, ` WHERE removed_rev IS NULL`)
	if err != nil {
		return err
	}
	for _, r := range live {
		if _, keep := kept[r.seq]; keep {
			continue
		}
		r.removedRev = sql.NullInt64{Int64: w.rev, Valid: true}
		if err := w.s.updateNode(ctx, c, r); err != nil {
			return err
		}
	}
	w.picker, w.dirty = picker{}, true
	for i := range nodes {
		place, keep := w.placed[nodes[i].NodeID]
		if !keep {
			if err := w.add(ctx, c, &nodes[i]); err != nil {
				return err
			}
			continue
		}
		msg, err := nodes[i].CheckPayload()
		if err != nil {
			return err
		}
		if msg != nil && msg.Role == lashstore.RoleUser {
			w.picker.add(place.seq, msg.Text())
		}
	}
	return nil
}

// keep finds the leading nodes whose rows can stay and places them.
func (w *graphWriter) keep(ctx context.Context, c *conn, nodes []lashstore.Node) (map[int64]struct{}, error) {
	kept := make(map[int64]struct{})
	last := int64(0)
	for i := range nodes {
		old, err := w.s.liveNode(ctx, c, nodes[i].NodeID)
		if err != nil {
			return nil, err
		}
		if old == nil || old.hidden != nodeVisible || old.seq <= last {
			return kept, nil
		}
		// A timestamp left out means "whatever it was".
		n := nodes[i]
		if n.Timestamp.IsZero() {
			n.Timestamp = old.node.Timestamp
		}
		if _, known := w.placed[n.ParentNodeID]; n.ParentNodeID != "" && !known {
			return kept, nil
		}
		now, _, err := w.row(ctx, c, &n)
		if err != nil {
			return nil, err
		}
		if same, err := sameNode(old, now); err != nil || !same {
			return kept, err
		}
		last = old.seq
		kept[old.seq] = struct{}{}
		w.placed[n.NodeID] = placedNode{old.seq, old.depth}
	}
	return kept, nil
}

// sameNode compares rows but for their seq and the revision that added them.
func sameNode(old, now *nodeRow) (bool, error) {
	if !bytes.Equal(old.node.Payload, now.node.Payload) {
		return false, nil
	}
	a, b := *old, *now
	a.addedRev, b.addedRev = 0, 0
	colsA, err := a.columns()
	if err != nil {
		return false, err
	}
	colsB, err := b.columns()
	if err != nil {
		return false, err
	}
	for i := range colsA[:len(colsA)-1] { // the last is the payload, compared above
		if colsA[i] != colsB[i] {
			return false, nil
		}
	}
	return true, nil
}
