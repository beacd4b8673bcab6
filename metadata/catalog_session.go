package metadata

import (
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

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
	// ExpiresAt is that of the newest summary; zero means never. Only the session's
	// own database knows whether it still holds.
	ExpiresAt time.Time
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

// catalogRow is a row of the session table.
type catalogRow struct {
	sum   lashstore.SessionSummary
	state int64
}

const catalogSelect = `SELECT session_id, incarnation, state, session_name, model, cwd, relation, parent_id, created_at_ms, updated_at_ms,
	expires_at_ms, head_revision, node_count, first_user_message, user_message_count, sum FROM session`

func (r *catalogRow) columns() ([]any, error) {
	m := &r.sum
	relation, err := encode("relation", m.Relation)
	if err != nil {
		return nil, err
	}
	return []any{
		string(m.SessionID), string(m.Incarnation), r.state, m.SessionName, m.Model, nullPtr(m.Cwd), relation,
		string(m.Relation.ParentSessionID), toMS(m.CreatedAt), toMS(m.UpdatedAt), nullTime(m.ExpiresAt),
		counter(m.HeadRevision), m.NodeCount, m.FirstUserMessage, m.UserMessageCount,
	}, nil
}

// nullTime is the value of a nullable column of milliseconds; the zero time is null.
func nullTime(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return toMS(t)
}

func (k *Catalog) writeSession(ctx context.Context, c *conn, r *catalogRow) error {
	cols, err := r.columns()
	if err != nil {
		return err
	}
	return c.exec(ctx, `INSERT OR REPLACE INTO session (session_id, incarnation, state, session_name, model, cwd, relation, parent_id,
		created_at_ms, updated_at_ms, expires_at_ms, head_revision, node_count, first_user_message, user_message_count, sum)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, append(cols, rowSum(cols...))...)
}

func scanSession(scan func(...any) error) (*catalogRow, error) {
	var (
		r                          catalogRow
		m                          = &r.sum
		id, inc, relation, parent  string
		cwd                        sql.NullString
		expires                    sql.NullInt64
		created, updated, rev, sum int64
	)
	err := scan(&id, &inc, &r.state, &m.SessionName, &m.Model, &cwd, &relation, &parent, &created, &updated, &expires,
		&rev, &m.NodeCount, &m.FirstUserMessage, &m.UserMessageCount, &sum)
	if err != nil {
		return nil, err
	}
	if sum != rowSum(id, inc, r.state, m.SessionName, m.Model, nullString(cwd), relation, parent, created, updated, nullInt(expires),
		rev, m.NodeCount, m.FirstUserMessage, m.UserMessageCount) {
		return nil, corrupt(lashstore.SessionID(id), "catalog session", id, errSum)
	}
	m.SessionID, m.Incarnation = lashstore.SessionID(id), lashstore.Incarnation(inc)
	m.CreatedAt, m.UpdatedAt, m.ExpiresAt = fromMS(created), fromMS(updated), fromMS(expires.Int64)
	if cwd.Valid {
		m.Cwd = &cwd.String
	}
	if m.HeadRevision, err = unsigned[lashstore.Revision](rev); err != nil {
		return nil, corrupt(m.SessionID, "catalog session", id, err)
	}
	if err := lashstore.DecodeStrict([]byte(relation), &m.Relation); err != nil {
		return nil, corrupt(m.SessionID, "catalog session", id, err)
	}
	return &r, nil
}

// sessionRow returns the row of an id, or nil.
func (k *Catalog) sessionRow(ctx context.Context, c *conn, id lashstore.SessionID) (row *catalogRow, err error) {
	err = c.each(ctx, catalogSelect+` WHERE session_id=?`, []any{string(id)}, func(scan func(...any) error) error {
		row, err = scanSession(scan)
		return err
	})
	return row, err
}

// admission is what a row says of a session's existence.
func (r *catalogRow) admission() (SessionRow, error) {
	state, err := stateOf(r.state)
	if err != nil {
		return SessionRow{}, corrupt(r.sum.SessionID, "catalog session", r.sum.SessionID, err)
	}
	return SessionRow{
		Meta: lashstore.SessionMeta{
			SessionID: r.sum.SessionID, SessionName: r.sum.SessionName, CreatedAt: r.sum.CreatedAt,
			Model: r.sum.Model, Cwd: r.sum.Cwd, Relation: r.sum.Relation, TTL: r.ttl(),
		},
		Incarnation:  r.sum.Incarnation,
		State:        state,
		HeadRevision: r.sum.HeadRevision,
		ExpiresAt:    r.sum.ExpiresAt,
	}, nil
}

// ttl is the time to live that the expiry was made with.
func (r *catalogRow) ttl() time.Duration {
	if r.sum.ExpiresAt.IsZero() {
		return 0
	}
	return time.Duration(toMS(r.sum.ExpiresAt)-toMS(r.sum.UpdatedAt)) * time.Millisecond
}

// Session returns the admission of an id; found is false if it was never used.
func (k *Catalog) Session(ctx context.Context, id lashstore.SessionID) (row SessionRow, found bool, err error) {
	err = k.read(ctx, "find a session", func(ctx context.Context, c *conn) error {
		r, err := k.sessionRow(ctx, c, id)
		if err != nil || r == nil {
			return err
		}
		found = true
		row, err = r.admission()
		return err
	})
	return row, found, err
}

// Admit admits a session, in one step, unless the id is in use. The row returned is
// the one that holds; admitted says whether this call made it. A deleted id is
// admitted again only if recreate is set; until then its row is returned.
func (k *Catalog) Admit(ctx context.Context, m lashstore.SessionMeta, recreate bool) (row SessionRow, admitted bool, err error) {
	m = normalizeMeta(m)
	err = k.write(ctx, "admit a session", func(ctx context.Context, c *conn) error {
		admitted = false
		existing, err := k.sessionRow(ctx, c, m.SessionID)
		if err != nil {
			return err
		}
		if existing != nil {
			if row, err = existing.admission(); err != nil || row.State != SessionDeleted || !recreate {
				return err
			}
		}
		created := m.CreatedAt
		if created.IsZero() {
			created = k.opts.Now()
		}
		created = fromMS(toMS(created))
		inc, err := NewIncarnation(k.opts.Rand)
		if err != nil {
			return err
		}
		fresh := &catalogRow{state: sessionCreating, sum: lashstore.SessionSummary{
			SessionPickerInfo: lashstore.SessionPickerInfo{SessionID: m.SessionID, Cwd: m.Cwd, Relation: m.Relation},
			SessionName:       m.SessionName, Model: m.Model, Incarnation: inc, CreatedAt: created, UpdatedAt: created,
			ExpiresAt: m.ExpiresAt(created),
		}}
		admitted = true
		if row, err = fresh.admission(); err != nil {
			return err
		}
		return k.writeSession(ctx, c, fresh)
	})
	return row, admitted, err
}

// SetState moves an incarnation of a session on: from creating to live, to
// deleting, to deleted. A session that is further on, or gone, is left alone.
func (k *Catalog) SetState(ctx context.Context, id lashstore.SessionID, inc lashstore.Incarnation, state SessionState) error {
	to := map[SessionState]int64{SessionLive: sessionLive, SessionDeleting: sessionDeleting, SessionDeleted: sessionDeleted}[state]
	return k.write(ctx, "mark a session "+string(state), func(ctx context.Context, c *conn) error {
		r, err := k.sessionRow(ctx, c, id)
		if err != nil || r == nil || r.sum.Incarnation != inc || r.state >= to {
			return err
		}
		r.state = to
		return k.writeSession(ctx, c, r)
	})
}

// Refresh stores newer summaries of sessions; older ones than are known are ignored.
func (k *Catalog) Refresh(ctx context.Context, sums []lashstore.SessionSummary) error {
	if len(sums) == 0 {
		return nil
	}
	return k.write(ctx, "refresh summaries", func(ctx context.Context, c *conn) error {
		for _, sum := range sums {
			r, err := k.sessionRow(ctx, c, sum.SessionID)
			if err != nil {
				return err
			}
			if r == nil || r.sum.Incarnation != sum.Incarnation || r.sum.HeadRevision > sum.HeadRevision {
				continue
			}
			r.sum = sum
			if err := k.writeSession(ctx, c, r); err != nil {
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
	listSelect    = catalogSelect + ` WHERE state IN (0,1)`
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
			r, err := scanSession(scan)
			if err == nil {
				page.Sessions = append(page.Sessions, r.sum)
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
