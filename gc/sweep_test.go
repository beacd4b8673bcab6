package gc_test

import (
	"encoding/hex"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
	"github.com/lashstore/lashstore/cas/memcas"
	"github.com/lashstore/lashstore/gc"
	"github.com/lashstore/lashstore/local"
	"github.com/lashstore/lashstore/metadata"
)

// Objects under our prefix that no row knows are what died with its writer; keys that
// are no objects are somebody else's, and never deleted.
func TestUnknownAndForeign(t *testing.T) {
	t.Parallel()
	x := setup(t)
	x.commit("s", "content")
	foreign := []string{
		objectRoot + "00/notes", objectRoot + "7f/readme.txt", objectRoot + "ff/z", objectRoot + "ff/" + hex.EncodeToString(digestOf("content").Bytes()),
		local.DefaultTenant + "/notes", local.DefaultTenant + "/b2/00/x", "other/b3/00/x", "root",
	}
	for _, key := range foreign {
		must(t, x.tier.Put(t.Context(), key, []byte("mine")))
	}
	must(t, x.tier.Put(t.Context(), x.unknownKey("old"), make([]byte, 100)))
	x.clock.Advance(time.Hour)
	young := x.clock.Now()
	must(t, x.tier.Put(t.Context(), x.unknownKey("young"), make([]byte, 10)))
	must(t, x.tier.Put(t.Context(), x.unknownKey("content"), make([]byte, 1000))) // beside the one with a row

	grace := time.Hour
	opts := lashstore.CollectOptions{Grace: &grace, Audit: true, Workers: 1}
	dry := opts
	dry.DryRun = true
	for _, o := range []lashstore.CollectOptions{dry, opts} {
		s := x.collect(o).Sweep
		equal(t, "objects", s.Objects, 4)
		equal(t, "unknown and old", s.Unknown, 1)
		equal(t, "their bytes", s.UnknownBytes, 100)
		equal(t, "unknown and young", s.UnknownYoung, 2)
		equal(t, "foreign", s.Foreign, 4)
	}
	equal(t, "objects of what was old", len(x.keys("old")), 0)
	x.clock.Set(young.Add(grace))
	report := x.collect(opts)
	equal(t, "unknown and young", report.Sweep.UnknownYoung, 0)
	equal(t, "doomed bytes", report.DoomedBytes, 1010)
	equal(t, "deleted", report.Deleted, 2)
	for _, key := range foreign {
		if _, err := x.tier.Stat(t.Context(), key); err != nil {
			t.Errorf("a key that is no object: %v", err)
		}
		must(t, x.tier.Delete(t.Context(), []string{key}))
	}
	x.has("s", "content")
	x.exact()
}

// An object that is stored while the tier is listed must not be taken for garbage, nor
// one that a row was made for after the page was listed.
func TestStoredWhileSwept(t *testing.T) {
	t.Parallel()
	x := setup(t)
	x.commit("s", "content")
	i := 0
	x.at(gc.StepListed, func() {
		i++
		x.commitAll("writer", map[string][]byte{"a": noise(fmt.Sprint("during ", i), 20<<10), "b": noise(fmt.Sprint("during ", i+1), 20<<10)})
	})
	report := x.collect(audit())
	x.at("", nil)
	equal(t, "listed", i, gc.ShardCount)
	equal(t, "damage", len(report.Sweep.Damage), 0)
	equal(t, "unknown", report.Sweep.Unknown, 0)
	x.settle()
	x.collect(audit())
	x.has("s", "content")
	x.exact()
}

// A listing in pages shows what one page shows.
func TestManyPages(t *testing.T) {
	t.Parallel()
	x := setup(t)
	// A shard of three pages of foreign and unknown objects between those of a session.
	names := make([]string, 40)
	for i := range names {
		names[i] = fmt.Sprint("content ", i)
	}
	x.commit("s", names...)
	const shard = 0x20
	var unknown int64
	for i := range 2500 {
		key := fmt.Sprintf("%s%02x/foreign-%04d", objectRoot, shard+i%8, i)
		if i%5 == 0 {
			d, err := lashstore.DigestFromBytes(append([]byte{byte(shard + i%8), byte(i >> 8), byte(i)}, make([]byte, 29)...))
			must(t, err)
			key = local.DefaultTenant + "/" + cas.ObjectName{Digest: d, Generation: 1}.Key()
			unknown++
		}
		must(t, x.tier.Put(t.Context(), key, nil))
	}
	report := x.collect(audit())
	equal(t, "foreign", report.Sweep.Foreign, 2500-unknown)
	equal(t, "unknown", report.Sweep.Unknown, unknown)
	equal(t, "rows", report.Sweep.Rows, 40)
	equal(t, "objects", report.Sweep.Objects, unknown+40)
	if report.ListRequests <= gc.ShardCount {
		t.Errorf("%d pages listed: the test wants a shard of several", report.ListRequests)
	}
	equal(t, "missing", report.Sweep.Missing, 0)
	equal(t, "deleted", report.Deleted, unknown)
	x.has("s", names...)
	equal(t, "keys left", int64(len(x.objects())), 2500-unknown+40)
}

