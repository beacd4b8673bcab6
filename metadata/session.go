package metadata

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/lashstore/lashstore"
)

// sessionPageSize keeps an empty session small: every table and index takes a page
// at least, and there are some thirty (docs/adr/0003-page-size.md).
const sessionPageSize = 1024

// sessionReaders is how many reads of one session run beside each other.
const sessionReaders = 2

// SessionOptions are what all session databases of a store share. All fields but
// Retention and Gate are required.
type SessionOptions struct {
	Durability         lashstore.Durability
	BusyTimeout        time.Duration
	Retention          lashstore.Retention
	SourceKeyRetention time.Duration
	// TempDir is where the files of new sessions are made. It is on the file system of
	// the sessions.
	TempDir string
	// Now must never step back.
	Now  func() time.Time
	Rand io.Reader
	// Processes and Liveness are the process table and the evidence of this process,
	// for judging the holders of claims.
	Processes lashstore.ProcessTable
	Liveness  lashstore.Liveness
	Gate      Gate
}

// SessionDB is the database of one session. It may be used by several goroutines.
type SessionDB struct {
	db          *database
	opts        SessionOptions
	id          lashstore.SessionID
	incarnation lashstore.Incarnation
	owner       atomic.Pointer[knownOwner]
}

func (o SessionOptions) database() databaseOptions {
	return databaseOptions{
		durability:  o.Durability,
		busyTimeout: o.BusyTimeout,
		pageSize:    sessionPageSize,
		readers:     sessionReaders,
		schema:      sessionSchema(),
		gate:        o.Gate,
	}
}

// CreateSessionFile makes the database of a new session at path, whole or not at
// all. A file that is there already is left alone: another creator of the same
// incarnation made it.
func CreateSessionFile(ctx context.Context, path string, meta lashstore.SessionMeta, inc lashstore.Incarnation, opts SessionOptions) (err error) {
	dir := filepath.Dir(path)
	for _, d := range []string{dir, opts.TempDir} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return translate("create the folder", d, err)
		}
	}
	suffix, err := randomHex(opts.Rand)
	if err != nil {
		return err
	}
	temporary := filepath.Join(opts.TempDir, newPrefix+suffix)
	defer func() {
		for _, side := range sideFiles(temporary) {
			if rmErr := os.Remove(side); rmErr != nil && !errors.Is(rmErr, fs.ErrNotExist) {
				err = errors.Join(err, translate("remove", side, rmErr))
			}
		}
	}()
	if err := writeSessionFile(ctx, temporary, meta, inc, opts); err != nil {
		return err
	}
	if err := os.Link(temporary, path); err != nil && !errors.Is(err, fs.ErrExist) {
		return translate("create", path, err)
	}
	if opts.Durability == lashstore.DurabilityNormal {
		return nil
	}
	return syncDirs(dir, filepath.Dir(dir), filepath.Dir(filepath.Dir(dir)))
}

// newPrefix begins the names of files that are not yet sessions.
const newPrefix = "new-"

// RemoveStale removes what creators that died left in the folder for new sessions,
// once it is older than the limit: a creator takes milliseconds.
func RemoveStale(dir string, before time.Time) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return translate("list", dir, err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !strings.HasPrefix(e.Name(), newPrefix) || info.ModTime().After(before) {
			continue // gone, not ours, or young
		}
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return translate("remove", filepath.Join(dir, e.Name()), err)
		}
	}
	return nil
}

func writeSessionFile(ctx context.Context, path string, meta lashstore.SessionMeta, inc lashstore.Incarnation, opts SessionOptions) error {
	db, err := openDatabase(ctx, path, modeCreate, opts.database())
	if err != nil {
		return err
	}
	s := &SessionDB{db: db, opts: opts, id: meta.SessionID, incarnation: inc}
	err = sessionSchema().migrate(ctx, db)
	if err == nil {
		err = db.write(ctx, "create session", func(ctx context.Context, c *conn) error {
			return s.writeMeta(ctx, c, meta)
		})
	}
	// Closing the last connection moves the log into the file and removes it.
	return errors.Join(err, db.close())
}

// OpenSessionDB opens the database at path, which must be that of the session and
// the incarnation.
func OpenSessionDB(ctx context.Context, path string, id lashstore.SessionID, inc lashstore.Incarnation, readOnly bool, opts SessionOptions) (*SessionDB, error) {
	mode := modeWrite
	if readOnly {
		mode = modeRead
	}
	if _, err := os.Stat(path); err != nil {
		return nil, translate("open", path, err)
	}
	db, err := openDatabase(ctx, path, mode, opts.database())
	if err != nil {
		return nil, fmt.Errorf("open session %q: %w", id, NoteMissing(path, err))
	}
	s := &SessionDB{db: db, opts: opts, id: id, incarnation: inc}
	if readOnly {
		err = sessionSchema().requireCurrent(ctx, db)
	} else {
		err = sessionSchema().migrate(ctx, db)
	}
	if err == nil {
		err = s.read(ctx, "open", func(context.Context, *conn) error { return nil })
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open session %q: %w", id, NoteMissing(path, err)), db.close())
	}
	return s, nil
}

