package metadata

import (
	"bytes"
	"context"
	"database/sql"
	"math"

	"github.com/lashstore/lashstore"
)

// reconcileSurplus bounds how many edges too many one comparison looks at.
const reconcileSurplus = 256

// Difference is where what a session holds and its edges in the catalog differ.
type Difference struct {
	Surplus      []lashstore.Digest // edges to what the session does not hold
	MissingEdges []Object           // held, with a row, without an edge
	MissingRows  []Object           // held, without a row
	// Other are held under another generation than the row has, which Rows names.
	Other []Object
	Rows  []Object
	// Through is the last digest that was compared; Done says that there are no more.
	Through lashstore.Digest
	Done    bool
}

// Any reports whether there is a difference.
func (d Difference) Any() bool {
	return len(d.Surplus)+len(d.MissingEdges)+len(d.MissingRows)+len(d.Other) > 0
}

// Holding is a run of the objects that a session holds: all of those after a digest,
// in order, or as many as there are in Objects.
type Holding struct {
	After   lashstore.Digest
	Objects []Object
	Last    bool // there are no more
}

// Compare compares what a session holds with its edges. Without the session's write
// lock, a difference may be a commit on its way.
func (k *Catalog) Compare(ctx context.Context, h Holder, held Holding) (diff Difference, err error) {
	err = k.read(ctx, "compare references", func(ctx context.Context, c *conn) error {
		diff, err = k.compare(ctx, c, h, held)
		return err
	})
	return diff, err
}

// Reconcile compares as Compare does and makes the edges those that the session has:
// rows and edges that are missing are restored first, with the generation that the
// session recorded; then surplus edges are removed. It is called under the session's
// write lock. Objects under another generation are left to the caller.
func (k *Catalog) Reconcile(ctx context.Context, h Holder, held Holding) (diff Difference, err error) {
	err = k.write(ctx, "reconcile references", func(ctx context.Context, c *conn) error {
		if diff, err = k.compare(ctx, c, h, held); err != nil || !diff.Any() {
			return err
		}
		holder, err := k.holderID(ctx, c, h, true)
		if err != nil {
			return err
		}
		for _, o := range diff.MissingRows {
			if err := k.restoreRow(ctx, c, o); err != nil {
				return err
			}
		}
		for _, list := range [][]Object{diff.MissingRows, diff.MissingEdges} {
			for _, o := range list {
				if err := k.addEdge(ctx, c, o.Digest, holder); err != nil {
					return err
				}
			}
		}
		for _, d := range diff.Surplus {
			if err := k.removeEdge(ctx, c, holder, d.Bytes()); err != nil {
				return err
			}
		}
		return nil
	})
	return diff, err
}

// addEdge adds an edge to a row that exists, which then is not condemned.
func (k *Catalog) addEdge(ctx context.Context, c *conn, d lashstore.Digest, holder int64) error {
	err := c.exec(ctx, `UPDATE blob SET condemned_at_ms=NULL WHERE digest=? AND condemned_at_ms IS NOT NULL`, d.Bytes())
	if err != nil {
		return err
	}
	return c.exec(ctx, `INSERT OR IGNORE INTO edge (digest, holder) VALUES (?, ?)`, d.Bytes(), holder)
}

// restoreRow makes a row of an object that a session holds and the catalog forgot.
// Its size is learnt by the sweep.
func (k *Catalog) restoreRow(ctx context.Context, c *conn, o Object) error {
	if err := c.exec(ctx, `DELETE FROM doomed WHERE digest=? AND generation=?`, o.Digest.Bytes(), counter(o.Generation)); err != nil {
		return err
	}
	return k.writeBlob(ctx, c, &blobRow{digest: o.Digest, generation: counter(o.Generation), present: 1})
}

type edgeRow struct {
	digest     lashstore.Digest
	generation sql.NullInt64
}

