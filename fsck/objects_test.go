package fsck_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas/memcas"
)

// Ways of damaging a file: what becomes of its bytes, nil for nothing.
func flip(raw []byte) []byte     { raw = bytes.Clone(raw); raw[len(raw)/2] ^= 1; return raw }
func truncate(raw []byte) []byte { return raw[:len(raw)-1] }
func lengthen(raw []byte) []byte { return append(bytes.Clone(raw), 0) }
func remove([]byte) []byte       { return nil }

// damage changes the file of an object, or removes it.
func (n *tenant) damage(file string, how func([]byte) []byte) {
	n.t.Helper()
	raw, err := os.ReadFile(file)
	n.must(err)
	if raw = how(raw); raw == nil {
		n.must(os.Remove(file))
		return
	}
	n.must(os.Chmod(file, 0o600))
	n.must(os.WriteFile(file, raw, 0o600))
}

// Each kind of damage to an object is found, belongs to the session that has it, and
// is healed by the next commit of equal content.
func TestDamagedObject(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		how  func([]byte) []byte
		want lashstore.FindingKind
	}{
		"a flipped bit": {flip, lashstore.FindingCorrupt},
		"cut off":       {truncate, lashstore.FindingWrongSize},
		"too long":      {lengthen, lashstore.FindingWrongSize},
		"gone":          {remove, lashstore.FindingMissing},
		"another object": {func(raw []byte) []byte { // of the same size, and whole
			return nil
		}, lashstore.FindingCorrupt},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newTenant(t, nil)
			n.commit("other", fill(1, 30_000))
			content := fill(2, 30_000)
			files := n.newObjects(func() { n.commit("s", content) })
			if len(files) != 1 {
				t.Fatalf("%q", files)
			}
			how := tt.how
			if name == "another object" {
				twin, err := os.ReadFile(n.newObjects(func() { n.commit("twin", fill(3, 30_000)) })[0])
				n.must(err)
				how = func([]byte) []byte { return twin }
			}
			n.reopen()
			n.damage(files[0], how)
			f := n.only(n.verify(lashstore.VerifyOptions{}), lashstore.VerifyDamaged)
			if f.Kind != tt.want || f.Key != keyOf(files[0]) || !slices.Equal(f.Sessions, []lashstore.SessionID{"s"}) || f.More != 0 ||
				!strings.Contains(f.Detail, `component "state" of session "s", revision 1`) || strings.Contains(f.Detail, "wanted") {
				t.Errorf("%+v", f)
			}
			rep := n.verify(lashstore.VerifyOptions{Repair: true})
			f = n.only(rep, lashstore.VerifyDamaged)
			if f.Repaired || rep.Wanted != 1 || !strings.Contains(f.Detail, "wanted") {
				t.Errorf("repair: %+v, %d wanted", f, rep.Wanted)
			}
			lost := []lashstore.LostContent{{
				SessionID: "s", Digest: lashstore.DigestOf(content), SizeBytes: 30_000, Use: lashstore.UseComponent, Name: "state",
				FirstRevision: 1, LastRevision: 1,
			}}
			if !slices.Equal(rep.Lost, lost) {
				t.Errorf("lost: %+v", rep.Lost)
			}
			if rep = n.verify(lashstore.VerifyOptions{Repair: true}); rep.Outcome != lashstore.VerifyDamaged || rep.Wanted != 0 || len(rep.Lost) != 1 {
				t.Errorf("again: %+v", rep)
			}
			n.commit("s", content)
			n.wantClean(lashstore.VerifyOptions{Content: true})
			n.wantState("s", 0, content)
			n.wantState("s", 1, content)
		})
	}
}

