package metadata

import (
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"fmt"

	"github.com/lashstore/lashstore"
)

// States of a session in the catalog.
const (
	sessionCreating = 0 // admitted; its file may not exist yet
	sessionLive     = 1
	sessionDeleting = 2 // marked; edges or files may be left
	sessionDeleted  = 3 // only the memory of the id is left
)

// SessionState says what is to be done with a session of the catalog.
type SessionState string

// The states of a session.
const (
	SessionCreating SessionState = "creating"
	SessionLive     SessionState = "live"
	SessionDeleting SessionState = "deleting"
	SessionDeleted  SessionState = "deleted"
)

// SessionRow is the admission of a session.
type SessionRow struct {
	Meta        lashstore.SessionMeta // as at its creation
	Incarnation lashstore.Incarnation
	State       SessionState
	// HeadRevision is that of the newest summary.
	HeadRevision lashstore.Revision
}

func stateOf(n int64) (SessionState, error) {
	switch n {
	case sessionCreating:
		return SessionCreating, nil
	case sessionLive:
		return SessionLive, nil
	case sessionDeleting:
		return SessionDeleting, nil
	case sessionDeleted:
		return SessionDeleted, nil
	default:
		return "", fmt.Errorf("unknown state %d", n)
	}
}

// Session returns the admission of an id; found is false if it was never used.
func (k *Catalog) Session(ctx context.Context, id lashstore.SessionID) (row SessionRow, found bool, err error) {
	err = k.read(ctx, "find a session", func(ctx context.Context, c *conn) error {
		row, found, err = k.session(ctx, c, id)
		return err
	})
	return row, found, err
}

func (k *Catalog) session(ctx context.Context, c *conn, id lashstore.SessionID) (row SessionRow, found bool, err error) {
	var (
		inc, relation  string
		cwd            sql.NullString
		state, created int64
		head           int64
	)
	m := &row.Meta
	m.SessionID = id
	found, err = c.one(ctx, `SELECT incarnation, state, session_name, model, cwd, relation, created_at_ms, head_revision FROM session WHERE session_id=?`,
		[]any{string(id)}, &inc, &state, &m.SessionName, &m.Model, &cwd, &relation, &created, &head)
	if err != nil || !found {
		return row, false, err
	}
	if cwd.Valid {
		m.Cwd = &cwd.String
	}
	row.Incarnation, m.CreatedAt = lashstore.Incarnation(inc), fromMS(created)
	if row.State, err = stateOf(state); err != nil {
		return row, true, corrupt(id, "catalog session", id, err)
	}
	if row.HeadRevision, err = unsigned[lashstore.Revision](head); err != nil {
		return row, true, corrupt(id, "catalog session", id, err)
	}
	if err := lashstore.DecodeStrict([]byte(relation), &m.Relation); err != nil {
		return row, true, corrupt(id, "catalog session", id, err)
	}
	return row, true, nil
}

// Admit admits a session, in one step, unless the id is in use. The row returned is
// the one that holds; admitted says whether this call made it. A deleted id is
// admitted again only if recreate is set; until then its row is returned.
func (k *Catalog) Admit(ctx context.Context, m lashstore.SessionMeta, recreate bool) (row SessionRow, admitted bool, err error) {
	m = normalizeMeta(m)
	err = k.write(ctx, "admit a session", func(ctx context.Context, c *conn) error {
		admitted = false
		existing, found, err := k.session(ctx, c, m.SessionID)
		if err != nil {
			return err
		}
		row = existing
		if found && (existing.State != SessionDeleted || !recreate) {
			return nil
		}
		now := k.opts.Now()
		if m.CreatedAt.IsZero() {
			m.CreatedAt = now
		}
		m.CreatedAt = fromMS(toMS(m.CreatedAt))
		inc, err := NewIncarnation(k.opts.Rand)
		if err != nil {
			return err
		}
		relation, err := encode("relation", m.Relation)
		if err != nil {
			return err
		}
		admitted = true
		row = SessionRow{Meta: m, Incarnation: inc, State: SessionCreating}
		return c.exec(ctx, `INSERT OR REPLACE INTO session (session_id, incarnation, state, session_name, model, cwd, relation, parent_id,
			created_at_ms, updated_at_ms, head_revision, node_count, first_user_message, user_message_count)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, '', 0)`,
			string(m.SessionID), string(inc), int64(sessionCreating), m.SessionName, m.Model, nullPtr(m.Cwd), relation,
			string(m.Relation.ParentSessionID), toMS(m.CreatedAt), toMS(m.CreatedAt))
	})
	return row, admitted, err
}

// SetState moves an incarnation of a session on: from creating to live, to
// deleting, to deleted. A session that is further on, or gone, is left alone.
func (k *Catalog) SetState(ctx context.Context, id lashstore.SessionID, inc lashstore.Incarnation, state SessionState) error {
	to := map[SessionState]int64{SessionLive: sessionLive, SessionDeleting: sessionDeleting, SessionDeleted: sessionDeleted}[state]
	return k.write(ctx, "mark a session "+string(state), func(ctx context.Context, c *conn) error {
		return c.exec(ctx, `UPDATE session SET state=? WHERE session_id=? AND incarnation=? AND state<?`, to, string(id), string(inc), to)
	})
}

