package metadata

import (
	"context"
	"time"
)

// AuditPhase is how far an audit is.
type AuditPhase int64

// The phases of an audit. It sweeps only after it has marked.
const (
	AuditNone  AuditPhase = 0
	AuditMark  AuditPhase = 1
	AuditSweep AuditPhase = 2
)

// CollectionState is what collections of the tenant remember from one to the next.
type CollectionState struct {
	// Clock is the latest time that a collection has seen.
	Clock     time.Time
	RanAt     time.Time
	AuditedAt time.Time // when the last audit that passed began
	// Stopped, if not empty, says why nothing may be deleted before an audit passed.
	Stopped string
	// Stale says that objects may be gone that rows call present: the catalog was put
	// back from a backup. Until an audit has swept, writers store everything anew.
	Stale bool
	// Audit names the audit that is under way.
	Audit     string
	AuditAt   time.Time
	Phase     AuditPhase
	MarkAfter string // session id up to which it has marked

	Runs, Audits          int64
	Deleted, DeletedBytes int64
}

func (s *CollectionState) columns() []any {
	return []any{
		toMSOrZero(s.Clock), toMSOrZero(s.RanAt), toMSOrZero(s.AuditedAt), s.Stopped, boolInt(s.Stale), s.Audit, toMSOrZero(s.AuditAt),
		int64(s.Phase), s.MarkAfter, s.Runs, s.Audits, s.Deleted, s.DeletedBytes,
	}
}

func toMSOrZero(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return toMS(t)
}

func fromMSOrZero(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return fromMS(ms)
}

func (k *Catalog) readCollection(ctx context.Context, c *conn) (s CollectionState, err error) {
	var clock, ran, audited, auditAt, phase, sum int64
	found, err := c.one(ctx, `SELECT clock_ms, ran_at_ms, audited_at_ms, stopped, stale, audit, audit_at_ms, audit_phase, mark_after,
		runs, audits, deleted, deleted_bytes, sum FROM collection`, nil,
		&clock, &ran, &audited, &s.Stopped, &s.Stale, &s.Audit, &auditAt, &phase, &s.MarkAfter, &s.Runs, &s.Audits, &s.Deleted, &s.DeletedBytes, &sum)
	if err != nil || !found {
		return s, err
	}
	s.Clock, s.RanAt, s.AuditedAt = fromMSOrZero(clock), fromMSOrZero(ran), fromMSOrZero(audited)
	s.AuditAt, s.Phase = fromMSOrZero(auditAt), AuditPhase(phase)
	if sum != rowSum(s.columns()...) || phase < int64(AuditNone) || phase > int64(AuditSweep) {
		return s, corrupt("", "collection", "row", errSum)
	}
	return s, nil
}

// Collection returns what collections remember.
func (k *Catalog) Collection(ctx context.Context) (s CollectionState, err error) {
	err = k.read(ctx, "read the state of collections", func(ctx context.Context, c *conn) error {
		s, err = k.readCollection(ctx, c)
		return err
	})
	return s, err
}

// UpdateCollection changes what collections remember, in one step. If fn fails,
// nothing is changed.
func (k *Catalog) UpdateCollection(ctx context.Context, fn func(*CollectionState) error) error {
	return k.write(ctx, "write the state of collections", func(ctx context.Context, c *conn) error {
		return k.updateCollection(ctx, c, fn)
	})
}

func (k *Catalog) updateCollection(ctx context.Context, c *conn, fn func(*CollectionState) error) error {
	s, err := k.readCollection(ctx, c)
	if err != nil {
		return err
	}
	if err := fn(&s); err != nil {
		return err
	}
	cols := s.columns()
	return c.exec(ctx, `INSERT OR REPLACE INTO collection (one, clock_ms, ran_at_ms, audited_at_ms, stopped, stale, audit,
		audit_at_ms, audit_phase, mark_after, runs, audits, deleted, deleted_bytes, sum)
		VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		append(cols, rowSum(cols...))...)
}

// stale reports whether rows may call objects present that are gone.
func (k *Catalog) stale(ctx context.Context, c *conn) (stale bool, err error) {
	_, err = c.one(ctx, `SELECT stale FROM collection`, nil, &stale)
	return stale, err
}

// distrust is Stop for a catalog that is not the newest. From then on it counts as seen
// up to now: it is the newest there is, and must not be distrusted at each opening.
func (k *Catalog) distrust(ctx context.Context, reason string) error {
	return k.write(ctx, "stop collections", func(ctx context.Context, c *conn) error {
		err := k.updateCollection(ctx, c, func(s *CollectionState) error {
			s.Stopped, s.Stale = reason, true
			s.Audit, s.Phase, s.MarkAfter = "", AuditNone, ""
			return nil
		})
		if err != nil {
			return err
		}
		return c.exec(ctx, `UPDATE sequence SET sequence=max(sequence, ?)`, k.seq.seen)
	})
}

// Stop keeps collections from deleting anything before an audit that begins later
// has passed.
func (k *Catalog) Stop(ctx context.Context, reason string) error {
	return k.UpdateCollection(ctx, func(s *CollectionState) error {
		s.Stopped = reason
		s.Audit, s.Phase, s.MarkAfter = "", AuditNone, ""
		return nil
	})
}