// An object that is gone is damage, and those who need it are named; whoever stores the
// same bytes puts it back for all.
func TestMissingObject(t *testing.T) {
	t.Parallel()
	x := setup(t)
	for i := range 13 {
		x.commit(lashstore.SessionID(fmt.Sprintf("session %02d", i)), "lost")
	}
	x.commit("other", "whole")
	key := x.key("lost")
	must(t, x.tier.Delete(t.Context(), []string{key}))
	dry := audit()
	dry.DryRun = true
	for _, opts := range []lashstore.CollectOptions{dry, audit(), audit()} {
		report := x.collect(opts)
		equal(t, "missing", report.Sweep.Missing, 1)
		if len(report.Sweep.Damage) != 1 {
			t.Fatalf("damage %v", report.Sweep.Damage)
		}
		f := report.Sweep.Damage[0]
		equal(t, "kind", f.Kind, lashstore.FindingMissing)
		equal(t, "digest", f.Digest, digestOf("lost"))
		equal(t, "key", local.DefaultTenant+"/"+f.Key, key)
		equal(t, "sessions that are named", len(f.Sessions), 10)
		equal(t, "the first of them", f.Sessions[0], "session 00")
		equal(t, "others", f.More, 3)
		row, _ := x.blob("lost")
		equal(t, "present", row.Present, opts.DryRun)
		equal(t, "holders", row.Holders, 13)
	}
	x.commit("writer", "lost")
	equal(t, "key when it was put back", x.key("lost"), key)
	report := x.collect(audit())
	equal(t, "missing when it was put back", report.Sweep.Missing, 0)
	x.has("session 07", "lost")
	x.exact()
}

// An object of another size was cut or written over: it is damage too, and put back by
// whoever has the bytes.
func TestWrongSize(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 10, 1 << 20} {
		x := setup(t)
		x.commit("s", "content")
		must(t, x.tier.Put(t.Context(), x.key("content"), make([]byte, size)))
		report := x.collect(audit())
		equal(t, "wrong sizes", report.Sweep.WrongSize, 1)
		equal(t, "missing", report.Sweep.Missing, 0)
		f := report.Sweep.Damage[0]
		equal(t, "kind", f.Kind, lashstore.FindingWrongSize)
		if !slices.Equal(f.Sessions, []lashstore.SessionID{"s"}) {
			t.Errorf("sessions %q", f.Sessions)
		}
		equal(t, "wrong sizes as long as nobody puts it back", x.collect(audit()).Sweep.WrongSize, 1)
		x.commit("writer", "content")
		x.has("s", "content")
		equal(t, "wrong sizes when it was put back", x.collect(audit()).Sweep.WrongSize, 0)
		x.exact()
	}
}

// A row without any edge that nobody condemned would stay for ever: what a fault left,
// or a write that was lost.
func TestUnreferencedRow(t *testing.T) {
	t.Parallel()
	x := setup(t)
	x.commit("s", "content")
	x.commit("gone", "nobody's")
	equal(t, "edges", x.change(x.path("catalog.db"), `DELETE FROM edge WHERE digest=?`, digestOf("nobody's").Bytes()), 1)
	equal(t, "rows", x.change(x.path("catalog.db"), `DELETE FROM session WHERE session_id='gone'`), 1)
	grace := time.Hour
	opts := lashstore.CollectOptions{Grace: &grace, Audit: true, Workers: 1}
	x.reopen()
	// The session's database is found, and its edge restored: nothing is lost.
	report := x.collect(opts)
	equal(t, "unreferenced", report.Sweep.Unreferenced, 0)
	equal(t, "missing edges", report.Mark.MissingEdges, 1)
	x.has("gone", "nobody's")

	must(t, x.store.DeleteSession(t.Context(), "gone"))
	equal(t, "rows", x.change(x.path("catalog.db"), `UPDATE blob SET condemned_at_ms=NULL WHERE digest=?`, digestOf("nobody's").Bytes()), 1)
	equal(t, "deleted by a plain run", x.collect(now()).Deleted, 0)
	dry := opts
	dry.DryRun = true
	equal(t, "unreferenced, by a dry run", x.collect(dry).Sweep.Unreferenced, 1)
	report = x.collect(opts)
	equal(t, "unreferenced", report.Sweep.Unreferenced, 1)
	equal(t, "deleted at once", report.Deleted, 0)
	equal(t, "condemned", x.status().Condemned, 1)
	x.clock.Advance(grace)
	equal(t, "deleted after the grace period", x.collect(opts).Deleted, 1)
	x.exact()
}

