package gc_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
	"github.com/lashstore/lashstore/gc"
	"github.com/lashstore/lashstore/local"
	"github.com/lashstore/lashstore/metadata"
)

// yesterday makes a history in whose midst the catalog was copied, and puts the copy
// back: sessions have moved on since, some were deleted, others are new, and content
// was deleted and stored again, under another name.
func yesterday(t *testing.T) *tenant {
	t.Helper()
	x := setup(t)
	x.commit("moves", "one", "stays")
	x.commit("deleted", "only here", "stays")
	x.commit("returns", "comes back")
	x.commit("idle", "idle")
	x.backup()

	x.commit("moves", "two", "stays")
	must(t, x.store.DeleteSession(t.Context(), "deleted"))
	x.commit("returns", "meanwhile")
	if report := x.collect(now()); report.Deleted != 3 {
		t.Fatalf("%d deleted, want 3", report.Deleted)
	}
	x.commit("returns", "comes back")
	x.commit("new", "new", "one", "stays")
	x.restore()
	return x
}

// A catalog from a backup lacks what was reserved since, and knows what is gone. Until
// an audit has put it right, nothing is deleted; the audit deletes nothing that any
// session needs, without any grace.
func TestCatalogFromBackup(t *testing.T) {
	t.Parallel()
	x := yesterday(t)
	x.refused(now(), "put back from a backup")

	report := x.refused(audit(), "1 sessions cannot be read")
	equal(t, "lost sessions", report.Mark.LostSessions, 1)
	equal(t, "found sessions", report.Mark.FoundSessions, 1)
	for _, f := range report.Mark.Faults {
		if f.Kind == lashstore.FindingLostSession && (len(f.Sessions) != 1 || f.Sessions[0] != "deleted") {
			t.Errorf("lost session: %v", f)
		}
	}
	x.has("moves", "two", "stays")
	must(t, x.store.DeleteSession(t.Context(), "deleted")) // once more
	x.refused(now(), "sessions cannot be read")

	report = x.collect(audit())
	equal(t, "outcome", report.Outcome, lashstore.CollectSwept)
	for id, names := range map[lashstore.SessionID][]string{
		"moves": {"two", "stays"}, "returns": {"comes back"}, "idle": {"idle"}, "new": {"new", "one", "stays"},
	} {
		x.has(id, names...)
	}
	report = x.collect(audit())
	equal(t, "faults that a second audit finds", len(report.Mark.Faults)+len(report.Sweep.Damage), 0)
	equal(t, "outcome of the second", report.Outcome, lashstore.CollectNothing)
	equal(t, "deleted by a plain run", x.collect(now()).Deleted, 0)
	x.exact()

	x.commit("moves", "two", "idle")
	x.commit("idle", "three")
	x.collect(now())
	x.has("moves", "two", "idle")
	x.exact()
}

// What the backup calls present may be gone. Whoever commits before an audit has swept
// must store it, or would refer to nothing.
func TestCommitsBeforeTheAudit(t *testing.T) {
	t.Parallel()
	x := yesterday(t)
	x.commit("writer", "only here", "comes back", "idle", "one")
	x.has("writer", "only here", "comes back", "idle", "one")
	must(t, x.store.DeleteSession(t.Context(), "deleted"))
	x.has("writer", "only here", "comes back", "idle", "one")
	x.collect(audit())
	x.has("writer", "only here", "comes back", "idle", "one")
	x.has("returns", "comes back")
	x.has("new", "new", "one", "stays")
	x.collect(audit())
	x.has("writer", "only here", "comes back", "idle", "one")
	x.exact()
}

// A writer that stored equal content under the backup's name and died before it could
// say so must not cost the session that has it under another name its object.
func TestUploadInterruptedAfterBackup(t *testing.T) {
	t.Parallel()
	x := setup(t)
	x.commit("old", "something")
	x.backup()
	x.commit("reader", "content")
	x.restore()
	// The catalog knows neither the session nor the content. A writer reserves it anew,
	// stores it, and dies.
	x.catalog(func(k *metadata.Catalog) {
		h, err := metadata.NewUploadHolder(x.rand, x.clock.Now().Add(time.Hour))
		must(t, err)
		res, err := k.Reserve(t.Context(), h, []lashstore.Digest{digestOf("content")})
		must(t, err)
		name := cas.ObjectName{Digest: res[0].Digest, Generation: cas.Generation(res[0].Generation)}
		r, err := x.tier.Get(t.Context(), x.key("content"), 0, -1)
		must(t, err)
		defer func() { must(t, r.Close()) }()
		stored := make([]byte, 1<<20)
		n, _ := r.Read(stored) // the whole of an object in memory
		must(t, x.tier.Put(t.Context(), local.DefaultTenant+"/"+name.Key(), stored[:n]))
	})
	equal(t, "objects of the content", len(x.keys("content")), 2)
	for i := range 3 {
		x.Logf("audit %d", i)
		x.collect(audit())
		x.has("reader", "content")
		x.has("old", "something")
		x.clock.Advance(time.Hour)
	}
	report := x.collect(audit())
	equal(t, "faults of the last audit", len(report.Mark.Faults)+len(report.Sweep.Damage), 0)
	x.exact()
}