// The same damage in a tier that is no folder.
func TestDamagedObjectOfAnotherDriver(t *testing.T) {
	t.Parallel()
	driver := memcas.New()
	n := newTenant(t, driver)
	n.commit("s", fill(2, 30_000))
	infos, err := driver.List(t.Context(), "default/b3/", "", 10)
	n.must(err)
	body, err := driver.Get(t.Context(), infos[0].Key, 0, -1)
	n.must(err)
	raw, err := io.ReadAll(body)
	n.must(err)
	n.must(driver.Put(t.Context(), infos[0].Key, flip(raw)))
	if f := n.only(n.verify(lashstore.VerifyOptions{Repair: true}), lashstore.VerifyDamaged); f.Kind != lashstore.FindingCorrupt {
		t.Errorf("%+v", f)
	}
	n.commit("s", fill(2, 30_000))
	n.wantClean(lashstore.VerifyOptions{Content: true})
}

// Content that was cut has segments and manifests. Whichever of them is lost, equal
// content heals it: in the session that lost it or in another, and whether or not it
// had been stored as what differs from an earlier state.
func TestDamagedPartOfCutContent(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"first state", "later state"} {
		for _, healer := range []lashstore.SessionID{"s", "other"} {
			for part := range 3 {
				t.Run(fmt.Sprintf("%s, by %s, part %d", how, healer, part), func(t *testing.T) {
					t.Parallel()
					n := newTenant(t, nil)
					size := 5 << 20 // two segments
					if how == "later state" {
						size = 1 << 20
					}
					content := fill(2, size)
					files := n.newObjects(func() { n.commit("s", content) })
					if how == "later state" {
						n.reopen()
						n.wantState("s", 0, content) // so that there is something to make deltas of
						content = bytes.Clone(content)
						for i := range 30 {
							copy(content[i*30_000:], fill(uint64(100+i), 100))
						}
						files = n.newObjects(func() { n.commit("s", content) })
					}
					if part >= len(files) {
						if how == "first state" || len(files) != 2 {
							t.Fatalf("%d objects", len(files))
						}
						return // a segment of deltas and a difference of manifests
					}
					n.reopen()
					n.damage(files[part], flip)
					rep := n.verify(lashstore.VerifyOptions{Repair: true})
					f := n.only(rep, lashstore.VerifyDamaged)
					if f.Kind != lashstore.FindingCorrupt || f.Key != keyOf(files[part]) || !slices.Equal(f.Sessions, []lashstore.SessionID{"s"}) || rep.Wanted != 1 {
						t.Errorf("%+v", f)
					}
					n.commit(healer, content)
					n.wantState(healer, 0, content)
					if healer == "s" || how == "first state" {
						n.wantState("s", n.heads["s"], content)
					}
					n.reopen()
					n.settleAndCollect()
					if healer == "s" || how == "first state" {
						n.wantClean(lashstore.VerifyOptions{Content: true})
					}
					// What comes next is stored without what was lost.
					content = bytes.Clone(content)
					copy(content[1<<19:], fill(9, 1000))
					n.commit(healer, content)
					n.wantState(healer, 0, content)
				})
			}
		}
	}
}

// settleAndCollect removes what nothing needs any more.
func (n *tenant) settleAndCollect() {
	n.t.Helper()
	_, err := n.store.Collect(n.t.Context(), lashstore.CollectOptions{})
	n.must(err)
}

