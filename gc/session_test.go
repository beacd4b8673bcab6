package gc_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/gc"
	"github.com/lashstore/lashstore/local"
	"github.com/lashstore/lashstore/metadata"
)

// A session's database that the catalog does not know is a session: what it holds is
// not garbage.
func TestStraySession(t *testing.T) {
	t.Parallel()
	x := setup(t)
	x.commit("s", "content", "shared")
	x.commit("other", "shared")
	equal(t, "rows", x.change(x.path("catalog.db"), `DELETE FROM session WHERE session_id='s'`), 1)
	x.reopen()
	dry := audit()
	dry.DryRun = true
	report := x.collect(dry)
	equal(t, "found by a dry run", report.Mark.FoundSessions, 1)
	equal(t, "repaired by a dry run", report.Mark.Faults[0].Repaired, false)
	equal(t, "sessions of a dry run", report.Mark.Sessions, 1)

	report = x.collect(audit())
	equal(t, "found", report.Mark.FoundSessions, 1)
	equal(t, "compared", report.Mark.Sessions, 2)
	f := report.Mark.Faults[0]
	if f.Kind != lashstore.FindingFoundSession || !f.Repaired || len(f.Sessions) != 1 || f.Sessions[0] != "s" {
		t.Errorf("finding %+v", f)
	}
	x.has("s", "content", "shared")
	equal(t, "found again", x.collect(audit()).Mark.FoundSessions, 0)
	x.commit("s", "shared")
	equal(t, "deleted when it lets go", x.collect(now()).Deleted, 1)
	x.exact()
}

