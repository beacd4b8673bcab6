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
	// Mends reports, of content that a commit brings, that it takes the place of what the
	// session has of it, of which objects were lost.
	Mends bool
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
// fresh, which is stored. It returns the size, and reports false if there is
// neither.
func (s *SessionDB) holdContent(ctx context.Context, c *conn, d lashstore.Digest, fresh *Content) (size int64, held bool, err error) {
	if fresh != nil {
		inserted, err := s.insertContent(ctx, c, d, fresh)
		if err != nil || inserted {
			return fresh.Size, inserted, err
		}
	}
	size, refs, _, found, err := s.contentRefs(ctx, c, d)
	if err != nil || !found {
		return 0, false, err
	}
	return size, true, s.setContentRefs(ctx, c, d, size, refs+1)
}

// insertContent stores content that the session does not have, with one reference.
// It reports false if the session has it.
func (s *SessionDB) insertContent(ctx context.Context, c *conn, d lashstore.Digest, fresh *Content) (bool, error) {
	digest := d.Bytes()
	var objects []byte
	for _, o := range fresh.Objects {
		objects = append(objects, o.Digest.Bytes()...)
	}
	inline := fresh.Bytes
	if fresh.Manifest == nil && inline == nil {
		inline = []byte{}
	}
	n, err := c.execCount(ctx, `INSERT INTO content (digest, size, refs, bytes, manifest, objects, sum, refs_sum)
		VALUES (?, ?, 1, ?, ?, ?, ?, ?) ON CONFLICT(digest) DO NOTHING`,
		digest, fresh.Size, blobArg(inline), blobArg(fresh.Manifest), blobArg(objects),
		contentSum(digest, fresh.Size, inline, fresh.Manifest, objects), rowSum(digest, fresh.Size, int64(1)))
	if err != nil || n == 0 {
		return false, err
	}
	for _, o := range fresh.Objects {
		if err := s.holdObject(ctx, c, o); err != nil {
			return false, err
		}
	}
	return true, nil
}

// contentRefs reads how often content is referred to, and its objects, without
// reading its bytes. The count has a checksum of its own: a wrong one would let go
// of what is needed.
func (s *SessionDB) contentRefs(ctx context.Context, c *conn, d lashstore.Digest) (size, refs int64, objects []byte, found bool, err error) {
	var sum int64
	found, err = c.one(ctx, `SELECT size, refs, objects, refs_sum FROM content WHERE digest=?`, []any{d.Bytes()}, &size, &refs, &objects, &sum)
	if err == nil && found && (sum != rowSum(d.Bytes(), size, refs) || refs < 1) {
		err = corrupt(s.id, "content", d, errRefs)
	}
	return size, refs, objects, found, err
}

func (s *SessionDB) setContentRefs(ctx context.Context, c *conn, d lashstore.Digest, size, refs int64) error {
	return c.exec(ctx, `UPDATE content SET refs=?, refs_sum=? WHERE digest=?`, refs, rowSum(d.Bytes(), size, refs), d.Bytes())
}

// blobArg keeps nil apart from an empty blob.
func blobArg(b []byte) any {
	if b == nil {
		return nil
	}
	return b
}

// objectRow returns generation and reference count of an object.
func (s *SessionDB) objectRow(ctx context.Context, c *conn, d lashstore.Digest) (generation, refs int64, found bool, err error) {
	var sum int64
	found, err = c.one(ctx, `SELECT generation, refs, sum FROM object WHERE digest=?`, []any{d.Bytes()}, &generation, &refs, &sum)
	if err == nil && found && (sum != rowSum(d.Bytes(), generation, refs) || refs < 1 || generation < 1) {
		err = corrupt(s.id, "object", d, errSum)
	}
	return generation, refs, found, err
}

func (s *SessionDB) writeObject(ctx context.Context, c *conn, d lashstore.Digest, generation, refs int64) error {
	return c.exec(ctx, `INSERT OR REPLACE INTO object (digest, generation, refs, sum) VALUES (?, ?, ?, ?)`,
		d.Bytes(), generation, refs, rowSum(d.Bytes(), generation, refs))
}

