package metadata

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/lashstore/lashstore"
)

// writeMeta writes the metadata, and leaves what the picker shows alone.
func (s *SessionDB) writeMeta(ctx context.Context, c *conn, m lashstore.SessionMeta) error {
	relation, err := encode("relation", m.Relation)
	if err != nil {
		return err
	}
	created, ttl := toMS(m.CreatedAt), m.TTL.Milliseconds()
	sum := metaSum(string(s.id), string(s.incarnation), 0, m.SessionName, m.Model, nullPtr(m.Cwd), relation, created, ttl)
	return c.exec(ctx, `INSERT INTO meta
		(one, session_id, incarnation, session_name, model, cwd, relation, created_at_ms, ttl_ms, sum, picker_sum)
		VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT(one) DO UPDATE SET session_name=excluded.session_name, model=excluded.model, cwd=excluded.cwd,
		relation=excluded.relation, created_at_ms=excluded.created_at_ms, ttl_ms=excluded.ttl_ms, sum=excluded.sum`,
		string(s.id), string(s.incarnation), m.SessionName, m.Model, nullPtr(m.Cwd), relation, created, ttl, sum, picker{}.sum())
}

func metaSum(id, inc string, deleted int64, name, model string, cwd any, relation string, created, ttl int64) int64 {
	return rowSum(id, inc, deleted, name, model, cwd, relation, created, ttl)
}

func (s *SessionDB) readMeta(ctx context.Context, c *conn) (lashstore.SessionMeta, error) {
	var (
		m                 lashstore.SessionMeta
		id, inc, relation string
		cwd               sql.NullString
		created, ttl, sum int64
		deleted           int64
	)
	found, err := c.one(ctx, `SELECT session_id, incarnation, deleted, session_name, model, cwd, relation, created_at_ms, ttl_ms, sum FROM meta`,
		nil, &id, &inc, &deleted, &m.SessionName, &m.Model, &cwd, &relation, &created, &ttl, &sum)
	if err != nil {
		return m, err
	}
	if cwd.Valid {
		m.Cwd = &cwd.String
	}
	if !found {
		return m, corrupt(s.id, "meta", "row", errMissing)
	}
	if sum != metaSum(id, inc, deleted, m.SessionName, m.Model, nullPtr(m.Cwd), relation, created, ttl) {
		return m, corrupt(s.id, "meta", "row", errSum)
	}
	if err := lashstore.DecodeStrict([]byte(relation), &m.Relation); err != nil {
		return m, corrupt(s.id, "meta", "relation", err)
	}
	m.SessionID, m.CreatedAt, m.TTL = lashstore.SessionID(id), fromMS(created), time.Duration(ttl)*time.Millisecond
	return m, nil
}

// Meta returns the metadata.
func (s *SessionDB) Meta(ctx context.Context) (m lashstore.SessionMeta, err error) {
	err = s.read(ctx, "read metadata", func(ctx context.Context, c *conn) error {
		m, err = s.readMeta(ctx, c)
		return err
	})
	return m, err
}

// SetMeta replaces the metadata. The creation time may be left out.
func (s *SessionDB) SetMeta(ctx context.Context, m lashstore.SessionMeta) error {
	if m.SessionID != s.id {
		return &lashstore.WrongSessionError{Bound: s.id, Attempted: m.SessionID}
	}
	if err := m.Validate(); err != nil {
		return err
	}
	m = normalizeMeta(m)
	return s.write(ctx, "set metadata", func(ctx context.Context, c *conn) error {
		old, err := s.readMeta(ctx, c)
		if err != nil {
			return err
		}
		if m.CreatedAt.IsZero() {
			m.CreatedAt = old.CreatedAt
		}
		return s.writeMeta(ctx, c, m)
	})
}

// normalizeMeta fills in what an empty field means.
func normalizeMeta(m lashstore.SessionMeta) lashstore.SessionMeta {
	if m.SessionName == "" {
		m.SessionName = string(m.SessionID)
	}
	if m.Relation.Kind == "" {
		m.Relation.Kind = lashstore.RelationRoot
	}
	return m
}

// picker is what session lists show of the messages.
type picker struct {
	userMessages int64
	firstSeq     sql.NullInt64
	firstText    string
}

func (p picker) sum() int64 { return rowSum(p.userMessages, nullInt(p.firstSeq), p.firstText) }

