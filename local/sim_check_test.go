package local_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	_ "modernc.org/sqlite" // the driver
)

// simChecker reads the databases by connections of its own and compares them with what
// is in the tier. It reads again only what was written to.
type simChecker struct {
	catalog  *simDatabase
	sessions map[string]*simDatabase // by path

	blobs   map[string]simBlob         // by digest
	edges   map[string]map[string]bool // holder key → digests
	uploads []simUpload                // that have not been replaced
	tier    int                        // the changes of the tier that were seen
	news    bool                       // something was read again
	seen    map[string]bool            // digests that ever had a row
}

// simDatabase is a connection to one database.
type simDatabase struct {
	db         *sql.DB
	statements map[string]*sql.Stmt
	changed    bool

	// Of a session:
	incarnation string
	deleted     bool
	objects     []simObjectName
}

type simObjectName struct {
	digest     string
	generation int64
}

// key is the object's in the tier.
func (o simObjectName) key() string {
	return fmt.Sprintf("default/b3/%x/%x.%016x", o.digest[:1], o.digest, o.generation)
}

func (o simObjectName) String() string { return shortKey(o.key()) }

type simBlob struct {
	generation int64
	present    bool
	condemned  bool
}

type simUpload struct {
	digest, holder string
	objects        int
	expiresMS      int64
}

func newSimChecker() *simChecker {
	return &simChecker{sessions: make(map[string]*simDatabase), seen: make(map[string]bool)}
}

func openSimDatabase(path string) (*simDatabase, error) {
	db, err := sql.Open("sqlite", "file:"+path+"?mode=rw")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	return &simDatabase{db: db, statements: make(map[string]*sql.Stmt), changed: true}, nil
}

