package metadata

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/lashstore/lashstore"
)

// revisionRow is a row of the revision table.
type revisionRow struct {
	revision    lashstore.Revision
	committedAt time.Time
	leafSeq     sql.NullInt64
	nodeCount   int64 // visible nodes; a tombstone lowers that of the head
	frameID     lashstore.FrameID
	turnID      lashstore.TurnID
	turnState   *string // nil: the revision has no checkpoint
	components  int64
}

func (r *revisionRow) columns() []any {
	return []any{
		counter(r.revision), toMS(r.committedAt), nullInt(r.leafSeq), r.nodeCount,
		string(r.frameID), string(r.turnID), nullPtr(r.turnState), r.components,
	}
}

const revisionSelect = `SELECT ` + revisionNames + ` FROM revision`

// revisionColumns are the columns of a revision row as they are read, all null
// where there is no row.
type revisionColumns struct {
	rev, at, leaf, nodes, components, sum sql.NullInt64
	frame, turn, state                    sql.NullString
}

const revisionNames = `revision.revision, revision.committed_at_ms, revision.leaf_seq, revision.node_count, revision.frame_id,
	revision.turn_id, revision.turn_state, revision.component_count, revision.sum`

func (r *revisionColumns) dest() []any {
	return []any{&r.rev, &r.at, &r.leaf, &r.nodes, &r.frame, &r.turn, &r.state, &r.components, &r.sum}
}

// decodeRevision returns nil where there is no row.
func (s *SessionDB) decodeRevision(in *revisionColumns) (*revisionRow, error) {
	if !in.rev.Valid {
		return nil, nil //nolint:nilnil // nothing is committed
	}
	r := &revisionRow{
		committedAt: fromMS(in.at.Int64), leafSeq: in.leaf, nodeCount: in.nodes.Int64, components: in.components.Int64,
		frameID: lashstore.FrameID(in.frame.String), turnID: lashstore.TurnID(in.turn.String),
	}
	var err error
	if r.revision, err = unsigned[lashstore.Revision](in.rev.Int64); err != nil {
		return nil, corrupt(s.id, "revision", in.rev.Int64, err)
	}
	if in.state.Valid {
		r.turnState = &in.state.String
	}
	if in.sum.Int64 != rowSum(r.columns()...) {
		return nil, corrupt(s.id, "revision", in.rev.Int64, errSum)
	}
	return r, nil
}

func (s *SessionDB) scanRevision(scan func(...any) error) (*revisionRow, error) {
	in := new(revisionColumns)
	if err := scan(in.dest()...); err != nil {
		return nil, err
	}
	return s.decodeRevision(in)
}

func (s *SessionDB) oneRevision(ctx context.Context, c *conn, clause string, args ...any) (row *revisionRow, err error) {
	err = c.each(ctx, revisionSelect+clause, args, func(scan func(...any) error) error {
		row, err = s.scanRevision(scan)
		return err
	})
	return row, err
}

// headRow returns the newest revision, or nil with nothing committed.
func (s *SessionDB) headRow(ctx context.Context, c *conn) (*revisionRow, error) {
	return s.oneRevision(ctx, c, ` ORDER BY revision DESC LIMIT 1`)
}

func (s *SessionDB) writeRevision(ctx context.Context, c *conn, r *revisionRow) error {
	cols := r.columns()
	return c.exec(ctx, `INSERT OR REPLACE INTO revision
		(revision, committed_at_ms, leaf_seq, node_count, frame_id, turn_id, turn_state, component_count, sum)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`, append(cols, rowSum(cols...))...)
}

// revisionAt returns a kept revision; 0 means the head, which may be nil.
func (s *SessionDB) revisionAt(ctx context.Context, c *conn, rev lashstore.Revision) (row *revisionRow, isHead bool, err error) {
	head, err := s.headRow(ctx, c)
	if err != nil || rev == 0 || head != nil && head.revision == rev {
		return head, true, err
	}
	if row, err = s.oneRevision(ctx, c, ` WHERE revision=?`, counter(rev)); err != nil || row != nil {
		return row, false, err
	}
	missing := &lashstore.RevisionNotFoundError{Session: s.id, Revision: rev}
	if head != nil {
		var oldest int64
		if _, err := c.one(ctx, `SELECT min(revision) FROM revision`, nil, &oldest); err != nil {
			return nil, false, err
		}
		missing.Newest = head.revision
		if missing.Oldest, err = unsigned[lashstore.Revision](oldest); err != nil {
			return nil, false, corrupt(s.id, "revision", oldest, err)
		}
	}
	return nil, false, missing
}

