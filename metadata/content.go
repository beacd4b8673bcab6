package metadata

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/lashstore/lashstore"
)

// Object is an object of the blob tier that content needs.
type Object struct {
	Digest     lashstore.Digest
	Generation uint64
}

// Content is where the bytes of a digest are: here, or in objects of the blob tier
// that a manifest, which this package does not look into, puts together.
type Content struct {
	Size     int64
	Bytes    []byte // nil: in the tier
	Manifest []byte
	Objects  []Object // distinct, any order
}

// errRefs is a reference count that does not add up.
var errRefs = errors.New("its reference count does not add up")

// contentRow is a row of the content table.
type contentRow struct {
	digest   lashstore.Digest
	size     int64
	refs     int64
	bytes    []byte
	manifest []byte
	objects  []byte
}

func contentSum(digest []byte, size int64, content, manifest, objects []byte) int64 {
	return rowSum(digest, size, content, manifest, objects)
}

func (s *SessionDB) readContent(ctx context.Context, c *conn, d lashstore.Digest) (*contentRow, error) {
	r := contentRow{digest: d}
	var sum int64
	found, err := c.one(ctx, `SELECT size, refs, bytes, manifest, objects, sum FROM content WHERE digest=?`,
		[]any{d.Bytes()}, &r.size, &r.refs, &r.bytes, &r.manifest, &r.objects, &sum)
	if err != nil || !found {
		return nil, err
	}
	if r.manifest == nil && r.bytes == nil {
		r.bytes = []byte{} // the driver reads an empty blob as nil
	}
	if sum != contentSum(d.Bytes(), r.size, r.bytes, r.manifest, r.objects) {
		if r.manifest == nil {
			return nil, &lashstore.CorruptBlobError{Digest: d, Key: "inline", Reason: errSum.Error()}
		}
		return nil, corrupt(s.id, "content", d, errSum)
	}
	return &r, nil
}

// digests splits the objects column.
func (r *contentRow) digests() ([]lashstore.Digest, error) {
	if len(r.objects)%lashstore.DigestSize != 0 {
		return nil, fmt.Errorf("%d bytes of object digests", len(r.objects))
	}
	var list []lashstore.Digest
	for part := range slices.Chunk(r.objects, lashstore.DigestSize) {
		d, err := lashstore.DigestFromBytes(part)
		if err != nil {
			return nil, err
		}
		list = append(list, d)
	}
	return list, nil
}

// holdContent adds one reference to content: to what the session has, or else to
// fresh, which is stored. It reports false if there is neither.
func (s *SessionDB) holdContent(ctx context.Context, c *conn, d lashstore.Digest, fresh *Content) (held bool, err error) {
	n, err := c.execCount(ctx, `UPDATE content SET refs=refs+1 WHERE digest=?`, d.Bytes())
	if err != nil || n > 0 {
		return n > 0, err
	}
	if fresh == nil {
		return false, nil
	}
	digest := d.Bytes()
	var objects []byte
	for _, o := range fresh.Objects {
		objects = append(objects, o.Digest.Bytes()...)
		if err := s.holdObject(ctx, c, o); err != nil {
			return false, err
		}
	}
	inline := fresh.Bytes
	if fresh.Manifest == nil && inline == nil {
		inline = []byte{}
	}
	err = c.exec(ctx, `INSERT INTO content (digest, size, refs, bytes, manifest, objects, sum) VALUES (?, ?, 1, ?, ?, ?, ?)`,
		digest, fresh.Size, blobArg(inline), blobArg(fresh.Manifest), blobArg(objects),
		contentSum(digest, fresh.Size, inline, fresh.Manifest, objects))
	return true, err
}

// blobArg keeps nil apart from an empty blob.
func blobArg(b []byte) any {
	if b == nil {
		return nil
	}
	return b
}

func (s *SessionDB) holdObject(ctx context.Context, c *conn, o Object) error {
	var generation int64
	_, err := c.one(ctx, `INSERT INTO object (digest, generation, refs) VALUES (?, ?, 1)
		ON CONFLICT(digest) DO UPDATE SET refs=refs+1 RETURNING generation`, []any{o.Digest.Bytes(), counter(o.Generation)}, &generation)
	if err != nil {
		return err
	}
	if generation != counter(o.Generation) {
		// The session's edge keeps the catalog's row, and so its generation, as it is.
		return corrupt(s.id, "object", o.Digest, fmt.Errorf("generation %x here, %x in the catalog", generation, o.Generation))
	}
	return nil
}

// dropContent removes one reference to content. With the last one the content goes,
// and objects that nothing else needs go to the outbox.
func (s *SessionDB) dropContent(ctx context.Context, c *conn, d lashstore.Digest) error {
	r, err := s.readContent(ctx, c, d)
	if err != nil {
		return err
	}
	if r == nil || r.refs < 1 {
		return corrupt(s.id, "content", d, errRefs)
	}
	if r.refs > 1 {
		return c.exec(ctx, `UPDATE content SET refs=refs-1 WHERE digest=?`, d.Bytes())
	}
	if err := c.exec(ctx, `DELETE FROM content WHERE digest=?`, d.Bytes()); err != nil {
		return err
	}
	objects, err := r.digests()
	if err != nil {
		return corrupt(s.id, "content", d, err)
	}
	for _, o := range objects {
		if err := s.dropObject(ctx, c, o); err != nil {
			return err
		}
	}
	return nil
}

