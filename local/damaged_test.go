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

// One damaged session must not hide the others: neither from a list nor from
// another session's calls.
func TestListBesideDamagedSession(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, local.Options{MaxOpenSessions: 1})
	h, f := create(t, s, "damaged")
	_, err := h.Commit(t.Context(), state(0, f, nil))
	must(t, err)
	files, err := filepath.Glob(filepath.Join(dir, "tenants", "*", "sessions", "*", "damaged-*.db"))
	must(t, err)
	if len(files) != 1 {
		t.Fatalf("session files: %q", files)
	}
	create(t, s, "whole") // takes the place of the other, whose file is closed
	must(t, os.WriteFile(files[0], []byte("this was a database"), 0o600))
	page, err := s.ListSessions(t.Context(), lashstore.ListSessions{Order: lashstore.OrderID})
	must(t, err)
	if len(page.Sessions) != 2 || page.Sessions[1].SessionID != "whole" {
		t.Errorf("listed: %+v", page.Sessions)
	}
	must(t, s.DeleteSession(t.Context(), "damaged"))
}

// A path is a path, whatever is in it, and a relative one is too.
func TestOpenAnyPath(t *testing.T) { //nolint:paralleltest // it changes the working directory
	t.Chdir(t.TempDir())
	for _, dir := range []string{"relative", "./a/b/../c", "we?ird #%20&mode=ro dir", "ünï"} {
		for _, want := range []bool{true, false} {
			s, err := local.Open(t.Context(), dir, local.Options{})
			must(t, err)
			h, created, err := s.CreateSession(t.Context(), lashstore.CreateSession{Meta: lashstore.SessionMeta{SessionID: "s"}})
			must(t, err)
			if created != want {
				t.Errorf("%q: created %t, want %t", dir, created, want)
			}
			_, err = h.Head(t.Context())
			must(t, err)
			must(t, s.Close())
		}
		if _, err := os.Stat(filepath.Join(dir, "tenants", local.DefaultTenant, "catalog.db")); err != nil {
			t.Errorf("%q: %v", dir, err)
		}
	}
}

// A retention that was lowered catches up, a bounded number of revisions a commit,
// and ends where it says.
func TestLoweredRetention(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, local.Options{Retention: lashstore.Retention{Revisions: -1}})
	h, f := create(t, s, "s")
	rev := lashstore.Revision(0)
	for ; rev < 150; rev++ {
		_, err := h.Commit(t.Context(), state(rev, f, []byte{byte(rev)}))
		must(t, err)
	}
	must(t, s.Close())
	s = open(t, dir, local.Options{Retention: lashstore.Retention{Revisions: 5}})
	h, err := s.OpenSession(t.Context(), "s", lashstore.OpenOptions{})
	must(t, err)
	for _, want := range []int{150 + 1 - 64, 150 + 2 - 128, 5, 5} {
		_, err := h.Commit(t.Context(), state(rev, f, []byte{byte(rev)}))
		must(t, err)
		rev++
		kept, err := h.Revisions(t.Context(), lashstore.ListRevisions{Limit: lashstore.MaxListLimit})
		must(t, err)
		if len(kept) != want {
			t.Errorf("after revision %d: %d revisions kept, want %d", rev, len(kept), want)
		}
		oldest := kept[len(kept)-1].Revision
		snap, err := h.Load(t.Context(), lashstore.LoadOptions{Revision: oldest})
		if err != nil || snap.Checkpoint.Components["state"].Bytes[0] != byte(oldest-1) {
			t.Errorf("revision %d: %v", oldest, err)
		}
	}
}
