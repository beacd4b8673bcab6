package metadata

import (
	"context"
	"database/sql"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/internal/sabotage"
)

// Kinds of holder.
const (
	holderSession = 1
	holderUpload  = 2
)

// Holder is who refers to blobs: a session, by incarnation, or an upload, by a
// random key.
type Holder struct {
	kind      int64
	key       string
	session   lashstore.SessionID // of a session's holder
	expiresAt time.Time
}

// SessionHolder is the holder of a session's references.
func SessionHolder(id lashstore.SessionID, inc lashstore.Incarnation) Holder {
	return Holder{kind: holderSession, key: string(inc), session: id}
}

// NewUploadHolder makes a holder for an upload that protects what it reserves
// until expiresAt.
func NewUploadHolder(rand io.Reader, expiresAt time.Time) (Holder, error) {
	key, err := randomHex(rand)
	return Holder{kind: holderUpload, key: key, expiresAt: expiresAt}, err
}

// Reservation is a blob that a holder refers to.
type Reservation struct {
	Object
	// Present reports that the object is in the tier; otherwise it is to be uploaded.
	Present bool
	// Doubtful reports that it is called present by a catalog that is not trusted, since it
	// was put back from a backup. Present is false then.
	Doubtful bool
}

// holderID returns the row of a holder, making it if asked to.
func (k *Catalog) holderID(ctx context.Context, c *conn, h Holder, create bool) (id int64, err error) {
	found, err := c.one(ctx, `SELECT holder FROM holder WHERE kind=? AND key=?`, []any{h.kind, h.key}, &id)
	if err != nil || found {
		return id, err
	}
	if h.kind == holderSession {
		// A session that is being deleted must not gain references: the deletion has
		// removed its edges, or is about to.
		live, err := c.one(ctx, `SELECT 1 FROM session WHERE session_id=? AND incarnation=? AND state IN (?, ?)`,
			[]any{string(h.session), h.key, int64(sessionCreating), int64(sessionLive)}, new(int64))
		if err != nil {
			return 0, err
		}
		if !live {
			return 0, fmt.Errorf("session %q, incarnation %s: %w", h.session, h.key, lashstore.ErrSessionDeleted)
		}
	}
	if !create {
		return 0, nil
	}
	var expires any
	if !h.expiresAt.IsZero() {
		expires = toMS(h.expiresAt)
	}
	return c.insert(ctx, `INSERT INTO holder (kind, key, expires_at_ms) VALUES (?, ?, ?)`, h.kind, h.key, expires)
}

// Reserve adds an edge from the holder to each digest, before anything is uploaded
// or committed. A digest without a row gets one, with a new generation; a condemned
// one lives again. The result is in the order of the digests.
func (k *Catalog) Reserve(ctx context.Context, h Holder, digests []lashstore.Digest) (out []Reservation, err error) {
	err = k.write(ctx, "reserve blobs", func(ctx context.Context, c *conn) error {
		out = make([]Reservation, 0, len(digests))
		holder, err := k.holderID(ctx, c, h, true)
		if err != nil {
			return err
		}
		stale, err := k.stale(ctx, c)
		if err != nil {
			return err
		}
		for _, d := range digests {
			r, err := k.reserve(ctx, c, holder, d)
			if err != nil {
				return err
			}
			r.Doubtful = r.Present && stale
			r.Present = r.Present && !stale // storing it again does no harm
			out = append(out, r)
		}
		return nil
	})
	return out, err
}

// blobRow is a row of the blob table but for its condemnation, which is a hint to
// the collector and re-checked by it.
type blobRow struct {
	digest      lashstore.Digest
	generation  int64
	present     int64
	role        int64
	describes   []byte // nil for all but manifests
	raw, stored int64
}

// Roles of a blob.
const (
	roleUnknown = 0
	roleContent = 1
	rolePart    = 2
)

