package gc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/internal/sabotage"
	"github.com/lashstore/lashstore/metadata"
)

// markObjects is how many objects of a session are compared at a time, and so how
// long its write lock is held where they differ.
const markObjects = 512

// busyLooks is how often a session is read again that was written to meanwhile.
const busyLooks = 4

// mark compares all sessions with their edges. Sessions that cannot be read do not
// keep the others from being compared, but they keep everything from being deleted.
func (r *run) mark(ctx context.Context, after lashstore.SessionID) error {
	if err := r.strays(ctx); err != nil {
		return err
	}
	return r.markSessions(ctx, after)
}

func (r *run) markSessions(ctx context.Context, after lashstore.SessionID) error {
	k := r.collector.opts.Catalog
	total, err := k.CountSessions(ctx)
	if err != nil {
		return refuse(err, "the catalog cannot be read")
	}
	m := &marker{run: r}
	for {
		rows, err := k.SessionsAfter(ctx, after, pageRows)
		if err != nil {
			return refuse(err, "the catalog cannot be read")
		}
		if len(rows) == 0 {
			break
		}
		for _, row := range rows {
			if err := r.tick(ctx); err != nil {
				return err
			}
			r.collector.step(StepMarking)
			if err := m.session(ctx, row); err != nil {
				return err
			}
			after = row.Meta.SessionID
			r.report.Mark.Sessions++
			r.progress(lashstore.PhaseMark, r.report.Mark.Sessions, total)
			if r.saveMark != nil && m.unreadable == nil { // else it is looked at again
				if err := r.saveMark(ctx, after); err != nil {
					return err
				}
			}
		}
		if err := m.refresh(ctx); err != nil {
			return err
		}
	}
	switch {
	case m.unreadable == nil:
		return r.dropDeadHolders(ctx)
	case lasting(m.unreadable):
		return r.stop(ctx, fmt.Sprintf("%d sessions cannot be read: restore or delete them", m.unreadables), m.unreadable)
	default:
		return refuse(m.unreadable, "%d sessions could not be read", m.unreadables)
	}
}