func (s *SessionDB) readPicker(ctx context.Context, c *conn) (p picker, err error) {
	var sum int64
	found, err := c.one(ctx, `SELECT user_messages, first_seq, first_text, picker_sum FROM meta`,
		nil, &p.userMessages, &p.firstSeq, &p.firstText, &sum)
	switch {
	case err != nil:
		return p, err
	case !found:
		return p, corrupt(s.id, "meta", "row", errMissing)
	case sum != p.sum():
		return p, corrupt(s.id, "picker", "row", errSum)
	}
	return p, nil
}

func (s *SessionDB) writePicker(ctx context.Context, c *conn, p picker) error {
	return c.exec(ctx, `UPDATE meta SET user_messages=?, first_seq=?, first_text=?, picker_sum=?`,
		p.userMessages, nullInt(p.firstSeq), p.firstText, p.sum())
}

// add counts a new user message.
func (p *picker) add(seq int64, text string) {
	p.userMessages++
	if !p.firstSeq.Valid {
		p.firstSeq = sql.NullInt64{Int64: seq, Valid: true}
		p.firstText = shorten(text)
	}
}

// shorten cuts a text at a rune boundary.
func shorten(text string) string {
	if len(text) <= lashstore.MaxDisplayBytes {
		return text
	}
	return strings.ToValidUTF8(text[:lashstore.MaxDisplayBytes], "")
}

// recount rebuilds the picker from the visible nodes, after some were hidden or
// replaced.
func (s *SessionDB) recount(ctx context.Context, c *conn) error {
	var p picker
	const visible = `FROM node WHERE removed_rev IS NULL AND hidden=0 AND user_message=1`
	if _, err := c.one(ctx, `SELECT count(*) `+visible, nil, &p.userMessages); err != nil {
		return err
	}
	err := c.each(ctx, nodeSelect+visible[len(`FROM node`):]+` ORDER BY seq LIMIT 1`, nil, func(scan func(...any) error) error {
		row, err := s.scanNode(scan)
		if err != nil {
			return err
		}
		msg, err := row.node.Message()
		if err != nil || msg == nil {
			return corrupt(s.id, "node", row.node.NodeID, fmt.Errorf("it is not a user message: %w", err))
		}
		p.firstSeq, p.firstText = sql.NullInt64{Int64: row.seq, Valid: true}, shorten(msg.Text())
		return nil
	})
	if err != nil {
		return err
	}
	return s.writePicker(ctx, c, p)
}

// PickerInfo returns what a list of sessions shows.
func (s *SessionDB) PickerInfo(ctx context.Context) (info lashstore.SessionPickerInfo, err error) {
	err = s.read(ctx, "read picker information", func(ctx context.Context, c *conn) error {
		m, err := s.readMeta(ctx, c)
		if err != nil {
			return err
		}
		p, err := s.readPicker(ctx, c)
		if err != nil {
			return err
		}
		info = pickerInfo(m, p)
		return nil
	})
	return info, err
}

func pickerInfo(m lashstore.SessionMeta, p picker) lashstore.SessionPickerInfo {
	return lashstore.SessionPickerInfo{
		SessionID: m.SessionID, Cwd: m.Cwd, Relation: m.Relation,
		FirstUserMessage: p.firstText, UserMessageCount: p.userMessages,
	}
}

// Summary returns what the catalog keeps of the session, and whether the session
// has blob edges to let go of.
func (s *SessionDB) Summary(ctx context.Context) (sum lashstore.SessionSummary, unsettled bool, err error) {
	err = s.read(ctx, "summarise", func(ctx context.Context, c *conn) error {
		m, err := s.readMeta(ctx, c)
		if err != nil {
			return err
		}
		p, err := s.readPicker(ctx, c)
		if err != nil {
			return err
		}
		head, err := s.headRow(ctx, c)
		if err != nil {
			return err
		}
		sum = lashstore.SessionSummary{
			SessionPickerInfo: pickerInfo(m, p),
			SessionName:       m.SessionName,
			Model:             m.Model,
			Incarnation:       s.incarnation,
			CreatedAt:         m.CreatedAt,
			UpdatedAt:         m.CreatedAt,
		}
		if head != nil {
			sum.UpdatedAt, sum.HeadRevision, sum.NodeCount = head.committedAt, head.revision, head.nodeCount
		}
		sum.ExpiresAt = m.ExpiresAt(sum.UpdatedAt)
		unsettled, err = c.one(ctx, `SELECT 1 FROM outbox LIMIT 1`, nil, new(int64))
		return err
	})
	return sum, unsettled, err
}