func (r *blobRow) sum() int64 {
	return rowSum(r.digest.Bytes(), r.generation, r.present, r.role, r.describes, r.raw, r.stored)
}

// readBlob returns the row of a digest, or nil.
func (k *Catalog) readBlob(ctx context.Context, c *conn, d lashstore.Digest) (*blobRow, error) {
	r := &blobRow{digest: d}
	var sum int64
	found, err := c.one(ctx, `SELECT generation, present, role, describes, raw_size, stored_size, sum FROM blob WHERE digest=?`,
		[]any{d.Bytes()}, &r.generation, &r.present, &r.role, &r.describes, &r.raw, &r.stored, &sum)
	if err != nil || !found {
		return nil, err
	}
	if sum != r.sum() || r.generation < 1 {
		return nil, corrupt("", "blob", d, errSum)
	}
	return r, nil
}

// writeBlob writes a row, not condemned.
func (k *Catalog) writeBlob(ctx context.Context, c *conn, r *blobRow) error {
	return c.exec(ctx, `INSERT OR REPLACE INTO blob
		(digest, generation, present, role, describes, raw_size, stored_size, condemned_at_ms, sum)
		VALUES (?, ?, ?, ?, ?, ?, ?, NULL, ?)`,
		r.digest.Bytes(), r.generation, r.present, r.role, blobArg(r.describes), r.raw, r.stored, r.sum())
}

func (k *Catalog) reserve(ctx context.Context, c *conn, holder int64, d lashstore.Digest) (Reservation, error) {
	row, err := k.readBlob(ctx, c, d)
	if err != nil {
		return Reservation{}, err
	}
	if row == nil {
		row = &blobRow{digest: d}
		if row.generation, err = newGeneration(k.opts.Rand); err == nil {
			err = k.writeBlob(ctx, c, row)
		}
	} else if !sabotage.Planted(sabotage.NoClear) {
		err = c.exec(ctx, `UPDATE blob SET condemned_at_ms=NULL WHERE digest=? AND condemned_at_ms IS NOT NULL`, d.Bytes())
	}
	if err != nil {
		return Reservation{}, err
	}
	r := Reservation{Object: Object{Digest: d}, Present: row.present != 0}
	if r.Generation, err = unsigned[uint64](row.generation); err != nil {
		return r, corrupt("", "blob", d, err)
	}
	return r, c.exec(ctx, `INSERT OR IGNORE INTO edge (digest, holder) VALUES (?, ?)`, d.Bytes(), holder)
}

// newGeneration draws a generation: 63 random bits, not all zero.
func newGeneration(rand io.Reader) (int64, error) {
	if sabotage.Planted(sabotage.SameName) {
		return 1, nil
	}
	var b [8]byte
	for {
		if _, err := io.ReadFull(rand, b[:]); err != nil {
			return 0, fmt.Errorf("draw a generation: %w", err)
		}
		if n := binary.BigEndian.Uint64(b[:]) & math.MaxInt64; n != 0 {
			return int64(n), nil
		}
	}
}

// Uploaded is an object that has been stored.
type Uploaded struct {
	Object
	RawBytes    int64
	StoredBytes int64
	// Content reports that the object is content; otherwise it is a part of some.
	Content bool
	// Describes is the content that the object is the manifest of, if it is one.
	Describes lashstore.Digest
}

