package metadata

import (
	"context"
	"errors"
	"time"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/internal/sabotage"
)

// Shard is a range of the digest space: the digests whose first byte is in it.
type Shard struct {
	First, Last byte
}

// from and to are the least digest of the shard and an upper bound of all. A digest
// has 32 bytes, so that the bound, which is longer, is none.
func (s Shard) from() []byte { return []byte{s.First} }

// firstBytes are the values of the first byte of the shard's digests.
func (s Shard) firstBytes() (list [][]byte) {
	for b := s.First; ; b++ {
		list = append(list, []byte{b})
		if b == s.Last {
			return list
		}
	}
}

func (s Shard) to() []byte {
	bound := make([]byte, lashstore.DigestSize+1)
	bound[0] = s.Last
	for i := 1; i < len(bound); i++ {
		bound[i] = 0xff
	}
	return bound
}

// Doomed is an object whose deletion is decided.
type Doomed struct {
	Object
	StoredBytes int64
}

// errEdgeLeft is a row that was to go although something refers to it. It cannot be:
// removing edges and reserving keep condemnation true. It is re-checked all the same.
var errEdgeLeft = errors.New("it is condemned, and something refers to it")

// doomSlice bounds how many rows one transaction of the collector changes, and so
// how long it keeps writers waiting: some 10 ms.
const doomSlice = 250

// Doom removes the rows of a shard that were condemned at or before a time and to
// which nothing refers, and puts their objects into the queue of the doomed. It does
// so for a slice of them, and reports whether there are more.
func (k *Catalog) Doom(ctx context.Context, s Shard, before time.Time) (doomed []Doomed, more bool, err error) {
	err = k.write(ctx, "doom blobs", func(ctx context.Context, c *conn) error {
		doomed, more = nil, false
		for _, first := range s.firstBytes() {
			if more {
				break
			}
			due, err := c.blobs(ctx, `SELECT digest FROM blob WHERE substr(digest,1,1)=? AND condemned_at_ms<=?
				ORDER BY condemned_at_ms LIMIT ?`, first, toMS(before), int64(doomSlice-len(doomed)))
			if err != nil {
				return err
			}
			for _, raw := range due {
				d, err := k.doom(ctx, c, raw)
				if err != nil {
					return err
				}
				doomed = append(doomed, d)
			}
			more = len(doomed) == doomSlice
		}
		return nil
	})
	if err != nil {
		return nil, false, err
	}
	return doomed, more, nil
}

// doom removes one condemned row and queues its object.
func (k *Catalog) doom(ctx context.Context, c *conn, raw []byte) (out Doomed, err error) {
	if out.Digest, err = lashstore.DigestFromBytes(raw); err != nil {
		return out, corrupt("", "blob", raw, err)
	}
	row, err := k.readBlob(ctx, c, out.Digest)
	if err == nil && row == nil {
		err = corrupt("", "blob", out.Digest, errMissing)
	}
	if err != nil {
		return out, err
	}
	held, err := c.one(ctx, `SELECT 1 FROM edge WHERE digest=? LIMIT 1`, []any{raw}, new(int64))
	if err == nil && held && !sabotage.Planted(sabotage.NoClear) {
		err = corrupt("", "blob", out.Digest, errEdgeLeft)
	}
	if err != nil {
		return out, err
	}
	if out.Generation, err = unsigned[uint64](row.generation); err != nil {
		return out, corrupt("", "blob", out.Digest, err)
	}
	out.StoredBytes = row.stored
	if err := c.exec(ctx, `DELETE FROM blob WHERE digest=?`, raw); err != nil {
		return out, err
	}
	return out, k.queueDoomed(ctx, c, out)
}

func (k *Catalog) queueDoomed(ctx context.Context, c *conn, d Doomed) error {
	return c.exec(ctx, `INSERT OR IGNORE INTO doomed (digest, generation, stored_size, doomed_at_ms) VALUES (?, ?, ?, ?)`,
		d.Digest.Bytes(), counter(d.Generation), d.StoredBytes, toMS(k.opts.Now()))
}