// Without the file that says how far the catalog has been seen, nobody knows whether it
// is the newest: a damaged one stops deletions, a missing one is made anew.
func TestSequenceFile(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(path string) error{
		"cut":     func(path string) error { return os.Truncate(path, 5) },
		"garbage": func(path string) error { return os.WriteFile(path, []byte("twelve bytes"), 0o600) },
		"negative": func(path string) error {
			return os.WriteFile(path, []byte("\xff\xff\xff\xff\xff\xff\xff\xff\x21\x44\xdf\x1c"), 0o600)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := setup(t)
			x.commit("s", "old")
			x.commit("s", "new")
			x.close()
			must(t, damage(x.path("catalog.seq")))
			x.open()
			x.refused(now(), "catalog.seq")
			x.reopen()
			x.refused(now(), "catalog.seq")
			equal(t, "deleted by an audit", x.collect(audit()).Deleted, 1)
			x.reopen()
			x.commit("s", "newer")
			equal(t, "deleted by a plain run", x.collect(now()).Deleted, 1)
			x.exact()
		})
	}
	t.Run("missing", func(t *testing.T) {
		t.Parallel()
		x := setup(t)
		x.commit("s", "old")
		x.commit("s", "new")
		x.close()
		must(t, os.Remove(x.path("catalog.seq")))
		x.open()
		x.refused(now(), "catalog.seq beside the catalog is missing")
		equal(t, "deleted", x.collect(audit()).Deleted, 1)
		x.exact()
		x.backup()
		x.commit("s", "newest")
		x.restore()
		x.refused(now(), "put back from a backup") // the new file does its work
	})
}

// A backup of the moment is no matter, and neither is a crash that lost the end of the
// file: only a catalog that is behind is.
func TestSequenceBehind(t *testing.T) {
	t.Parallel()
	x := setup(t)
	x.commit("s", "old")
	x.close()
	seq, err := os.ReadFile(x.path("catalog.seq"))
	must(t, err)
	x.open()
	x.commit("s", "new")
	x.close()
	must(t, os.WriteFile(x.path("catalog.seq"), seq, 0o600))
	x.open()
	equal(t, "deleted", x.collect(now()).Deleted, 1)
	x.exact()
}

// After an audit of a catalog from a backup has been interrupted at any of its steps,
// and the process with it, writers and the next audit must still do right.
func TestBackupAuditInterrupted(t *testing.T) {
	t.Parallel()
	for _, step := range gc.Steps() {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			x := yesterday(t)
			must(t, x.store.DeleteSession(t.Context(), "deleted"))
			x.interrupt(step, audit())
			x.reopen()
			x.commit("writer", "only here", "comes back", "idle", "one")
			x.has("writer", "only here", "comes back", "idle", "one")
			x.has("returns", "comes back")
			x.collect(audit())
			x.collect(audit())
			x.has("writer", "only here", "comes back", "idle", "one")
			for id, names := range map[lashstore.SessionID][]string{
				"moves": {"two", "stays"}, "returns": {"comes back"}, "idle": {"idle"}, "new": {"new", "one", "stays"},
			} {
				x.has(id, names...)
			}
			x.exact()
		})
	}
}

// Several backups, each put back over the consequences of the last.
func TestBackupOfBackup(t *testing.T) {
	t.Parallel()
	x := setup(t)
	x.commit("a", "0")
	x.backup()
	for i := range 4 {
		x.commit("a", fmt.Sprint(i+1), "shared")
		x.commit(lashstore.SessionID(fmt.Sprint("session ", i)), "shared", fmt.Sprint(i))
		x.collect(now())
		x.restore()
		x.refused(now(), "put back from a backup")
		x.collect(audit())
		x.has("a", fmt.Sprint(i+1), "shared")
		for j := range i + 1 {
			x.has(lashstore.SessionID(fmt.Sprint("session ", j)), "shared", fmt.Sprint(j))
		}
		x.exact()
	}
}
