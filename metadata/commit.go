package metadata

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/internal/sabotage"
)

// CommitInput is a commit whose content has been stored.
type CommitInput struct {
	// Commit has been validated. Its components, those of frames included, are all
	// references: what carried bytes is among Fresh.
	Commit *lashstore.Commit
	// Hash is its [lashstore.CommitHash] if it is stamped.
	Hash lashstore.Digest
	// Fresh is the content that the session may not hold yet.
	Fresh map[lashstore.Digest]*Content
	// Verify re-reads the blob reservations the commit stands on, under the session's
	// write lock; it returns [ErrReservationLost] if one is gone. Nil: there are none.
	Verify func(context.Context) error
	// ReleaseFirst is for a planted bug: it removes edges from the catalog.
	ReleaseFirst func(context.Context, []lashstore.Digest) error
	// Discard are objects that were reserved and are not needed after all.
	Discard []lashstore.Digest
}

// commitTx is one commit while its transaction runs.
type commitTx struct {
	s   *SessionDB
	in  *CommitInput
	rev lashstore.Revision
	now time.Time
	// Read at the start.
	lease  leaseRow
	prev   *revisionRow // nil: nothing is committed
	picker picker
}

// commitStart reads at once what nearly every commit needs; meta always has a row.
const commitStart = `SELECT meta.session_id, meta.incarnation, meta.deleted,
	meta.user_messages, meta.first_seq, meta.first_text, meta.picker_sum, ` + leaseNames + `, ` + revisionNames + `
	FROM meta LEFT JOIN lease ON lease.one=meta.one LEFT JOIN revision ON revision.revision=(SELECT max(revision) FROM revision)`

// start checks that the session is live and reads lease, head and picker.
func (t *commitTx) start(ctx context.Context, c *conn) error {
	var (
		id, inc      string
		deleted, sum int64
		lease        leaseColumns
		rev          revisionColumns
	)
	dest := []any{&id, &inc, &deleted, &t.picker.userMessages, &t.picker.firstSeq, &t.picker.firstText, &sum}
	dest = append(append(dest, lease.dest()...), rev.dest()...)
	found, err := c.one(ctx, commitStart, nil, dest...)
	if err != nil {
		return err
	}
	if !found {
		return corrupt(t.s.id, "meta", "row", errMissing)
	}
	if err := t.s.checkLive(ctx, c, id, inc, deleted); err != nil {
		return err
	}
	if sum != t.picker.sum() {
		return corrupt(t.s.id, "meta", "row", errSum)
	}
	if t.lease, err = t.s.decodeLease(&lease); err != nil {
		return err
	}
	t.prev, err = t.s.decodeRevision(&rev)
	return err
}

// hold adds a reference to content that the session has or the commit brings, and
// returns its size.
func (t *commitTx) hold(ctx context.Context, c *conn, d lashstore.Digest, use string) (int64, error) {
	size, held, err := t.s.holdContent(ctx, c, d, t.in.Fresh[d])
	if err == nil && !held {
		err = &lashstore.UnknownReferenceError{Session: t.s.id, Digest: d, Use: use}
	}
	return size, err
}

// Commit applies a commit in one transaction; the order of its checks is that of
// [lashstore.Committer].
func (s *SessionDB) Commit(ctx context.Context, in *CommitInput) (res lashstore.CommitResult, err error) {
	err = s.wrap("commit", s.db.write(ctx, "commit", func(ctx context.Context, c *conn) error {
		t := &commitTx{s: s, in: in, now: fromMS(toMS(s.opts.Now()))}
		if err := t.start(ctx, c); err != nil {
			return err
		}
		replay, err := t.replay(ctx, c)
		if err != nil {
			return err
		}
		if replay != nil {
			res = *replay
			return nil
		}
		res, err = t.commit(ctx, c)
		return err
	}))
	return res, err
}

