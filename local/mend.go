package local

import (
	"context"
	"errors"
	"slices"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
	"github.com/lashstore/lashstore/metadata"
)

// Content that a session has may have lost objects: a verification or an audit found
// them missing or damaged, and the catalog wants them. Whoever brings equal bytes
// stores them again. Content that was cut after a predecessor is not cut the same way
// without it, so that what comes of it may be other objects: then the session's record
// of the content is replaced.

// broken returns which of the contents that the session has lack objects.
func (b *stageBatch) broken(ctx context.Context, held map[lashstore.Digest]bool) (map[lashstore.Digest]bool, error) {
	lacking := make(map[lashstore.Digest]bool)
	for d, has := range held {
		if !has {
			continue
		}
		c, err := b.db.Content(ctx, d)
		if errors.Is(err, lashstore.ErrBlobNotFound) {
			continue // let go of meanwhile: the transaction sees
		}
		if errors.Is(err, lashstore.ErrCorruptBlob) || errors.Is(err, lashstore.ErrCorruptRecord) {
			continue // the session's own record is damaged, which storing objects does not mend
		}
		if err != nil {
			return nil, err
		}
		wanted, err := b.h.store.catalog.Wanted(ctx, c.Objects)
		if err != nil {
			return nil, err
		}
		if wanted {
			lacking[d] = true
		}
	}
	return lacking, nil
}

// distrust marks those of the manifests that cannot be read as wanted: content whose
// bytes are at hand is cut into the same manifest, which then is stored again. If that
// fails, a verification finds them.
func (s *Store) distrust(ctx context.Context, manifests []metadata.Object) {
	if s.opts.ReadOnly {
		return
	}
	for _, o := range manifests {
		_, err := s.tier.GetObject(ctx, objectName(o))
		if !errors.Is(err, lashstore.ErrCorruptBlob) && !errors.Is(err, lashstore.ErrBlobNotFound) {
			continue
		}
		if err := s.catalog.Want(ctx, []metadata.Doomed{{Object: o}}); err != nil {
			s.opts.Logger.Warn("mark a damaged manifest as wanted", "key", objectName(o).Key(), "error", err)
		}
	}
}

// covers reports whether the objects are all that a manifest names.
func covers(objects []metadata.Object, m *cas.Manifest) bool {
	for _, d := range m.Objects() {
		if !slices.ContainsFunc(objects, func(o metadata.Object) bool { return o.Digest == d }) {
			return false
		}
	}
	return true
}
