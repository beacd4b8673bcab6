package metadata

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/lashstore/lashstore"
)

// States of a node's "hidden" column.
const (
	nodeVisible = 0
	nodeHidden  = 1 // tombstoned: no read shows it
	nodeErased  = 2 // vacuumed: only the row that holds its id and place is left
)

// Kinds of node as columns.
const (
	nodeKindEvent  = 1
	nodeKindPlugin = 2
)

// nodeRow is a row of the node table. A parent's row is always older than its
// children's, so parent_seq < seq, and seq orders every path.
type nodeRow struct {
	seq         int64
	parentSeq   sql.NullInt64
	depth       int64
	addedRev    int64
	removedRev  sql.NullInt64
	hidden      int64
	userMessage bool
	node        lashstore.Node // without the parent's id
}

const nodeSelect = `SELECT seq, node_id, parent_seq, depth, added_rev, removed_rev, hidden, user_message,
	kind, frame_id, caused_by, timestamp_ms, payload, sum FROM node`

// columns returns all columns but seq, in the order of the checksum.
func (r *nodeRow) columns() (cols []any, err error) {
	var causedBy any
	if r.node.CausedBy != nil {
		if causedBy, err = encode("cause", r.node.CausedBy); err != nil {
			return nil, err
		}
	}
	kind := int64(nodeKindEvent)
	if r.node.Kind == lashstore.NodePlugin {
		kind = nodeKindPlugin
	}
	user := int64(0)
	if r.userMessage {
		user = 1
	}
	var payload any
	if r.node.Payload != nil {
		payload = []byte(r.node.Payload)
	}
	return []any{
		string(r.node.NodeID), nullInt(r.parentSeq), r.depth, r.addedRev, nullInt(r.removedRev), r.hidden, user,
		kind, string(r.node.AgentFrameID), causedBy, toMS(r.node.Timestamp), payload,
	}, nil
}

func (s *SessionDB) scanNode(scan func(...any) error) (*nodeRow, error) {
	var (
		r                    nodeRow
		id, frame            string
		causedBy             sql.NullString
		user, kind, at, want int64
		payload              []byte
	)
	err := scan(&r.seq, &id, &r.parentSeq, &r.depth, &r.addedRev, &r.removedRev, &r.hidden, &user,
		&kind, &frame, &causedBy, &at, &payload, &want)
	if err != nil {
		return nil, err
	}
	r.node.NodeID, r.node.AgentFrameID, r.node.Timestamp = lashstore.NodeID(id), lashstore.FrameID(frame), fromMS(at)
	r.node.Payload, r.userMessage = payload, user != 0
	var cause any
	if causedBy.Valid {
		cause = causedBy.String
	}
	var raw any
	if payload != nil {
		raw = payload
	}
	if want != rowSum(id, nullInt(r.parentSeq), r.depth, r.addedRev, nullInt(r.removedRev), r.hidden, user, kind, frame, cause, at, raw) {
		return nil, corrupt(s.id, "node", id, errSum)
	}
	if causedBy.Valid {
		r.node.CausedBy = new(lashstore.CausalRef)
		if err := lashstore.DecodeStrict([]byte(causedBy.String), r.node.CausedBy); err != nil {
			return nil, corrupt(s.id, "node", id, err)
		}
	}
	switch kind {
	case nodeKindEvent:
		r.node.Kind = lashstore.NodeEvent
	case nodeKindPlugin:
		r.node.Kind = lashstore.NodePlugin
	default:
		return nil, corrupt(s.id, "node", id, fmt.Errorf("unknown kind %d", kind))
	}
	return &r, nil
}

// insertNode writes a new row and returns its seq, or 0 if the id is taken.
func (s *SessionDB) insertNode(ctx context.Context, c *conn, r *nodeRow) (int64, error) {
	cols, err := r.columns()
	if err != nil {
		return 0, err
	}
	return c.insert(ctx, `INSERT INTO node
		(node_id, parent_seq, depth, added_rev, removed_rev, hidden, user_message, kind, frame_id, caused_by, timestamp_ms, payload, sum)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT(node_id) WHERE removed_rev IS NULL DO NOTHING`,
		append(cols, rowSum(cols...))...)
}

