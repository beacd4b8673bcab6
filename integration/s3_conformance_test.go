package integration_test

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

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas/castest"
	"github.com/lashstore/lashstore/conformance"
	"github.com/lashstore/lashstore/internal/testenv"
	"github.com/lashstore/lashstore/local"
	"github.com/lashstore/lashstore/metadata"
)

// The store must behave on each server as on a directory.
func TestS3Conformance(t *testing.T) {
	t.Parallel()
	eachS3(t, func(t *testing.T, server testenv.S3Server) {
		t.Helper()
		conformance.Run(t, func(t *testing.T) conformance.Harness {
			t.Helper()
			return newS3Harness(t, server)
		})
	})
}

// s3Harness is a local store whose large content is on a server.
type s3Harness struct {
	dir    string
	driver *castest.Faulty
	open   func(context.Context, conformance.Settings) (lashstore.Store, error)
}

func newS3Harness(t *testing.T, server testenv.S3Server) conformance.Harness {
	t.Helper()
	h := &s3Harness{dir: t.TempDir(), driver: castest.NewFaulty(openS3(t, server, s3Location(t, server)))}
	clock, processes, rand := testenv.NewClock(), testenv.NewProcessTable(), testenv.NewRand(t)
	h.open = func(ctx context.Context, s conformance.Settings) (lashstore.Store, error) {
		return local.Open(ctx, h.dir, local.Options{
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
	}
	return conformance.Harness{
		Open:      h.open,
		Clock:     clock,
		Processes: processes,
		Tier:      lashstore.TierDurable,
		Files: &conformance.Files{
			Root:        h.dir,
			SessionPath: func(id lashstore.SessionID) string { return h.path(t, id) },
			OpenDB:      openSQLite,
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

// openSQLite opens a database as any program could.
func openSQLite(tb testing.TB, path string) *sql.DB {
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
func (h *s3Harness) path(tb testing.TB, id lashstore.SessionID) string {
	tb.Helper()
	tenant := filepath.Join(h.dir, "tenants", local.DefaultTenant)
	catalog := filepath.Join(tenant, "catalog.db")
	var inc string
	if _, err := os.Stat(catalog); err == nil {
		row := openSQLite(tb, catalog).QueryRowContext(tb.Context(), `SELECT incarnation FROM session WHERE session_id=?`, string(id))
		if err := row.Scan(&inc); err != nil && !errors.Is(err, sql.ErrNoRows) {
			tb.Fatalf("find session %q: %v", id, err)
		}
	}
	return filepath.Join(tenant, metadata.SessionPath(id, lashstore.Incarnation(inc)))
}

// mustExec changes exactly one row of a session's database.
func (h *s3Harness) mustExec(tb testing.TB, id lashstore.SessionID, query string, args ...any) {
	tb.Helper()
	res, err := openSQLite(tb, h.path(tb, id)).ExecContext(tb.Context(), query, args...)
	if err != nil {
		tb.Fatalf("%s: %v", query, err)
	}
	if n, err := res.RowsAffected(); err != nil || n != 1 {
		tb.Fatalf("%s: %d rows changed, want 1 (%v)", query, n, err)
	}
}

// objects returns the keys of the objects that a session's content is read from, or
// none if it is inline. It reads the content and looks at what the driver is asked
// for, so it knows nothing of how content is divided.
func (h *s3Harness) objects(tb testing.TB, id lashstore.SessionID, d lashstore.Digest) []string {
	tb.Helper()
	store, err := h.open(tb.Context(), conformance.Settings{ReadOnly: true})
	if err != nil {
		tb.Fatal(err)
	}
	before := len(h.driver.Calls(castest.Get))
	err = readAll(tb.Context(), store, id, d)
	if err := errors.Join(err, store.Close()); err != nil {
		tb.Fatalf("read content %s of session %q: %v", d, id, err)
	}
	var keys []string
	for _, call := range h.driver.Calls(castest.Get)[before:] {
		keys = append(keys, call.Keys...)
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// readAll reads content of a session to its end.
func readAll(ctx context.Context, store lashstore.Store, id lashstore.SessionID, d lashstore.Digest) error {
	s, err := store.OpenSession(ctx, id, lashstore.OpenOptions{})
	if err != nil {
		return err
	}
	r, err := s.OpenContent(ctx, d)
	if err != nil {
		return errors.Join(err, s.Close())
	}
	_, err = io.Copy(io.Discard, r)
	return errors.Join(err, r.Close(), s.Close())
}

func (h *s3Harness) damageBlob(tb testing.TB, id lashstore.SessionID, d lashstore.Digest) {
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
	if err := errors.Join(err, r.Close()); err != nil {
		tb.Fatal(err)
	}
	raw[len(raw)-1] ^= 1
	if err := h.driver.Put(tb.Context(), keys[0], raw); err != nil {
		tb.Fatal(err)
	}
}

func (h *s3Harness) loseBlob(tb testing.TB, id lashstore.SessionID, d lashstore.Digest) {
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

func (h *s3Harness) damageDatabase(tb testing.TB, id lashstore.SessionID) {
	tb.Helper()
	f, err := os.OpenFile(h.path(tb, id), os.O_WRONLY, 0)
	if err != nil {
		tb.Fatal(err)
	}
	_, err = f.WriteAt([]byte("this is not the beginning of a database"), 0)
	if err := errors.Join(err, f.Close()); err != nil {
		tb.Fatal(err)
	}
}

func (h *s3Harness) failBlobs(err error) {
	if err == nil {
		h.driver.Heal()
		return
	}
	for _, m := range []castest.Method{castest.Put, castest.Get, castest.Stat, castest.Delete, castest.List} {
		h.driver.Always(m, func([]string) castest.Fault { return castest.FailBefore(fmt.Errorf("injected: %w", err)) })
	}
}