// NoteMissing adds [fs.ErrNotExist] to the error of a database whose file is gone:
// SQLite has several errors for a file that is removed while it is at work.
func NoteMissing(path string, err error) error {
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if _, statErr := os.Stat(path); errors.Is(statErr, fs.ErrNotExist) {
		return errors.Join(err, statErr)
	}
	return err
}

// Close waits for the calls in flight. Later calls fail with [lashstore.ErrClosed].
func (s *SessionDB) Close() error { return s.db.close() }

// Path is the file of the database.
func (s *SessionDB) Path() string { return s.db.path }

// write runs fn in a write transaction of the live session.
func (s *SessionDB) write(ctx context.Context, op string, fn func(context.Context, *conn) error) error {
	return s.wrap(op, s.db.write(ctx, op, func(ctx context.Context, c *conn) error {
		if err := s.requireLive(ctx, c); err != nil {
			return err
		}
		return fn(ctx, c)
	}))
}

// read runs fn in a read transaction of the live session.
func (s *SessionDB) read(ctx context.Context, op string, fn func(context.Context, *conn) error) error {
	return s.wrap(op, s.db.read(ctx, op, func(ctx context.Context, c *conn) error {
		if err := s.requireLive(ctx, c); err != nil {
			return err
		}
		return fn(ctx, c)
	}))
}

// wrap names the session unless the error does so itself.
func (s *SessionDB) wrap(op string, err error) error {
	var storage *lashstore.StorageError
	if err == nil || !errors.As(err, &storage) {
		return err
	}
	return fmt.Errorf("%s of session %q: %w", op, s.id, err)
}

// requireLive checks that the file is that of the session and that it has not been
// deleted, which another process may have done at any time.
func (s *SessionDB) requireLive(ctx context.Context, c *conn) error {
	var (
		id, inc string
		deleted int64
	)
	found, err := c.one(ctx, `SELECT session_id, incarnation, deleted FROM meta`, nil, &id, &inc, &deleted)
	if err != nil {
		return err
	}
	if !found {
		return corrupt(s.id, "meta", "row", errMissing)
	}
	return s.checkLive(ctx, c, id, inc, deleted)
}

func (s *SessionDB) checkLive(ctx context.Context, c *conn, id, inc string, deleted int64) error {
	switch {
	case id != string(s.id) || inc != string(s.incarnation):
		return &lashstore.WrongSessionError{
			Bound: lashstore.SessionID(id), Attempted: s.id,
			BoundIncarnation: lashstore.Incarnation(inc), AttemptedIncarnation: s.incarnation,
		}
	case deleted != 0:
		// So final an answer must not rest on a flipped bit.
		if _, err := s.readMeta(ctx, c); err != nil {
			return err
		}
		return fmt.Errorf("session %q: %w", s.id, lashstore.ErrSessionDeleted)
	}
	return nil
}

// MarkDeleted makes every later call on the session, from any process, fail with
// [lashstore.ErrSessionDeleted]. It is idempotent.
func (s *SessionDB) MarkDeleted(ctx context.Context) error {
	return s.wrap("delete", s.db.write(ctx, "delete", func(ctx context.Context, c *conn) error {
		if err := s.requireLive(ctx, c); err != nil {
			if errors.Is(err, lashstore.ErrSessionDeleted) {
				return nil
			}
			return err
		}
		m, err := s.readMeta(ctx, c)
		if err != nil {
			return err
		}
		return s.writeDeleted(ctx, c, m)
	}))
}

// writeDeleted marks the session, whose metadata is m, as deleted.
func (s *SessionDB) writeDeleted(ctx context.Context, c *conn, m lashstore.SessionMeta) error {
	relation, err := encode("relation", m.Relation)
	if err != nil {
		return err
	}
	return c.exec(ctx, `UPDATE meta SET deleted=1, sum=?`, metaSum(string(s.id), string(s.incarnation), 1,
		m.SessionName, m.Model, nullPtr(m.Cwd), relation, toMS(m.CreatedAt), m.TTL.Milliseconds()))
}

// sideFiles lists a database file and what SQLite keeps beside it, in the order in
// which they may be removed.
func sideFiles(path string) []string {
	return []string{path, path + "-wal", path + "-shm"}
}

// RemoveSessionFiles removes the database at path. It is idempotent.
func RemoveSessionFiles(path string, durability lashstore.Durability) error {
	for _, f := range sideFiles(path) {
		if err := os.Remove(f); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return translate("remove", f, err)
		}
	}
	if durability == lashstore.DurabilityNormal {
		return nil
	}
	err := syncDirs(filepath.Dir(path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
