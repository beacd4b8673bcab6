package local_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
	"github.com/lashstore/lashstore/cas/castest"
	"github.com/lashstore/lashstore/cas/filecas"
	"github.com/lashstore/lashstore/cas/memcas"
	"github.com/lashstore/lashstore/conformance"
	"github.com/lashstore/lashstore/internal/testenv"
	"github.com/lashstore/lashstore/local"
	"github.com/lashstore/lashstore/metadata"
)

func TestConformanceFilecas(t *testing.T) {
	t.Parallel()
	conformance.Run(t, func(t *testing.T) conformance.Harness {
		t.Helper()
		dir := t.TempDir()
		driver, err := filecas.Open(filepath.Join(dir, "blobs"), filecas.Options{NoSync: true})
		if err != nil {
			t.Fatal(err)
		}
		return newHarness(t, dir, driver)
	})
}

func TestConformanceMemcas(t *testing.T) {
	t.Parallel()
	conformance.Run(t, func(t *testing.T) conformance.Harness {
		t.Helper()
		return newHarness(t, t.TempDir(), memcas.New())
	})
}

// harness is the local store as the suite sees it.
type harness struct {
	dir    string
	driver *castest.Faulty
}

func newHarness(t *testing.T, dir string, driver cas.Driver) conformance.Harness {
	t.Helper()
	h := &harness{dir: dir, driver: castest.NewFaulty(driver)}
	clock, processes, rand := testenv.NewClock(), testenv.NewProcessTable(), testenv.NewRand(t)
	return conformance.Harness{
		Open: func(ctx context.Context, s conformance.Settings) (lashstore.Store, error) {
			return local.Open(ctx, dir, local.Options{
				Driver:             h.driver,
				Profile:            s.Profile,
				Durability:         lashstore.DurabilityNormal, // what survives power loss is not tested here
				Retention:          s.Retention,
				UploadTTL:          s.UploadTTL,
				SourceKeyRetention: s.SourceKeyRetention,
				ReadOnly:           s.ReadOnly,
				Grace:              s.Grace,
				CollectEvery:       s.CollectEvery,
				OnCollect:          s.OnCollect,
				Now:                clock.Now,
				Elapsed:            func() time.Duration { return clock.Now().Sub(testenv.Start()) },
				Rand:               rand,
				Processes:          processes,
			})
		},
		Clock:     clock,
		Processes: processes,
		Tier:      lashstore.TierDurable,
		Files: &conformance.Files{
			Root:        dir,
			SessionPath: func(id lashstore.SessionID) string { return h.path(t, id) },
			OpenDB:      openDB,
		},
		Damage: &conformance.Damage{
			Blob:     h.damageBlob,
			LoseBlob: h.loseBlob,
			Node: func(tb testing.TB, id lashstore.SessionID, node lashstore.NodeID) {
				tb.Helper()
				h.mustExec(tb, id, `UPDATE node SET payload=CAST('{' AS BLOB) WHERE node_id=?`, string(node))
			},
			Head: func(tb testing.TB, id lashstore.SessionID) {
				tb.Helper()
				h.mustExec(tb, id, `UPDATE revision SET turn_state='{' WHERE revision=(SELECT max(revision) FROM revision)`)
			},
			Database: h.damageDatabase,
		},
		Faults:   &conformance.Faults{FailBlobs: h.failBlobs},
		Collects: true,
	}
}

// openDB opens a database as any program could.
func openDB(tb testing.TB, path string) *sql.DB {
	tb.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		tb.Fatalf("open %s: %v", path, err)
	}
	tb.Cleanup(func() {
		if err := db.Close(); err != nil {
			tb.Errorf("close %s: %v", path, err)
		}
	})
	return db
}

// path is where a session's database lies; for an unknown id, where it would lie
// but for its incarnation.
func (h *harness) path(tb testing.TB, id lashstore.SessionID) string {
	tb.Helper()
	tenant := filepath.Join(h.dir, "tenants", local.DefaultTenant)
	catalog := filepath.Join(tenant, "catalog.db")
	var inc string
	if _, err := os.Stat(catalog); err == nil {
		err := openDB(tb, catalog).QueryRowContext(tb.Context(), `SELECT incarnation FROM session WHERE session_id=?`, string(id)).Scan(&inc)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			tb.Fatalf("find session %q: %v", id, err)
		}
	}
	return filepath.Join(tenant, metadata.SessionPath(id, lashstore.Incarnation(inc)))
}

