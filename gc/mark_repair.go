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

// rebase settles which object a digest has, where a session and the catalog name
// different ones: after a catalog was put back from a backup, content that was deleted
// and stored again since has an older row. Whichever is in the tier is right.
func (m *marker) rebase(ctx context.Context, row metadata.SessionRow, db *metadata.SessionDB, held, known metadata.Object) error {
	k := m.collector.opts.Catalog
	fault := lashstore.Finding{
		Kind: lashstore.FindingOtherObject, Digest: held.Digest, Key: objectName(held).Key(),
		Sessions: []lashstore.SessionID{row.Meta.SessionID},
	}
	defer func() { m.fault(fault) }()
	inTier, err := m.exists(ctx, held)
	if err != nil {
		return fmt.Errorf("look for an object: %w", err)
	}
	knownInTier, err := m.exists(ctx, known)
	if err != nil {
		return fmt.Errorf("look for an object: %w", err)
	}
	switch {
	case knownInTier:
		fault.Detail = "the session uses the catalog's object from now on"
		fault.Repaired, err = m.follow(ctx, row, db, held, known)
	case inTier:
		fault.Detail = "the catalog names the session's object from now on"
		if fault.Repaired, err = k.Regenerate(ctx, known, held); err == nil {
			_, err = k.Reserve(ctx, holder(row), []lashstore.Digest{held.Digest})
		}
		err = catalogError(err)
	default:
		fault.Detail = "neither object is in the tier"
	}
	return err
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
		return false, nil // it is in use by someone else right now: the next audit tries again
	}
	return changed, err
}

// strays admits sessions whose databases exist and whom the catalog does not know.
func (r *run) strays(ctx context.Context) error {
	var unknown error
	err := r.collector.opts.Catalog.Strays(ctx, func(path string) error {
		if err := r.tick(ctx); err != nil {
			return err
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
