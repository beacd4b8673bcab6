package local_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/internal/testenv"
	"github.com/lashstore/lashstore/local"
)

// A session whose file is beyond reading must not be there for ever: it can be
// deleted, and its id used again.
func TestDeleteDamagedSession(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, local.Options{})
	h, f := create(t, s, "s")
	_, err := h.Commit(t.Context(), state(0, f, noise(1, 100_000)))
	must(t, err)
	must(t, s.Close())
	files, err := filepath.Glob(filepath.Join(dir, "tenants", "*", "sessions", "*", "*.db"))
	must(t, err)
	if len(files) != 1 {
		t.Fatalf("session files: %q", files)
	}
	must(t, os.WriteFile(files[0], []byte("this was a database"), 0o600))

	s = open(t, dir, local.Options{})
	if _, err := s.OpenSession(t.Context(), "s", lashstore.OpenOptions{}); !errors.Is(err, lashstore.ErrCorruptDatabase) {
		t.Errorf("open: %v", err)
	}
	must(t, s.DeleteSession(t.Context(), "s"))
	if _, err := s.OpenSession(t.Context(), "s", lashstore.OpenOptions{}); !errors.Is(err, lashstore.ErrSessionDeleted) {
		t.Errorf("open after delete: %v", err)
	}
	h, created, err := s.CreateSession(t.Context(), lashstore.CreateSession{Meta: lashstore.SessionMeta{SessionID: "s"}, Recreate: true})
	must(t, err)
	head, err := h.Head(t.Context())
	if err != nil || !created || head.Revision != 0 {
		t.Errorf("created again: %t, revision %d, %v", created, head.Revision, err)
	}
}

// What a creator that died left behind is removed, but not what a living one is
// working on.
func TestOpenRemovesStaleFiles(t *testing.T) {
	t.Parallel()
	dir, clock := t.TempDir(), testenv.NewClock()
	s := open(t, dir, local.Options{Now: clock.Now})
	create(t, s, "s")
	must(t, s.Close())
	folder := filepath.Join(dir, "tenants", local.DefaultTenant, "tmp")
	for name, age := range map[string]time.Duration{"new-old": 2 * time.Hour, "new-young": time.Minute, "other": 48 * time.Hour} {
		path := filepath.Join(folder, name)
		must(t, os.WriteFile(path, nil, 0o600))
		must(t, os.Chtimes(path, clock.Now().Add(-age), clock.Now().Add(-age)))
	}
	open(t, dir, local.Options{Now: clock.Now})
	for name, want := range map[string]bool{"new-old": false, "new-young": true, "other": true} {
		if _, err := os.Stat(filepath.Join(folder, name)); (err == nil) != want {
			t.Errorf("%s: %v, want it to be there: %t", name, err, want)
		}
	}
}

// A store that is to be read only must refuse every write of its own and leave the
// sessions readable.
func TestReadOnlyStore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, local.Options{})
	h, f := create(t, s, "s")
	_, err := h.Commit(t.Context(), state(0, f, []byte("x")))
	must(t, err)
	must(t, s.Close())
	s = open(t, dir, local.Options{ReadOnly: true})
	_, _, createErr := s.CreateSession(t.Context(), lashstore.CreateSession{Meta: lashstore.SessionMeta{SessionID: "t"}})
	for name, err := range map[string]error{"create": createErr, "delete": s.DeleteSession(t.Context(), "s")} {
		if !errors.Is(err, lashstore.ErrReadOnly) {
			t.Errorf("%s: %v", name, err)
		}
	}
	h, err = s.OpenSession(t.Context(), "s", lashstore.OpenOptions{})
	must(t, err)
	if _, err := h.Commit(t.Context(), state(1, f, nil)); !errors.Is(err, lashstore.ErrReadOnly) {
		t.Errorf("commit: %v", err)
	}
	snap, err := h.Load(t.Context(), lashstore.LoadOptions{})
	if err != nil || string(snap.Checkpoint.Components["state"].Bytes) != "x" {
		t.Errorf("load: %v", err)
	}
}