func (s *SessionDB) dropObject(ctx context.Context, c *conn, d lashstore.Digest) error {
	var refs int64
	found, err := c.one(ctx, `UPDATE object SET refs=refs-1 WHERE digest=? RETURNING refs`, []any{d.Bytes()}, &refs)
	if err != nil {
		return err
	}
	if !found || refs < 0 {
		return corrupt(s.id, "object", d, errRefs)
	}
	if refs > 0 {
		return nil
	}
	if err := c.exec(ctx, `DELETE FROM object WHERE digest=?`, d.Bytes()); err != nil {
		return err
	}
	return c.exec(ctx, `INSERT OR IGNORE INTO outbox (digest) VALUES (?)`, d.Bytes())
}

// resolve completes a row with the generations of its objects.
func (s *SessionDB) resolve(ctx context.Context, c *conn, r *contentRow) (Content, error) {
	out := Content{Size: r.size, Bytes: r.bytes, Manifest: r.manifest}
	if r.manifest == nil {
		if lashstore.DigestOf(r.bytes) != r.digest {
			return out, &lashstore.CorruptBlobError{Digest: r.digest, Key: "inline", Reason: "its bytes have another digest"}
		}
		return out, nil
	}
	digests, err := r.digests()
	if err != nil {
		return out, corrupt(s.id, "content", r.digest, err)
	}
	for _, d := range digests {
		var generation int64
		found, err := c.one(ctx, `SELECT generation FROM object WHERE digest=?`, []any{d.Bytes()}, &generation)
		if err != nil {
			return out, err
		}
		g, bad := unsigned[uint64](generation)
		if !found || bad != nil {
			return out, corrupt(s.id, "object", d, errors.Join(errMissing, bad))
		}
		out.Objects = append(out.Objects, Object{Digest: d, Generation: g})
	}
	return out, nil
}

// Content says where the bytes of a digest are that the session refers to.
func (s *SessionDB) Content(ctx context.Context, d lashstore.Digest) (out Content, err error) {
	err = s.read(ctx, "find content", func(ctx context.Context, c *conn) error {
		r, err := s.readContent(ctx, c, d)
		if err != nil {
			return err
		}
		if r == nil {
			return fmt.Errorf("session %q: %s: %w", s.id, d, lashstore.ErrBlobNotFound)
		}
		out, err = s.resolve(ctx, c, r)
		return err
	})
	return out, err
}

// Holds reports which of the digests the session has content for, so that a commit
// need not store them again.
func (s *SessionDB) Holds(ctx context.Context, digests []lashstore.Digest) (map[lashstore.Digest]bool, error) {
	held := make(map[lashstore.Digest]bool, len(digests))
	if len(digests) == 0 {
		return held, nil
	}
	err := s.read(ctx, "find content", func(ctx context.Context, c *conn) error {
		for _, d := range digests {
			found, err := c.one(ctx, `SELECT 1 FROM content WHERE digest=?`, []any{d.Bytes()}, new(int64))
			if err != nil {
				return err
			}
			held[d] = found
		}
		return nil
	})
	return held, err
}

// Discard puts objects that were reserved for a commit which was then refused into
// the outbox, so that settling removes their edges unless they are held by then.
func (s *SessionDB) Discard(ctx context.Context, objects []lashstore.Digest) error {
	return s.write(ctx, "discard a reservation", func(ctx context.Context, c *conn) error {
		for _, d := range objects {
			if err := c.exec(ctx, `INSERT OR IGNORE INTO outbox (digest) VALUES (?)`, d.Bytes()); err != nil {
				return err
			}
		}
		return nil
	})
}

// settleSlice bounds how many edges one settlement releases, and so how long it
// holds the session's write lock.
const settleSlice = 512

// Settle lets go of the objects in the outbox that the session still does not need:
// release removes their edges from the catalog while the session's write lock keeps
// every commit of the session out. It reports whether entries are left.
func (s *SessionDB) Settle(ctx context.Context, release func(context.Context, []lashstore.Digest) error) (more bool, err error) {
	err = s.write(ctx, "settle", func(ctx context.Context, c *conn) error {
		var listed, free []lashstore.Digest
		err := c.each(ctx, `SELECT outbox.digest, object.digest IS NULL FROM outbox LEFT JOIN object USING (digest) LIMIT ?`,
			[]any{settleSlice}, func(scan func(...any) error) error {
				var (
					raw    []byte
					unheld bool
				)
				if err := scan(&raw, &unheld); err != nil {
					return err
				}
				d, err := lashstore.DigestFromBytes(raw)
				if err != nil {
					return corrupt(s.id, "outbox", fmt.Sprintf("%x", raw), err)
				}
				listed = append(listed, d)
				if unheld {
					free = append(free, d)
				}
				return nil
			})
		if err != nil || len(listed) == 0 {
			return err
		}
		if len(free) > 0 {
			if err := release(ctx, free); err != nil {
				return err
			}
		}
		for _, d := range listed {
			if err := c.exec(ctx, `DELETE FROM outbox WHERE digest=?`, d.Bytes()); err != nil {
				return err
			}
		}
		more = len(listed) == settleSlice
		return nil
	})
	return more, err
}