// mustExec changes exactly one row of a session's database.
func (h *harness) mustExec(tb testing.TB, id lashstore.SessionID, query string, args ...any) {
	tb.Helper()
	res, err := openDB(tb, h.path(tb, id)).ExecContext(tb.Context(), query, args...)
	if err != nil {
		tb.Fatalf("%s: %v", query, err)
	}
	if n, err := res.RowsAffected(); err != nil || n != 1 {
		tb.Fatalf("%s: %d rows changed, want 1 (%v)", query, n, err)
	}
}

// objects returns the keys of the tier objects of a session's content, or none if
// the content is inline.
func (h *harness) objects(tb testing.TB, id lashstore.SessionID, d lashstore.Digest) []string {
	tb.Helper()
	db := openDB(tb, h.path(tb, id))
	var objects []byte
	if err := db.QueryRowContext(tb.Context(), `SELECT objects FROM content WHERE digest=?`, d.Bytes()).Scan(&objects); err != nil {
		tb.Fatalf("find content %s: %v", d, err)
	}
	if objects == nil {
		return nil
	}
	keys := make([]string, 0, len(objects)/lashstore.DigestSize)
	for raw := range slices.Chunk(objects, lashstore.DigestSize) {
		object, err := lashstore.DigestFromBytes(raw)
		if err != nil {
			tb.Fatal(err)
		}
		var generation int64
		if err := db.QueryRowContext(tb.Context(), `SELECT generation FROM object WHERE digest=?`, raw).Scan(&generation); err != nil {
			tb.Fatalf("find object %s: %v", object, err)
		}
		name := cas.ObjectName{Digest: object, Generation: cas.Generation(generation)}
		keys = append(keys, local.DefaultTenant+"/"+name.Key())
	}
	return keys
}

func (h *harness) damageBlob(tb testing.TB, id lashstore.SessionID, d lashstore.Digest) {
	tb.Helper()
	keys := h.objects(tb, id, d)
	if keys == nil {
		h.mustExec(tb, id, `UPDATE content SET bytes=CAST(bytes || 'x' AS BLOB) WHERE digest=?`, d.Bytes())
		return
	}
	r, err := h.driver.Get(tb.Context(), keys[0], 0, -1)
	if err != nil {
		tb.Fatal(err)
	}
	raw, err := io.ReadAll(r)
	if err != nil {
		tb.Fatal(err)
	}
	if err := r.Close(); err != nil {
		tb.Fatal(err)
	}
	raw[len(raw)-1] ^= 1
	if err := h.driver.Put(tb.Context(), keys[0], raw); err != nil {
		tb.Fatal(err)
	}
}

func (h *harness) loseBlob(tb testing.TB, id lashstore.SessionID, d lashstore.Digest) {
	tb.Helper()
	keys := h.objects(tb, id, d)
	if keys == nil {
		h.mustExec(tb, id, `DELETE FROM content WHERE digest=?`, d.Bytes())
		return
	}
	if err := h.driver.Delete(tb.Context(), keys); err != nil {
		tb.Fatal(err)
	}
}

func (h *harness) damageDatabase(tb testing.TB, id lashstore.SessionID) {
	tb.Helper()
	f, err := os.OpenFile(h.path(tb, id), os.O_WRONLY, 0)
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("this is not the beginning of a database"), 0); err != nil {
		tb.Fatal(err)
	}
	if err := f.Close(); err != nil {
		tb.Fatal(err)
	}
}

func (h *harness) failBlobs(err error) {
	if err == nil {
		h.driver.Heal()
		return
	}
	for _, m := range []castest.Method{castest.Put, castest.Get, castest.Stat, castest.Delete, castest.List} {
		h.driver.Always(m, func([]string) castest.Fault { return castest.FailBefore(fmt.Errorf("injected: %w", err)) })
	}
}