// replay returns the recorded result if the turn has been committed.
func (t *commitTx) replay(ctx context.Context, c *conn) (*lashstore.CommitResult, error) {
	turn := t.in.Commit.TurnID
	if turn == "" {
		return nil, nil //nolint:nilnil // not a replay
	}
	var (
		hash     []byte
		rev, sum int64
		raw      string
	)
	found, err := c.one(ctx, `SELECT hash, revision, result, sum FROM turn_commit WHERE turn_id=?`, []any{string(turn)}, &hash, &rev, &raw, &sum)
	if err != nil || !found {
		return nil, err
	}
	if sum != rowSum(string(turn), hash, rev, raw) {
		return nil, corrupt(t.s.id, "turn commit", turn, errSum)
	}
	if !bytes.Equal(hash, t.in.Hash.Bytes()) {
		at, err := unsigned[lashstore.Revision](rev)
		if err != nil {
			return nil, corrupt(t.s.id, "turn commit", turn, err)
		}
		return nil, &lashstore.TurnConflictError{Session: t.s.id, Turn: turn, Revision: at}
	}
	res := new(lashstore.CommitResult)
	if err := lashstore.DecodeStrict([]byte(raw), res); err != nil {
		return nil, corrupt(t.s.id, "turn commit", turn, err)
	}
	res.Replayed = true
	return res, t.releaseLease(ctx, c)
}

// releaseLease releases the lease if the commit asks for it and still holds it.
func (t *commitTx) releaseLease(ctx context.Context, c *conn) error {
	if !t.in.Commit.ReleaseLease {
		return nil
	}
	l := t.lease
	if refused := t.s.checkFence(l, t.in.Commit.Fence, t.now, false); refused != nil {
		return nil //nolint:nilerr // a replay may have lost the lease; a commit has checked it
	}
	return t.s.writeLease(ctx, c, leaseRow{fencing: l.fencing})
}

func (t *commitTx) commit(ctx context.Context, c *conn) (res lashstore.CommitResult, err error) {
	cm := t.in.Commit
	if err := t.s.checkFence(t.lease, cm.Fence, t.s.opts.Now(), true); err != nil {
		return res, err
	}
	var actual lashstore.Revision
	if t.prev != nil {
		actual = t.prev.revision
	}
	if actual != cm.ExpectedRevision {
		return res, &lashstore.HeadMovedError{Session: t.s.id, Expected: cm.ExpectedRevision, Actual: actual}
	}
	if actual >= lashstore.MaxCounter {
		return res, &lashstore.LimitError{Limit: "revision", Max: lashstore.MaxCounter, Got: lashstore.MaxCounter}
	}
	t.rev = actual + 1
	for i := range cm.Completions {
		if err := t.s.completeClaim(ctx, c, &cm.Completions[i], t.now); err != nil {
			return res, err
		}
	}
	res, err = t.apply(ctx, c, t.prev)
	if err != nil {
		return res, err
	}
	if res.Enqueued, err = t.enqueue(ctx, c); err != nil {
		return res, err
	}
	if err := t.record(ctx, c, res); err != nil {
		return res, err
	}
	if err := t.releaseLease(ctx, c); err != nil {
		return res, err
	}
	if err := t.s.trim(ctx, c, t.rev, t.now); err != nil {
		return res, err
	}
	if err := t.s.discard(ctx, c, t.in.Discard); err != nil {
		return res, err
	}
	if sabotage.Planted(sabotage.ReleaseFirst) && t.in.ReleaseFirst != nil {
		if _, err := t.s.settle(ctx, c, t.in.ReleaseFirst); err != nil {
			return res, err
		}
	}
	if t.in.Verify != nil {
		return res, t.in.Verify(ctx)
	}
	return res, nil
}