// readConfig returns the configuration of a revision and its stored form.
func (s *SessionDB) readConfig(ctx context.Context, c *conn, rev lashstore.Revision) (cfg lashstore.SessionConfig, body string, err error) {
	var added, sum int64
	found, err := c.one(ctx, `SELECT added_rev, body, sum FROM config WHERE added_rev<=? ORDER BY added_rev DESC LIMIT 1`,
		[]any{counter(rev)}, &added, &body, &sum)
	switch {
	case err != nil:
		return cfg, "", err
	case !found:
		return cfg, "", corrupt(s.id, "config", rev, errMissing)
	case sum != rowSum(added, body):
		return cfg, "", corrupt(s.id, "config", added, errSum)
	}
	if err := lashstore.DecodeStrict([]byte(body), &cfg); err != nil {
		return cfg, "", corrupt(s.id, "config", added, err)
	}
	return cfg, body, nil
}

// writeConfig stores the configuration if it changed.
func (s *SessionDB) writeConfig(ctx context.Context, c *conn, rev lashstore.Revision, cfg *lashstore.SessionConfig, first bool) error {
	if cfg == nil {
		if first {
			return lashstore.Invalid("config", "", "is needed by the first commit")
		}
		return nil
	}
	body, err := encode("configuration", cfg)
	if err != nil {
		return err
	}
	if !first {
		if _, old, err := s.readConfig(ctx, c, rev); err != nil || old == body {
			return err
		}
	}
	return c.exec(ctx, `INSERT INTO config (added_rev, body, sum) VALUES (?, ?, ?)`, counter(rev), body, rowSum(counter(rev), body))
}

// head builds the contract's record of a revision.
func (s *SessionDB) head(ctx context.Context, c *conn, r *revisionRow) (h lashstore.Head, err error) {
	h.SessionID = s.id
	if r == nil {
		return h, nil
	}
	h.Revision, h.CommittedAt, h.CurrentFrameID, h.NodeCount = r.revision, r.committedAt, r.frameID, r.nodeCount
	if h.Config, _, err = s.readConfig(ctx, c, r.revision); err != nil {
		return h, err
	}
	h.LeafNodeID, err = s.visibleFrom(ctx, c, r.leafSeq)
	return h, err
}

// Head returns the newest revision without graph and components.
func (s *SessionDB) Head(ctx context.Context) (h lashstore.Head, err error) {
	err = s.read(ctx, "read the head", func(ctx context.Context, c *conn) error {
		r, err := s.headRow(ctx, c)
		if err != nil {
			return err
		}
		h, err = s.head(ctx, c, r)
		return err
	})
	return h, err
}

// Revisions lists kept revisions, newest first.
func (s *SessionDB) Revisions(ctx context.Context, list lashstore.ListRevisions) (infos []lashstore.RevisionInfo, err error) {
	if err := list.Validate(); err != nil {
		return nil, err
	}
	before := counter(list.Before)
	if before == 0 {
		before = lashstore.MaxCounter
	}
	err = s.read(ctx, "list revisions", func(ctx context.Context, c *conn) error {
		var rows []*revisionRow
		err := c.each(ctx, revisionSelect+` WHERE revision<? ORDER BY revision DESC LIMIT ?`, []any{before, limitOf(list.Limit)},
			func(scan func(...any) error) error {
				r, err := s.scanRevision(scan)
				rows = append(rows, r)
				return err
			})
		if err != nil {
			return err
		}
		for _, r := range rows {
			info, err := s.revisionInfo(ctx, c, r)
			if err != nil {
				return err
			}
			infos = append(infos, info)
		}
		return nil
	})
	return infos, err
}