// A row whose object was never stored, because its writer died, is no damage and goes.
func TestReservedAndNeverStored(t *testing.T) {
	t.Parallel()
	x := setup(t)
	x.commit("s", "content")
	x.surplus("s", "never stored")
	report := x.collect(audit())
	equal(t, "surplus", report.Mark.SurplusEdges, 1)
	equal(t, "missing", report.Sweep.Missing, 0)
	equal(t, "damage", len(report.Sweep.Damage), 0)
	equal(t, "deleted", report.Deleted, 1)
	x.exact()

	// Under an upload that is not over, it stays: its writer may be at work.
	x.catalog(func(k *metadata.Catalog) {
		h, err := metadata.NewUploadHolder(x.rand, x.clock.Now().Add(time.Hour))
		must(t, err)
		_, err = k.Reserve(t.Context(), h, []lashstore.Digest{digestOf("on its way")})
		must(t, err)
	})
	report = x.collect(audit())
	equal(t, "deleted", report.Deleted+report.Sweep.Missing, 0)
	if _, found := x.blob("on its way"); !found {
		t.Error("a reservation that is not over is gone")
	}
	x.clock.Advance(time.Hour)
	report = x.collect(now())
	equal(t, "uploads expired", report.UploadsExpired, 1)
	equal(t, "doomed", report.Doomed, 1)
	x.exact()
}

// What a mark restored without its size has it again after the sweep, so that later
// audits notice when it is cut.
func TestSizesAreLearnt(t *testing.T) {
	t.Parallel()
	x := setup(t)
	x.commit("s", "content")
	want, _ := x.blob("content")
	x.change(x.path("catalog.db"), `DELETE FROM blob`)
	x.change(x.path("catalog.db"), `DELETE FROM edge`)
	report := x.collect(audit())
	equal(t, "missing rows", report.Mark.MissingRows, 1)
	got, found := x.blob("content")
	equal(t, "found", found, true)
	equal(t, "object", got.Object, want.Object)
	equal(t, "stored bytes", got.StoredBytes, want.StoredBytes)
	equal(t, "holders", got.Holders, 1)
	equal(t, "faults found again", len(x.collect(audit()).Mark.Faults), 0)
	x.has("s", "content")
	x.exact()
	must(t, x.tier.Put(t.Context(), x.key("content"), []byte("cut")))
	equal(t, "wrong sizes", x.collect(audit()).Sweep.WrongSize, 1)
}

// A tier whose clock is not ours says nothing that could delete what lives.
func TestTierWithAnotherClock(t *testing.T) {
	t.Parallel()
	for _, off := range []time.Duration{-365 * 24 * time.Hour, 365 * 24 * time.Hour} {
		x := setup(t)
		x.close()
		x.tier = memcas.NewWith(memcas.Options{Now: func() time.Time { return x.clock.Now().Add(off) }})
		x.dir, x.opts.Driver = t.TempDir(), x.tier
		x.open()
		x.commit("s", "old")
		x.commit("s", "new")
		must(t, x.tier.Put(t.Context(), x.unknownKey("unknown"), nil))
		grace := time.Hour
		report := x.collect(lashstore.CollectOptions{Grace: &grace, Audit: true})
		equal(t, "condemned", x.status().Condemned, 1)
		equal(t, "deleted as unknown", report.Deleted == 1, off < 0)
		x.has("s", "new")
		x.collect(audit())
		x.has("s", "new")
		x.exact()
	}
}

// Writers that store equal content at once may encode it differently, so that the size
// on record is the other's: a whole object is no damage, and the row learns its size.
func TestWholeObjectOfAnotherSize(t *testing.T) {
	t.Parallel()
	x := setup(t)
	x.commit("s", "content")
	row, _ := x.blob("content")
	x.catalog(func(k *metadata.Catalog) {
		must(t, k.Resize(t.Context(), metadata.Doomed{Object: row.Object, StoredBytes: row.StoredBytes + 1}))
	})
	dry := audit()
	dry.DryRun = true
	equal(t, "wrong sizes by a dry run", x.collect(dry).Sweep.WrongSize, 0)
	wrong, _ := x.blob("content")
	equal(t, "size after a dry run", wrong.StoredBytes, row.StoredBytes+1)
	equal(t, "wrong sizes", x.collect(audit()).Sweep.WrongSize, 0)
	learnt, _ := x.blob("content")
	equal(t, "size", learnt.StoredBytes, row.StoredBytes)
	equal(t, "present", learnt.Present, true)
}
