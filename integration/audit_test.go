package integration_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	_ "modernc.org/sqlite" // the driver

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/local"
	"github.com/lashstore/lashstore/metadata"
)

// States of a session in the catalog, as migrations/catalog has them.
const (
	stateLive    = 1
	stateDeleted = 3
)

// roleContent is the role of a blob that is content, as migrations/catalog has it.
const roleContent = 1

// findings are what an audit saw in the files of a closed, or dead, store.
type findings struct {
	// missing are violations of what must hold at any time.
	missing []error
	// surplus are edges of sessions to objects that they do not hold.
	surplus map[lashstore.SessionID][]lashstore.Digest
	// parts are objects that are not known to be content: segments and manifests, and
	// what never was uploaded.
	parts map[lashstore.Digest]bool
	// unsettled counts the outbox entries of live sessions.
	unsettled int
}

func (f *findings) fault(format string, args ...any) {
	f.missing = append(f.missing, fmt.Errorf(format, args...))
}

// rawCatalog is the catalog's content, read with bare SQL.
type rawCatalog struct {
	sessions map[string]rawSession                    // by incarnation
	blobs    map[lashstore.Digest]rawBlob             // all
	edges    map[string]map[lashstore.Digest]struct{} // by incarnation
}

type rawSession struct {
	id    lashstore.SessionID
	state int
}

type rawBlob struct {
	generation int64
	present    bool
	role       int64
}