// apply writes the revision.
func (t *commitTx) apply(ctx context.Context, c *conn, prev *revisionRow) (res lashstore.CommitResult, err error) {
	cm := t.in.Commit
	if err := t.s.mendAll(ctx, c, t.in.Fresh); err != nil {
		return res, err
	}
	row := &revisionRow{revision: t.rev, committedAt: t.now, turnID: cm.TurnID}
	if prev != nil {
		row.frameID, row.turnState = prev.frameID, prev.turnState
	}
	w := &graphWriter{s: t.s, rev: counter(t.rev), now: t.now, placed: make(map[lashstore.NodeID]placedNode), picker: t.picker}
	if row.leafSeq, row.nodeCount, err = w.apply(ctx, c, &cm.Graph, prev); err != nil {
		return res, err
	}
	if w.dirty {
		if err := t.s.writePicker(ctx, c, w.picker); err != nil {
			return res, err
		}
	}
	if err := t.s.writeConfig(ctx, c, t.rev, cm.Config, prev == nil); err != nil {
		return res, err
	}
	if row.frameID, err = t.appendFrames(ctx, c, row.frameID); err != nil {
		return res, err
	}
	refs, err := t.applyCheckpoint(ctx, c, cm.Checkpoint)
	if err != nil {
		return res, err
	}
	row.components = int64(len(refs))
	if cm.Checkpoint != nil {
		state, err := encode("turn state", cm.Checkpoint.TurnState)
		if err != nil {
			return res, err
		}
		row.turnState = &state
	}
	for _, u := range cm.Usage {
		if err := t.s.addUsage(ctx, c, u); err != nil {
			return res, err
		}
	}
	if err := t.commitAttachments(ctx, c, cm.Attachments); err != nil {
		return res, err
	}
	res = lashstore.CommitResult{Revision: t.rev, CommittedAt: t.now, Components: refs}
	return res, t.s.writeRevision(ctx, c, row)
}

// record remembers a stamped commit's result for replays.
func (t *commitTx) record(ctx context.Context, c *conn, res lashstore.CommitResult) error {
	turn := string(t.in.Commit.TurnID)
	if turn == "" {
		return nil
	}
	raw, err := encode("commit result", res)
	if err != nil {
		return err
	}
	hash, rev := t.in.Hash.Bytes(), counter(t.rev)
	return c.exec(ctx, `INSERT INTO turn_commit (turn_id, hash, revision, result, sum) VALUES (?, ?, ?, ?, ?)`,
		turn, hash, rev, raw, rowSum(turn, hash, rev, raw))
}

// Tombstone hides nodes and returns how many.
func (s *SessionDB) Tombstone(ctx context.Context, f lashstore.Fence, ids []lashstore.NodeID) (hidden int, err error) {
	for _, id := range ids {
		if err := id.Validate(); err != nil {
			return 0, err
		}
	}
	if len(ids) > lashstore.MaxCommitRows {
		return 0, &lashstore.LimitError{Limit: "commit_rows", Max: lashstore.MaxCommitRows, Got: int64(len(ids))}
	}
	err = s.write(ctx, "hide nodes", func(ctx context.Context, c *conn) error {
		if _, err := s.requireFence(ctx, c, f, s.opts.Now()); err != nil {
			return err
		}
		live := int64(0)
		for _, id := range ids {
			all, shown, err := s.hide(ctx, c, id)
			if err != nil {
				return err
			}
			live += shown
			if all > 0 {
				hidden++
			}
		}
		if live == 0 {
			return nil
		}
		head, err := s.headRow(ctx, c)
		if err != nil {
			return err
		}
		if head == nil {
			return corrupt(s.id, "revision", "head", errMissing)
		}
		head.nodeCount -= live
		if err := s.writeRevision(ctx, c, head); err != nil {
			return err
		}
		return s.recount(ctx, c)
	})
	return hidden, err
}

// hide hides all rows that have an id, those of earlier revisions included, and
// returns how many it hid and how many of them are of the head.
func (s *SessionDB) hide(ctx context.Context, c *conn, id lashstore.NodeID) (all, live int64, err error) {
	now, err := s.nodes(ctx, c, ` WHERE node_id=? AND removed_rev IS NULL`, string(id))
	if err != nil {
		return 0, 0, err
	}
	old, err := s.nodes(ctx, c, ` WHERE node_id=? AND removed_rev IS NOT NULL`, string(id))
	if err != nil {
		return 0, 0, err
	}
	for _, r := range append(now, old...) {
		if r.hidden != nodeVisible {
			continue
		}
		r.hidden = nodeHidden
		if err := s.updateNode(ctx, c, r); err != nil {
			return 0, 0, err
		}
		all++
		if !r.removedRev.Valid {
			live++
		}
	}
	return all, live, nil
}

