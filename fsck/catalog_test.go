package fsck_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lashstore/lashstore"
)

// References that are missing are found, belong to the right session, and are
// restored, also where the record of the object is damaged or gone.
func TestRepairedReferences(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		query string
		kind  lashstore.FindingKind
		both  bool // of both sessions
	}{
		"missing edges": {
			`DELETE FROM edge WHERE holder=(SELECT holder FROM holder JOIN session ON incarnation=key WHERE session_id='s')`,
			lashstore.FindingMissingEdge, false,
		},
		"missing row": {`DELETE FROM blob WHERE digest=(SELECT min(digest) FROM blob)`, lashstore.FindingMissingRow, true},
		"damaged row": {`UPDATE blob SET stored_size=stored_size+1 WHERE digest=(SELECT min(digest) FROM blob)`, lashstore.FindingCatalog, true},
		"condemned though referred to": {
			`UPDATE blob SET condemned_at_ms=1 WHERE digest=(SELECT min(digest) FROM blob)`,
			lashstore.FindingCatalog, true,
		},
		"damaged row of a session": {`UPDATE session SET model='x' WHERE session_id='s'`, lashstore.FindingCatalog, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newTenant(t, nil)
			n.sound()
			n.exec(n.catalogFile(), tt.query)
			check := func(rep lashstore.VerifyReport, outcome lashstore.VerifyOutcome) {
				t.Helper()
				if rep.Outcome != outcome || len(rep.Findings) == 0 {
					t.Fatalf("%s: %+v, errors %q", rep.Outcome, rep.Findings, rep.Errors)
				}
				sessions := make(map[lashstore.SessionID]bool)
				for _, f := range rep.Findings {
					if f.Kind != tt.kind || f.Repaired != (outcome == lashstore.VerifyRepaired) {
						t.Errorf("%+v", f)
					}
					for _, id := range f.Sessions {
						sessions[id] = true
					}
				}
				if !sessions["s"] || sessions["other"] != tt.both {
					t.Errorf("sessions %v", sessions)
				}
			}
			damaged, err := n.store.Verify(t.Context(), lashstore.VerifyOptions{})
			n.must(err)
			check(damaged, lashstore.VerifyDamaged)
			check(n.verify(lashstore.VerifyOptions{Repair: true}), lashstore.VerifyRepaired)
			n.wantClean(lashstore.VerifyOptions{Content: true})
			// Nothing is deleted that is needed.
			n.settleAndCollect()
			n.wantClean(lashstore.VerifyOptions{Content: true})
		})
	}
}

// References too many are no damage. A repair removes them.
func TestSurplusReferences(t *testing.T) {
	t.Parallel()
	n := newTenant(t, nil)
	n.commit("s", fill(1, 30_000))
	n.commit("other", fill(2, 30_000))
	n.exec(n.catalogFile(), `INSERT INTO edge (digest, holder) SELECT digest, holder FROM blob, holder WHERE true ON CONFLICT DO NOTHING`)
	for _, repair := range []bool{false, true} {
		if rep := n.wantClean(lashstore.VerifyOptions{Repair: repair}); rep.SurplusReferences != 2 {
			t.Errorf("repair %t: %d references too many", repair, rep.SurplusReferences)
		}
	}
	if rep := n.wantClean(lashstore.VerifyOptions{}); rep.SurplusReferences != 0 {
		t.Errorf("%d references too many are left", rep.SurplusReferences)
	}
}

// A session's database that the catalog does not know is admitted again by a repair,
// and verified.
func TestStraySession(t *testing.T) {
	t.Parallel()
	n := newTenant(t, nil)
	n.sound()
	n.exec(n.catalogFile(), `DELETE FROM session WHERE session_id='s'`)
	for _, repair := range []bool{false, true} {
		outcome, sessions := lashstore.VerifyDamaged, int64(1)
		if repair {
			outcome, sessions = lashstore.VerifyRepaired, 2
		}
		rep := n.verify(lashstore.VerifyOptions{Repair: repair})
		var kinds []lashstore.FindingKind
		for _, f := range rep.Findings {
			kinds = append(kinds, f.Kind)
		}
		if rep.Outcome != outcome || rep.Sessions != sessions || !slices.Contains(kinds, lashstore.FindingFoundSession) {
			t.Errorf("repair %t: %+v", repair, rep)
		}
	}
	n.wantClean(lashstore.VerifyOptions{})
	n.wantState("s", 0, fill(1, 30_000))
}

// A file that calls itself a session and is none is named and left alone.
func TestStrayGarbage(t *testing.T) {
	t.Parallel()
	n := newTenant(t, nil)
	n.sound()
	stray := filepath.Join(filepath.Dir(n.databaseOf("s")), "stray-0123456789abcdef-01234567.db")
	n.must(os.WriteFile(stray, []byte("no database"), 0o600))
	rep := n.verify(lashstore.VerifyOptions{Repair: true})
	if f := n.only(rep, lashstore.VerifyDamaged); f.Kind != lashstore.FindingUnreadable || f.Key != stray || rep.Sessions != 2 {
		t.Errorf("%+v", rep)
	}
	if _, err := os.Stat(stray); err != nil {
		t.Error(err)
	}
}

// What a repair cannot mend in the catalog is found, and does not keep the rest from
// being looked at.
func TestDamagedCatalog(t *testing.T) {
	t.Parallel()
	for name, query := range map[string]string{
		"session":    `UPDATE session SET model='x' WHERE session_id='s'`,
		"collection": `INSERT INTO collection SELECT 1,0,0,0,'',0,'',0,0,'',0,0,0,0,1`,
		"holder":     `UPDATE holder SET kind=9 WHERE holder=(SELECT min(holder) FROM holder)`,
		"edge":       `INSERT INTO edge (digest, holder) VALUES (zeroblob(32), 12345)`,
		"doomed":     `INSERT INTO doomed SELECT digest, generation, 1, 1 FROM blob LIMIT 1`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newTenant(t, nil)
			n.sound()
			n.exec(n.catalogFile(), query)
			rep, err := n.store.Verify(t.Context(), lashstore.VerifyOptions{})
			n.must(err)
			if rep.Outcome != lashstore.VerifyDamaged || !slices.ContainsFunc(rep.Findings, func(f lashstore.Finding) bool {
				return f.Kind == lashstore.FindingCatalog && strings.Contains(f.Key, name+" ")
			}) {
				t.Errorf("%+v", rep)
			}
			if rep.Objects != 2 || rep.ObjectsRead != 2 {
				t.Errorf("%d objects, %d read", rep.Objects, rep.ObjectsRead)
			}
		})
	}
}
