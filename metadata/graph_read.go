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

// pathWalk reads a path, leaf first.
type pathWalk struct {
	s     *SessionDB
	outer context.Context //nolint:containedctx // the caller's, for the time of one read
	want  sql.NullInt64   // the next row of the path
	depth int64           // of the last row of the path; -1 before the first
	rows  int
	// skipped counts rows of other branches since the last row of the path.
	skipped int
	path    []lashstore.Node
}

// pathFrom reads the nodes from seq up to its root and returns the visible ones,
// root first. It scans backwards in order of insertion, where a path without
// branches lies in one piece, and seeks over longer stretches of other branches.
// outer is the caller's context.
func (s *SessionDB) pathFrom(outer, ctx context.Context, c *conn, from sql.NullInt64) ([]lashstore.Node, error) {
	w := &pathWalk{s: s, outer: outer, want: from, depth: -1}
	for w.want.Valid {
		start := w.want.Int64
		w.skipped = 0
		err := c.each(ctx, nodeSelect+` WHERE seq<=? ORDER BY seq DESC`, []any{start}, w.visit)
		if err != nil {
			return nil, err
		}
		if w.want.Valid && w.want.Int64 == start {
			return nil, corrupt(s.id, "node", start, errMissing)
		}
	}
	slices.Reverse(w.path)
	return w.path, nil
}

// visit looks at one row, in descending order.
func (w *pathWalk) visit(scan func(...any) error) error {
	row, err := w.s.scanNode(scan)
	if err != nil {
		return err
	}
	if w.rows++; w.rows%cancelEvery == 0 && w.outer.Err() != nil {
		return w.outer.Err()
	}
	switch {
	case row.seq < w.want.Int64:
		return corrupt(w.s.id, "node", w.want.Int64, errMissing)
	case row.seq > w.want.Int64:
		if w.skipped++; w.skipped > seekAfter {
			return errStop
		}
		return nil
	}
	w.skipped = 0
	return w.take(row)
}

// take adds the next row of the path.
func (w *pathWalk) take(row *nodeRow) error {
	if w.depth >= 0 && row.depth != w.depth-1 || row.parentSeq.Valid != (row.depth > 0) {
		return corrupt(w.s.id, "node", row.node.NodeID, errDepth)
	}
	if row.parentSeq.Valid && row.parentSeq.Int64 >= row.seq {
		return corrupt(w.s.id, "node", row.node.NodeID, errOrder)
	}
	w.depth, w.want = row.depth, row.parentSeq
	if row.hidden == nodeVisible {
		if n := len(w.path); n > 0 {
			w.path[n-1].ParentNodeID = row.node.NodeID
		}
		w.path = append(w.path, row.node)
	}
	if !w.want.Valid {
		return errStop
	}
	return nil
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
				var known bool
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
