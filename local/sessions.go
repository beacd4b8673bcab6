package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/metadata"
)

// CreateSession admits a session or opens the one that has the id.
func (s *Store) CreateSession(ctx context.Context, req lashstore.CreateSession) (h lashstore.Session, created bool, err error) {
	err = s.observed("create_session", func() error {
		if err := errors.Join(s.requireWritable("create session"), req.Meta.Validate()); err != nil {
			return err
		}
		h, created, err = s.create(ctx, req)
		if err != nil {
			return fmt.Errorf("create session %q: %w", req.Meta.SessionID, err)
		}
		return nil
	})
	if err != nil {
		return nil, false, err
	}
	return h, created, nil
}

func (s *Store) create(ctx context.Context, req lashstore.CreateSession) (lashstore.Session, bool, error) {
	row, admitted, err := s.catalog.Admit(ctx, req.Meta, req.Recreate)
	if err != nil {
		return nil, false, err
	}
	if row.State == metadata.SessionDeleting && req.Recreate {
		if err := s.finishDeletion(ctx, row); err != nil {
			return nil, false, err
		}
		if row, admitted, err = s.catalog.Admit(ctx, req.Meta, true); err != nil {
			return nil, false, err
		}
	}
	s.step(StepAdmitted)
	h, err := s.attach(ctx, row, lashstore.OpenOptions{})
	if req.Recreate && errors.Is(err, lashstore.ErrSessionDeleted) && row.State == metadata.SessionLive {
		// It has expired, and whoever found that out has not told the catalog yet.
		if err := s.finishDeletion(ctx, row); err != nil {
			return nil, false, err
		}
		if row, admitted, err = s.catalog.Admit(ctx, req.Meta, true); err != nil {
			return nil, false, err
		}
		h, err = s.attach(ctx, row, lashstore.OpenOptions{})
	}
	return h, admitted, err
}

// OpenSession opens an existing session.
func (s *Store) OpenSession(ctx context.Context, id lashstore.SessionID, opts lashstore.OpenOptions) (h lashstore.Session, err error) {
	err = s.observed("open_session", func() error {
		if err := id.Validate(); err != nil {
			return err
		}
		row, found, err := s.catalog.Session(ctx, id)
		if err != nil {
			return fmt.Errorf("open session %q: %w", id, err)
		}
		if !found {
			return fmt.Errorf("session %q: %w", id, lashstore.ErrSessionNotFound)
		}
		h, err = s.attach(ctx, row, opts)
		return err
	})
	if err != nil {
		return nil, err
	}
	return h, nil
}

