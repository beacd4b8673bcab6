package integration_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/local"
)

// damage is something that happens to a database file, and what opening it must
// then say.
type damage struct {
	name string
	do   func(t *testing.T, path string)
	want error // nil: it may also go unnoticed, if nothing is lost by it
}

func truncate(size func(whole int64) int64) func(*testing.T, string) {
	return func(t *testing.T, path string) {
		t.Helper()
		info, err := os.Stat(path)
		if err == nil {
			err = os.Truncate(path, size(info.Size()))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func overwrite(content string) func(*testing.T, string) {
	return func(t *testing.T, path string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// replace makes another SQLite database in place of the file.
func replace(statements string) func(*testing.T, string) {
	return func(t *testing.T, path string) {
		t.Helper()
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		execute(t, path, statements)
	}
}

// alter runs statements on the file.
func alter(statements string) func(*testing.T, string) {
	return func(t *testing.T, path string) {
		t.Helper()
		execute(t, path, statements)
	}
}

func execute(t *testing.T, path, statements string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.ExecContext(t.Context(), statements)
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

func replaceByFolder(t *testing.T, path string) {
	t.Helper()
	if err := errors.Join(os.Remove(path), os.Mkdir(path, 0o700)); err != nil {
		t.Fatal(err)
	}
}

// damages are those that both kinds of database must survive.
func damages() []damage {
	size := func(n int64) func(int64) int64 { return func(int64) int64 { return n } }
	corrupt := lashstore.ErrCorruptDatabase
	return []damage{
		{"truncated to 1 byte", truncate(size(1)), corrupt},
		{"truncated to 50 bytes", truncate(size(50)), corrupt},
		{"truncated to 512 bytes", truncate(size(512)), corrupt},
		{"truncated to a page", truncate(size(4096)), corrupt},
		{"truncated by half", truncate(func(n int64) int64 { return n / 2 }), corrupt},
		{"truncated by a page", truncate(func(n int64) int64 { return n - 4096 }), corrupt},
		{"truncated by a byte", truncate(func(n int64) int64 { return n - 1 }), nil},
		{"text", overwrite(strings.Repeat("this is not a database\n", 1000)), corrupt},
		{"zeros", overwrite(strings.Repeat("\x00", 65536)), corrupt},
		{"newer version", alter("PRAGMA user_version=1000"), lashstore.ErrSchemaVersion},
		{"negative version", alter("PRAGMA user_version=-1"), lashstore.ErrSchemaVersion},
		{"no version", alter("PRAGMA user_version=0"), lashstore.ErrSchemaVersion},
		{"foreign mark", alter("PRAGMA application_id=252006674"), lashstore.ErrSchemaVersion},
		{"no mark and no version", alter("PRAGMA application_id=0; PRAGMA user_version=0"), lashstore.ErrSchemaVersion},
		{"foreign database", replace("CREATE TABLE t(x); INSERT INTO t VALUES (1); PRAGMA user_version=1"), lashstore.ErrSchemaVersion},
		{"table lost", alter("DROP TABLE holder; "), corrupt},
		{"folder", replaceByFolder, lashstore.ErrStorage},
	}
}

// digest of everything below a folder that damage must not change further.
func contentOf(t *testing.T, path string) string {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil || info.IsDir() {
		return fmt.Sprint(info != nil, err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return lashstore.DigestOf(content).String()
}

// A database that cannot be used must be refused by a typed error that names the
// file, the other sessions must stay usable, and nothing may repair, replace or
// migrate what is not understood.
func TestDamagedSessionDatabase(t *testing.T) {
	t.Parallel()
	s := newSample(t)
	list := damages()
	for i := range list {
		if list[i].name == "table lost" {
			list[i].do = alter("DROP TABLE revision")
		}
	}
	list = append(list, damage{"empty", truncate(func(int64) int64 { return 0 }), lashstore.ErrCorruptDatabase})
	for _, d := range list {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			dir := s.copy(t)
			path := s.sessionPath(dir)
			d.do(t, path)
			before := contentOf(t, path)
			for _, o := range s.observe(t.Context(), dir) {
				if err := s.judge(o); err != nil {
					t.Error(err)
				}
			}
			store := open(t, dir, s.options())
			h, err := store.OpenSession(t.Context(), s.load.Session, lashstore.OpenOptions{})
			if err == nil { // what is damaged is met later
				_, err = h.Load(t.Context(), lashstore.LoadOptions{})
			}
			if d.want != nil && (!errors.Is(err, d.want) || !strings.Contains(fmt.Sprint(err), filepath.Base(path))) {
				t.Errorf("open: %v, want %v and the name of the file", err, d.want)
			}
			if after := contentOf(t, path); after != before {
				t.Errorf("the file was changed")
			}
		})
	}
	t.Run("missing", func(t *testing.T) {
		t.Parallel()
		dir := s.copy(t)
		if err := os.Remove(s.sessionPath(dir)); err != nil {
			t.Fatal(err)
		}
		store := open(t, dir, s.options())
		_, err := store.OpenSession(t.Context(), s.load.Session, lashstore.OpenOptions{})
		if err == nil || errors.Is(err, lashstore.ErrSessionDeleted) || errors.Is(err, lashstore.ErrSessionNotFound) ||
			!strings.Contains(err.Error(), filepath.Base(s.sessionPath(dir))) {
			t.Errorf("open: %v, want an error that names the file, and not that it was deleted", err)
		}
		if _, _, err := store.CreateSession(t.Context(), lashstore.CreateSession{Meta: s.load.meta()}); err == nil {
			t.Error("created again in place of the missing one")
		}
	})
	t.Run("of another session", func(t *testing.T) {
		t.Parallel()
		dir := s.copy(t)
		if err := os.Rename(otherSession(t, s, dir), s.sessionPath(dir)); err != nil {
			t.Fatal(err)
		}
		_, err := open(t, dir, s.options()).OpenSession(t.Context(), s.load.Session, lashstore.OpenOptions{})
		if !errors.Is(err, lashstore.ErrWrongSession) {
			t.Errorf("open: %v, want ErrWrongSession", err)
		}
	})
}

// otherSession is the file of the empty session.
func otherSession(t *testing.T, s *sample, dir string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "tenants", local.DefaultTenant, "sessions", "*", "empty-*.db"))
	if err != nil || len(files) != 1 {
		t.Fatalf("files of the empty session below %s: %v, %v", s.dir, files, err)
	}
	return files[0]
}

// The same for the catalog, without which nothing can be opened. Where there are
// sessions, one that is empty or missing was lost: a new one in its place would make
// them look as if they had never been, and let their ids be used again.
func TestDamagedCatalog(t *testing.T) {
	t.Parallel()
	s := newSample(t)
	list := append(damages(),
		damage{"empty", truncate(func(int64) int64 { return 0 }), lashstore.ErrCorruptDatabase},
		damage{"missing", func(t *testing.T, path string) {
			t.Helper()
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}, lashstore.ErrCorruptDatabase})
	for _, d := range list {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			dir := s.copy(t)
			path := catalogPath(dir)
			d.do(t, path)
			before := contentOf(t, path)
			for _, o := range s.observe(t.Context(), dir) {
				if err := s.judge(o); err != nil {
					t.Error(err)
				}
			}
			err := useCatalog(t.Context(), s, dir)
			if d.want != nil && (!errors.Is(err, d.want) || !strings.Contains(fmt.Sprint(err), "catalog.db")) {
				t.Errorf("use: %v, want %v and the name of the file", err, d.want)
			}
			if after := contentOf(t, path); after != before && d.want == lashstore.ErrSchemaVersion { //nolint:errorlint // a table entry
				t.Errorf("the file was changed")
			}
		})
	}
}

// useCatalog makes calls that need all of the catalog.
func useCatalog(ctx context.Context, s *sample, dir string) error {
	store, err := local.Open(ctx, dir, s.options())
	if err != nil {
		return err
	}
	h, err := store.OpenSession(ctx, s.load.Session, lashstore.OpenOptions{})
	if err == nil {
		c := s.load.commit(s.head + 1)
		c.Fence, c.Attachments = s.fence, nil
		_, err = h.Commit(ctx, c)
	}
	_, listErr := store.ListSessions(ctx, lashstore.ListSessions{})
	return errors.Join(err, listErr, store.Close())
}
