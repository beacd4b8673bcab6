package metadata

import (
	"context"
	"fmt"

	"github.com/lashstore/lashstore"
)

// Held returns up to limit objects that the session holds, after a digest, in order.
func (s *SessionDB) Held(ctx context.Context, after lashstore.Digest, limit int) (h Holding, err error) {
	err = s.read(ctx, "list what it holds", func(ctx context.Context, c *conn) error {
		h, err = s.held(ctx, c, after, limit)
		return err
	})
	return h, err
}

func (s *SessionDB) held(ctx context.Context, c *conn, after lashstore.Digest, limit int) (h Holding, err error) {
	h.After = after
	from := after.Bytes()
	if after.IsZero() {
		from = []byte{}
	}
	err = c.each(ctx, `SELECT digest, generation, refs, sum FROM object WHERE digest>? ORDER BY digest LIMIT ?`,
		[]any{from, int64(limit)}, func(scan func(...any) error) error {
			var (
				raw                   []byte
				generation, refs, sum int64
			)
			if err := scan(&raw, &generation, &refs, &sum); err != nil {
				return err
			}
			o, err := object(raw, generation)
			if err == nil && (sum != rowSum(raw, generation, refs) || refs < 1 || generation < 1) {
				err = corrupt(s.id, "object", fmt.Sprintf("%x", raw), errSum)
			}
			h.Objects = append(h.Objects, o)
			return err
		})
	h.Last = len(h.Objects) < limit
	return h, err
}

// Reconcile calls fn with up to limit objects that the session holds, after a digest,
// under the session's write lock: no commit and no settlement of the session comes in
// between. fn makes the catalog agree.
func (s *SessionDB) Reconcile(ctx context.Context, after lashstore.Digest, limit int, fn func(context.Context, Holding) error) error {
	return s.write(ctx, "reconcile", func(ctx context.Context, c *conn) error {
		h, err := s.held(ctx, c, after, limit)
		if err != nil {
			return err
		}
		return fn(ctx, h)
	})
}

// Rebase makes the session use another object for a digest that it holds, once
// verify has found that the object is there and that the session has an edge to it.
// It reports false if the session no longer holds the first.
func (s *SessionDB) Rebase(ctx context.Context, from, to Object, verify func(context.Context) error) (changed bool, err error) {
	err = s.write(ctx, "use another object", func(ctx context.Context, c *conn) error {
		changed = false
		generation, refs, found, err := s.objectRow(ctx, c, from.Digest)
		if err != nil || !found || generation != counter(from.Generation) {
			return err
		}
		if err := verify(ctx); err != nil {
			return err
		}
		changed = true
		return s.writeObject(ctx, c, from.Digest, counter(to.Generation), refs)
	})
	return changed, err
}

// CheckRoots recounts how often each object is used by the contents that the session
// has, and returns an error that is [lashstore.ErrCorruptRecord] if a record cannot
// be trusted or a count is wrong: then what the session holds is not known.
func (s *SessionDB) CheckRoots(ctx context.Context) error {
	return s.read(ctx, "check what it holds", func(ctx context.Context, c *conn) error {
		row, err := s.headRow(ctx, c)
		if err == nil {
			_, err = s.head(ctx, c, row)
		}
		if err != nil {
			return err
		}
		return s.countRoots(ctx, c)
	})
}

// countRoots recounts how often each object is used.
func (s *SessionDB) countRoots(ctx context.Context, c *conn) error {
	uses := make(map[lashstore.Digest]int64)
	err := c.each(ctx, `SELECT digest, size, refs, manifest, objects, sum, refs_sum FROM content WHERE manifest IS NOT NULL`, nil,
		func(scan func(...any) error) error { return s.countUses(scan, uses) })
	if err != nil {
		return err
	}
	err = c.each(ctx, `SELECT digest, refs FROM object`, nil, func(scan func(...any) error) error {
		var (
			raw  []byte
			refs int64
		)
		if err := scan(&raw, &refs); err != nil {
			return err
		}
		d, err := lashstore.DigestFromBytes(raw)
		if err != nil {
			return corrupt(s.id, "object", fmt.Sprintf("%x", raw), err)
		}
		if uses[d] != refs {
			return corrupt(s.id, "object", d, fmt.Errorf("%w: %d counted, %d found", errRefs, refs, uses[d]))
		}
		delete(uses, d)
		return nil
	})
	if err != nil {
		return err
	}
	for d := range uses {
		return corrupt(s.id, "object", d, errMissing)
	}
	return nil
}

// countUses adds the objects of one content.
func (s *SessionDB) countUses(scan func(...any) error, uses map[lashstore.Digest]int64) error {
	var (
		raw          []byte
		r            contentRow
		sum, refsSum int64
	)
	if err := scan(&raw, &r.size, &r.refs, &r.manifest, &r.objects, &sum, &refsSum); err != nil {
		return err
	}
	digests, err := r.digests()
	switch {
	case err != nil:
	case sum != contentSum(raw, r.size, nil, r.manifest, r.objects):
		err = errSum
	case refsSum != rowSum(raw, r.size, r.refs) || r.refs < 1:
		err = errRefs
	}
	if err != nil {
		return corrupt(s.id, "content", fmt.Sprintf("%x", raw), err)
	}
	for _, d := range digests {
		uses[d]++
	}
	return nil
}