// A file that cannot be read or is not what its name says may be a session: nothing is
// deleted while it lies there.
func TestStrayThatIsNone(t *testing.T) {
	t.Parallel()
	for name, place := range map[string]func(x *tenant, path string){
		"garbage": func(_ *tenant, path string) { must(t, os.WriteFile(path, []byte("garbage"), 0o600)) },
		"another session": func(x *tenant, path string) {
			b, err := os.ReadFile(x.sessionPath("s"))
			must(t, err)
			must(t, os.WriteFile(path, b, 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := setup(t)
			x.commit("s", "old")
			x.commit("s", "new")
			x.close()
			path := filepath.Join(filepath.Dir(x.sessionPath("s")), "stray-0123456789abcdef-01234567.db")
			place(x, path)
			x.open()
			report := x.refused(audit(), "session databases that the catalog does not know")
			equal(t, "faults", len(report.Mark.Faults), 1)
			equal(t, "key", report.Mark.Faults[0].Key, path)
			x.refused(now(), "session databases that the catalog does not know")
			must(t, os.Remove(path))
			x.refused(now(), "session databases that the catalog does not know")
			equal(t, "deleted when it is gone", x.collect(audit()).Deleted, 1)
			x.exact()
		})
	}
}

// An older incarnation whose file comes back, as from a backup of files, must not take
// the place of the one in use, and what it holds cannot be let go of unseen.
func TestStrayIncarnation(t *testing.T) {
	t.Parallel()
	x := setup(t)
	x.commit("s", "old life")
	x.close()
	path := x.sessionPath("s")
	b, err := os.ReadFile(path)
	must(t, err)
	x.open()
	must(t, x.store.DeleteSession(t.Context(), "s"))
	x.commit("s", "new life")
	must(t, os.WriteFile(path, b, 0o600))
	report := x.refused(audit(), "cannot be admitted")
	equal(t, "found", report.Mark.FoundSessions, 1)
	x.has("s", "new life")
	must(t, os.Remove(path))
	equal(t, "deleted", x.collect(audit()).Deleted, 1)
	x.exact()

	// Where the id is not in use it is admitted again.
	must(t, x.store.DeleteSession(t.Context(), "s"))
	must(t, os.WriteFile(path, b, 0o600))
	report = x.collect(audit())
	equal(t, "repaired", report.Mark.Faults[0].Repaired, true)
	equal(t, "missing, as its content was deleted with it", report.Sweep.Missing, 1)
	equal(t, "head", x.head("s"), 1)
}

func (x *tenant) head(id lashstore.SessionID) lashstore.Revision {
	x.Helper()
	s, err := x.store.OpenSession(x.Context(), id, lashstore.OpenOptions{})
	must(x.T, err)
	defer func() { must(x.T, s.Close()) }()
	h, err := s.Head(x.Context())
	must(x.T, err)
	return h.Revision
}

// What an interrupted creation or deletion leaves behind holds nothing.
func TestStrayLeftBehind(t *testing.T) {
	t.Parallel()
	x := setup(t)
	x.commit("s", "content")
	_, _, err := x.store.CreateSession(t.Context(), lashstore.CreateSession{Meta: lashstore.SessionMeta{SessionID: "empty"}})
	must(t, err)
	x.close()
	b, err := os.ReadFile(x.sessionPath("empty"))
	must(t, err)
	path := x.sessionPath("empty")
	x.open()
	must(t, x.store.DeleteSession(t.Context(), "empty"))
	must(t, os.WriteFile(path, b, 0o600))
	report := x.collect(audit())
	equal(t, "found", report.Mark.FoundSessions, 0)
	x.exact()
}

// A session whose database is lost may come back from a backup: what it holds stays
// until somebody says that it is gone.
func TestLostSession(t *testing.T) {
	t.Parallel()
	x := setup(t)
	x.commit("lost", "content")
	x.commit("s", "old")
	x.commit("s", "new")
	x.close()
	path := x.sessionPath("lost")
	b, err := os.ReadFile(path)
	must(t, err)
	must(t, os.Remove(path))
	x.open()
	equal(t, "deleted by a run that asks no session", x.collect(now()).Deleted, 1)
	report := x.refused(audit(), "1 sessions cannot be read")
	equal(t, "lost", report.Mark.LostSessions, 1)
	equal(t, "compared", report.Mark.Sessions, 2)
	x.commit("s", "newer")
	x.refused(now(), "1 sessions cannot be read")
	x.key("content")

	must(t, os.WriteFile(path, b, 0o600))
	equal(t, "lost when it is back", x.collect(audit()).Mark.LostSessions, 0)
	x.has("lost", "content")
	x.exact()

	x.close()
	must(t, os.Remove(path))
	x.open()
	x.refused(audit(), "1 sessions cannot be read")
	must(t, x.store.DeleteSession(t.Context(), "lost"))
	report = x.collect(audit())
	equal(t, "deleted with the session", report.Deleted, 1)
	x.exact()
}

// A session whose database cannot be read, or whose records do not agree, keeps
// everything from being deleted; the others are compared all the same.
func TestUnreadableSession(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(x *tenant, path string){
		"no database": func(_ *tenant, path string) { must(t, os.WriteFile(path, make([]byte, 8192), 0o600)) },
		"an object less": func(x *tenant, path string) {
			equal(t, "rows", x.change(path, `DELETE FROM object`), 1)
		},
		"another generation": func(x *tenant, path string) {
			equal(t, "rows", x.change(path, `UPDATE object SET generation=generation+1`), 1)
		},
		"a count": func(x *tenant, path string) {
			equal(t, "rows", x.change(path, `UPDATE content SET refs=refs+1`), 1)
		},
		"a list of objects": func(x *tenant, path string) {
			equal(t, "rows", x.change(path, `UPDATE content SET objects=NULL`), 1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := setup(t)
			x.commit("a", "a")
			x.commit("broken", "content")
			x.commit("z", "z")
			x.surplus("z", "too many")
			x.close()
			damage(x, x.sessionPath("broken"))
			x.open()
			report := x.refused(audit(), "1 sessions cannot be read")
			equal(t, "compared", report.Mark.Sessions, 3)
			equal(t, "surplus of the others", report.Mark.SurplusEdges, 1)
			if f := report.Mark.Faults; len(f) != 1 || f[0].Kind != lashstore.FindingUnreadable || f[0].Sessions[0] != "broken" {
				t.Errorf("faults %v", f)
			}
			x.refused(now(), "1 sessions cannot be read")
			must(t, x.store.DeleteSession(t.Context(), "broken"))
			x.collect(audit())
			x.has("a", "a")
			x.has("z", "z")
			x.exact()
		})
	}
}

// A session that is busy is read later, not given up and not taken for damaged.
func TestSessionDeletedDuringAudit(t *testing.T) {
	t.Parallel()
	for _, step := range []string{gc.StepMarking, gc.StepSurplus} {
		x := setup(t)
		x.commit("s", "content")
		x.commit("stays", "stays")
		x.surplus("s", "too many")
		x.once(step, func() { must(t, x.store.DeleteSession(t.Context(), "s")) })
		report := x.collect(audit())
		equal(t, "faults", len(report.Mark.Faults), 0)
		equal(t, "lost", report.Mark.LostSessions, 0)
		x.collect(now())
		x.has("stays", "stays")
		x.exact()
	}
}

// A session that was admitted and whose creator died holds nothing and is no loss.
func TestSessionBeingCreated(t *testing.T) {
	t.Parallel()
	x := setup(t)
	x.catalog(func(k *metadata.Catalog) {
		_, admitted, err := k.Admit(t.Context(), lashstore.SessionMeta{SessionID: "new", TTL: time.Minute}, false)
		must(t, err)
		equal(t, "admitted", admitted, true)
	})
	x.clock.Advance(time.Hour)
	report := x.collect(audit())
	equal(t, "lost", report.Mark.LostSessions, 0)
	equal(t, "expired", report.SessionsExpired, 0)
	equal(t, "errors", len(report.Errors), 0)
	s, _, err := x.store.CreateSession(t.Context(), lashstore.CreateSession{Meta: lashstore.SessionMeta{SessionID: "new"}})
	must(t, err)
	must(t, s.Close())
}

// One session that cannot be deleted must not keep the others, and is named.
func TestExpiredSessionThatCannotBeRead(t *testing.T) {
	t.Parallel()
	x := setup(t)
	for _, id := range []lashstore.SessionID{"a", "broken", "z"} {
		s, _, err := x.store.CreateSession(t.Context(), lashstore.CreateSession{Meta: lashstore.SessionMeta{SessionID: id, TTL: time.Minute}})
		must(t, err)
		must(t, s.Close())
		x.commit(id, "content of "+string(id))
	}
	x.close()
	must(t, os.WriteFile(x.sessionPath("broken"), make([]byte, 8192), 0o600))
	x.open()
	x.clock.Advance(time.Hour)
	report := x.collect(now())
	equal(t, "expired", report.SessionsExpired, 2)
	equal(t, "errors", len(report.Errors), 1)
	equal(t, "outcome", report.Outcome, lashstore.CollectIncomplete)
	equal(t, "deleted", report.Deleted, 2)
	x.key("content of broken")
	for _, id := range []lashstore.SessionID{"a", "z"} {
		if _, err := x.store.OpenSession(t.Context(), id, lashstore.OpenOptions{}); !errors.Is(err, lashstore.ErrSessionDeleted) {
			t.Errorf("session %q: %v", id, err)
		}
	}
}

// An expiry that was interrupted anywhere is completed, and counted once.
func TestExpiryInterrupted(t *testing.T) {
	t.Parallel()
	const inSession = "only in the session's database"
	for _, step := range []string{inSession, local.StepDeleting, local.StepMarked, local.StepReleased, local.StepRemoved} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			x := setup(t)
			s, _, err := x.store.CreateSession(t.Context(), lashstore.CreateSession{Meta: lashstore.SessionMeta{SessionID: "s", TTL: time.Minute}})
			must(t, err)
			must(t, s.Close())
			x.commit("s", "content")
			x.clock.Advance(time.Hour)
			if step == inSession {
				x.inSession("s", func(db *metadata.SessionDB) {
					answer, err := db.MarkExpired(t.Context(), x.clock.Now())
					must(t, err)
					equal(t, "answer", answer, metadata.Expired)
				})
			} else if !x.interrupt(step, now()) {
				t.Fatal("not interrupted")
			}
			x.reopen()
			report := x.collect(now())
			equal(t, "sessions", report.SessionsExpired+report.SessionsRemoved, 1)
			equal(t, "errors", len(report.Errors), 0)
			report = x.collect(audit())
			equal(t, "sessions once more", report.SessionsExpired+report.SessionsRemoved, 0)
			x.exact()
			if _, err := x.store.OpenSession(t.Context(), "s", lashstore.OpenOptions{}); !errors.Is(err, lashstore.ErrSessionDeleted) {
				t.Errorf("got %v", err)
			}
		})
	}
}