// Vacuum erases the payloads of hidden nodes and shrinks the file.
func (s *SessionDB) Vacuum(ctx context.Context, f lashstore.Fence) (report lashstore.VacuumReport, err error) {
	err = s.write(ctx, "vacuum", func(ctx context.Context, c *conn) error {
		if _, err := s.requireFence(ctx, c, f, s.opts.Now()); err != nil {
			return err
		}
		rows, err := s.nodes(ctx, c, ` WHERE hidden=1`)
		if err != nil {
			return err
		}
		for _, r := range rows {
			r.hidden, r.node.Payload, r.node.CausedBy = nodeErased, nil, nil
			if err := s.updateNode(ctx, c, r); err != nil {
				return err
			}
		}
		report.RemovedNodes = int64(len(rows))
		return nil
	})
	if err != nil {
		return report, err
	}
	report.ReturnedBytes, err = s.db.compact(ctx)
	return report, s.wrap("vacuum", err)
}

// addUsage adds to the totals of a source and model.
func (s *SessionDB) addUsage(ctx context.Context, c *conn, u lashstore.UsageEntry) error {
	if u.Usage.IsZero() {
		return nil
	}
	old, seq, err := s.readUsage(ctx, c, u.Source, u.Model)
	if err != nil {
		return err
	}
	total, ok := old.Add(u.Usage)
	if !ok {
		return lashstore.Invalid("usage", fmt.Sprintf("%+v", u.Usage), "overflows the total of source %q and model %q", u.Source, u.Model)
	}
	cols := usageColumns(u.Source, u.Model, total)
	if seq == 0 {
		if _, err := c.one(ctx, `SELECT count(*)+1 FROM usage`, nil, &seq); err != nil {
			return err
		}
	}
	return c.exec(ctx, `INSERT OR REPLACE INTO usage
		(source, model, input_tokens, output_tokens, cached_input_tokens, reasoning_tokens, sum, seq)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?)`, append(cols, rowSum(cols...), seq)...)
}

func usageColumns(source, model string, u lashstore.TokenUsage) []any {
	return []any{source, model, u.InputTokens, u.OutputTokens, u.CachedInputTokens, u.ReasoningTokens}
}

const usageSelect = `SELECT seq, source, model, input_tokens, output_tokens, cached_input_tokens, reasoning_tokens, sum FROM usage`

func (s *SessionDB) scanUsage(scan func(...any) error) (e lashstore.UsageEntry, seq int64, err error) {
	var sum int64
	u := &e.Usage
	if err := scan(&seq, &e.Source, &e.Model, &u.InputTokens, &u.OutputTokens, &u.CachedInputTokens, &u.ReasoningTokens, &sum); err != nil {
		return e, 0, err
	}
	if sum != rowSum(usageColumns(e.Source, e.Model, e.Usage)...) {
		return e, 0, corrupt(s.id, "usage", e.Source+"/"+e.Model, errSum)
	}
	return e, seq, nil
}

func (s *SessionDB) readUsage(ctx context.Context, c *conn, source, model string) (u lashstore.TokenUsage, seq int64, err error) {
	err = c.each(ctx, usageSelect+` WHERE source=? AND model=?`, []any{source, model}, func(scan func(...any) error) error {
		var e lashstore.UsageEntry
		e, seq, err = s.scanUsage(scan)
		u = e.Usage
		return err
	})
	return u, seq, err
}

func (s *SessionDB) allUsage(ctx context.Context, c *conn) (entries []lashstore.UsageEntry, err error) {
	err = c.each(ctx, usageSelect+` ORDER BY seq`, nil, func(scan func(...any) error) error {
		e, _, err := s.scanUsage(scan)
		entries = append(entries, e)
		return err
	})
	return entries, err
}

// Usage returns the token totals in order of first use.
func (s *SessionDB) Usage(ctx context.Context) (entries []lashstore.UsageEntry, err error) {
	err = s.read(ctx, "read usage", func(ctx context.Context, c *conn) error {
		entries, err = s.allUsage(ctx, c)
		return err
	})
	return entries, err
}
