package fsck

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/metadata"
)

// sessions checks the records of every session.
func (r *run) sessions(ctx context.Context) error {
	total, err := r.v.opts.Catalog.CountSessions(ctx)
	if err != nil && !damaged(err) {
		return fmt.Errorf("count sessions: %w", err)
	}
	var done atomic.Int64
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(r.opts.Workers)
	err = r.eachSession(groupCtx, func(row metadata.SessionRow) error {
		group.Go(func() error {
			defer func() { r.progress(lashstore.VerifySessions, done.Add(1), total) }()
			return r.session(groupCtx, row)
		})
		return nil
	})
	if groupErr := group.Wait(); groupErr != nil {
		err = groupErr
	}
	if err != nil {
		return err
	}
	return r.addFaults(ctx)
}

// eachSession calls fn for every session that the catalog knows.
func (r *run) eachSession(ctx context.Context, fn func(metadata.SessionRow) error) error {
	for after := lashstore.SessionID(""); ; {
		if err := ctx.Err(); err != nil {
			return err
		}
		var (
			rows []metadata.SessionRow
			next lashstore.SessionID
		)
		err := patiently(func() (err error) {
			rows, next, err = r.v.opts.Catalog.CheckSessions(ctx, after, pageRows)
			return err
		})
		if errors.Is(err, lashstore.ErrCorruptDatabase) {
			r.fail(fmt.Errorf("list sessions: %w", err)) // the check of the catalog has found why
			return nil
		}
		if err != nil {
			return fmt.Errorf("list sessions: %w", err)
		}
		for _, row := range rows {
			if err := fn(row); err != nil {
				return err
			}
		}
		if next == "" {
			return nil
		}
		after = next
	}
}

// withSession calls fn with a session's database. Found is false for one that is gone,
// which comparing references tells apart from one that is being made or deleted.
func (r *run) withSession(ctx context.Context, row metadata.SessionRow, fn func(*metadata.SessionDB) error) (found bool, err error) {
	err = patiently(func() (err error) {
		db, err := r.v.opts.OpenSession(ctx, row)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, db.Close()) }()
		return fn(db)
	})
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, lashstore.ErrSessionDeleted) {
		return false, nil
	}
	return true, err
}

// session checks one session.
func (r *run) session(ctx context.Context, row metadata.SessionRow) error {
	id := row.Meta.SessionID
	var found metadata.Checkup
	there, err := r.withSession(ctx, row, func(db *metadata.SessionDB) (err error) {
		found, err = db.Check(ctx)
		return err
	})
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case !there:
		return nil
	case err != nil && damaged(err):
		r.noteFlawed(id)
		r.find(lashstore.Finding{Kind: lashstore.FindingUnreadable, Sessions: []lashstore.SessionID{id}, Detail: err.Error()})
		return nil
	case err != nil:
		r.fail(fmt.Errorf("check session %q: %w", id, err))
		return nil
	}
	r.count(func(rep *lashstore.VerifyReport) {
		rep.Sessions++
		rep.Records += found.Rows
		rep.InlineBytes += found.InlineBytes
		rep.Damaged += found.More
	})
	if found.Any() {
		r.noteFlawed(id)
	}
	for _, f := range found.Flaws {
		kind := lashstore.FindingRecord
		if errors.Is(f.Err, lashstore.ErrCorruptBlob) {
			kind = lashstore.FindingCorruptValue
		}
		if f.Record == "count" {
			kind = lashstore.FindingRefcount
		}
		r.find(flawFinding(f, kind, id))
	}
	return nil
}

func (r *run) noteFlawed(id lashstore.SessionID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.flawed[id] = true
}
