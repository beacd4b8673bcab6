package gc

import (
	"context"
	"errors"
	"fmt"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
	"github.com/lashstore/lashstore/metadata"
)

func objectName(o metadata.Object) cas.ObjectName {
	return cas.ObjectName{Digest: o.Digest, Generation: cas.Generation(o.Generation)}
}

// exists reports whether an object is in the tier.
func (r *run) exists(ctx context.Context, o metadata.Object) (bool, error) {
	_, err := r.collector.opts.Tier.StatObject(ctx, objectName(o))
	if errors.Is(err, lashstore.ErrBlobNotFound) {
		return false, nil
	}
	return err == nil, err
}

// errUnsettled ends an audit: which object a digest has depends on a writer that is at
// work on it. Had the audit gone on, it would have taken one of them for garbage.
var errUnsettled = errors.New("it is being stored right now")

// rebase settles which object a digest has, where a session and the catalog name
// different ones: after a catalog was put back from a backup, content that was deleted
// and stored again since has an older row. Whichever is in the tier is right.
func (m *marker) rebase(ctx context.Context, row metadata.SessionRow, db *metadata.SessionDB, held, known metadata.Object) error {
	fault := lashstore.Finding{
		Kind: lashstore.FindingOtherObject, Digest: held.Digest, Key: objectName(held).Key(),
		Sessions: []lashstore.SessionID{row.Meta.SessionID},
	}
	defer func() { m.fault(fault) }()
	now, found, err := m.collector.opts.Catalog.Blob(ctx, known.Digest)
	if err != nil {
		return catalogError(err)
	}
	if !found || now.Object != known {
		return fmt.Errorf("object %s: %w", held.Digest, errUnsettled)
	}
	inTier, err := m.exists(ctx, held)
	if err != nil {
		return fmt.Errorf("look for an object: %w", err)
	}
	knownInTier, err := m.exists(ctx, known)
	if err != nil {
		return fmt.Errorf("look for an object: %w", err)
	}
	switch {
	case knownInTier && now.Present:
		fault.Detail = "the session uses the catalog's object from now on"
		fault.Repaired, err = m.follow(ctx, row, db, held, known)
	case inTier:
		fault.Detail = "the catalog names the session's object from now on"
		fault.Repaired, err = m.lead(ctx, row, now, held, knownInTier)
	case knownInTier: // who stored it died before saying so, or is about to
		fault.Detail = "the session uses the catalog's object from now on"
		if fault.Repaired, err = m.lead(ctx, row, now, known, true); err == nil {
			fault.Repaired, err = m.follow(ctx, row, db, held, known)
		}
	default:
		fault.Detail = "neither object is in the tier"
	}
	return err
}

// lead makes the catalog name an object that is in the tier, for a session that then
// has an edge to it. Nobody has committed the one that it names, or can from now on: a
// commit wants its row to say that it is present, and after the object is there.
func (m *marker) lead(ctx context.Context, row metadata.SessionRow, now metadata.BlobRow, to metadata.Object, inTier bool) (bool, error) {
	k := m.collector.opts.Catalog
	if _, err := k.Reserve(ctx, holder(row), []lashstore.Digest{to.Digest}); err != nil {
		return false, catalogError(err)
	}
	changed, err := k.Regenerate(ctx, now.Object, now.Present, to)
	if err != nil {
		return false, catalogError(err)
	}
	if !changed {
		return false, fmt.Errorf("object %s: %w", to.Digest, errUnsettled)
	}
	if inTier {
		return true, nil
	}
	late, err := m.exists(ctx, now.Object)
	if err == nil && late {
		err = errUnsettled
	}
	if err != nil {
		return false, fmt.Errorf("object %s: %w", to.Digest, err)
	}
	return true, nil
}

// follow makes a session use the object that the catalog names.
func (m *marker) follow(ctx context.Context, row metadata.SessionRow, db *metadata.SessionDB, held, known metadata.Object) (bool, error) {
	k := m.collector.opts.Catalog
	if _, err := k.Reserve(ctx, holder(row), []lashstore.Digest{held.Digest}); err != nil {
		return false, catalogError(err)
	}
	changed, err := db.Rebase(ctx, held, known, func(ctx context.Context) error {
		return k.Verify(ctx, holder(row), []metadata.Object{known})
	})
	if errors.Is(err, metadata.ErrReservationLost) {
		err = fmt.Errorf("object %s: %w", held.Digest, errUnsettled)
	}
	return changed, err
}

// removeLeftover removes the database of a session that is deleted: it holds nothing,
// since a deletion is complete only when its references are gone, and nobody can open it.
func (r *run) removeLeftover(path string) {
	if r.opts.DryRun {
		return
	}
	// Not flushed: the next audit would find it again.
	if err := metadata.RemoveSessionFiles(path, lashstore.DurabilityNormal); err != nil {
		r.fail(fmt.Errorf("remove what a deleted session left: %w", err))
	}
}

// strays admits sessions whose databases exist and whom the catalog does not know.
func (r *run) strays(ctx context.Context) error {
	var unknown error
	err := r.collector.opts.Catalog.Strays(ctx, func(path string, deleted bool) error {
		if err := r.tick(ctx); err != nil {
			return err
		}
		if deleted {
			r.removeLeftover(path)
			return nil
		}
		id, err := r.collector.opts.Identify(ctx, path)
		if passing(err) {
			return err
		}
		f := lashstore.Finding{Kind: lashstore.FindingFoundSession, Key: path}
		switch {
		case err != nil:
			f.Kind, f.Detail = lashstore.FindingUnreadable, err.Error()
			unknown = errors.Join(unknown, err)
		case id.Deleted, id.Empty:
			return nil // what a creation or a deletion left that was interrupted
		case r.opts.DryRun:
		default:
			if f.Repaired, err = r.collector.opts.Catalog.Readmit(ctx, id); err != nil {
				return refuse(err, "the catalog cannot be read")
			}
		}
		f.Sessions = []lashstore.SessionID{id.Meta.SessionID}
		if err == nil && !f.Repaired && !r.opts.DryRun {
			f.Detail = "the catalog has another incarnation of the session"
			unknown = errors.Join(unknown, fmt.Errorf("session %q: %s: %s", id.Meta.SessionID, path, f.Detail))
		}
		r.report.Mark.FoundSessions++
		r.report.Mark.Faults = lashstore.AddFinding(r.report.Mark.Faults, f)
		return nil
	})
	if err != nil {
		return err
	}
	if unknown != nil {
		r.fail(unknown)
		return r.stop(ctx, "there are session databases that the catalog does not know and that cannot be admitted", unknown)
	}
	return nil
}

// dropDeadHolders lets go of what sessions held that are no more.
func (r *run) dropDeadHolders(ctx context.Context) error {
	k := r.collector.opts.Catalog
	for after := int64(0); ; {
		if err := r.tick(ctx); err != nil {
			return err
		}
		dead, next, err := k.DeadHolders(ctx, after, pageRows)
		if err != nil {
			return refuse(err, "the catalog cannot be read")
		}
		for _, h := range dead {
			if h.Session() == "" {
				r.report.Mark.Faults = lashstore.AddFinding(r.report.Mark.Faults, lashstore.Finding{
					Kind: lashstore.FindingUnknown, Key: h.Key(), Detail: "what it refers to is kept",
				})
				continue
			}
			if !r.opts.DryRun {
				if err := k.ReleaseAll(ctx, h); err != nil {
					return err
				}
			}
		}
		if next == 0 {
			return nil
		}
		after = next
	}
}
