package gc_test

import (
	"errors"
	"testing"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
	"github.com/lashstore/lashstore/cas/castest"
	"github.com/lashstore/lashstore/local"
	"github.com/lashstore/lashstore/metadata"
)

// returned makes a tenant whose catalog comes from a backup and names another object of
// "content" than the session "reader" holds. What the catalog names is in the tier only
// if its deletion failed.
func returned(t *testing.T, deleted bool) (x *tenant, known string) {
	t.Helper()
	x = setup(t)
	x.commit("reader", "content")
	known = x.key("content")
	x.backup()
	x.commit("reader", "meanwhile")
	if !deleted {
		x.driver.Script(castest.Delete, castest.FailBefore(errors.New("out of order")))
	}
	_, err := x.store.Collect(t.Context(), now())
	if deleted {
		must(t, err)
	}
	x.commit("reader", "content")
	x.restore()
	return x, known
}

// other returns the finding of an audit that a session and the catalog name different
// objects, which must be the only one.
func other(t *testing.T, report lashstore.CollectReport) lashstore.Finding {
	t.Helper()
	equal(t, "other objects", report.Mark.OtherObjects, 1)
	if len(report.Mark.Faults) != 1 {
		t.Fatalf("faults %v", report.Mark.Faults)
	}
	f := report.Mark.Faults[0]
	equal(t, "kind", f.Kind, lashstore.FindingOtherObject)
	equal(t, "digest", f.Digest, digestOf("content"))
	if len(f.Sessions) != 1 || f.Sessions[0] != "reader" {
		t.Errorf("sessions %q", f.Sessions)
	}
	return f
}

// Where both objects are there, the session takes the catalog's, and the other goes.
func TestFollowCatalog(t *testing.T) {
	t.Parallel()
	x, known := returned(t, false)
	equal(t, "objects of the content", len(x.keys("content")), 2)
	f := other(t, x.collect(audit()))
	equal(t, "repaired", f.Repaired, true)
	equal(t, "object left", x.key("content"), known)
	x.has("reader", "content")
	x.exact()
}

// Where only the session's is there, the catalog takes it.
func TestFollowSession(t *testing.T) {
	t.Parallel()
	x, known := returned(t, true)
	f := other(t, x.collect(audit()))
	equal(t, "repaired", f.Repaired, true)
	if x.key("content") == known {
		t.Error("the name of a deleted object is in use again")
	}
	x.has("reader", "content")
	x.exact()
}

// Where none is there, the session is named, and whoever stores the content next mends
// it.
func TestNeitherObject(t *testing.T) {
	t.Parallel()
	x, _ := returned(t, true)
	must(t, x.tier.Delete(t.Context(), x.keys("content")))
	f := other(t, x.collect(audit()))
	equal(t, "repaired", f.Repaired, false)
	report := x.collect(audit())
	equal(t, "missing", report.Sweep.Missing, 1)
	x.commit("writer", "content")
	f = other(t, x.collect(audit()))
	equal(t, "repaired when the content was stored again", f.Repaired, true)
	x.has("reader", "content")
	x.has("writer", "content")
	x.exact()
}

// A dry run says what differs and changes nothing.
func TestOtherObjectDryRun(t *testing.T) {
	t.Parallel()
	x, _ := returned(t, false)
	dry := audit()
	dry.DryRun = true
	for range 2 {
		f := other(t, x.collect(dry))
		equal(t, "repaired", f.Repaired, false)
		equal(t, "objects of the content", len(x.keys("content")), 2)
	}
	equal(t, "stopped", x.status().Stopped != "", true)
}

// The catalog's object may be on its way while the audit looks. Then nobody can tell
// which of them will be committed, and both must stay.
func TestObjectStoredDuringAudit(t *testing.T) {
	t.Parallel()
	for _, nth := range []int{2, 3} { // before the audit looks for it, and after
		x, known := returned(t, true)
		r, err := x.tier.Get(t.Context(), x.key("content"), 0, -1)
		must(t, err)
		stored := make([]byte, 1<<20)
		n, _ := r.Read(stored) // the whole of an object in memory
		must(t, r.Close())
		looks := 0
		x.driver.Always(castest.Stat, func([]string) castest.Fault {
			if looks++; looks == nth {
				must(t, x.tier.Put(t.Context(), known, stored[:n]))
			}
			return castest.Pass()
		})
		report, err := x.store.Collect(t.Context(), audit())
		if late := nth == 3; errors.Is(err, lashstore.ErrCollectionRefused) != late || !late && err != nil {
			t.Errorf("stored before look %d: %v (%s)", nth, err, report.Reason)
		}
		x.driver.Heal()
		x.has("reader", "content")
		if nth == 3 {
			equal(t, "objects after an audit that cannot tell", len(x.keys("content")), 2)
		}
		x.collect(audit())
		x.collect(audit())
		x.has("reader", "content")
		x.exact()
	}
}

// The row may change between being read and being changed: then the audit does not know
// what it needs to.
func TestRowChangedDuringAudit(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"present", "regenerated"} {
		x, known := returned(t, true)
		object, err := cas.ParseKey(known[len(local.DefaultTenant)+1:])
		must(t, err)
		o := metadata.Object{Digest: object.Digest, Generation: uint64(object.Generation)}
		x.catalog(func(k *metadata.Catalog) { must(t, k.Want(t.Context(), []metadata.Doomed{{Object: o}})) })
		looks := 0
		x.driver.Always(castest.Stat, func([]string) castest.Fault {
			if looks++; looks != 2 {
				return castest.Pass()
			}
			x.catalog(func(k *metadata.Catalog) {
				if name == "present" {
					must(t, k.MarkPresent(t.Context(), []metadata.Uploaded{{Object: o}}))
					return
				}
				to := o
				to.Generation++
				changed, err := k.Regenerate(t.Context(), o, false, to)
				if err != nil || !changed {
					t.Errorf("regenerate: %t, %v", changed, err)
				}
			})
			return castest.Pass()
		})
		x.refused(audit(), "being stored right now")
		x.driver.Heal()
		x.has("reader", "content")
		x.collect(audit())
		x.has("reader", "content")
		x.exact()
	}
}

// A tier that cannot be asked decides nothing.
func TestRebaseTierFails(t *testing.T) {
	t.Parallel()
	for nth := 1; nth <= 3; nth++ {
		x, _ := returned(t, true)
		looks := 0
		x.driver.Always(castest.Stat, func([]string) castest.Fault {
			if looks++; looks == nth {
				return castest.FailBefore(nil)
			}
			return castest.Pass()
		})
		report := x.refused(audit(), "could not be read")
		equal(t, "stopped for good", report.Mark.LostSessions, 0)
		x.driver.Heal()
		x.has("reader", "content")
		x.collect(audit())
		x.has("reader", "content")
		x.collect(audit())
		x.exact()
	}
}