// each calls scan for each row of a query.
func (d *simDatabase) each(query string, scan func(*sql.Rows) error) (err error) {
	ctx := context.Background()
	st := d.statements[query]
	if st == nil {
		if st, err = d.db.PrepareContext(ctx, query); err != nil {
			return err
		}
		d.statements[query] = st
	}
	rows, err := st.QueryContext(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (d *simDatabase) close() {
	for _, st := range d.statements {
		_ = st.Close()
	}
	_ = d.db.Close()
}

func (k *simChecker) close() {
	if k.catalog != nil {
		k.catalog.close()
	}
	for _, s := range k.sessions {
		s.close()
	}
}

// changed notes that a database was written to.
func (k *simChecker) changed(path string) {
	switch {
	case isSession(path):
		if s := k.sessions[path]; s != nil {
			s.changed = true
		} else {
			k.sessions[path] = nil // to be opened
		}
	case strings.HasSuffix(path, "catalog.db") && k.catalog != nil:
		k.catalog.changed = true
	}
}

// always checks what must hold at every moment.
func (k *simChecker) always(w *simWorld) {
	if w.failure != nil {
		return
	}
	if err := k.read(w); err != nil {
		w.fail("read what there is: %w", err)
		return
	}
	if !k.news && k.tier == w.tier.changes {
		return
	}
	k.news, k.tier = false, w.tier.changes
	for path, s := range k.sessions {
		if s == nil || s.deleted {
			continue
		}
		for _, o := range s.objects {
			if what := k.missing(w, o, s.incarnation); what != "" {
				w.fail("session %s holds %s, %s", filepath.Base(path)[:1], o, what)
			}
		}
	}
	k.checkUploads(w)
}

// missing says what an object lacks that a holder needs.
func (k *simChecker) missing(w *simWorld, o simObjectName, holder string) string {
	row, found := k.blobs[o.digest]
	_, there := w.tier.objects[o.key()]
	switch {
	case !there:
		return "which is not in the tier"
	case !found:
		return "which has no row in the catalog"
	case row.generation != o.generation:
		return "of which the catalog has another generation"
	case !row.present:
		return "which the catalog does not know to be present"
	case !k.edges[holder][o.digest]:
		return "without an edge"
	}
	return ""
}

// checkUploads checks that what was uploaded and has not expired is protected. The
// clocks of collections may be ahead by what they tolerate.
func (k *simChecker) checkUploads(w *simWorld) {
	margin := w.latest.Add(2 * collectTolerance).UnixMilli()
	protected := make(map[string]bool)
	for _, u := range k.uploads {
		if u.expiresMS <= margin {
			continue
		}
		protected[u.digest] = true
		if n := len(k.edges[u.holder]); n != u.objects {
			w.fail("an upload of %x has %d edges, not %d", u.digest[:2], n, u.objects)
		}
		for d := range k.edges[u.holder] {
			row, found := k.blobs[d]
			if !found {
				w.fail("an upload protects %x, which has no row", d[:2])
				continue
			}
			if what := k.missing(w, simObjectName{d, row.generation}, u.holder); what != "" {
				w.fail("an upload protects %x, %s", d[:2], what)
			}
		}
	}
	for d, until := range w.model.uploads {
		if until.UnixMilli() > margin && !protected[string(d.Bytes())] {
			w.fail("the acknowledged upload of %s is not protected, until %s", d, until)
		}
	}
}

// read reads what was written to.
func (k *simChecker) read(w *simWorld) error {
	if k.catalog == nil {
		var err error
		if k.catalog, err = openSimDatabase(filepath.Join(w.tenantDir(), "catalog.db")); err != nil {
			return err
		}
	}
	if k.catalog.changed {
		k.catalog.changed, k.news = false, true
		before := k.blobs
		if err := k.readCatalog(); err != nil {
			return fmt.Errorf("catalog: %w", err)
		}
		k.countBlobs(w, before)
	}
	for path, s := range k.sessions {
		if s != nil && !s.changed {
			continue
		}
		if err := k.readSession(path, s); err != nil {
			return fmt.Errorf("%s: %w", filepath.Base(path), err)
		}
	}
	return nil
}

// countBlobs counts what happened to rows.
func (k *simChecker) countBlobs(w *simWorld, before map[string]simBlob) {
	for d, now := range k.blobs {
		was, found := before[d]
		switch {
		case !found && k.seen[d]:
			w.note("content stored again after its deletion")
		case found && was.condemned && !now.condemned:
			w.note("condemned content revived")
		case found && !was.condemned && now.condemned:
			w.tally.count("content condemned")
		}
		k.seen[d] = true
	}
}

func (k *simChecker) readCatalog() error {
	k.blobs, k.edges, k.uploads = make(map[string]simBlob), make(map[string]map[string]bool), nil
	err := k.catalog.each(`SELECT digest, generation, present, condemned_at_ms IS NOT NULL FROM blob`, func(rows *sql.Rows) error {
		var (
			digest []byte
			b      simBlob
		)
		err := rows.Scan(&digest, &b.generation, &b.present, &b.condemned)
		k.blobs[string(digest)] = b
		return err
	})
	if err != nil {
		return err
	}
	err = k.catalog.each(`SELECT key, digest FROM holder LEFT JOIN edge USING (holder)`, func(rows *sql.Rows) error {
		var (
			key    string
			digest []byte
		)
		err := rows.Scan(&key, &digest)
		if k.edges[key] == nil {
			k.edges[key] = make(map[string]bool)
		}
		if digest != nil {
			k.edges[key][string(digest)] = true
		}
		return err
	})
	if err != nil {
		return err
	}
	return k.catalog.each(`SELECT digest, key, objects, upload.expires_at_ms FROM upload JOIN holder USING (holder)`, func(rows *sql.Rows) error {
		var (
			digest []byte
			u      simUpload
		)
		err := rows.Scan(&digest, &u.holder, &u.objects, &u.expiresMS)
		u.digest = string(digest)
		k.uploads = append(k.uploads, u)
		return err
	})
}

func (k *simChecker) readSession(path string, s *simDatabase) (err error) {
	k.news = true
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if s != nil {
			s.close()
		}
		delete(k.sessions, path)
		return nil
	}
	if s == nil {
		if s, err = openSimDatabase(path); err != nil {
			return err
		}
		k.sessions[path] = s
	}
	s.changed, s.objects = false, nil
	return s.each(`SELECT incarnation, deleted, digest, generation FROM meta LEFT JOIN object`, func(rows *sql.Rows) error {
		var (
			digest     []byte
			generation sql.NullInt64
		)
		err := rows.Scan(&s.incarnation, &s.deleted, &digest, &generation)
		if digest != nil {
			s.objects = append(s.objects, simObjectName{string(digest), generation.Int64})
		}
		return err
	})
}

// left says what is too much, after everything had its time; empty if nothing is.
func (k *simChecker) left(w *simWorld) string {
	held := make(map[simObjectName]bool)
	live := make(map[string]int) // incarnation → objects
	for _, s := range k.sessions {
		if s == nil || s.deleted {
			continue
		}
		live[s.incarnation] = len(s.objects)
		for _, o := range s.objects {
			held[o] = true
		}
	}
	for key := range w.tier.objects {
		if strings.HasPrefix(key, "default/owner/") {
			continue
		}
		needed := false
		for o := range held {
			needed = needed || o.key() == key
		}
		if !needed {
			return "in the tier: " + shortKey(key)
		}
	}
	for d, b := range k.blobs {
		if !held[simObjectName{d, b.generation}] {
			return fmt.Sprintf("row %s", simObjectName{d, b.generation})
		}
	}
	for holder, digests := range k.edges {
		if n, found := live[holder]; !found || n != len(digests) {
			return fmt.Sprintf("edges of %s: %d, %d held", holder, len(digests), n)
		}
	}
	for _, table := range []string{"doomed", "upload"} {
		rest := 0
		err := k.catalog.each(`SELECT count(*) FROM `+table, func(rows *sql.Rows) error { return rows.Scan(&rest) })
		if err != nil || rest > 0 {
			return fmt.Sprintf("%d rows of the table %s, error %v", rest, table, err)
		}
	}
	return ""
}
