package metadata

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/lashstore/lashstore"
)

var (
	errOrder = errors.New("its parent does not come before it")
	errDepth = errors.New("its depth does not follow from its parent's")
)

// cancelEvery is after how many rows a long read looks at its context.
const cancelEvery = 1024

// seekAfter is how many rows off the path a path read skips before it seeks to the
// next one: about as many as cost a new query.
const seekAfter = 32

// pathFrom reads the nodes from seq up to its root and returns the visible ones,
// root first. It scans backwards in order of insertion, where a path without
// branches lies in one piece, and seeks over longer stretches of other branches.
// outer is the caller's context.
func (s *SessionDB) pathFrom(outer, ctx context.Context, c *conn, from sql.NullInt64) ([]lashstore.Node, error) {
	var (
		path  []lashstore.Node
		want  = from
		depth = int64(-1) // of the last row; -1 before the first
		rows  int
	)
	for want.Valid {
		skipped := 0
		start := want.Int64
		err := c.each(ctx, nodeSelect+` WHERE seq<=? ORDER BY seq DESC`, []any{start}, func(scan func(...any) error) error {
			row, err := s.scanNode(scan)
			if err != nil {
				return err
			}
			if rows++; rows%cancelEvery == 0 && outer.Err() != nil {
				return outer.Err()
			}
			if row.seq != want.Int64 {
				if row.seq < want.Int64 {
					return corrupt(s.id, "node", want.Int64, errMissing)
				}
				if skipped++; skipped > seekAfter {
					return errStop
				}
				return nil
			}
			skipped = 0
			if depth >= 0 && row.depth != depth-1 || row.parentSeq.Valid != (row.depth > 0) {
				return corrupt(s.id, "node", row.node.NodeID, errDepth)
			}
			if row.parentSeq.Valid && row.parentSeq.Int64 >= row.seq {
				return corrupt(s.id, "node", row.node.NodeID, errOrder)
			}
			depth, want = row.depth, row.parentSeq
			if row.hidden == nodeVisible {
				if len(path) > 0 {
					path[len(path)-1].ParentNodeID = row.node.NodeID
				}
				path = append(path, row.node)
			}
			if !want.Valid {
				return errStop
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		if want.Valid && want.Int64 == start {
			return nil, corrupt(s.id, "node", start, errMissing)
		}
	}
	slices.Reverse(path)
	return path, nil
}

// fullGraph reads all nodes visible at a revision, in order of insertion, each
// under its nearest visible ancestor.
func (s *SessionDB) fullGraph(outer, ctx context.Context, c *conn, rev int64) ([]lashstore.Node, error) {
	var nodes []lashstore.Node
	// visible maps a row to the nearest visible node from it upwards.
	visible := make(map[int64]lashstore.NodeID)
	rows := 0
	err := c.each(ctx, nodeSelect+` WHERE added_rev<=? AND (removed_rev IS NULL OR removed_rev>?) ORDER BY seq`, []any{rev, rev},
		func(scan func(...any) error) error {
			row, err := s.scanNode(scan)
			if err != nil {
				return err
			}
			if rows++; rows%cancelEvery == 0 && outer.Err() != nil {
				return outer.Err()
			}
			var parent lashstore.NodeID
			if row.parentSeq.Valid {
				known := false
				if parent, known = visible[row.parentSeq.Int64]; !known {
					return corrupt(s.id, "node", row.node.NodeID, fmt.Errorf("its parent %d: %w", row.parentSeq.Int64, errMissing))
				}
			}
			if row.hidden != nodeVisible {
				visible[row.seq] = parent
				return nil
			}
			visible[row.seq] = row.node.NodeID
			row.node.ParentNodeID = parent
			nodes = append(nodes, row.node)
			return nil
		})
	return nodes, err
}

// readGraph reads what a load asks for.
func (s *SessionDB) readGraph(outer, ctx context.Context, c *conn, rev *revisionRow, head bool, opts lashstore.LoadOptions) (g lashstore.Graph, err error) {
	leaf := rev.leafSeq
	if opts.Leaf != "" {
		row, err := s.nodeAt(ctx, c, opts.Leaf, counter(rev.revision))
		if err != nil {
			return g, err
		}
		if row == nil || row.hidden != nodeVisible {
			return g, fmt.Errorf("session %q: leaf %q at revision %d: %w", s.id, opts.Leaf, rev.revision, lashstore.ErrNodeNotFound)
		}
		leaf = sql.NullInt64{Int64: row.seq, Valid: true}
	}
	if g.LeafNodeID, err = s.visibleFrom(ctx, c, leaf); err != nil {
		return g, err
	}
	switch opts.Scope {
	case lashstore.ScopeNoGraph:
		return g, nil
	case lashstore.ScopeActivePath:
		g.Nodes, err = s.pathFrom(outer, ctx, c, leaf)
		return g, err
	default:
		g.Nodes, err = s.fullGraph(outer, ctx, c, counter(rev.revision))
	}
	if err == nil && head && int64(len(g.Nodes)) != rev.nodeCount {
		return g, corrupt(s.id, "graph", "head", fmt.Errorf("%d visible nodes found, %d recorded", len(g.Nodes), rev.nodeCount))
	}
	return g, err
}