// Due says what a collection of a shard would find.
type Due struct {
	Rows, Bytes           int64     // condemned at or before the time
	Waiting, WaitingBytes int64     // condemned later
	Doomed, DoomedBytes   int64     // in the queue of the doomed
	Oldest                time.Time // when the oldest of all was condemned
}

// Any reports whether there is something to do.
func (d Due) Any() bool { return d.Rows > 0 || d.Doomed > 0 }

// Due counts what is due in a shard. It reads what is condemned and nothing else.
func (k *Catalog) Due(ctx context.Context, s Shard, before time.Time) (due Due, err error) {
	err = k.read(ctx, "count condemned blobs", func(ctx context.Context, c *conn) error {
		due = Due{}
		for _, first := range s.firstBytes() {
			var rows, bytes, all, allBytes, oldest int64
			_, err := c.one(ctx, `SELECT count(*), coalesce(sum(stored_size),0), coalesce(sum(condemned_at_ms<=?1),0),
				coalesce(sum(CASE WHEN condemned_at_ms<=?1 THEN stored_size END),0), coalesce(min(condemned_at_ms),0)
				FROM blob WHERE substr(digest,1,1)=?2 AND condemned_at_ms IS NOT NULL`,
				[]any{toMS(before), first}, &all, &allBytes, &rows, &bytes, &oldest)
			if err != nil {
				return err
			}
			due.Rows, due.Bytes = due.Rows+rows, due.Bytes+bytes
			due.Waiting, due.WaitingBytes = due.Waiting+all-rows, due.WaitingBytes+allBytes-bytes
			if at := fromMS(oldest); all > 0 && (due.Oldest.IsZero() || at.Before(due.Oldest)) {
				due.Oldest = at
			}
		}
		_, err := c.one(ctx, `SELECT count(*), coalesce(sum(stored_size),0) FROM doomed WHERE digest>=? AND digest<=?`,
			[]any{s.from(), s.to()}, &due.Doomed, &due.DoomedBytes)
		return err
	})
	return due, err
}

// Doomed returns objects of a shard whose deletion is decided, after one.
func (k *Catalog) Doomed(ctx context.Context, s Shard, after Object, limit int) (list []Doomed, err error) {
	from := after.Digest.Bytes()
	if after.Digest.IsZero() {
		from = s.from()
	}
	err = k.read(ctx, "list doomed objects", func(ctx context.Context, c *conn) error {
		return c.each(ctx, `SELECT digest, generation, stored_size FROM doomed
			WHERE (digest, generation)>(?, ?) AND digest<=? ORDER BY digest, generation LIMIT ?`,
			[]any{from, counter(after.Generation), s.to(), int64(limit)}, func(scan func(...any) error) error {
				var (
					d          Doomed
					raw        []byte
					generation int64
				)
				err := scan(&raw, &generation, &d.StoredBytes)
				if err == nil {
					d.Object, err = object(raw, generation)
				}
				list = append(list, d)
				return err
			})
	})
	return list, err
}

// object makes an object of what the catalog has.
func object(raw []byte, generation int64) (o Object, err error) {
	if o.Digest, err = lashstore.DigestFromBytes(raw); err != nil {
		return o, corrupt("", "object", raw, err)
	}
	if o.Generation, err = unsigned[uint64](generation); err != nil {
		return o, corrupt("", "object", o.Digest, err)
	}
	return o, nil
}

// Deleted takes objects that the tier has deleted out of the queue.
func (k *Catalog) Deleted(ctx context.Context, objects []Doomed) error {
	for len(objects) > 0 {
		n := min(len(objects), doomSlice)
		err := k.write(ctx, "note deleted objects", func(ctx context.Context, c *conn) error {
			for _, o := range objects[:n] {
				if err := c.exec(ctx, `DELETE FROM doomed WHERE digest=? AND generation=?`, o.Digest.Bytes(), counter(o.Generation)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		objects = objects[n:]
	}
	return nil
}
