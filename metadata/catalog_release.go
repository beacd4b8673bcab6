package metadata

import (
	"context"
	"time"

	"github.com/lashstore/lashstore"
)

// releaseSlice bounds how many edges one transaction removes.
const releaseSlice = 500

// Release removes the edges from the holder to the digests. For a session it is
// called under the session's write lock only. What has no edge left is condemned.
func (k *Catalog) Release(ctx context.Context, h Holder, digests []lashstore.Digest) error {
	return k.write(ctx, "release blobs", func(ctx context.Context, c *conn) error {
		var holder int64
		found, err := c.one(ctx, `SELECT holder FROM holder WHERE kind=? AND key=?`, []any{h.kind, h.key}, &holder)
		if err != nil || !found {
			return err
		}
		for _, d := range digests {
			if err := k.removeEdge(ctx, c, holder, d.Bytes()); err != nil {
				return err
			}
		}
		return nil
	})
}

// removeEdge removes an edge and condemns the blob if it was the last.
func (k *Catalog) removeEdge(ctx context.Context, c *conn, holder int64, digest []byte) error {
	n, err := c.execCount(ctx, `DELETE FROM edge WHERE digest=? AND holder=?`, digest, holder)
	if err != nil || n == 0 {
		return err
	}
	return c.exec(ctx, `UPDATE blob SET condemned_at_ms=? WHERE digest=? AND condemned_at_ms IS NULL
		AND NOT EXISTS (SELECT 1 FROM edge WHERE edge.digest=blob.digest)`, toMS(k.opts.Now()), digest)
}

// ReleaseAll removes all edges of a holder, a slice at a time, and then the holder.
func (k *Catalog) ReleaseAll(ctx context.Context, h Holder) error {
	for more := true; more; {
		err := k.write(ctx, "release a holder", func(ctx context.Context, c *conn) error {
			var holder int64
			found, err := c.one(ctx, `SELECT holder FROM holder WHERE kind=? AND key=?`, []any{h.kind, h.key}, &holder)
			if err != nil || !found {
				more = false
				return err
			}
			_, more, err = k.releaseSlice(ctx, c, holder, releaseSlice)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// releaseSlice removes up to limit edges of a holder, and the holder with the last.
func (k *Catalog) releaseSlice(ctx context.Context, c *conn, holder int64, limit int) (removed int, more bool, err error) {
	digests, err := c.blobs(ctx, `SELECT digest FROM edge WHERE holder=? LIMIT ?`, holder, int64(limit))
	if err != nil {
		return 0, false, err
	}
	for _, d := range digests {
		if err := k.removeEdge(ctx, c, holder, d); err != nil {
			return 0, false, err
		}
	}
	if len(digests) == limit {
		return limit, true, nil
	}
	if err := c.exec(ctx, `DELETE FROM upload WHERE holder=?`, holder); err != nil {
		return 0, false, err
	}
	return len(digests), false, c.exec(ctx, `DELETE FROM holder WHERE holder=?`, holder)
}

// blobs returns the only column of a query.
func (c *conn) blobs(ctx context.Context, query string, args ...any) (out [][]byte, err error) {
	err = c.each(ctx, query, args, func(scan func(...any) error) error {
		var b []byte
		err := scan(&b)
		out = append(out, b)
		return err
	})
	return out, err
}

// ExpiredUploads counts the uploads that no longer protect anything.
func (k *Catalog) ExpiredUploads(ctx context.Context, now time.Time) (n int64, err error) {
	err = k.read(ctx, "count expired uploads", func(ctx context.Context, c *conn) error {
		_, err := c.one(ctx, `SELECT count(*) FROM holder WHERE expires_at_ms<=?`, []any{toMS(now)}, &n)
		return err
	})
	return n, err
}

// ReleaseExpired lets go of some of what uploads protected that have expired. It
// returns how many of them it has finished, and whether there are more.
func (k *Catalog) ReleaseExpired(ctx context.Context, now time.Time) (finished int64, more bool, err error) {
	err = k.write(ctx, "release expired uploads", func(ctx context.Context, c *conn) error {
		finished, more = 0, true
		for left := releaseSlice; left > 0; left-- { // an upload counts as an edge, or empty ones would not end
			var holder int64
			found, err := c.one(ctx, `SELECT holder FROM holder WHERE expires_at_ms<=? ORDER BY expires_at_ms LIMIT 1`,
				[]any{toMS(now)}, &holder)
			if err != nil || !found {
				more = false
				return err
			}
			removed, unfinished, err := k.releaseSlice(ctx, c, holder, left)
			if err != nil {
				return err
			}
			if !unfinished {
				finished++
			}
			left -= removed
		}
		return nil
	})
	return finished, more, err
}

// DeadHolders returns holders, after a row number, that are sessions which have been
// deleted, or, without a session, which the catalog does not know. Last is where to go
// on, 0 at the end.
func (k *Catalog) DeadHolders(ctx context.Context, after int64, limit int) (dead []Holder, last int64, err error) {
	err = k.read(ctx, "find holders without a session", func(ctx context.Context, c *conn) error {
		n := 0
		// "+" keeps the index of kinds out of it, by which all would be sorted for each page.
		err := c.each(ctx, `SELECT holder, key, coalesce(session_id,''), coalesce(state,-1) FROM holder
			LEFT JOIN session ON session.incarnation=holder.key
			WHERE +kind=? AND holder>? ORDER BY holder LIMIT ?`, []any{int64(holderSession), after, int64(limit)},
			func(scan func(...any) error) error {
				var (
					key, id string
					state   int64
				)
				if err := scan(&last, &key, &id, &state); err != nil {
					return err
				}
				n++
				if id == "" || state == sessionDeleted {
					dead = append(dead, Holder{kind: holderSession, key: key, session: lashstore.SessionID(id)})
				}
				return nil
			})
		if n < limit {
			last = 0
		}
		return err
	})
	return dead, last, err
}

// Session is the session of a holder, empty where the catalog knows none.
func (h Holder) Session() lashstore.SessionID { return h.session }

// Key names a holder among those of its kind: of a session, its incarnation.
func (h Holder) Key() string { return h.key }
