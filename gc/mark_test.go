package gc_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/gc"
	"github.com/lashstore/lashstore/metadata"
)

// large commits more contents to a session than are compared at a time, and returns how
// many.
func (x *tenant) large(id lashstore.SessionID) int {
	const parts, each = 3, 400
	x.Helper()
	keep := x.opts.Retention
	x.opts.Retention.Revisions = parts
	x.reopen()
	for p := range parts {
		contents := make(map[string][]byte)
		for i := range each {
			contents[fmt.Sprint("component ", i)] = noise(fmt.Sprint("content ", p*each+i), 9<<10)
		}
		x.commitAll(id, contents)
	}
	x.opts.Retention = keep
	x.reopen()
	return parts * each
}

// A session that holds more than is compared at a time, in which all kinds of
// differences are spread, is put right as a whole.
func TestLargeSession(t *testing.T) {
	t.Parallel()
	x := setup(t)
	held := x.large("large")
	x.commit("other", "other")
	surplus := make([]string, 700) // more than one comparison takes
	for i := range surplus {
		surplus[i] = fmt.Sprint("surplus ", i)
	}
	x.surplus("large", surplus...)
	row := x.session("large")
	objects := x.held(row)
	equal(t, "objects", len(objects), held)
	var edges, rows int64
	for i, o := range objects {
		switch i % 50 {
		case 7:
			edges += x.change(x.path("catalog.db"), `DELETE FROM edge WHERE digest=?`, o.Digest.Bytes())
		case 13:
			x.change(x.path("catalog.db"), `DELETE FROM edge WHERE digest=?`, o.Digest.Bytes())
			rows += x.change(x.path("catalog.db"), `DELETE FROM blob WHERE digest=?`, o.Digest.Bytes())
		}
	}
	equal(t, "edges and rows taken away", edges+rows, 48)
	dry := audit()
	dry.DryRun = true
	for _, opts := range []lashstore.CollectOptions{dry, audit()} {
		m := x.collect(opts).Mark
		equal(t, "objects compared", m.Objects, int64(held+1))
		equal(t, "surplus", m.SurplusEdges, 700)
		equal(t, "missing edges", m.MissingEdges, edges)
		equal(t, "missing rows", m.MissingRows, rows)
		equal(t, "faults", int64(len(m.Faults)), edges+rows)
		for _, f := range m.Faults {
			if f.Repaired == opts.DryRun || len(f.Sessions) != 1 || f.Sessions[0] != "large" {
				t.Fatalf("finding %+v", f)
			}
		}
	}
	m := x.collect(audit()).Mark
	equal(t, "differences of a second audit", m.SurplusEdges+m.MissingEdges+m.MissingRows+m.OtherObjects, 0)
	x.exact()
}

// Edges too many and nothing held: a session that let go of all.
func TestOnlySurplus(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 255, 256, 257, 511, 512, 513} {
		x := setup(t)
		x.commit("s")
		names := make([]string, n)
		for i := range names {
			names[i] = fmt.Sprint("surplus ", i)
		}
		x.surplus("s", names...)
		report := x.collect(audit())
		equal(t, "surplus", report.Mark.SurplusEdges, int64(n))
		equal(t, "deleted", report.Deleted, int64(n))
		x.exact()
	}
}

// What a commit has reserved while an audit compares its session is surplus until it is
// committed. Taken away, the commit must notice; the content is stored all the same.
func TestCommitBetweenLookAndLock(t *testing.T) {
	t.Parallel()
	x := setup(t)
	x.commit("s", "content")
	x.surplus("s", "new", "too many")
	x.once(gc.StepSurplus, func() { x.commitAll("s", map[string][]byte{"a": content("content"), "b": content("new")}) })
	report := x.collect(audit())
	equal(t, "surplus that is left under the lock", report.Mark.SurplusEdges, 1)
	x.settle()
	x.has("s", "content", "new")
	x.exact()
}

// What a settlement has yet to let go of is surplus too, and let go of twice does no
// harm.
func TestUnsettledSession(t *testing.T) {
	t.Parallel()
	x := setup(t)
	x.commit("s", "old")
	x.commitAll("s", map[string][]byte{"new": content("new")}) // not settled
	report := x.collect(audit())
	if report.Mark.SurplusEdges > 1 || len(report.Mark.Faults) > 0 {
		t.Errorf("mark %+v", report.Mark)
	}
	x.settle()
	x.collect(audit())
	x.has("s", "new")
	x.exact()
}

// What a holder refers to whose session is no more is let go of; one of which nobody
// knows what it is is kept and named.
func TestDeadHolders(t *testing.T) {
	t.Parallel()
	x := setup(t)
	x.commit("s", "content")
	x.commit("dead", "dead")
	x.surplus("dead", "reserved")
	// As after a deletion whose last step came before its others reached the disk.
	equal(t, "rows", x.change(x.path("catalog.db"), `INSERT INTO holder (kind, key) VALUES (1, 'nobody')`), 1)
	x.change(x.path("catalog.db"), `INSERT INTO edge (digest, holder) SELECT digest, (SELECT holder FROM holder WHERE key='nobody')
		FROM blob WHERE digest=?`, digestOf("content").Bytes())
	x.catalog(func(k *metadata.Catalog) {
		h, err := metadata.NewUploadHolder(x.rand, x.clock.Now().Add(time.Hour))
		must(t, err)
		_, err = k.Reserve(t.Context(), h, []lashstore.Digest{digestOf("upload")})
		must(t, err)
	})
	x.catalogState("dead", metadata.SessionDeleted)
	report := x.collect(audit())
	if f := report.Mark.Faults; len(f) != 1 || f[0].Kind != lashstore.FindingUnknown || f[0].Key != "nobody" {
		t.Errorf("faults %+v", f)
	}
	equal(t, "deleted", report.Deleted, 2)
	equal(t, "roots: session, upload, nobody", report.Roots, 3)
	row, _ := x.blob("content")
	equal(t, "holders", row.Holders, 2)
	x.has("s", "content")
}

// The catalog's summary of a session whose process died before it could tell is brought
// up to date, or lists would be wrong for good.
func TestSummaryIsRefreshed(t *testing.T) {
	t.Parallel()
	x := setup(t)
	x.commit("s", "content")
	equal(t, "rows", x.change(x.path("catalog.db"), `DELETE FROM session`), 1)
	x.reopen()
	x.collect(audit())
	page, err := x.store.ListSessions(t.Context(), lashstore.ListSessions{})
	must(t, err)
	equal(t, "sessions", len(page.Sessions), 1)
	equal(t, "revision", page.Sessions[0].HeadRevision, 1)
}