// MarkPresent records that objects are in the tier. An object whose row has another
// generation by now is left alone: the commit will find its reservation gone.
func (k *Catalog) MarkPresent(ctx context.Context, objects []Uploaded) error {
	if len(objects) == 0 {
		return nil
	}
	return k.write(ctx, "mark blobs present", func(ctx context.Context, c *conn) error {
		for _, o := range objects {
			r, err := k.readBlob(ctx, c, o.Digest)
			if err != nil {
				return err
			}
			if r == nil || r.generation != counter(o.Generation) {
				continue
			}
			r.present, r.role, r.raw, r.stored = 1, rolePart, o.RawBytes, o.StoredBytes
			if o.Content {
				r.role = roleContent
			}
			if !o.Describes.IsZero() {
				r.describes = o.Describes.Bytes()
			}
			err = c.exec(ctx, `UPDATE blob SET present=?, role=?, describes=?, raw_size=?, stored_size=?, sum=? WHERE digest=?`,
				r.present, r.role, blobArg(r.describes), r.raw, r.stored, r.sum(), o.Digest.Bytes())
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// Verify returns [ErrReservationLost] unless the holder still has an edge to every
// object and the object is present under its generation. A session's commit calls
// it under the session's write lock, which keeps its edges from being released.
func (k *Catalog) Verify(ctx context.Context, h Holder, objects []Object) error {
	return k.read(ctx, "verify a reservation", func(ctx context.Context, c *conn) error {
		holder, err := k.holderID(ctx, c, h, false)
		if err != nil {
			return err
		}
		return k.verify(ctx, c, holder, objects)
	})
}

func (k *Catalog) verify(ctx context.Context, c *conn, holder int64, objects []Object) error {
	for _, o := range objects {
		found, err := c.one(ctx, `SELECT 1 FROM blob JOIN edge USING (digest)
			WHERE digest=? AND generation=? AND present=1 AND holder=?`,
			[]any{o.Digest.Bytes(), counter(o.Generation), holder}, new(int64))
		if err != nil {
			return err
		}
		if !found {
			return fmt.Errorf("%s: %w", o.Digest, ErrReservationLost)
		}
	}
	return nil
}

// BlobRow is what the catalog knows of a blob.
type BlobRow struct {
	Object
	Present     bool
	Content     bool // it is content, not a part of some
	RawBytes    int64
	StoredBytes int64
	Holders     int
}

// Blob returns the row of a digest; found is false if there is none.
func (k *Catalog) Blob(ctx context.Context, d lashstore.Digest) (row BlobRow, found bool, err error) {
	row.Digest = d
	err = k.read(ctx, "find a blob", func(ctx context.Context, c *conn) error {
		r, err := k.readBlob(ctx, c, d)
		if err != nil || r == nil {
			return err
		}
		found = true
		row.Present, row.Content, row.RawBytes, row.StoredBytes = r.present != 0, r.role == roleContent, r.raw, r.stored
		if row.Generation, err = unsigned[uint64](r.generation); err != nil {
			return corrupt("", "blob", d, err)
		}
		_, err = c.one(ctx, `SELECT count(*) FROM edge WHERE digest=?`, []any{d.Bytes()}, &row.Holders)
		return err
	})
	return row, found, err
}

// Describing returns the objects that are in the tier and hold a manifest of the
// given content, up to four. What they name may be gone: whoever wants to use one
// reserves it and then all that it names.
func (k *Catalog) Describing(ctx context.Context, content lashstore.Digest) (out []Object, err error) {
	err = k.read(ctx, "find a manifest", func(ctx context.Context, c *conn) error {
		return c.each(ctx, `SELECT digest, generation FROM blob WHERE describes=? AND present=1 LIMIT 4`, []any{content.Bytes()},
			func(scan func(...any) error) error {
				var (
					raw        []byte
					generation int64
					o          Object
				)
				err := scan(&raw, &generation)
				if err != nil {
					return err
				}
				if o.Digest, err = lashstore.DigestFromBytes(raw); err != nil {
					return corrupt("", "blob", fmt.Sprintf("%x", raw), err)
				}
				if o.Generation, err = unsigned[uint64](generation); err != nil {
					return corrupt("", "blob", o.Digest, err)
				}
				out = append(out, o)
				return nil
			})
	})
	return out, err
}

// Upload is content that an upload protects.
type Upload struct {
	Digest     lashstore.Digest
	Size       int64
	Manifest   []byte
	UploadedAt time.Time
	ExpiresAt  time.Time
	Objects    []Object
}

// FinishUpload records an upload under its digest. An earlier upload of the same
// content is released. It returns [ErrReservationLost] if the hold expired before the
// upload was through, and what it protected is gone or going.
func (k *Catalog) FinishUpload(ctx context.Context, h Holder, u Upload) error {
	return k.write(ctx, "finish an upload", func(ctx context.Context, c *conn) error {
		holder, err := k.holderID(ctx, c, h, false)
		if err != nil {
			return err
		}
		if err := k.verify(ctx, c, holder, u.Objects); err != nil {
			return err
		}
		var before, until, objects int64
		replaced, err := c.one(ctx, `SELECT holder, expires_at_ms FROM upload WHERE digest=?`, []any{u.Digest.Bytes()}, &before, &until)
		if err != nil {
			return err
		}
		if until > toMS(u.ExpiresAt) { // what was promised holds
			u.ExpiresAt = fromMS(until)
			if err := c.exec(ctx, `UPDATE holder SET expires_at_ms=? WHERE holder=?`, until, holder); err != nil {
				return err
			}
		}
		if _, err := c.one(ctx, `SELECT count(*) FROM edge WHERE holder=?`, []any{holder}, &objects); err != nil {
			return err
		}
		cols := []any{u.Digest.Bytes(), holder, u.Size, u.Manifest, objects, toMS(u.UploadedAt), toMS(u.ExpiresAt)}
		err = c.exec(ctx, `INSERT OR REPLACE INTO upload (digest, holder, size, manifest, objects, uploaded_at_ms, expires_at_ms, sum)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?)`, append(cols, rowSum(cols...))...)
		if err != nil || !replaced || before == holder {
			return err
		}
		_, _, err = k.releaseSlice(ctx, c, before, noLimit)
		return err
	})
}

// Upload returns the upload that protects a digest and has not expired.
func (k *Catalog) Upload(ctx context.Context, d lashstore.Digest) (u Upload, found bool, err error) {
	err = k.read(ctx, "find an upload", func(ctx context.Context, c *conn) error {
		u, found, err = k.upload(ctx, c, d)
		return err
	})
	return u, found, err
}

func (k *Catalog) upload(ctx context.Context, c *conn, d lashstore.Digest) (u Upload, found bool, err error) {
	var holder, objects, uploaded, expires, sum int64
	u.Digest = d
	found, err = c.one(ctx, `SELECT holder, size, manifest, objects, uploaded_at_ms, expires_at_ms, sum FROM upload WHERE digest=?`,
		[]any{d.Bytes()}, &holder, &u.Size, &u.Manifest, &objects, &uploaded, &expires, &sum)
	if err != nil || !found {
		return u, false, err
	}
	if sum != rowSum(d.Bytes(), holder, u.Size, u.Manifest, objects, uploaded, expires) {
		return u, false, corrupt("", "upload", d, errSum)
	}
	if expires <= toMS(k.opts.Now()) {
		return u, false, nil
	}
	u.UploadedAt, u.ExpiresAt = fromMS(uploaded), fromMS(expires)
	err = c.each(ctx, `SELECT digest, generation FROM edge JOIN blob USING (digest) WHERE holder=?`, []any{holder}, func(scan func(...any) error) error {
		var (
			raw        []byte
			generation sql.NullInt64
			o          Object
		)
		if err := scan(&raw, &generation); err != nil {
			return err
		}
		if o.Digest, err = lashstore.DigestFromBytes(raw); err != nil {
			return corrupt("", "edge", fmt.Sprintf("%x", raw), err)
		}
		if o.Generation, err = unsigned[uint64](generation.Int64); err != nil {
			return corrupt("", "blob", o.Digest, err)
		}
		u.Objects = append(u.Objects, o)
		return nil
	})
	if err == nil && int64(len(u.Objects)) != objects {
		err = corrupt("", "upload", d, fmt.Errorf("%d of its %d objects found", len(u.Objects), objects))
	}
	return u, err == nil, err
}