func (k *Catalog) compare(ctx context.Context, c *conn, h Holder, held Holding) (diff Difference, err error) {
	limit := len(held.Objects) + reconcileSurplus
	to := bytes.Repeat([]byte{0xff}, lashstore.DigestSize+1)
	diff.Done = held.Last
	if !held.Last {
		diff.Through = held.Objects[len(held.Objects)-1].Digest
		to = diff.Through.Bytes()
	}
	edges, err := k.edgesOf(ctx, c, h, held.After, to, limit)
	if err != nil {
		return diff, err
	}
	objects := held.Objects
	if len(edges) == limit { // more edges too many than one comparison takes
		diff.Done, diff.Through = false, edges[limit-1].digest
		n := 0
		for n < len(objects) && bytes.Compare(objects[n].Digest.Bytes(), diff.Through.Bytes()) <= 0 {
			n++
		}
		objects = objects[:n]
	}
	for _, o := range objects {
		for len(edges) > 0 && bytes.Compare(edges[0].digest.Bytes(), o.Digest.Bytes()) < 0 {
			diff.Surplus = append(diff.Surplus, edges[0].digest)
			edges = edges[1:]
		}
		hasEdge := len(edges) > 0 && edges[0].digest == o.Digest
		var generation sql.NullInt64
		if hasEdge {
			generation = edges[0].generation
			edges = edges[1:]
		} else if row, err := k.readBlob(ctx, c, o.Digest); err != nil {
			return diff, err
		} else if row != nil {
			generation = sql.NullInt64{Int64: row.generation, Valid: true}
		}
		if err := diff.add(o, generation, hasEdge); err != nil {
			return diff, err
		}
	}
	for _, e := range edges {
		diff.Surplus = append(diff.Surplus, e.digest)
	}
	return diff, nil
}

// add judges one object that is held.
func (d *Difference) add(o Object, generation sql.NullInt64, hasEdge bool) error {
	switch {
	case !generation.Valid:
		d.MissingRows = append(d.MissingRows, o)
	case generation.Int64 != counter(o.Generation):
		row, err := object(o.Digest.Bytes(), generation.Int64)
		if err != nil {
			return err
		}
		d.Other, d.Rows = append(d.Other, o), append(d.Rows, row)
	case !hasEdge:
		d.MissingEdges = append(d.MissingEdges, o)
	}
	return nil
}

// edgesOf returns edges of a holder in a range, in order. One that the catalog does
// not know has none.
func (k *Catalog) edgesOf(ctx context.Context, c *conn, h Holder, after lashstore.Digest, to []byte, limit int) (edges []edgeRow, err error) {
	from := after.Bytes()
	if after.IsZero() {
		from = nil // before all
	}
	err = c.each(ctx, `SELECT edge.digest, blob.generation FROM holder JOIN edge USING (holder) LEFT JOIN blob USING (digest)
		WHERE kind=? AND key=? AND edge.digest>? AND edge.digest<=? ORDER BY edge.digest LIMIT ?`,
		[]any{h.kind, h.key, blobBound(from), to, int64(limit)}, func(scan func(...any) error) error {
			var (
				e   edgeRow
				raw []byte
			)
			if err := scan(&raw, &e.generation); err != nil {
				return err
			}
			if e.digest, err = lashstore.DigestFromBytes(raw); err != nil {
				return corrupt(h.session, "edge", raw, err)
			}
			edges = append(edges, e)
			return nil
		})
	return edges, err
}

// blobBound is a lower bound that is never NULL, with which nothing compares.
func blobBound(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// Regenerate makes the row of a digest name an object that is in the tier and that a
// session holds, if it still names the first and still says the same of whether that one
// is there: nobody has committed it since.
func (k *Catalog) Regenerate(ctx context.Context, from Object, present bool, to Object) (changed bool, err error) {
	err = k.write(ctx, "restore a generation", func(ctx context.Context, c *conn) error {
		changed = false
		row, err := k.readBlob(ctx, c, from.Digest)
		if err != nil || row == nil || row.generation != counter(from.Generation) || present != (row.present != 0) {
			return err
		}
		changed = true
		return k.restoreRow(ctx, c, to)
	})
	return changed, err
}

// Holders returns the sessions that hold a digest, up to a limit, and how many
// holders there are.
func (k *Catalog) Holders(ctx context.Context, d lashstore.Digest, limit int) (sessions []lashstore.SessionID, all int64, err error) {
	err = k.read(ctx, "find the holders of a blob", func(ctx context.Context, c *conn) error {
		sessions = nil
		if _, err := c.one(ctx, `SELECT count(*) FROM edge WHERE digest=?`, []any{d.Bytes()}, &all); err != nil {
			return err
		}
		return c.each(ctx, `SELECT session_id FROM edge JOIN holder USING (holder) JOIN session ON session.incarnation=holder.key
			WHERE digest=? AND kind=? ORDER BY session_id LIMIT ?`, []any{d.Bytes(), int64(holderSession), int64(limit)},
			func(scan func(...any) error) error {
				var id string
				err := scan(&id)
				sessions = append(sessions, lashstore.SessionID(id))
				return err
			})
	})
	return sessions, all, err
}

// noLimit is the limit of a query that is bounded otherwise.
const noLimit = math.MaxInt32
