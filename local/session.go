package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync/atomic"
	"time"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/metadata"
)

// session is a handle on one incarnation of a session. It holds no file: each call
// takes the database from the cache and gives it back.
type session struct {
	store  *Store
	key    cacheKey
	closed atomic.Bool
}

var _ lashstore.Session = (*session)(nil)

func (h *session) ID() lashstore.SessionID            { return h.key.id }
func (h *session) Incarnation() lashstore.Incarnation { return h.key.incarnation }
func (h *session) touch()                             { h.store.settler.touch(h.key) }
func (h *session) holder() metadata.Holder {
	return metadata.SessionHolder(h.key.id, h.key.incarnation)
}

func (h *session) errorf(op string, err error) error {
	return fmt.Errorf("%s: session %q: %w", op, h.key.id, err)
}
func (h *session) Close() error { h.closed.Store(true); return nil }

// with runs fn on the session's database.
func (h *session) with(ctx context.Context, fn func(context.Context, *metadata.SessionDB) error) (err error) {
	if err := ctx.Err(); err != nil {
		return h.errorf("call", err)
	}
	e, err := h.store.cache.acquire(ctx, h.key)
	if err != nil {
		return h.store.explainMissing(ctx, h.key, err)
	}
	defer h.store.cache.release(e)
	if err = fn(ctx, e.db); errors.Is(err, lashstore.ErrStorage) {
		err = h.store.explainMissing(ctx, h.key, metadata.NoteMissing(e.db.Path(), err))
	}
	return err
}

// explainMissing turns the failure to open a session's file into the reason why it
// is not there.
func (s *Store) explainMissing(ctx context.Context, key cacheKey, err error) error {
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	row, found, lookupErr := s.catalog.Session(ctx, key.id)
	if lookupErr != nil {
		return errors.Join(err, lookupErr)
	}
	if !found || row.Incarnation != key.incarnation || row.State == metadata.SessionDeleting || row.State == metadata.SessionDeleted {
		return fmt.Errorf("session %q: %w", key.id, lashstore.ErrSessionDeleted)
	}
	return err
}

// read runs a counted read.
func (h *session) read(ctx context.Context, op string, fn func(context.Context, *metadata.SessionDB) error) error {
	return h.store.observed(op, func() error {
		if h.closed.Load() {
			return h.errorf(op, lashstore.ErrClosed)
		}
		return h.with(ctx, fn)
	})
}

// write runs a counted write, paced so that not too many flush the disk at once.
func (h *session) write(ctx context.Context, op string, fn func(context.Context, *metadata.SessionDB) error) error {
	return h.store.observed(op, func() error {
		switch {
		case h.closed.Load():
			return h.errorf(op, lashstore.ErrClosed)
		case h.key.readOnly:
			return h.errorf(op, lashstore.ErrReadOnly)
		}
		return h.with(ctx, fn)
	})
}

// flush runs the part of a write that makes a transaction durable.
func (s *Store) flush(ctx context.Context, fn func() error) error {
	select {
	case s.flushes <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("wait for other writes: %w", ctx.Err())
	}
	defer func() { <-s.flushes }()
	return fn()
}

// simple is a write that is one transaction and needs no blobs.
func (h *session) simple(ctx context.Context, op string, fn func(context.Context, *metadata.SessionDB) error) error {
	return h.write(ctx, op, func(ctx context.Context, db *metadata.SessionDB) error {
		return h.store.flush(ctx, func() error { return fn(ctx, db) })
	})
}

func (h *session) Meta(ctx context.Context) (m lashstore.SessionMeta, err error) {
	err = h.read(ctx, "meta", func(ctx context.Context, db *metadata.SessionDB) error {
		m, err = db.Meta(ctx)
		return err
	})
	return m, err
}

func (h *session) SetMeta(ctx context.Context, m lashstore.SessionMeta) error {
	err := h.simple(ctx, "set_meta", func(ctx context.Context, db *metadata.SessionDB) error { return db.SetMeta(ctx, m) })
	if err == nil {
		h.touch()
	}
	return err
}

