package metadata

import (
	"context"
	"fmt"

	"github.com/lashstore/lashstore"
)

// Load reads a revision in one snapshot. Components have their bytes if those are
// in the database and within the limit; for those in the blob tier, tier says
// where.
func (s *SessionDB) Load(ctx context.Context, opts lashstore.LoadOptions) (snap *lashstore.Snapshot, tier map[string]Content, err error) {
	if err := opts.Validate(); err != nil {
		return nil, nil, err
	}
	outer := ctx
	err = s.read(ctx, "load", func(ctx context.Context, c *conn) error {
		row, isHead, err := s.revisionAt(ctx, c, opts.Revision)
		if err != nil {
			return err
		}
		snap = &lashstore.Snapshot{}
		if snap.Head, err = s.head(ctx, c, row); err != nil {
			return err
		}
		if row == nil {
			if opts.Leaf != "" {
				return fmt.Errorf("session %q: leaf %q: %w", s.id, opts.Leaf, lashstore.ErrNodeNotFound)
			}
			return nil
		}
		if snap.Frames, err = s.readFrames(ctx, c, row); err != nil {
			return err
		}
		if snap.Graph, err = s.readGraph(outer, ctx, c, row, isHead, opts); err != nil {
			return err
		}
		if snap.Usage, err = s.allUsage(ctx, c); err != nil {
			return err
		}
		if row.turnState == nil {
			return nil
		}
		snap.Checkpoint, tier, err = s.readCheckpoint(ctx, c, row, isHead, opts.HydrateLimit)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	return snap, tier, nil
}

func (s *SessionDB) readCheckpoint(ctx context.Context, c *conn, row *revisionRow, head bool, limit int64) (*lashstore.Checkpoint, map[string]Content, error) {
	if limit == 0 {
		limit = lashstore.DefaultHydrateLimit
	}
	state, err := s.turnState(row)
	if err != nil {
		return nil, nil, err
	}
	cp := &lashstore.Checkpoint{TurnState: state}
	if cp.Components, err = s.readComponents(ctx, c, row, head); err != nil {
		return nil, nil, err
	}
	tier := make(map[string]Content)
	for key, comp := range cp.Components {
		r, err := s.readContent(ctx, c, comp.Ref.Digest)
		if err != nil {
			return nil, nil, err
		}
		if r == nil {
			return nil, nil, corrupt(s.id, "component", key, errMissing)
		}
		where, err := s.resolve(ctx, c, r)
		if err != nil {
			return nil, nil, err
		}
		if where.Size != comp.Ref.SizeBytes {
			return nil, nil, corrupt(s.id, "component", key, errSize)
		}
		if where.Size > limit {
			continue
		}
		if where.Manifest != nil {
			tier[key] = where
			continue
		}
		comp.Bytes, comp.Hydrated = where.Bytes, true
		cp.Components[key] = comp
	}
	return cp, tier, nil
}