// A component, an attachment and an artifact that are the same object all have lost it,
// and any of them heals it.
func TestAllUsesAreNamed(t *testing.T) {
	t.Parallel()
	for _, healer := range []string{"attachment", "artifact", "upload"} {
		t.Run(healer, func(t *testing.T) {
			t.Parallel()
			n := newTenant(t, nil)
			ctx, content := t.Context(), fill(5, 50_000)
			n.commit("s", content)
			n.commit("s", []byte("another"))
			h := n.session("s")
			attach := func() {
				ref, err := h.PutAttachment(ctx, bytes.NewReader(content), lashstore.AttachmentMeta{MediaType: "text/plain"})
				n.must(err)
				n.must(h.CommitAttachments(ctx, []lashstore.Digest{ref.ID}))
			}
			name := lashstore.ArtifactName{Namespace: "module", Name: "m"}
			publish := func() {
				_, err := h.PutArtifact(ctx, name, lashstore.StandardDescriptor(lashstore.KindModule), bytes.NewReader(content))
				n.must(err)
			}
			attach()
			publish()
			n.damage(n.objectFiles()[0], flip)
			rep := n.verify(lashstore.VerifyOptions{Repair: true})
			n.only(rep, lashstore.VerifyDamaged)
			d := lashstore.DigestOf(content)
			want := []lashstore.LostContent{
				{SessionID: "s", Digest: d, SizeBytes: 50_000, Use: lashstore.UseComponent, Name: "state", FirstRevision: 1, LastRevision: 1},
				{SessionID: "s", Digest: d, SizeBytes: 50_000, Use: lashstore.UseAttachment, Name: "text/plain"},
				{SessionID: "s", Digest: d, SizeBytes: 50_000, Use: lashstore.UseArtifact, Name: "module/m"},
			}
			if !slices.Equal(rep.Lost, want) {
				t.Errorf("lost: %+v", rep.Lost)
			}
			switch healer {
			case "attachment":
				attach()
			case "artifact":
				publish()
			default:
				_, err := n.store.PutBlob(ctx, bytes.NewReader(content), lashstore.PutBlobOptions{})
				n.must(err)
			}
			n.wantClean(lashstore.VerifyOptions{Content: true})
		})
	}
}

// An object that an earlier repair gave up and that has come back, as with a restored
// bucket, is taken up again.
func TestReturnedObject(t *testing.T) {
	t.Parallel()
	n := newTenant(t, nil)
	n.commit("s", fill(2, 30_000))
	file := n.objectFiles()[0]
	raw, err := os.ReadFile(file)
	n.must(err)
	n.must(os.Remove(file))
	n.only(n.verify(lashstore.VerifyOptions{Repair: true}), lashstore.VerifyDamaged)
	n.must(os.WriteFile(file, raw, 0o600))
	if f := n.only(n.verify(lashstore.VerifyOptions{}), lashstore.VerifyDamaged); f.Kind != lashstore.FindingReturned {
		t.Errorf("%+v", f)
	}
	if f := n.only(n.verify(lashstore.VerifyOptions{Repair: true}), lashstore.VerifyRepaired); f.Kind != lashstore.FindingReturned || !f.Repaired {
		t.Errorf("%+v", f)
	}
	n.wantClean(lashstore.VerifyOptions{})
}

// Objects that nothing refers to, whole or damaged, are no damage: collections delete
// them. Keys that are no objects are counted.
func TestWhatNobodyNeedsIsNoDamage(t *testing.T) {
	t.Parallel()
	n := newTenant(t, nil)
	n.commit("s", fill(2, 30_000))
	files := n.newObjects(func() { n.commit("gone", fill(3, 30_000)) })
	n.must(n.store.DeleteSession(t.Context(), "gone"))
	n.damage(files[0], truncate)
	stray := filepath.Join(filepath.Dir(filepath.Dir(files[0])), "aa", strings.Repeat("a", 64)+".0000000000000001")
	n.must(os.MkdirAll(filepath.Dir(stray), 0o700))
	n.must(os.WriteFile(stray, []byte("x"), 0o600))
	n.must(os.WriteFile(filepath.Join(filepath.Dir(files[0]), "readme"), nil, 0o600))
	rep := n.wantClean(lashstore.VerifyOptions{Repair: true})
	if rep.Objects != 1 || rep.Unknown != 1 || rep.Foreign != 1 {
		t.Errorf("%d objects, %d unknown, %d foreign", rep.Objects, rep.Unknown, rep.Foreign)
	}
	if _, err := os.Stat(stray); err != nil {
		t.Errorf("a repair removed an object: %v", err)
	}
}

// More sessions than a finding names.
func TestManyHolders(t *testing.T) {
	t.Parallel()
	n := newTenant(t, nil)
	content := fill(2, 30_000)
	for i := range 13 {
		n.commit(lashstore.SessionID("session-"+string(rune('a'+i))), content)
	}
	n.damage(n.objectFiles()[0], remove)
	f := n.only(n.verify(lashstore.VerifyOptions{}), lashstore.VerifyDamaged)
	if len(f.Sessions) != 10 || f.More != 3 {
		t.Errorf("%+v", f)
	}
}
