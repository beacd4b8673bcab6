package fsck_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/lashstore/lashstore"
)

// workload makes sessions with all kinds of records and content, some of which is let
// go of again.
func (n *tenant) workload() {
	n.t.Helper()
	ctx := n.t.Context()
	big := fill(1, 3<<20)
	for turn := range 5 { // more than are kept
		copy(big[turn*100_000:], fill(uint64(10+turn), 5000))
		n.commit("big", big)
		n.commit("medium", fill(uint64(20+turn), 40_000))
		n.commit("small", []byte{byte(turn)})
	}
	n.commit("twin", big)
	n.commit("gone", fill(30, 50_000))
	h := n.session("medium")
	for i, size := range []int{100, 100_000} {
		ref, err := h.PutAttachment(ctx, bytes.NewReader(fill(uint64(40+i), size)), lashstore.AttachmentMeta{MediaType: "text/plain"})
		n.must(err)
		n.must(h.CommitAttachments(ctx, []lashstore.Digest{ref.ID}))
		name := lashstore.ArtifactName{Namespace: "module", Name: string(rune('a' + i))}
		_, err = h.PutArtifact(ctx, name, lashstore.StandardDescriptor(lashstore.KindModule), bytes.NewReader(fill(uint64(50+i), size)))
		n.must(err)
	}
	_, err := h.PutAttachment(ctx, bytes.NewReader(fill(60, 70_000)), lashstore.AttachmentMeta{MediaType: "text/plain"}) // not committed
	n.must(err)
	_, err = n.store.PutBlob(ctx, bytes.NewReader(fill(61, 1<<20)), lashstore.PutBlobOptions{})
	n.must(err)
	n.must(n.store.DeleteSession(ctx, "gone"))
}

// A sound store is clean, whatever was done to it and however it is looked at.
func TestCleanStoreIsClean(t *testing.T) {
	t.Parallel()
	n := newTenant(t, nil)
	n.wantClean(lashstore.VerifyOptions{}) // an empty one
	n.workload()
	n.reopen()
	var last lashstore.CollectProgress
	_, err := n.store.Collect(t.Context(), lashstore.CollectOptions{Audit: true, Grace: new(time.Duration), Progress: func(p lashstore.CollectProgress) { last = p }})
	n.must(err)
	if last.Phase == "" {
		t.Error("the collection said nothing")
	}
	rep := n.wantClean(lashstore.VerifyOptions{})
	if rep.Sessions != 4 || rep.Objects == 0 || rep.ObjectsRead != rep.Objects || rep.BytesRead != rep.ObjectBytes ||
		rep.Contents == 0 || rep.ContentsRead != 0 || rep.InlineBytes == 0 || rep.Records == 0 {
		t.Errorf("%+v", rep)
	}
	deep := n.wantClean(lashstore.VerifyOptions{Content: true, Workers: 1})
	if deep.ContentsRead != rep.Contents || deep.BytesRead <= rep.BytesRead {
		t.Errorf("%+v", deep)
	}
	n.wantClean(lashstore.VerifyOptions{Repair: true, Workers: 8})
	n.wantClean(lashstore.VerifyOptions{})
}

// The same on a driver that is not the directory's own, and with a commit that was
// interrupted after it had reserved.
func TestCleanBesideUploads(t *testing.T) {
	t.Parallel()
	n := newTenant(t, openFiles(t))
	n.workload()
	n.wantClean(lashstore.VerifyOptions{Content: true})
}

// Without repair, nothing at all is changed.
func TestVerifyChangesNothing(t *testing.T) {
	t.Parallel()
	n := newTenant(t, nil)
	n.workload()
	n.close()
	n.damage(n.objectFiles()[0], flip)
	before := snapshot(t, n.dir)
	n.open(true)
	if rep := n.verify(lashstore.VerifyOptions{Content: true}); rep.Outcome != lashstore.VerifyDamaged {
		t.Errorf("%+v", rep)
	}
	_, err := n.store.Verify(t.Context(), lashstore.VerifyOptions{Repair: true})
	if !errors.Is(err, lashstore.ErrReadOnly) {
		t.Errorf("repair of a store that was opened for reading: %v", err)
	}
	n.close()
	sameFiles(t, before, snapshot(t, n.dir))
}