func (s *SessionDB) holdObject(ctx context.Context, c *conn, o Object) error {
	generation, refs, found, err := s.objectRow(ctx, c, o.Digest)
	if err != nil {
		return err
	}
	if found && generation != counter(o.Generation) {
		// The session's edge keeps the catalog's row, and so its generation, as it is.
		return corrupt(s.id, "object", o.Digest, fmt.Errorf("generation %x here, %x in the catalog", generation, o.Generation))
	}
	return s.writeObject(ctx, c, o.Digest, counter(o.Generation), refs+1)
}

// dropContent removes one reference to content. With the last one the content goes,
// and objects that nothing else needs go to the outbox.
func (s *SessionDB) dropContent(ctx context.Context, c *conn, d lashstore.Digest) error {
	// Mostly it is the last reference to content that lies here: one statement.
	var inlineSize, sum int64
	gone, err := c.one(ctx, `DELETE FROM content WHERE digest=? AND refs=1 AND objects IS NULL RETURNING size, refs_sum`,
		[]any{d.Bytes()}, &inlineSize, &sum)
	if err != nil {
		return err
	}
	if gone {
		if sum != rowSum(d.Bytes(), inlineSize, int64(1)) {
			return corrupt(s.id, "content", d, errRefs)
		}
		return nil
	}
	size, refs, packed, found, err := s.contentRefs(ctx, c, d)
	if err != nil {
		return err
	}
	if !found {
		return corrupt(s.id, "content", d, errMissing)
	}
	if refs > 1 {
		return s.setContentRefs(ctx, c, d, size, refs-1)
	}
	if packed != nil {
		r, err := s.readContent(ctx, c, d) // checks that the list of objects is what it was
		if err != nil {
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
	}
	return c.exec(ctx, `DELETE FROM content WHERE digest=?`, d.Bytes())
}

func (s *SessionDB) dropObject(ctx context.Context, c *conn, d lashstore.Digest) error {
	generation, refs, found, err := s.objectRow(ctx, c, d)
	if err != nil {
		return err
	}
	if !found {
		return corrupt(s.id, "object", d, errMissing)
	}
	if refs > 1 {
		return s.writeObject(ctx, c, d, generation, refs-1)
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
		generation, _, found, err := s.objectRow(ctx, c, d)
		if err != nil {
			return out, err
		}
		g, err := unsigned[uint64](generation)
		if !found || err != nil {
			return out, corrupt(s.id, "object", d, errors.Join(errMissing, err))
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
			if err := s.checkContents(ctx, c); err != nil {
				return err
			}
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
		return s.discard(ctx, c, objects)
	})
}

func (s *SessionDB) discard(ctx context.Context, c *conn, objects []lashstore.Digest) error {
	for _, d := range objects {
		if err := c.exec(ctx, `INSERT OR IGNORE INTO outbox (digest) VALUES (?)`, d.Bytes()); err != nil {
			return err
		}
	}
	return nil
}

// settleSlice bounds how many edges one settlement releases, and so how long it
// holds the session's write lock.
const settleSlice = 512

// Settle lets go of the objects in the outbox that the session still does not need:
// release removes their edges from the catalog while the session's write lock keeps
// every commit of the session out. It reports whether entries are left.
func (s *SessionDB) Settle(ctx context.Context, release func(context.Context, []lashstore.Digest) error) (more bool, err error) {
	err = s.write(ctx, "settle", func(ctx context.Context, c *conn) error {
		more, err = s.settle(ctx, c, release)
		return err
	})
	return more, err
}

func (s *SessionDB) settle(ctx context.Context, c *conn, release func(context.Context, []lashstore.Digest) error) (more bool, err error) {
	var listed, free []lashstore.Digest
	err = c.each(ctx, `SELECT outbox.digest, object.digest IS NULL FROM outbox LEFT JOIN object USING (digest) LIMIT ?`,
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
		return false, err
	}
	if len(free) > 0 {
		if err := release(ctx, free); err != nil {
			return false, err
		}
	}
	for _, d := range listed {
		if err := c.exec(ctx, `DELETE FROM outbox WHERE digest=?`, d.Bytes()); err != nil {
			return false, err
		}
	}
	return len(listed) == settleSlice, nil
}