// updateNode writes a row that was hidden, erased or removed.
func (s *SessionDB) updateNode(ctx context.Context, c *conn, r *nodeRow) error {
	cols, err := r.columns()
	if err != nil {
		return err
	}
	return c.exec(ctx, `UPDATE node SET node_id=?, parent_seq=?, depth=?, added_rev=?, removed_rev=?, hidden=?, user_message=?, kind=?,
		frame_id=?, caused_by=?, timestamp_ms=?, payload=?, sum=? WHERE seq=?`, append(cols, rowSum(cols...), r.seq)...)
}

// nodes reads the rows that a condition selects.
func (s *SessionDB) nodes(ctx context.Context, c *conn, where string, args ...any) (rows []*nodeRow, err error) {
	err = c.each(ctx, nodeSelect+where, args, func(scan func(...any) error) error {
		r, err := s.scanNode(scan)
		rows = append(rows, r)
		return err
	})
	return rows, err
}

// liveNode returns the row that has the id at the head, hidden or not.
func (s *SessionDB) liveNode(ctx context.Context, c *conn, id lashstore.NodeID) (row *nodeRow, err error) {
	err = c.each(ctx, nodeSelect+` WHERE node_id=? AND removed_rev IS NULL`, []any{string(id)}, func(scan func(...any) error) error {
		row, err = s.scanNode(scan)
		return err
	})
	return row, err
}

// nodeAt returns the row that had the id at a revision.
func (s *SessionDB) nodeAt(ctx context.Context, c *conn, id lashstore.NodeID, rev int64) (*nodeRow, error) {
	row, err := s.liveNode(ctx, c, id)
	if err != nil || row != nil && row.addedRev <= rev {
		return row, err
	}
	row = nil
	err = c.each(ctx, nodeSelect+` WHERE removed_rev>? AND node_id=? AND added_rev<=?`, []any{rev, string(id), rev},
		func(scan func(...any) error) error {
			row, err = s.scanNode(scan)
			return err
		})
	return row, err
}

// Node returns one visible node of the head's graph, under its nearest visible
// ancestor.
func (s *SessionDB) Node(ctx context.Context, id lashstore.NodeID) (node lashstore.Node, err error) {
	if err := id.Validate(); err != nil {
		return node, err
	}
	err = s.read(ctx, "read a node", func(ctx context.Context, c *conn) error {
		row, err := s.liveNode(ctx, c, id)
		if err != nil {
			return err
		}
		if row == nil {
			if err := s.checkNodeIndex(ctx, c, id); err != nil {
				return err
			}
		}
		if row == nil || row.hidden != nodeVisible {
			return fmt.Errorf("session %q: node %q: %w", s.id, id, lashstore.ErrNodeNotFound)
		}
		parent, err := s.visibleFrom(ctx, c, row.parentSeq)
		if err != nil {
			return err
		}
		node, node.ParentNodeID = row.node, parent
		return nil
	})
	return node, err
}

// visibleFrom returns the id of the first visible node from seq up to its root, or
// "" if there is none.
func (s *SessionDB) visibleFrom(ctx context.Context, c *conn, seq sql.NullInt64) (lashstore.NodeID, error) {
	for seq.Valid {
		rows, err := s.nodes(ctx, c, ` WHERE seq=?`, seq.Int64)
		if err != nil {
			return "", err
		}
		if len(rows) == 0 {
			return "", corrupt(s.id, "node", seq.Int64, errMissing)
		}
		switch row := rows[0]; {
		case row.hidden == nodeVisible:
			return row.node.NodeID, nil
		case row.parentSeq.Valid && row.parentSeq.Int64 >= seq.Int64:
			return "", corrupt(s.id, "node", row.node.NodeID, errOrder)
		default:
			seq = row.parentSeq
		}
	}
	return "", nil
}