// A sample reads a share, the same one for the same seed, and still looks whether
// everything is there.
func TestSample(t *testing.T) {
	t.Parallel()
	n := newTenant(t, nil)
	components := make(map[string]lashstore.Component)
	for i := range 40 {
		components[fmt.Sprintf("component-%d", i)] = lashstore.Changed(fill(uint64(i), 10_000))
	}
	n.commitComponents("s", components)
	first := n.wantClean(lashstore.VerifyOptions{Sample: 0.3})
	if first.Seed == 0 || first.ObjectsRead == 0 || first.ObjectsRead == first.Objects {
		t.Errorf("seed %d: %d of %d objects read", first.Seed, first.ObjectsRead, first.Objects)
	}
	again := n.wantClean(lashstore.VerifyOptions{Sample: 0.3, Seed: first.Seed})
	if again.ObjectsRead != first.ObjectsRead || again.BytesRead != first.BytesRead || again.Seed != first.Seed {
		t.Errorf("the same seed read %d objects, then %d", first.ObjectsRead, again.ObjectsRead)
	}
	none := n.wantClean(lashstore.VerifyOptions{Sample: 1e-18, Seed: 1})
	if none.ObjectsRead != 0 {
		t.Errorf("%d objects read of a sample of next to none", none.ObjectsRead)
	}
	n.damage(n.objectFiles()[0], remove)
	if f := n.only(n.verify(lashstore.VerifyOptions{Sample: 1e-18, Seed: 1}), lashstore.VerifyDamaged); f.Kind != lashstore.FindingMissing {
		t.Errorf("%+v", f)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	t.Parallel()
	n := newTenant(t, nil)
	nan := 0.0
	for _, opts := range []lashstore.VerifyOptions{
		{Sample: -0.1}, {Sample: 1.1}, {Sample: nan / nan}, {Workers: -1}, {Workers: lashstore.MaxVerifyWorkers + 1},
	} {
		if _, err := n.store.Verify(t.Context(), opts); !errors.Is(err, lashstore.ErrInvalid) {
			t.Errorf("%+v: %v", opts, err)
		}
	}
}

// A verification that is interrupted says so, and does not call the store clean.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	n := newTenant(t, nil)
	n.workload()
	rep, err := n.store.Verify(canceled(t), lashstore.VerifyOptions{})
	if err == nil || rep.Outcome == lashstore.VerifyClean {
		t.Errorf("%s, %v", rep.Outcome, err)
	}
}

func TestProgressReachesTheEnd(t *testing.T) {
	t.Parallel()
	n := newTenant(t, nil)
	n.workload()
	last := make(map[lashstore.VerifyPhase]lashstore.VerifyProgress)
	rep := n.wantClean(lashstore.VerifyOptions{Progress: func(p lashstore.VerifyProgress) {
		if p.Done < last[p.Phase].Done && p.Phase != lashstore.VerifyReferences {
			t.Errorf("%s went back from %d to %d", p.Phase, last[p.Phase].Done, p.Done)
		}
		last[p.Phase] = p
	}})
	for phase, want := range map[lashstore.VerifyPhase]int64{
		lashstore.VerifySessions: rep.Sessions, lashstore.VerifyObjects: rep.Objects, lashstore.VerifyContents: rep.Sessions,
	} {
		if p := last[phase]; p.Done != want || p.Total < want {
			t.Errorf("%s ended at %+v, want %d", phase, p, want)
		}
	}
	for _, phase := range []lashstore.VerifyPhase{lashstore.VerifyCatalog, lashstore.VerifyReferences} {
		if _, seen := last[phase]; !seen {
			t.Errorf("nothing was said of %s", phase)
		}
	}
}
