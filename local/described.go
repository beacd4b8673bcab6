package local

import (
	"context"
	"errors"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
	"github.com/lashstore/lashstore/metadata"
)

// acquire makes objects available to whoever wants to read or hold them: it returns
// those that are in the tier, in any order.
type acquire func(ctx context.Context, digests []lashstore.Digest) ([]metadata.Object, error)

// described finds content that was cut by a manifest of it that some session of the
// tenant has stored. A manifest whose objects are not all there is passed over: it
// may be on its way out.
func (s *Store) described(ctx context.Context, d lashstore.Digest, get acquire) (c metadata.Content, found bool, err error) {
	candidates, err := s.catalog.Describing(ctx, d)
	if err != nil {
		return c, false, err
	}
	var unread []metadata.Object
	defer func() { s.distrust(ctx, unread) }()
	for _, o := range candidates {
		c, found, err = s.describedBy(ctx, d, o, get)
		if errors.Is(err, lashstore.ErrCorruptBlob) || errors.Is(err, lashstore.ErrBlobNotFound) {
			unread = append(unread, o)
		}
		if found || err != nil && !errors.Is(err, lashstore.ErrBlobNotFound) {
			return c, found, err
		}
	}
	return metadata.Content{}, false, nil
}

func (s *Store) describedBy(ctx context.Context, d lashstore.Digest, object metadata.Object, get acquire) (c metadata.Content, found bool, err error) {
	known := make(map[lashstore.Digest]metadata.Object)
	fetch := func(digests []lashstore.Digest) (bool, error) {
		objects, err := get(ctx, digests)
		for _, o := range objects {
			known[o.Digest] = o
		}
		return len(objects) == len(digests), err
	}
	if all, err := fetch([]lashstore.Digest{object.Digest}); err != nil || !all {
		return c, false, err
	}
	m, root, err := s.tier.FindManifest(ctx, d, object.Digest, func(d lashstore.Digest) (cas.Generation, bool, error) {
		o, ok := known[d]
		if !ok {
			if _, err := fetch([]lashstore.Digest{d}); err != nil {
				return 0, false, err
			}
			o, ok = known[d]
		}
		return cas.Generation(o.Generation), ok, nil
	})
	if err != nil {
		return c, false, err
	}
	var missing []lashstore.Digest
	for _, d := range m.Objects() {
		if _, ok := known[d]; !ok {
			missing = append(missing, d)
		}
	}
	if all, err := fetch(missing); err != nil || !all {
		return c, false, err
	}
	c = metadata.Content{Size: m.SizeBytes, Manifest: root}
	for _, d := range m.Objects() {
		c.Objects = append(c.Objects, known[d])
	}
	return c, true, nil
}

// lookUp finds objects without holding them: enough for a read, which fails cleanly
// if they go away under it.
func (s *Store) lookUp(ctx context.Context, digests []lashstore.Digest) (out []metadata.Object, err error) {
	for _, d := range digests {
		row, found, err := s.catalog.Blob(ctx, d)
		if err != nil {
			return nil, err
		}
		if found && row.Present {
			out = append(out, row.Object)
		}
	}
	return out, nil
}

// reserveFor returns an acquire that makes the holder hold the objects. What it
// reserved, present or not, is added to reserved.
func (s *Store) reserveFor(h metadata.Holder, reserved *[]lashstore.Digest) acquire {
	return func(ctx context.Context, digests []lashstore.Digest) (out []metadata.Object, err error) {
		if len(digests) == 0 {
			return nil, nil
		}
		rows, err := s.catalog.Reserve(ctx, h, digests)
		for _, r := range rows {
			*reserved = append(*reserved, r.Digest)
			if r.Present {
				out = append(out, r.Object)
			}
		}
		return out, err
	}
}