// query runs fn for each row of a query on a database file.
func query(ctx context.Context, db *sql.DB, text string, fn func(scan func(...any) error) error) (err error) {
	rows, err := db.QueryContext(ctx, text)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := fn(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// withDatabase opens a database file, checks its integrity and runs fn on it.
func withDatabase(ctx context.Context, path string, fn func(*sql.DB) error) (err error) {
	if _, err := os.Stat(path); err != nil {
		return err
	}
	dsn := url.URL{Scheme: "file", Path: path, RawQuery: "_pragma=busy_timeout(5000)"}
	db, err := sql.Open("sqlite", dsn.String())
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(1)
	defer func() { err = errors.Join(err, db.Close()) }()
	err = query(ctx, db, "PRAGMA integrity_check", func(scan func(...any) error) error {
		var line string
		if err := scan(&line); err != nil {
			return err
		}
		if line != "ok" {
			return fmt.Errorf("integrity check of %s: %s", path, line)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := fn(db); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func readCatalog(ctx context.Context, db *sql.DB) (*rawCatalog, error) {
	c := &rawCatalog{
		sessions: make(map[string]rawSession),
		blobs:    make(map[lashstore.Digest]rawBlob),
		edges:    make(map[string]map[lashstore.Digest]struct{}),
	}
	err := query(ctx, db, `SELECT session_id, incarnation, state FROM session`, func(scan func(...any) error) error {
		var (
			id, inc string
			state   int
		)
		err := scan(&id, &inc, &state)
		c.sessions[inc] = rawSession{lashstore.SessionID(id), state}
		return err
	})
	if err != nil {
		return nil, err
	}
	err = query(ctx, db, `SELECT digest, generation, present, role FROM blob`, func(scan func(...any) error) error {
		var (
			raw []byte
			b   rawBlob
		)
		if err := scan(&raw, &b.generation, &b.present, &b.role); err != nil {
			return err
		}
		d, err := lashstore.DigestFromBytes(raw)
		c.blobs[d] = b
		return err
	})
	if err != nil {
		return nil, err
	}
	return c, query(ctx, db, `SELECT digest, key FROM edge JOIN holder USING (holder) WHERE kind=1
		UNION ALL SELECT NULL, key FROM holder WHERE kind=1`, func(scan func(...any) error) error {
		var (
			raw []byte
			key string
		)
		if err := scan(&raw, &key); err != nil {
			return err
		}
		if c.edges[key] == nil {
			c.edges[key] = make(map[lashstore.Digest]struct{})
		}
		if raw == nil {
			return nil // the holder itself
		}
		d, err := lashstore.DigestFromBytes(raw)
		c.edges[key][d] = struct{}{}
		return err
	})
}

// audit compares the files of a data directory that no process has open: catalog,
// session databases, blobs.
func audit(ctx context.Context, dir string) (*findings, error) {
	f := &findings{surplus: make(map[lashstore.SessionID][]lashstore.Digest), parts: make(map[lashstore.Digest]bool)}
	tenant := filepath.Join(dir, "tenants", local.DefaultTenant)
	var catalog *rawCatalog
	err := withDatabase(ctx, filepath.Join(tenant, "catalog.db"), func(db *sql.DB) (err error) {
		catalog, err = readCatalog(ctx, db)
		return err
	})
	if errors.Is(err, fs.ErrNotExist) || err != nil && strings.Contains(err.Error(), "no such table") {
		return f, nil // nothing was acknowledged yet
	}
	if err != nil {
		return nil, err
	}
	for d, b := range catalog.blobs {
		f.parts[d] = b.role != roleContent
		name := fmt.Sprintf("%x.%016x", d.Bytes(), b.generation)
		if _, err := os.Stat(filepath.Join(dir, "blobs", local.DefaultTenant, "b3", name[:2], name)); b.present && err != nil {
			f.fault("blob %s is marked present: %w", d, err)
		}
	}
	known := make(map[string]struct{})
	for inc, s := range catalog.sessions {
		path := filepath.Join(tenant, metadata.SessionPath(s.id, lashstore.Incarnation(inc)))
		known[path] = struct{}{}
		if err := f.auditSession(ctx, catalog, s, inc, path); err != nil {
			return nil, err
		}
	}
	for inc := range catalog.edges {
		if s, ok := catalog.sessions[inc]; !ok || s.state == stateDeleted {
			f.fault("incarnation %s of session %q is deleted and a holder", inc, s.id)
		}
	}
	return f, f.auditFiles(filepath.Join(tenant, "sessions"), known)
}

// auditFiles finds files of sessions that the catalog does not know.
func (f *findings) auditFiles(folder string, known map[string]struct{}) error {
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasPrefix(entry.Name(), ".new-") {
			return err // what a creator that died was making stands in nobody's way
		}
		base := strings.TrimSuffix(strings.TrimSuffix(path, "-wal"), "-shm")
		if _, ok := known[base]; !ok {
			f.fault("%s belongs to no session", path)
		}
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (f *findings) auditSession(ctx context.Context, catalog *rawCatalog, s rawSession, inc, path string) error {
	switch s.state {
	case stateDeleted:
		for _, file := range []string{path, path + "-wal", path + "-shm"} {
			if _, err := os.Stat(file); err == nil {
				f.fault("session %s is deleted and has the file %s", s.id, file)
			}
		}
		return nil
	case stateLive:
	default:
		return nil // being created or deleted: its file may be there or not
	}
	held := make(map[lashstore.Digest]struct{})
	err := withDatabase(ctx, path, func(db *sql.DB) error {
		return errors.Join(f.auditCounts(ctx, db, s), query(ctx, db, `SELECT digest, generation FROM object`, func(scan func(...any) error) error {
			var (
				raw        []byte
				generation int64
			)
			if err := scan(&raw, &generation); err != nil {
				return err
			}
			d, err := lashstore.DigestFromBytes(raw)
			held[d] = struct{}{}
			b, known := catalog.blobs[d]
			_, edge := catalog.edges[inc][d]
			if !known || !b.present || b.generation != generation || !edge {
				f.fault("session %s holds %s, generation %x: the catalog has %+v, known %t, edge %t", s.id, d, generation, b, known, edge)
			}
			return err
		}))
	})
	for d := range catalog.edges[inc] {
		if _, ok := held[d]; !ok {
			f.surplus[s.id] = append(f.surplus[s.id], d)
		}
	}
	return err
}

// The counts of a session database, each beside what it must be: no row is
// referred to that is not there, and none is there that nothing refers to.
const (
	wrongContentRefs = `SELECT count(*) FROM content WHERE refs<>
		(SELECT count(*) FROM component WHERE component.digest=content.digest)+
		(SELECT count(*) FROM frame WHERE state_digest=content.digest)+
		(SELECT count(*) FROM attachment WHERE held<>0 AND attachment.digest=content.digest)+
		(SELECT count(*) FROM artifact WHERE artifact.digest=content.digest)`
	wrongObjectRefs = `SELECT count(*) FROM object WHERE refs<>(SELECT count(*) FROM content WHERE instr(objects, object.digest)>0)`
	absentContent   = `SELECT count(*) FROM (SELECT digest FROM component UNION SELECT state_digest FROM frame WHERE state_digest IS NOT NULL
		UNION SELECT digest FROM attachment WHERE held<>0 UNION SELECT digest FROM artifact) WHERE digest NOT IN (SELECT digest FROM content)`
	looseItems = `SELECT count(*) FROM item WHERE batch_seq NOT IN (SELECT seq FROM batch)`
	emptyBatch = `SELECT count(*) FROM batch WHERE seq NOT IN (SELECT batch_seq FROM item)`
	orphans    = `SELECT count(*) FROM node WHERE parent_seq IS NOT NULL AND parent_seq NOT IN (SELECT seq FROM node)`
)

func (f *findings) auditCounts(ctx context.Context, db *sql.DB, s rawSession) error {
	for what, text := range map[string]string{
		"contents with a wrong reference count": wrongContentRefs, "objects with a wrong reference count": wrongObjectRefs,
		"references to absent content": absentContent, "items without a batch": looseItems, "batches without items": emptyBatch,
		"nodes without their parent": orphans,
	} {
		var n int
		if err := db.QueryRowContext(ctx, text).Scan(&n); err != nil {
			return err
		}
		if n != 0 {
			f.fault("session %s: %d %s", s.id, n, what)
		}
	}
	var n int
	if err := db.QueryRowContext(ctx, `SELECT count(*) FROM outbox`).Scan(&n); err != nil {
		return err
	}
	f.unsettled += n
	return nil
}
