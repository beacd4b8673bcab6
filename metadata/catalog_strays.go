package metadata

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/lashstore/lashstore"
)

// incarnationInName is how much of an incarnation a file name shows.
const incarnationInName = 8

// Strays calls fn with the path of each session database below the tenant's folder
// that no row of the catalog names: the catalog was put back from a backup, or lost
// the row. A session is admitted before its file is made, so a new one is none. It
// also calls fn for the databases of sessions that the catalog knows to be deleted:
// who created one while it was deleted died before it could remove the file again.
func (k *Catalog) Strays(ctx context.Context, fn func(path string, deleted bool) error) error {
	dir := filepath.Dir(k.db.path)
	folders, err := readDir(filepath.Join(dir, "sessions"))
	if err != nil {
		return err
	}
	for _, folder := range folders {
		files, err := readDir(filepath.Join(dir, "sessions", folder.Name()))
		if err != nil {
			return err
		}
		for _, f := range files {
			rel := filepath.Join("sessions", folder.Name(), f.Name())
			side := false
			for _, suffix := range []string{"-wal", "-shm"} {
				// What a process was reading when the database was removed may come after it.
				rel, side = strings.TrimSuffix(rel, suffix), side || strings.HasSuffix(rel, suffix)
			}
			if filepath.Ext(rel) != ".db" {
				continue
			}
			known, deleted, err := k.knowsFile(ctx, rel)
			if err == nil && (!known && !side || deleted) {
				err = fn(filepath.Join(dir, rel), deleted)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func readDir(path string) ([]os.DirEntry, error) {
	entries, err := os.ReadDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, translate("list", path, err)
	}
	return entries, nil
}

// knowsFile reports whether some session's row names the file, and whether that
// session is deleted.
func (k *Catalog) knowsFile(ctx context.Context, rel string) (known, deleted bool, err error) {
	name := strings.TrimSuffix(rel, ".db")
	if len(name) < incarnationInName {
		return false, false, nil
	}
	prefix := name[len(name)-incarnationInName:]
	err = k.read(ctx, "find a session by its file", func(ctx context.Context, c *conn) error {
		known, deleted = false, false
		// "g" sorts after every hexadecimal digit.
		return c.each(ctx, `SELECT session_id, incarnation, state FROM session WHERE incarnation>=? AND incarnation<?`,
			[]any{prefix, prefix + "g"}, func(scan func(...any) error) error {
				var (
					id, inc string
					state   int64
				)
				err := scan(&id, &inc, &state)
				if err == nil && SessionPath(lashstore.SessionID(id), lashstore.Incarnation(inc)) == rel {
					known, deleted = true, state == sessionDeleted
				}
				return err
			})
	})
	return known, deleted, err
}

// Identity is what a session's database says of itself.
type Identity struct {
	Meta        lashstore.SessionMeta
	Incarnation lashstore.Incarnation
	Deleted     bool
	// Empty reports that nothing was ever committed to it and that it holds nothing.
	Empty bool
}

// ReadIdentity reads whose database a file is.
func ReadIdentity(ctx context.Context, path string, opts SessionOptions) (id Identity, err error) {
	db, err := openDatabase(ctx, path, modeRead, opts.database())
	if err != nil {
		return id, fmt.Errorf("identify %s: %w", path, err)
	}
	s := &SessionDB{db: db, opts: opts}
	err = db.read(ctx, "identify", func(ctx context.Context, c *conn) error {
		var (
			session, inc string
			deleted      int64
		)
		found, err := c.one(ctx, `SELECT session_id, incarnation, deleted FROM meta`, nil, &session, &inc, &deleted)
		if err == nil && !found {
			err = corrupt("", "meta", path, errMissing)
		}
		if err != nil {
			return err
		}
		s.id, s.incarnation = lashstore.SessionID(session), lashstore.Incarnation(inc)
		id.Incarnation, id.Deleted = s.incarnation, deleted != 0
		if id.Meta, err = s.readMeta(ctx, c); err != nil { // with its checksum
			return err
		}
		head, err := s.headRow(ctx, c)
		if err != nil {
			return err
		}
		holds, err := c.one(ctx, `SELECT 1 FROM object LIMIT 1`, nil, new(int64))
		id.Empty = head == nil && !holds
		return err
	})
	err = errors.Join(err, db.close())
	if err == nil && filepath.Base(path) != filepath.Base(SessionPath(id.Meta.SessionID, id.Incarnation)) {
		err = &lashstore.WrongSessionError{Bound: id.Meta.SessionID, Attempted: lashstore.SessionID(filepath.Base(path))}
	}
	if err != nil {
		return id, fmt.Errorf("identify %s: %w", path, err)
	}
	return id, nil
}

// Readmit admits a session whose database exists and whose row was lost, or is that of
// an incarnation that was deleted. It returns false if the id is in use.
func (k *Catalog) Readmit(ctx context.Context, id Identity) (admitted bool, err error) {
	err = k.write(ctx, "readmit a session", func(ctx context.Context, c *conn) error {
		admitted = false
		existing, err := k.sessionRow(ctx, c, id.Meta.SessionID)
		if err != nil || existing != nil && existing.state != sessionDeleted {
			return err
		}
		admitted = true
		return k.writeSession(ctx, c, id.row())
	})
	return admitted, err
}

// row is the session's row in the catalog, without what a summary of it adds.
func (id Identity) row() *catalogRow {
	m := normalizeMeta(id.Meta)
	return &catalogRow{state: sessionLive, sum: lashstore.SessionSummary{
		SessionPickerInfo: lashstore.SessionPickerInfo{SessionID: m.SessionID, Cwd: m.Cwd, Relation: m.Relation},
		SessionName:       m.SessionName, Model: m.Model, Incarnation: id.Incarnation,
		CreatedAt: m.CreatedAt, UpdatedAt: m.CreatedAt, ExpiresAt: m.ExpiresAt(m.CreatedAt),
	}}
}

// SessionsAfter returns admitted sessions after an id, in order: those that exist or
// are being created.
func (k *Catalog) SessionsAfter(ctx context.Context, after lashstore.SessionID, limit int) ([]SessionRow, error) {
	return k.sessionRows(ctx, "list sessions", catalogSelect+` WHERE session_id>? AND state IN (0,1) ORDER BY session_id LIMIT ?`,
		string(after), int64(limit))
}

// Deleting returns sessions after an id whose deletion was begun and not completed.
func (k *Catalog) Deleting(ctx context.Context, after lashstore.SessionID, limit int) ([]SessionRow, error) {
	return k.sessionRows(ctx, "list interrupted deletions", catalogSelect+` WHERE session_id>? AND state=2 ORDER BY session_id LIMIT ?`,
		string(after), int64(limit))
}

func (k *Catalog) sessionRows(ctx context.Context, op, query string, args ...any) (rows []SessionRow, err error) {
	err = k.read(ctx, op, func(ctx context.Context, c *conn) error {
		rows = nil
		return c.each(ctx, query, args, func(scan func(...any) error) error {
			r, err := scanSession(scan)
			if err != nil {
				return err
			}
			row, err := r.admission()
			rows = append(rows, row)
			return err
		})
	})
	return rows, err
}

// CountSessions returns how many sessions there are.
func (k *Catalog) CountSessions(ctx context.Context) (n int64, err error) {
	err = k.read(ctx, "count sessions", func(ctx context.Context, c *conn) error {
		_, err := c.one(ctx, `SELECT count(*) FROM session WHERE state IN (0,1)`, nil, &n)
		return err
	})
	return n, err
}
