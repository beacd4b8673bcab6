package metadata

import (
	"context"

	"github.com/lashstore/lashstore"
)

// SweptRow is a row as a sweep sees it.
type SweptRow struct {
	Object
	Present     bool
	Wanted      bool // it was stored once, and found missing or damaged
	Sized       bool // the stored size is known
	StoredBytes int64
	Held        bool // something refers to it
	Condemned   bool
}

// Rows returns rows of a shard after a digest, in order, up to and including through
// if that is given.
func (k *Catalog) Rows(ctx context.Context, s Shard, after lashstore.Digest, through *lashstore.Digest, limit int) (rows []SweptRow, err error) {
	from, to := s.from(), s.to()
	if !after.IsZero() {
		from = after.Bytes()
	}
	if through != nil {
		to = through.Bytes()
	}
	err = k.read(ctx, "read blobs", func(ctx context.Context, c *conn) error {
		rows = nil
		return c.each(ctx, `SELECT digest, generation, present, role, describes, raw_size, stored_size, sum, condemned_at_ms IS NOT NULL,
			EXISTS (SELECT 1 FROM edge WHERE edge.digest=blob.digest)
			FROM blob WHERE digest>? AND digest<=? ORDER BY digest LIMIT ?`, []any{from, to, int64(limit)},
			func(scan func(...any) error) error {
				var (
					r   blobRow
					out SweptRow
					raw []byte
					sum int64
				)
				err := scan(&raw, &r.generation, &r.present, &r.role, &r.describes, &r.raw, &r.stored, &sum, &out.Condemned, &out.Held)
				if err != nil {
					return err
				}
				if out.Object, err = object(raw, r.generation); err != nil {
					return err
				}
				if r.digest = out.Digest; r.sum() != sum {
					return corrupt("", "blob", out.Digest, errSum)
				}
				out.Present, out.Sized, out.StoredBytes = r.present != 0, r.role != roleUnknown, r.stored
				out.Wanted = !out.Present && out.Sized
				rows = append(rows, out)
				return nil
			})
	})
	return rows, err
}

// Condemn condemns rows to which nothing refers, and returns how many.
func (k *Catalog) Condemn(ctx context.Context, digests []lashstore.Digest) (condemned int64, err error) {
	err = k.write(ctx, "condemn blobs", func(ctx context.Context, c *conn) error {
		condemned = 0
		for _, d := range digests {
			n, err := c.execCount(ctx, `UPDATE blob SET condemned_at_ms=? WHERE digest=? AND condemned_at_ms IS NULL
				AND NOT EXISTS (SELECT 1 FROM edge WHERE edge.digest=blob.digest)`, toMS(k.opts.Now()), d.Bytes())
			if err != nil {
				return err
			}
			condemned += n
		}
		return nil
	})
	return condemned, err
}

// DoomUnknown queues objects of the tier for deletion that have no row. It is called
// with objects that were listed before: a row is older than its object, so that one
// that has no row now never will, and its name is never used again. It returns those
// that were queued.
func (k *Catalog) DoomUnknown(ctx context.Context, objects []Doomed) (doomed []Doomed, err error) {
	err = k.write(ctx, "doom unknown objects", func(ctx context.Context, c *conn) error {
		doomed = nil
		for _, o := range objects {
			row, err := k.readBlob(ctx, c, o.Digest)
			if err != nil {
				return err
			}
			if row != nil && row.generation == counter(o.Generation) {
				continue
			}
			if err := k.queueDoomed(ctx, c, o); err != nil {
				return err
			}
			doomed = append(doomed, o)
		}
		return nil
	})
	return doomed, err
}

// Learn records the stored sizes of objects whose rows were restored without.
func (k *Catalog) Learn(ctx context.Context, objects []Doomed) error {
	return k.changeRows(ctx, "record sizes", objects, func(r *blobRow, o Doomed) bool {
		if r.role != roleUnknown || r.present == 0 {
			return false
		}
		r.role, r.stored = rolePart, o.StoredBytes
		return true
	})
}

// Resize records the stored size of an object that was found to be another, and whole.
func (k *Catalog) Resize(ctx context.Context, o Doomed) error {
	return k.changeRows(ctx, "correct a size", []Doomed{o}, func(r *blobRow, o Doomed) bool {
		changed := r.stored != o.StoredBytes
		r.stored = o.StoredBytes
		return changed
	})
}

// Want records that objects are not in the tier, or damaged there. They stay
// referred to, and whoever stores equal bytes next puts them back under their names.
func (k *Catalog) Want(ctx context.Context, objects []Doomed) error {
	return k.changeRows(ctx, "mark blobs as wanted", objects, func(r *blobRow, _ Doomed) bool {
		wanted := r.present != 0
		if r.present = 0; r.role == roleUnknown {
			r.role = rolePart // or it would look like one that is being stored for the first time
		}
		return wanted
	})
}

// changeRows changes rows that still name the given objects.
func (k *Catalog) changeRows(ctx context.Context, op string, objects []Doomed, change func(*blobRow, Doomed) bool) error {
	if len(objects) == 0 {
		return nil
	}
	return k.write(ctx, op, func(ctx context.Context, c *conn) error {
		for _, o := range objects {
			r, err := k.readBlob(ctx, c, o.Digest)
			if err != nil {
				return err
			}
			if r == nil || r.generation != counter(o.Generation) || !change(r, o) {
				continue
			}
			err = c.exec(ctx, `UPDATE blob SET present=?, role=?, raw_size=?, stored_size=?, sum=? WHERE digest=?`,
				r.present, r.role, r.raw, r.stored, r.sum(), o.Digest.Bytes())
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// BlobCounts are sums over the catalog.
type BlobCounts struct {
	Objects, StoredBytes int64
	Held                 int64 // objects that something refers to
	Holders, Uploads     int64
}

// Counts reads the whole catalog, not as of one moment. It keeps nobody from writing:
// one long read would keep the log from being written back, by hundreds of megabytes in
// a large catalog that is written to, and whoever commits after it would have to.
func (k *Catalog) Counts(ctx context.Context) (n BlobCounts, err error) {
	for first := range 1 << 8 {
		var objects, bytes, held int64
		s := Shard{First: byte(first), Last: byte(first)}
		err := k.read(ctx, "count blobs", func(ctx context.Context, c *conn) error {
			_, err := c.one(ctx, `SELECT count(*), coalesce(sum(stored_size),0), coalesce(sum(condemned_at_ms IS NULL),0)
				FROM blob WHERE digest>=? AND digest<=?`, []any{s.from(), s.to()}, &objects, &bytes, &held)
			return err
		})
		if err != nil {
			return n, err
		}
		n.Objects, n.StoredBytes, n.Held = n.Objects+objects, n.StoredBytes+bytes, n.Held+held
	}
	err = k.read(ctx, "count holders", func(ctx context.Context, c *conn) error {
		_, err := c.one(ctx, `SELECT count(*), coalesce(sum(kind=?),0) FROM holder`, []any{int64(holderUpload)}, &n.Holders, &n.Uploads)
		return err
	})
	return n, err
}