// Refresh stores newer summaries of sessions; older ones than are known are ignored.
func (k *Catalog) Refresh(ctx context.Context, sums []lashstore.SessionSummary) error {
	if len(sums) == 0 {
		return nil
	}
	return k.write(ctx, "refresh summaries", func(ctx context.Context, c *conn) error {
		for i := range sums {
			sum := &sums[i]
			relation, err := encode("relation", sum.Relation)
			if err != nil {
				return err
			}
			err = c.exec(ctx, `UPDATE session SET session_name=?, model=?, cwd=?, relation=?, parent_id=?, created_at_ms=?, updated_at_ms=?,
				head_revision=?, node_count=?, first_user_message=?, user_message_count=?
				WHERE session_id=? AND incarnation=? AND head_revision<=?`,
				sum.SessionName, sum.Model, nullPtr(sum.Cwd), relation, string(sum.Relation.ParentSessionID), toMS(sum.CreatedAt),
				toMS(sum.UpdatedAt), counter(sum.HeadRevision), sum.NodeCount, sum.FirstUserMessage, sum.UserMessageCount,
				string(sum.SessionID), string(sum.Incarnation), counter(sum.HeadRevision))
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// listCursor is the position after a page. It is encoded, not signed: a forged one
// selects another place in the caller's own list and nothing else.
type listCursor struct {
	Order  lashstore.SessionOrder `json:"o"`
	Parent lashstore.SessionID    `json:"p,omitempty"`
	At     int64                  `json:"t,omitempty"`
	ID     lashstore.SessionID    `json:"i"`
}

func (c listCursor) encode() (string, error) {
	raw, err := json.Marshal(c)
	if err != nil {
		return "", fmt.Errorf("encode a cursor: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(raw), nil
}

// parseCursor reads the cursor of a list, which must be of the same order and
// parent.
func parseCursor(list lashstore.ListSessions) (cur listCursor, err error) {
	if list.Cursor == "" {
		return cur, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(list.Cursor)
	if err == nil {
		err = lashstore.DecodeStrict(raw, &cur)
	}
	if err != nil || cur.Order != list.Order || cur.Parent != list.Parent || cur.ID.Validate() != nil {
		return cur, lashstore.Invalid("cursor", list.Cursor, "was not returned by this list")
	}
	return cur, nil
}

// The queries of a list: the condition that continues after a cursor, and the
// order. A first page starts after the greatest possible position.
const (
	listSelect = `SELECT session_id, incarnation, session_name, model, cwd, relation, created_at_ms, updated_at_ms,
		head_revision, node_count, first_user_message, user_message_count FROM session WHERE state IN (0,1)`
	listByParent  = ` AND parent_id=? AND parent_id<>''`
	listByID      = ` AND session_id>? ORDER BY session_id LIMIT ?`
	listByUpdated = ` AND (updated_at_ms, session_id)<(?, ?) ORDER BY updated_at_ms DESC, session_id DESC LIMIT ?`
)

// ListSessions returns one page of the sessions that are not deleted.
func (k *Catalog) ListSessions(ctx context.Context, list lashstore.ListSessions) (page lashstore.SessionPage, err error) {
	if err := list.Validate(); err != nil {
		return page, err
	}
	if list.Order == "" {
		list.Order = lashstore.OrderUpdated
	}
	cur, err := parseCursor(list)
	if err != nil {
		return page, err
	}
	limit := limitOf(list.Limit)
	query, args := listSelect, []any(nil)
	if list.Parent != "" {
		query, args = query+listByParent, append(args, string(list.Parent))
	}
	if list.Order == lashstore.OrderID {
		query, args = query+listByID, append(args, string(cur.ID), limit+1)
	} else {
		at := cur.At
		if list.Cursor == "" {
			at = lashstore.MaxCounter
		}
		query, args = query+listByUpdated, append(args, at, string(cur.ID), limit+1)
	}
	err = k.read(ctx, "list sessions", func(ctx context.Context, c *conn) error {
		return c.each(ctx, query, args, func(scan func(...any) error) error {
			sum, err := scanSummary(scan)
			if err == nil {
				page.Sessions = append(page.Sessions, sum)
			}
			return err
		})
	})
	if err != nil || int64(len(page.Sessions)) <= limit {
		return page, err
	}
	page.Sessions = page.Sessions[:limit]
	last := page.Sessions[limit-1]
	page.NextCursor, err = listCursor{Order: list.Order, Parent: list.Parent, At: toMS(last.UpdatedAt), ID: last.SessionID}.encode()
	return page, err
}

func scanSummary(scan func(...any) error) (sum lashstore.SessionSummary, err error) {
	var (
		id, inc, relation         string
		cwd                       sql.NullString
		created, updated, headRev int64
	)
	err = scan(&id, &inc, &sum.SessionName, &sum.Model, &cwd, &relation, &created, &updated,
		&headRev, &sum.NodeCount, &sum.FirstUserMessage, &sum.UserMessageCount)
	if err != nil {
		return sum, err
	}
	sum.SessionID, sum.Incarnation = lashstore.SessionID(id), lashstore.Incarnation(inc)
	sum.CreatedAt, sum.UpdatedAt = fromMS(created), fromMS(updated)
	if cwd.Valid {
		sum.Cwd = &cwd.String
	}
	if sum.HeadRevision, err = unsigned[lashstore.Revision](headRev); err != nil {
		return sum, corrupt(sum.SessionID, "catalog session", id, err)
	}
	if err := lashstore.DecodeStrict([]byte(relation), &sum.Relation); err != nil {
		return sum, corrupt(sum.SessionID, "catalog session", id, err)
	}
	return sum, nil
}
