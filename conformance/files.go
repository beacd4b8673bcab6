package conformance

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/lashstore/lashstore"
)

// fileScenarios are for stores that lie in a directory.
func fileScenarios() []scenario {
	return []scenario{
		{name: "S76_NoLitter", needs: needFiles, run: s76NoLitter},
		{name: "S87_SafePaths", needs: needFiles, run: s87SafePaths},
		{name: "S88_DeleteRemovesSideFiles", needs: needFiles, run: s88DeleteRemovesSideFiles},
		{name: "S89_SchemaContent", needs: needFiles, run: s89SchemaContent},
		{name: "S94_WrongSchema", needs: needFiles, run: s94WrongSchema},
		{name: "S95_VersionZeroWithObjects", needs: needFiles, run: s95VersionZeroWithObjects},
		{name: "X_Files_AnotherSessionsDatabase", needs: needFiles, run: xFilesAnotherSessionsDatabase},
		{name: "X_Files_LostDatabase", needs: needFiles, run: xFilesLostDatabase},
		{name: "X_Files_EmptySession", needs: needFiles, run: xFilesEmptySession},
	}
}

// fileNames lists the files below the root.
func (e *env) fileNames() []string {
	e.Helper()
	var names []string
	e.must(filepath.WalkDir(e.Files.Root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			names = append(names, path)
		}
		return err
	}))
	return names
}

// pragma reads a number from a database file.
func (e *env) pragma(path, name string) int64 {
	e.Helper()
	db := e.Files.OpenDB(e, path)
	var n int64
	e.must(db.QueryRowContext(e.Context(), "PRAGMA "+name).Scan(&n))
	e.must(db.Close())
	return n
}

// exec changes a database file behind the store's back.
func (e *env) exec(path string, statements ...string) {
	e.Helper()
	db := e.Files.OpenDB(e, path)
	for _, s := range statements {
		_, err := db.ExecContext(e.Context(), s)
		e.must(err)
	}
	e.must(db.Close())
}

func (e *env) file(path string) []byte {
	e.Helper()
	b, err := os.ReadFile(path)
	e.must(err)
	return b
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// Temporary files that stay fill the disk, and none of them is ever looked at.
func s76NoLitter(e *env) {
	s := e.create("root")
	for _, size := range []int{100, tierSize, 1 << 20} {
		content := e.random("attachment", size)
		ref := e.attach(s, content, png())
		_, r, err := s.OpenAttachment(e.Context(), ref.ID)
		equal(e, "content is whole", bytes.Equal(e.read(r, err), content), true)
		e.put(e.random("blob", size), lashstore.PutBlobOptions{})
	}
	for _, name := range e.fileNames() {
		if strings.Contains(filepath.Base(name), "tmp") {
			e.Errorf("temporary file %s is left", name)
		}
	}
}

// An id that reaches a path unsanitised reads and deletes other files.
func s87SafePaths(e *env) {
	seen := map[string]string{}
	for _, id := range append(strangeTexts(), "../weird/session", "A", "a", "a/b", "a_b", strings.Repeat("é", 128)) {
		path := e.Files.SessionPath(lashstore.SessionID(id))
		equal(e, "the same path twice", e.Files.SessionPath(lashstore.SessionID(id)), path)
		rel, err := filepath.Rel(e.Files.Root, path)
		e.must(err)
		if !filepath.IsLocal(rel) || filepath.Clean(path) != path {
			e.Errorf("session %q lies at %s, outside of %s", id, path, e.Files.Root)
		}
		name := filepath.Base(path)
		if !strings.HasSuffix(name, ".db") || strings.ContainsAny(name, "/\\:") || len(name) > 128 || strings.HasPrefix(name, ".") {
			e.Errorf("session %q has the file name %q", id, name)
		}
		folded := strings.ToLower(path) // as some file systems compare
		if other, taken := seen[folded]; taken {
			e.Errorf("sessions %q and %q share the path %s", id, other, path)
		}
		seen[folded] = id
	}
	s := e.create("../weird/session")
	e.commit(s, lashstore.Commit{})
	e.closeAll()
	if path := e.Files.SessionPath("../weird/session"); !exists(path) {
		e.Errorf("there is no file %s", path)
	}
}

// A log that stays would be replayed into a later database of the same name (W27).
func s88DeleteRemovesSideFiles(e *env) {
	const id = "with/slash"
	s := e.create(id)
	e.commit(s, lashstore.Commit{})
	path := e.Files.SessionPath(id)
	e.closeAll()
	for _, suffix := range []string{"-wal", "-shm"} {
		e.must(os.WriteFile(path+suffix, []byte("left by somebody else"), 0o600))
	}
	e.must(e.store().DeleteSession(e.Context(), id))
	e.must(e.store().DeleteSession(e.Context(), id))
	e.closeAll()
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if exists(path + suffix) {
			e.Errorf("%s is left", path+suffix)
		}
	}
	e.must(e.store().DeleteSession(e.Context(), id))
}

