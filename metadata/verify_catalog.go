package metadata

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/lashstore/lashstore"
)

var (
	errNoHolderRow = errors.New("its holder is missing")
	errKind        = errors.New("its kind is unknown")
	errAlive       = errors.New("its deletion is decided, and the catalog names it")
)

// Check reads every record of the catalog but those of blobs, which are
// [Catalog.CheckBlobs]', and compares those that belong together. Only an error keeps
// it from going on: damage is in the checkup.
//
// A commit may come between its parts, so that what it compares is of one statement.
func (k *Catalog) Check(ctx context.Context) (out Checkup, err error) {
	check := &catalogCheck{checker: checker{outer: ctx, path: k.db.path, found: &out}, k: k}
	for _, part := range []func(context.Context, *conn) error{
		func(_ context.Context, c *conn) error { return check.integrity(c) },
		check.singletons, check.sessions, check.holders, check.uploads, check.doomed,
	} {
		if err := k.read(ctx, "check", part); err != nil {
			return out, err
		}
	}
	return out, nil
}

type catalogCheck struct {
	checker
	k *Catalog
}

func (k *catalogCheck) singletons(ctx context.Context, c *conn) error {
	k.found.Rows += 2
	_, err := k.k.readCollection(ctx, c)
	if err := k.note("collection", err); err != nil {
		return err
	}
	_, _, err = k.k.readTier(ctx, c)
	return k.note("tier", err)
}

func (k *catalogCheck) sessions(ctx context.Context, c *conn) error {
	return k.walk(ctx, c, "session", catalogSelect, nil, func(scan func(...any) error) error {
		r, err := scanSession(scan)
		if err == nil {
			_, err = r.admission()
		}
		return err
	})
}

