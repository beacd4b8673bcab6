package metadata

import (
	"context"
	"time"

	"github.com/lashstore/lashstore"
)

// Sessions expire in two steps. The catalog, whose expiry may be older or newer than
// the session's, only proposes; the session's own database, which every commit,
// claim and enqueue passes through, decides. So an expiry that lags behind costs a
// question, never a session.

// expiredQuery walks the index of sessions that expire at all in the order of their
// ids, so that a page costs no sorting and starts where the last one ended.
const expiredQuery = catalogSelect + ` WHERE state IN (0,1) AND expires_at_ms<=? AND session_id>? ORDER BY session_id LIMIT ?`

// ExpiredSessions returns up to limit sessions, live or being created, whose expiry
// in the catalog is at or before now, by id and after the given one; empty starts
// at the first. A limit of 0 means [lashstore.DefaultListLimit].
//
// The catalog's expiry may lag behind the session's: [SessionDB.MarkExpired] decides.
// A session whose database says otherwise is proposed again until a [Catalog.Refresh].
//
// Errors: [lashstore.ErrInvalid], [lashstore.ErrCorruptRecord], [lashstore.ErrStorage].
func (k *Catalog) ExpiredSessions(ctx context.Context, now time.Time, after lashstore.SessionID, limit int) (rows []SessionRow, err error) {
	if limit < 0 || limit > lashstore.MaxListLimit {
		return nil, lashstore.Invalid("limit", limit, "is not within 0 to %d", lashstore.MaxListLimit)
	}
	args := []any{toMS(now), string(after), limitOf(limit)}
	err = k.read(ctx, "list expired sessions", func(ctx context.Context, c *conn) error {
		return c.each(ctx, expiredQuery, args, func(scan func(...any) error) error {
			r, err := scanSession(scan)
			if err != nil {
				return err
			}
			row, err := r.admission()
			if err == nil {
				rows = append(rows, row)
			}
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	return rows, nil
}

// Expiry is the answer of [SessionDB.MarkExpired].
type Expiry string

// The answers.
const (
	Expired      Expiry = "expired" // marked as deleted, by this call
	ExpiryNotDue Expiry = "not_due" // no time to live, or not over
	ExpiryLeased Expiry = "leased"  // somebody holds the lease
	ExpiryQueued Expiry = "queued"  // work is queued, claimed or not
)

// MarkExpired marks the session as deleted, as MarkDeleted does, if at now its time
// to live is over, counted from the last commit or else from the creation, nobody
// holds the lease and no batch is queued. Otherwise it changes nothing and says why;
// of several reasons, the first in the order of the answers. All of it is one write
// transaction: a commit, a claim or a batch comes first and keeps the session, or
// comes after and fails with [lashstore.ErrSessionDeleted].
//
// Errors: [lashstore.ErrSessionDeleted] if the session was marked before, perhaps by
// an expiry that was interrupted afterwards; its deletion is then to be completed.
// [lashstore.ErrCorruptRecord], [lashstore.ErrStorage].
func (s *SessionDB) MarkExpired(ctx context.Context, now time.Time) (answer Expiry, err error) {
	err = s.write(ctx, "expire", func(ctx context.Context, c *conn) error {
		m, err := s.readMeta(ctx, c)
		if err != nil {
			return err
		}
		answer, err = s.judgeExpiry(ctx, c, m, now)
		if err != nil || answer != Expired {
			return err
		}
		return s.writeDeleted(ctx, c, m)
	})
	if err != nil {
		return "", err
	}
	return answer, nil
}

// judgeExpiry says whether the session, whose metadata is m, may be deleted.
func (s *SessionDB) judgeExpiry(ctx context.Context, c *conn, m lashstore.SessionMeta, now time.Time) (Expiry, error) {
	if m.TTL == 0 {
		return ExpiryNotDue, nil
	}
	head, err := s.headRow(ctx, c)
	if err != nil {
		return "", err
	}
	updated := m.CreatedAt
	if head != nil {
		updated = head.committedAt
	}
	if now.Before(m.ExpiresAt(updated)) {
		return ExpiryNotDue, nil
	}
	lease, err := s.readLease(ctx, c)
	if err != nil {
		return "", err
	}
	if lease.live(now) {
		return ExpiryLeased, nil
	}
	queued, err := c.one(ctx, `SELECT 1 FROM batch LIMIT 1`, nil, new(int64))
	if err != nil {
		return "", err
	}
	if queued {
		return ExpiryQueued, nil
	}
	return Expired, nil
}