// lasting reports an error that will not go away by itself.
func lasting(err error) bool {
	for _, known := range []error{
		fs.ErrNotExist, lashstore.ErrCorruptDatabase, lashstore.ErrCorruptRecord, lashstore.ErrSchemaVersion, lashstore.ErrWrongSession,
	} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

// marker compares sessions one by one.
type marker struct {
	*run
	unreadable  error // the first, or the first that lasts
	unreadables int64
	sums        []lashstore.SessionSummary // that the catalog does not know yet
}

// session compares one session. An error ends the audit.
func (m *marker) session(ctx context.Context, row metadata.SessionRow) error {
	err := m.compare(ctx, row)
	switch {
	case err == nil, errors.Is(err, lashstore.ErrSessionDeleted):
		return nil
	case passing(err), errors.Is(err, lashstore.ErrCollectionRefused): // it says nothing of the session
		return err
	case errors.Is(err, fs.ErrNotExist) && row.State == metadata.SessionCreating:
		return nil // it holds nothing before it has a database
	case errors.Is(err, errCatalog):
		return refuse(err, "the catalog cannot be read")
	case errors.Is(err, errUnsettled):
		return refuse(err, "content of session %q is being stored right now: the next audit goes on", row.Meta.SessionID)
	}
	kind := lashstore.FindingUnreadable
	if errors.Is(err, fs.ErrNotExist) {
		gone, goneErr := m.deletedMeanwhile(ctx, row)
		if goneErr != nil || gone {
			return goneErr
		}
		kind = lashstore.FindingLostSession
		m.report.Mark.LostSessions++
	}
	m.fault(lashstore.Finding{Kind: kind, Sessions: []lashstore.SessionID{row.Meta.SessionID}, Detail: err.Error()})
	m.fail(fmt.Errorf("session %q: %w", row.Meta.SessionID, err))
	m.unreadables++
	if m.unreadable == nil || lasting(err) && !lasting(m.unreadable) {
		m.unreadable = err
	}
	return nil
}

// deletedMeanwhile tells a session that was deleted after it was listed from one
// whose database is lost.
func (m *marker) deletedMeanwhile(ctx context.Context, row metadata.SessionRow) (bool, error) {
	now, found, err := m.collector.opts.Catalog.Session(ctx, row.Meta.SessionID)
	if err != nil {
		return false, refuse(err, "the catalog cannot be read")
	}
	return !found || now.Incarnation != row.Incarnation ||
		now.State == metadata.SessionDeleting || now.State == metadata.SessionDeleted, nil
}

func (m *marker) fault(f lashstore.Finding) {
	m.report.Mark.Faults = lashstore.AddFinding(m.report.Mark.Faults, f)
}

// errCatalog tells errors of the catalog from those of a session.
var errCatalog = errors.New("compare with the catalog")

// compare reads a session and compares it, first without its lock: mostly nothing
// differs, and the database need not even be opened for writing.
func (m *marker) compare(ctx context.Context, row metadata.SessionRow) (err error) {
	differs, err := m.look(ctx, row, true)
	for range busyLooks {
		if errors.Is(err, lashstore.ErrBusy) { // written to while it was read without any lock
			differs, err = m.look(ctx, row, true)
		}
	}
	if errors.Is(err, lashstore.ErrBusy) && !m.opts.DryRun {
		differs, err = m.look(ctx, row, false)
	}
	if err != nil || !differs || m.opts.DryRun {
		return err
	}
	m.collector.step(StepSurplus)
	if sabotage.Planted(sabotage.NoLock) {
		return m.releaseUnlocked(ctx, row)
	}
	db, err := m.collector.opts.OpenSession(ctx, row, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := m.expireAttachments(ctx, db); err != nil {
		return err
	}
	var after lashstore.Digest
	for done := false; !done; {
		if err := m.tick(ctx); err != nil {
			return err
		}
		var diff metadata.Difference
		err := db.Reconcile(ctx, after, markObjects, func(ctx context.Context, held metadata.Holding) (err error) {
			diff, err = m.collector.opts.Catalog.Reconcile(ctx, holder(row), held)
			m.collector.step(StepReconciled)
			return catalogError(err)
		})
		if err != nil {
			return err
		}
		m.note(row, diff, true)
		for i, o := range diff.Other {
			if err := m.rebase(ctx, row, db, o, diff.Rows[i]); err != nil {
				return err
			}
		}
		after, done = diff.Through, diff.Done
	}
	return nil
}

// look compares without the session's lock and reports whether anything differs. It
// also checks that the session's own records say what it holds.
func (m *marker) look(ctx context.Context, row metadata.SessionRow, readOnly bool) (differs bool, err error) {
	db, err := m.collector.opts.OpenSession(ctx, row, readOnly)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := db.CheckRoots(ctx); err != nil {
		return false, err
	}
	if m.auditID != "" {
		if differs, err = db.HasExpiredAttachments(ctx, m.intentsBefore()); err != nil {
			return false, err
		}
	}
	sum, _, err := db.Summary(ctx)
	if err != nil {
		return false, err
	}
	if sum.HeadRevision != row.HeadRevision || !sum.ExpiresAt.Equal(row.ExpiresAt) {
		m.sums = append(m.sums, sum)
	}
	var after lashstore.Digest
	for done := false; !done; {
		held, err := db.Held(ctx, after, markObjects)
		if err != nil {
			return false, err
		}
		diff, err := m.collector.opts.Catalog.Compare(ctx, holder(row), held)
		if err != nil {
			return false, catalogError(err)
		}
		m.report.Mark.Objects += compared(held, diff)
		differs = differs || diff.Any()
		if m.opts.DryRun {
			m.note(row, diff, false)
		}
		after, done = diff.Through, diff.Done
	}
	return differs, nil
}

// compared returns how many of the objects were compared: not all, where there are many
// edges too many between them.
func compared(held metadata.Holding, diff metadata.Difference) (n int64) {
	for _, o := range held.Objects {
		if diff.Done || bytes.Compare(o.Digest.Bytes(), diff.Through.Bytes()) <= 0 {
			n++
		}
	}
	return n
}

// note counts a difference.
func (m *marker) note(row metadata.SessionRow, diff metadata.Difference, repaired bool) {
	rep := m.report.Mark
	rep.SurplusEdges += int64(len(diff.Surplus))
	rep.MissingEdges += int64(len(diff.MissingEdges))
	rep.MissingRows += int64(len(diff.MissingRows))
	rep.OtherObjects += int64(len(diff.Other))
	session := []lashstore.SessionID{row.Meta.SessionID}
	for _, o := range diff.MissingEdges {
		m.fault(lashstore.Finding{Kind: lashstore.FindingMissingEdge, Digest: o.Digest, Sessions: session, Repaired: repaired})
	}
	for _, o := range diff.MissingRows {
		m.fault(lashstore.Finding{Kind: lashstore.FindingMissingRow, Digest: o.Digest, Sessions: session, Repaired: repaired})
	}
	if !repaired {
		for _, o := range diff.Other {
			m.fault(lashstore.Finding{Kind: lashstore.FindingOtherObject, Digest: o.Digest, Key: objectName(o).Key(), Sessions: session})
		}
	}
}

// refresh tells the catalog what a process that died did not.
func (m *marker) refresh(ctx context.Context) error {
	sums := m.sums
	m.sums = nil
	if m.opts.DryRun {
		return nil
	}
	return m.collector.opts.Catalog.Refresh(ctx, sums)
}

func holder(row metadata.SessionRow) metadata.Holder {
	return metadata.SessionHolder(row.Meta.SessionID, row.Incarnation)
}

func catalogError(err error) error {
	if err == nil || errors.Is(err, lashstore.ErrSessionDeleted) || passing(err) {
		return err
	}
	return fmt.Errorf("%w: %w", errCatalog, err)
}