// holders checks who refers to blobs, and that every reference has a holder and is to
// what may be a digest. That it is to a row is compared by the mark of an audit.
func (k *catalogCheck) holders(ctx context.Context, c *conn) error {
	err := k.walk(ctx, c, "holder", `SELECT holder, kind FROM holder`, nil, func(scan func(...any) error) error {
		var holder, kind int64
		if err := scan(&holder, &kind); err != nil {
			return err
		}
		if kind != holderSession && kind != holderUpload {
			return corrupt("", "holder", holder, errKind)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return k.none(ctx, c, "", "edge", `SELECT hex(digest) || ' of holder ' || holder FROM edge
		WHERE length(digest)<>? OR NOT EXISTS (SELECT 1 FROM holder WHERE holder.holder=edge.holder)`, errNoHolderRow, int64(lashstore.DigestSize))
}

func (k *catalogCheck) uploads(ctx context.Context, c *conn) error {
	err := k.walk(ctx, c, "upload", `SELECT digest, holder, size, manifest, objects, uploaded_at_ms, expires_at_ms, sum FROM upload`, nil,
		func(scan func(...any) error) error {
			var (
				raw, manifest                                  []byte
				holder, size, objects, uploaded, expires, want int64
			)
			if err := scan(&raw, &holder, &size, &manifest, &objects, &uploaded, &expires, &want); err != nil {
				return err
			}
			if want != rowSum(raw, holder, size, manifest, objects, uploaded, expires) {
				return corrupt("", "upload", fmt.Sprintf("%x", raw), errSum)
			}
			return nil
		})
	if err != nil {
		return err
	}
	return k.none(ctx, c, "", "upload", `SELECT hex(digest) FROM upload
		WHERE objects<>(SELECT count(*) FROM edge WHERE edge.holder=upload.holder)
		AND EXISTS (SELECT 1 FROM holder WHERE holder.holder=upload.holder AND expires_at_ms>?)`,
		errors.New("its references are not as many as it says"), toMS(k.k.opts.Now()))
}

// doomed checks that nothing is about to be deleted that a row names.
func (k *catalogCheck) doomed(ctx context.Context, c *conn) error {
	err := k.walk(ctx, c, "doomed", `SELECT digest, generation FROM doomed`, nil, func(scan func(...any) error) error {
		var (
			raw        []byte
			generation int64
		)
		if err := scan(&raw, &generation); err != nil {
			return err
		}
		_, err := object(raw, generation)
		return err
	})
	if err != nil {
		return err
	}
	return k.none(ctx, c, "", "doomed", `SELECT hex(digest) FROM doomed JOIN blob USING (digest, generation)`, errAlive)
}

// CheckedBlob is a row as a verification sees it.
type CheckedBlob struct {
	SweptRow
	Content  bool
	RawBytes int64
}

// CorruptBlobRow is a row of a blob that cannot be trusted.
type CorruptBlobRow struct {
	Key []byte // as it is in the row
	Err error
}

// CheckBlobs returns rows of blobs after a key, from up to limit of them, in order;
// corrupt are those that cannot be trusted. Next is where to go on, nil at the end.
func (k *Catalog) CheckBlobs(ctx context.Context, after []byte, limit int) (rows []CheckedBlob, bad []CorruptBlobRow, next []byte, err error) {
	if after == nil {
		after = []byte{}
	}
	err = k.read(ctx, "check blobs", func(ctx context.Context, c *conn) error {
		rows, bad, next = nil, nil, nil
		var last []byte
		n := 0
		err := c.each(ctx, checkedBlobs+` WHERE digest>? ORDER BY digest LIMIT ?`, []any{after, int64(limit)}, func(scan func(...any) error) error {
			row, raw, err := scanCheckedBlob(scan)
			if raw != nil {
				last = raw
			}
			n++
			switch {
			case err == nil:
				rows = append(rows, row)
			case raw != nil && errors.Is(err, lashstore.ErrCorruptRecord):
				bad = append(bad, CorruptBlobRow{Key: raw, Err: err})
			default:
				return err
			}
			return nil
		})
		if n == limit {
			next = last
		}
		return err
	})
	return rows, bad, next, err
}

const checkedBlobs = `SELECT digest, generation, present, role, describes, raw_size, stored_size, sum, condemned_at_ms,
	EXISTS (SELECT 1 FROM edge WHERE edge.digest=blob.digest) FROM blob`

func scanCheckedBlob(scan func(...any) error) (out CheckedBlob, raw []byte, err error) {
	var (
		r         blobRow
		sum       int64
		condemned sql.NullInt64
	)
	if err := scan(&raw, &r.generation, &r.present, &r.role, &r.describes, &r.raw, &r.stored, &sum, &condemned, &out.Held); err != nil {
		return out, raw, err
	}
	if out.Object, err = object(raw, r.generation); err != nil {
		return out, raw, err
	}
	if r.digest = out.Digest; r.sum() != sum || r.generation < 1 {
		return out, raw, corrupt("", "blob", out.Digest, errSum)
	}
	out.Present, out.Sized, out.Condemned = r.present != 0, r.role != roleUnknown, condemned.Valid
	out.Wanted = !out.Present && out.Sized
	out.StoredBytes, out.RawBytes, out.Content = r.stored, r.raw, r.role == roleContent
	if out.Held && out.Condemned {
		return out, raw, corrupt("", "blob", out.Digest, errEdgeLeft)
	}
	return out, raw, nil
}

// RepairBlobs repairs rows of blobs that cannot be trusted. A row that is condemned
// although something refers to it lives again. One whose checksum does not match is
// removed if a session refers to it, so that comparing references restores it from
// what the session knows, or if nothing does; what only an upload knows is left alone.
// It returns the keys of those that it repaired.
func (k *Catalog) RepairBlobs(ctx context.Context, keys [][]byte) (repaired [][]byte, err error) {
	err = k.write(ctx, "repair blobs", func(ctx context.Context, c *conn) error {
		repaired = nil
		for _, key := range keys {
			done, err := k.repairBlob(ctx, c, key)
			if err != nil {
				return err
			}
			if done {
				repaired = append(repaired, bytes.Clone(key))
			}
		}
		return nil
	})
	return repaired, err
}

func (k *Catalog) repairBlob(ctx context.Context, c *conn, key []byte) (done bool, err error) {
	var flaw error
	err = c.each(ctx, checkedBlobs+` WHERE digest=?`, []any{key}, func(scan func(...any) error) error {
		_, raw, err := scanCheckedBlob(scan)
		if err != nil && (raw == nil || !errors.Is(err, lashstore.ErrCorruptRecord)) {
			return err
		}
		flaw = err
		return nil
	})
	if err != nil || flaw == nil {
		return false, err
	}
	if errors.Is(flaw, errEdgeLeft) {
		n, err := c.execCount(ctx, `UPDATE blob SET condemned_at_ms=NULL WHERE digest=?`, key)
		return n > 0, err
	}
	n, err := c.execCount(ctx, `DELETE FROM blob WHERE digest=? AND (NOT EXISTS (SELECT 1 FROM edge WHERE edge.digest=blob.digest)
		OR EXISTS (SELECT 1 FROM edge JOIN holder USING (holder) WHERE edge.digest=blob.digest AND kind=?))`, key, int64(holderSession))
	return n > 0, err
}

// RepairSession writes the row of a session anew whose checksum does not match, from
// what the session's own database says: identify reads that, of the incarnation that
// the row names. It returns false if the row is sound, or if it and the database do not
// name the same session.
func (k *Catalog) RepairSession(ctx context.Context, id lashstore.SessionID, identify func(lashstore.Incarnation) (Identity, error)) (repaired bool, err error) {
	const query = `SELECT incarnation FROM session WHERE session_id=?`
	var inc string
	err = k.read(ctx, "find a session", func(ctx context.Context, c *conn) error {
		_, err := c.one(ctx, query, []any{string(id)}, &inc)
		return err
	})
	if err != nil || inc == "" {
		return false, err
	}
	own, err := identify(lashstore.Incarnation(inc))
	if err != nil || own.Deleted || own.Meta.SessionID != id || string(own.Incarnation) != inc {
		return false, err
	}
	err = k.write(ctx, "repair a session's row", func(ctx context.Context, c *conn) error {
		repaired = false
		var now string
		if _, err := c.one(ctx, query, []any{string(id)}, &now); err != nil || now != inc {
			return err
		}
		if _, err := k.sessionRow(ctx, c, id); err == nil || !errors.Is(err, lashstore.ErrCorruptRecord) {
			return err
		}
		repaired = true
		return k.writeSession(ctx, c, own.row())
	})
	return repaired, err
}

// CheckSessions returns admitted sessions after an id, from up to limit rows, in order.
// Rows that cannot be trusted are left out: [Catalog.Check] names them. Next is where to
// go on, empty at the end.
func (k *Catalog) CheckSessions(ctx context.Context, after lashstore.SessionID, limit int) (rows []SessionRow, next lashstore.SessionID, err error) {
	err = k.read(ctx, "list sessions", func(ctx context.Context, c *conn) error {
		rows, next = nil, ""
		ids, err := k.sessionIDs(ctx, c, after, limit)
		if err != nil {
			return err
		}
		for _, id := range ids {
			r, err := k.sessionRow(ctx, c, lashstore.SessionID(id))
			var row SessionRow
			if err == nil && r != nil {
				row, err = r.admission()
			}
			if err == nil && r != nil {
				rows = append(rows, row)
			} else if err != nil && !errors.Is(err, lashstore.ErrCorruptRecord) {
				return err
			}
		}
		if len(ids) == limit {
			next = lashstore.SessionID(ids[limit-1])
		}
		return nil
	})
	return rows, next, err
}

func (k *Catalog) sessionIDs(ctx context.Context, c *conn, after lashstore.SessionID, limit int) (ids []string, err error) {
	err = c.each(ctx, `SELECT session_id FROM session WHERE session_id>? AND state IN (0,1) ORDER BY session_id LIMIT ?`,
		[]any{string(after), int64(limit)}, func(scan func(...any) error) error {
			var id string
			err := scan(&id)
			ids = append(ids, id)
			return err
		})
	return ids, err
}