func (s *SessionDB) revisionInfo(ctx context.Context, c *conn, r *revisionRow) (lashstore.RevisionInfo, error) {
	info := lashstore.RevisionInfo{Revision: r.revision, CommittedAt: r.committedAt, TurnID: r.turnID, NodeCount: r.nodeCount}
	var err error
	if info.LeafNodeID, err = s.visibleFrom(ctx, c, r.leafSeq); err != nil {
		return info, err
	}
	state, err := s.turnState(r)
	if err != nil {
		return info, err
	}
	info.TurnIndex = state.TurnIndex
	components, err := s.readComponents(ctx, c, r, false)
	if err != nil || len(components) == 0 {
		return info, err
	}
	info.Components = make(map[string]lashstore.BlobRef, len(components))
	for key, comp := range components {
		info.Components[key] = comp.Ref
	}
	return info, nil
}

func (s *SessionDB) turnState(r *revisionRow) (state lashstore.TurnState, err error) {
	if r.turnState == nil {
		return state, nil
	}
	if err := lashstore.DecodeStrict([]byte(*r.turnState), &state); err != nil {
		return state, corrupt(s.id, "turn state", r.revision, err)
	}
	return state, nil
}

func limitOf(limit int) int64 {
	if limit == 0 {
		return lashstore.DefaultListLimit
	}
	return int64(limit)
}

// trimPerCommit bounds how many revisions one commit trims: a retention that was
// lowered catches up over several commits instead of blocking one.
const trimPerCommit = 64

// trimRowsEvery is after how many trimmed revisions replaced nodes and outdated
// configurations are removed too: they are small, and two statements less a commit
// are worth more.
const trimRowsEvery = 16

var errTrim = errors.New("trim the history")

// trim removes the revisions that the retention no longer keeps, and what only they
// needed.
func (s *SessionDB) trim(ctx context.Context, c *conn, head lashstore.Revision, now time.Time) error {
	cutoff, err := s.trimCutoff(ctx, c, counter(head), now)
	if err != nil || cutoff == 0 {
		return err
	}
	n, err := c.execCount(ctx, `DELETE FROM revision WHERE revision<=? AND revision<(SELECT min(revision) FROM revision)+?`,
		cutoff, int64(trimPerCommit))
	if err != nil || n == 0 {
		return err
	}
	oldest := cutoff + 1
	if n == trimPerCommit { // more may be left
		if _, err := c.one(ctx, `SELECT min(revision) FROM revision`, nil, &oldest); err != nil {
			return err
		}
		cutoff = oldest - 1
	}
	if err := s.trimComponents(ctx, c, oldest); err != nil {
		return fmt.Errorf("%w: %w", errTrim, err)
	}
	// What nobody can see any more may stay for a few commits.
	if cutoff%trimRowsEvery != 0 {
		return nil
	}
	if err := c.exec(ctx, `DELETE FROM node WHERE removed_rev<=?`, oldest); err != nil {
		return err
	}
	return c.exec(ctx, `DELETE FROM config WHERE added_rev<(SELECT max(added_rev) FROM config WHERE added_rev<=?)`, oldest)
}

// trimCutoff returns the newest revision to go, or 0. For revisions that are too
// old it looks at no more than one commit trims.
func (s *SessionDB) trimCutoff(ctx context.Context, c *conn, head int64, now time.Time) (int64, error) {
	keep := int64(s.opts.Retention.Revisions)
	if keep == 0 {
		keep = lashstore.DefaultRetainedRevisions
	}
	cutoff := int64(0)
	if keep > 0 {
		cutoff = max(0, head-keep)
	}
	age := s.opts.Retention.MaxAge
	if age == 0 {
		return min(cutoff, head-1), nil
	}
	var old sql.NullInt64
	_, err := c.one(ctx, `SELECT max(revision) FROM revision WHERE revision<? AND committed_at_ms<?
		AND revision<(SELECT min(revision) FROM revision)+?`, []any{head, toMS(now.Add(-age)), int64(trimPerCommit)}, &old)
	return min(max(cutoff, old.Int64), head-1), err
}
