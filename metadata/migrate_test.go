package metadata

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/lashstore/lashstore"
)

func rawDB(t *testing.T, path string, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	must(t, err)
	for _, s := range statements {
		_, err := db.ExecContext(t.Context(), s)
		must(t, err)
	}
	must(t, db.Close())
}

// S94, S95: a database of another kind, of a newer version or with objects and no
// version is refused by name and not changed.
func TestOpenRefusesOtherDatabases(t *testing.T) {
	t.Parallel()
	b := setup(t)
	must(t, b.db.Close())
	b.db = nil
	cases := map[string][]string{
		"newer":              {fmt.Sprintf("PRAGMA application_id=%d", sessionSchema().applicationID), "PRAGMA user_version=99", "CREATE TABLE x(y)"},
		"version 0, objects": {"CREATE TABLE x(y)"},
		"foreign":            {"PRAGMA application_id=1", "PRAGMA user_version=1", "CREATE TABLE x(y)"},
		"catalog":            {fmt.Sprintf("PRAGMA application_id=%d", catalogSchema().applicationID), "PRAGMA user_version=1", "CREATE TABLE x(y)"},
	}
	for name, statements := range cases {
		for _, readOnly := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/readonly=%t", name, readOnly), func(t *testing.T) {
				t.Parallel()
				path := filepath.Join(t.TempDir(), "x.db")
				rawDB(t, path, append([]string{"PRAGMA journal_mode=WAL"}, statements...)...)
				before, err := os.ReadFile(path)
				must(t, err)
				_, err = OpenSessionDB(t.Context(), path, testSession, b.inc, readOnly, b.opts)
				var refused *lashstore.SchemaVersionError
				if !errors.As(err, &refused) || refused.Database != path {
					t.Fatalf("got %v, want a schema version error that names %s", err, path)
				}
				if name == "newer" && (refused.Found != 99 || refused.Supported != 1) {
					t.Errorf("got found %d, supported %d", refused.Found, refused.Supported)
				}
				after, err := os.ReadFile(path)
				must(t, err)
				if !bytes.Equal(before, after) {
					t.Error("the file was changed")
				}
			})
		}
	}
}

// S93: of many that open a path that does not exist, all must see one schema.
func TestConcurrentFirstOpen(t *testing.T) {
	t.Parallel()
	b := setup(t)
	path := filepath.Join(t.TempDir(), "catalog.db")
	var group sync.WaitGroup
	for range 16 {
		group.Go(func() {
			k, err := OpenCatalog(t.Context(), path, CatalogOptions{
				Durability: lashstore.DurabilityFull, BusyTimeout: time.Minute, Now: b.clock.Now, Rand: b.opts.Rand,
			})
			if err != nil {
				t.Error(err)
				return
			}
			if err := k.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
}

// A file that belongs to another session, or to another incarnation, must not be
// mistaken for the one asked for.
func TestOpenChecksIdentity(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, c := range []struct {
		id  lashstore.SessionID
		inc lashstore.Incarnation
	}{{"other", b.inc}, {testSession, "0123"}} {
		_, err := OpenSessionDB(t.Context(), b.path, c.id, c.inc, false, b.opts)
		if !errors.Is(err, lashstore.ErrWrongSession) {
			t.Errorf("open as %q/%s: got %v", c.id, c.inc, err)
		}
	}
}

// S89: the database holds turn commits and neither turn checkpoints nor an effect
// journal; an empty one is small (design section 11: 32 KiB).
func TestEmptySession(t *testing.T) {
	t.Parallel()
	b := setup(t)
	must(t, b.db.Close())
	db, err := sql.Open("sqlite", b.path)
	must(t, err)
	var commits, others int
	err = db.QueryRowContext(t.Context(), `SELECT sum(name='turn_commit'), sum(name LIKE '%effect%' OR name LIKE '%turn_checkpoint%') FROM sqlite_schema`).Scan(&commits, &others)
	must(t, err)
	must(t, db.Close())
	if commits != 1 || others != 0 {
		t.Errorf("%d tables of turn commits, %d of effects or checkpoints", commits, others)
	}
	info, err := os.Stat(b.path)
	must(t, err)
	if info.Size() > 32<<10 {
		t.Errorf("an empty session takes %d bytes", info.Size())
	}
	t.Logf("an empty session takes %d bytes", info.Size())
	b.db = b.open(t)
}