// Design section 4 (not section 13): the session database has the receipts of turns,
// and unlike the reference's also a journal of effects. A database that does not say
// what it is cannot be told from a foreign one.
func s89SchemaContent(e *env) {
	e.create("root")
	path := e.Files.SessionPath("root")
	e.closeAll()
	db := e.Files.OpenDB(e, path)
	defer func() { e.must(db.Close()) }()
	rows, err := db.QueryContext(e.Context(), "SELECT name FROM sqlite_schema WHERE type = 'table'")
	e.must(err)
	defer func() { e.must(rows.Close()) }()
	turns := false
	for rows.Next() {
		var name string
		e.must(rows.Scan(&name))
		turns = turns || strings.Contains(name, "turn")
	}
	e.must(rows.Err())
	if !turns {
		e.Error("the session database has no table of turns")
	}
	var application, version int64
	e.must(db.QueryRowContext(e.Context(), "PRAGMA application_id").Scan(&application))
	e.must(db.QueryRowContext(e.Context(), "PRAGMA user_version").Scan(&version))
	if application == 0 || version < 1 {
		e.Errorf("application id %d, schema version %d, want both set", application, version)
	}
}

// A newer schema that is guessed at is destroyed (I22).
func s94WrongSchema(e *env) {
	s := e.create("root")
	e.commit(s, lashstore.Commit{})
	path := e.Files.SessionPath("root")
	e.closeAll()
	was := e.pragma(path, "user_version")
	e.exec(path, "PRAGMA user_version = 99")
	before := e.file(path)
	for _, readOnly := range []bool{false, true} {
		_, err := e.store().OpenSession(e.Context(), "root", lashstore.OpenOptions{ReadOnly: readOnly})
		e.is(err, lashstore.ErrSchemaVersion)
		version := as[*lashstore.SchemaVersionError](e, err)
		equal(e, "found version", version.Found, 99)
		equal(e, "supported version", version.Supported, was)
		equal(e, "kind of database", version.Kind, "session")
	}
	_, err := e.store().ListSessions(e.Context(), lashstore.ListSessions{})
	e.must(err)
	e.create("another session is not concerned")
	e.closeAll()
	equal(e, "the file is unchanged", bytes.Equal(e.file(path), before), true)
}

// A database of another program must be left alone.
func s95VersionZeroWithObjects(e *env) {
	e.create("root")
	path := e.Files.SessionPath("root")
	e.closeAll()
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(path + suffix); err != nil && !os.IsNotExist(err) {
			e.must(err)
		}
	}
	e.exec(path, "CREATE TABLE theirs (x)", "INSERT INTO theirs VALUES (1)")
	before := e.file(path)
	for _, readOnly := range []bool{false, true} {
		_, err := e.store().OpenSession(e.Context(), "root", lashstore.OpenOptions{ReadOnly: readOnly})
		e.is(err, lashstore.ErrSchemaVersion)
		equal(e, "found version", as[*lashstore.SchemaVersionError](e, err).Found, 0)
	}
	e.closeAll()
	equal(e, "the file is unchanged", bytes.Equal(e.file(path), before), true)
}

// Section 13, Lifecycle: the file's session id is checked at open. A file that was
// restored under the wrong name would continue another session.
func xFilesAnotherSessionsDatabase(e *env) {
	for _, id := range []lashstore.SessionID{"alpha", "beta"} {
		e.commit(e.create(id), lashstore.Commit{})
	}
	alpha, beta := e.Files.SessionPath("alpha"), e.Files.SessionPath("beta")
	e.closeAll()
	e.must(os.WriteFile(alpha, e.file(beta), 0o600))
	for _, readOnly := range []bool{false, true} {
		_, err := e.store().OpenSession(e.Context(), "alpha", lashstore.OpenOptions{ReadOnly: readOnly})
		e.is(err, lashstore.ErrWrongSession)
		wrong := as[*lashstore.WrongSessionError](e, err)
		equal(e, "bound", wrong.Bound, "beta")
		equal(e, "attempted", wrong.Attempted, "alpha")
	}
	equal(e, "revision of beta", e.head(e.session("beta")).Revision, 1)
}

// A session whose file is lost must not open as an empty one: absence is acted upon
// (G8).
func xFilesLostDatabase(e *env) {
	e.commit(e.create("root"), lashstore.Commit{})
	path := e.Files.SessionPath("root")
	e.closeAll()
	e.must(os.Remove(path))
	_, err := e.store().OpenSession(e.Context(), "root", lashstore.OpenOptions{})
	if err == nil || isErr(err, lashstore.ErrSessionNotFound) {
		e.Errorf("a session whose file is lost: got %v, want an error that says so", err)
	}
	_, _, err = e.store().CreateSession(e.Context(), lashstore.CreateSession{Meta: lashstore.SessionMeta{SessionID: "root"}})
	if err == nil {
		e.Error("a session whose file is lost was created again")
	}
}

// A million sessions that do nothing must be cheap (design section 11: 32 KiB).
func xFilesEmptySession(e *env) {
	e.create("root")
	path := e.Files.SessionPath("root")
	e.closeAll()
	info, err := os.Stat(path)
	e.must(err)
	if info.Size() > 32<<10 {
		e.Errorf("an empty session takes %d bytes, want at most %d", info.Size(), 32<<10)
	}
	for _, suffix := range []string{"-wal", "-shm"} {
		if exists(path + suffix) {
			e.Errorf("%s is left after closing", path+suffix)
		}
	}
}