// attach makes a handle on an admitted session, completing its creation if need be.
func (s *Store) attach(ctx context.Context, row metadata.SessionRow, opts lashstore.OpenOptions) (lashstore.Session, error) {
	id := row.Meta.SessionID
	if opts.Incarnation != "" && opts.Incarnation != row.Incarnation {
		return nil, &lashstore.WrongSessionError{
			Bound: id, Attempted: id, BoundIncarnation: row.Incarnation, AttemptedIncarnation: opts.Incarnation,
		}
	}
	switch row.State {
	case metadata.SessionDeleting, metadata.SessionDeleted:
		return nil, fmt.Errorf("session %q: %w", id, lashstore.ErrSessionDeleted)
	case metadata.SessionCreating:
		if opts.ReadOnly {
			return nil, fmt.Errorf("session %q: its creation was interrupted and is completed by opening it for writing: %w", id, lashstore.ErrReadOnly)
		}
		if err := s.materialise(ctx, row); err != nil {
			return nil, err
		}
	case metadata.SessionLive:
	}
	h := &session{store: s, key: cacheKey{id: id, incarnation: row.Incarnation, readOnly: opts.ReadOnly || s.opts.ReadOnly}}
	// Opening the database now rather than at the first call makes every problem with
	// it a problem of the open.
	err := h.with(ctx, func(ctx context.Context, db *metadata.SessionDB) error {
		sum, unsettled, err := db.Summary(ctx)
		if err == nil && (unsettled || sum.HeadRevision != row.HeadRevision || !sum.ExpiresAt.Equal(row.ExpiresAt)) {
			h.touch() // a process died before it settled
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return h, nil
}

// materialise makes the file of an admitted session and marks it live. Any number
// of processes may do so at once, or again after one of them died.
func (s *Store) materialise(ctx context.Context, row metadata.SessionRow) error {
	id, inc := row.Meta.SessionID, row.Incarnation
	if err := s.requireWritable(fmt.Sprintf("complete the creation of session %q", id)); err != nil {
		return err
	}
	if err := metadata.CreateSessionFile(ctx, s.path(id, inc), row.Meta, inc, s.session); err != nil {
		return err
	}
	s.step(StepMaterialised)
	if err := s.catalog.SetState(ctx, id, inc, metadata.SessionLive); err != nil {
		return err
	}
	now, found, err := s.catalog.Session(ctx, id)
	if err != nil {
		return err
	}
	if found && now.Incarnation == inc && now.State == metadata.SessionLive {
		return nil
	}
	// It was deleted meanwhile, perhaps before the file was there to be removed.
	return errors.Join(fmt.Errorf("session %q: %w", id, lashstore.ErrSessionDeleted),
		metadata.RemoveSessionFiles(s.path(id, inc), s.opts.Durability))
}

// DeleteSession deletes a session, or completes a deletion that was interrupted.
func (s *Store) DeleteSession(ctx context.Context, id lashstore.SessionID) error {
	return s.observed("delete_session", func() error {
		if err := errors.Join(s.requireWritable("delete session"), id.Validate()); err != nil {
			return err
		}
		row, found, err := s.catalog.Session(ctx, id)
		if err == nil && found && row.State != metadata.SessionDeleted {
			err = s.finishDeletion(ctx, row)
		}
		if err != nil {
			return fmt.Errorf("delete session %q: %w", id, err)
		}
		return nil
	})
}

// finishDeletion runs the steps of a deletion. Each is idempotent, and each is
// durable before the next: from the first on the session cannot be opened, from the
// second on no open handle can commit, and only then do its references go, and last
// its files.
func (s *Store) finishDeletion(ctx context.Context, row metadata.SessionRow) error {
	id, inc := row.Meta.SessionID, row.Incarnation
	if err := s.catalog.SetState(ctx, id, inc, metadata.SessionDeleting); err != nil {
		return err
	}
	s.step(StepDeleting)
	if err := s.markDeleted(ctx, id, inc); err != nil {
		return err
	}
	if err := s.cache.forget(id, inc); err != nil {
		return err
	}
	s.step(StepMarked)
	if err := s.catalog.ReleaseAll(ctx, metadata.SessionHolder(id, inc)); err != nil {
		return err
	}
	s.step(StepReleased)
	if err := metadata.RemoveSessionFiles(s.path(id, inc), s.opts.Durability); err != nil {
		return err
	}
	s.step(StepRemoved)
	return s.catalog.SetState(ctx, id, inc, metadata.SessionDeleted)
}

// markDeleted marks the session's own database, if it is still, or already, there.
func (s *Store) markDeleted(ctx context.Context, id lashstore.SessionID, inc lashstore.Incarnation) error {
	if _, err := os.Stat(s.path(id, inc)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	db, err := metadata.OpenSessionDB(ctx, s.path(id, inc), id, inc, false, s.session)
	switch {
	case errors.Is(err, lashstore.ErrSessionDeleted), errors.Is(err, fs.ErrNotExist):
		return nil // another deletion was faster
	case damaged(err):
		s.opts.Logger.Warn("delete a damaged session", "session_id", string(id), "error", err)
		return nil
	case err != nil:
		return err
	}
	err = metadata.NoteMissing(db.Path(), errors.Join(db.MarkDeleted(ctx), db.Close()))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if damaged(err) {
		s.opts.Logger.Warn("delete a damaged session", "session_id", string(id), "error", err)
		return nil
	}
	return err
}

// damaged reports whether a session's file is beyond being marked as deleted. That
// must not keep it from being deleted: nothing can be committed to it either.
func damaged(err error) bool {
	return errors.Is(err, lashstore.ErrCorruptDatabase) || errors.Is(err, lashstore.ErrCorruptRecord) ||
		errors.Is(err, lashstore.ErrWrongSession) // a copy of another's file, put under this one's name
}

// ListSessions returns one page of the sessions that are not deleted, after
// bringing the summaries of this store's own commits up to date.
func (s *Store) ListSessions(ctx context.Context, list lashstore.ListSessions) (page lashstore.SessionPage, err error) {
	err = s.observed("list_sessions", func() error {
		if err := list.Validate(); err != nil {
			return err
		}
		// A damaged session must not keep the others from being listed; its line is what
		// was known of it before.
		if err := s.settler.flush(ctx); err != nil {
			s.opts.Logger.Warn("settle sessions", "error", err)
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("list sessions: %w", err)
		}
		page, err = s.catalog.ListSessions(ctx, list)
		return err
	})
	return page, err
}