func (h *session) PickerInfo(ctx context.Context) (info lashstore.SessionPickerInfo, err error) {
	err = h.read(ctx, "picker_info", func(ctx context.Context, db *metadata.SessionDB) error {
		info, err = db.PickerInfo(ctx)
		return err
	})
	return info, err
}

func (h *session) Head(ctx context.Context) (head lashstore.Head, err error) {
	err = h.read(ctx, "head", func(ctx context.Context, db *metadata.SessionDB) error {
		head, err = db.Head(ctx)
		return err
	})
	return head, err
}

func (h *session) Node(ctx context.Context, id lashstore.NodeID) (n lashstore.Node, err error) {
	err = h.read(ctx, "node", func(ctx context.Context, db *metadata.SessionDB) error {
		n, err = db.Node(ctx, id)
		return err
	})
	return n, err
}

func (h *session) Usage(ctx context.Context) (u []lashstore.UsageEntry, err error) {
	err = h.read(ctx, "usage", func(ctx context.Context, db *metadata.SessionDB) error {
		u, err = db.Usage(ctx)
		return err
	})
	return u, err
}

func (h *session) Revisions(ctx context.Context, list lashstore.ListRevisions) (r []lashstore.RevisionInfo, err error) {
	err = h.read(ctx, "revisions", func(ctx context.Context, db *metadata.SessionDB) error {
		r, err = db.Revisions(ctx, list)
		return err
	})
	return r, err
}

func (h *session) Tombstone(ctx context.Context, f lashstore.Fence, ids []lashstore.NodeID) (n int, err error) {
	err = h.simple(ctx, "tombstone", func(ctx context.Context, db *metadata.SessionDB) error {
		n, err = db.Tombstone(ctx, f, ids)
		return err
	})
	if err == nil {
		h.touch()
	}
	return n, err
}

func (h *session) Vacuum(ctx context.Context, f lashstore.Fence) (r lashstore.VacuumReport, err error) {
	err = h.simple(ctx, "vacuum", func(ctx context.Context, db *metadata.SessionDB) error {
		r, err = db.Vacuum(ctx, f)
		return err
	})
	return r, err
}

func (h *session) ClaimLease(ctx context.Context, o lashstore.Owner, ttl time.Duration) (l lashstore.Lease, err error) {
	err = h.simple(ctx, "claim_lease", func(ctx context.Context, db *metadata.SessionDB) error {
		l, err = db.ClaimLease(ctx, o, ttl)
		return err
	})
	return l, err
}

func (h *session) ReclaimLease(ctx context.Context, o lashstore.Owner, observed lashstore.LeaseHolder, ttl time.Duration) (l lashstore.Lease, err error) {
	err = h.simple(ctx, "reclaim_lease", func(ctx context.Context, db *metadata.SessionDB) error {
		l, err = db.ReclaimLease(ctx, o, observed, ttl)
		return err
	})
	return l, err
}

func (h *session) RenewLease(ctx context.Context, f lashstore.Fence, ttl time.Duration) (l lashstore.Lease, err error) {
	err = h.simple(ctx, "renew_lease", func(ctx context.Context, db *metadata.SessionDB) error {
		l, err = db.RenewLease(ctx, f, ttl)
		return err
	})
	return l, err
}

func (h *session) ReleaseLease(ctx context.Context, f lashstore.Fence) error {
	return h.simple(ctx, "release_lease", func(ctx context.Context, db *metadata.SessionDB) error { return db.ReleaseLease(ctx, f) })
}

func (h *session) LeaseStatus(ctx context.Context) (st lashstore.LeaseStatus, err error) {
	err = h.read(ctx, "lease_status", func(ctx context.Context, db *metadata.SessionDB) error {
		st, err = db.LeaseStatus(ctx)
		return err
	})
	return st, err
}
