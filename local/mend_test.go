package local_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
	"github.com/lashstore/lashstore/cas/memcas"
	"github.com/lashstore/lashstore/internal/testenv"
	"github.com/lashstore/lashstore/local"
)

// spoil flips a bit of an object.
func spoil(t *testing.T, driver cas.Driver, key string) {
	t.Helper()
	body, err := driver.Get(t.Context(), key, 0, -1)
	must(t, err)
	raw, err := io.ReadAll(body)
	must(t, err)
	must(t, body.Close())
	raw[len(raw)/2] ^= 1
	must(t, driver.Put(t.Context(), key, raw))
}

// Content that lost an object is mended by whoever commits equal bytes after a
// verification has said so: in the session that lost it, where that takes what it has
// for whole otherwise, and by another session for it.
func TestEqualContentMends(t *testing.T) {
	t.Parallel()
	_, fill := testenv.Noise(8)
	for name, content := range map[string][]byte{"one object": fill(100_000), "cut": fill(6 << 20)} {
		for _, mender := range []lashstore.SessionID{"s", "other"} {
			t.Run(fmt.Sprintf("%s by %s", name, mender), func(t *testing.T) {
				t.Parallel()
				driver := memcas.New()
				s := open(t, t.TempDir(), local.Options{Driver: driver})
				h, f := create(t, s, "s")
				_, err := h.Commit(t.Context(), state(0, f, content))
				must(t, err)
				for _, o := range objectsOf(t, driver) {
					spoil(t, driver, o.Key)
				}
				if _, err := h.Load(t.Context(), lashstore.LoadOptions{}); !errors.Is(err, lashstore.ErrCorruptBlob) {
					t.Fatalf("load of what is damaged: %v", err)
				}
				rep, err := s.Verify(t.Context(), lashstore.VerifyOptions{Repair: true})
				must(t, err)
				if rep.Wanted != int64(len(objectsOf(t, driver))) {
					t.Errorf("%d objects are wanted of %d", rep.Wanted, len(objectsOf(t, driver)))
				}
				before := len(objectsOf(t, driver))
				rev := lashstore.Revision(1)
				by := h
				if mender != "s" {
					rev = 0
					by, f = create(t, s, mender)
				}
				_, err = by.Commit(t.Context(), state(rev, f, content))
				must(t, err)
				for _, reader := range []lashstore.Session{h, by} {
					snap, err := reader.Load(t.Context(), lashstore.LoadOptions{})
					must(t, err)
					if !bytes.Equal(snap.Checkpoint.Components["state"].Bytes, content) {
						t.Error("the state is another")
					}
				}
				if after := len(objectsOf(t, driver)); after != before {
					t.Errorf("%d objects, and %d before", after, before)
				}
			})
		}
	}
}

// Content that was stored as what differs from an earlier state is stored anew where
// it lost an object, and the session uses that; what it needed is let go of.
func TestMendedContentIsCutAnew(t *testing.T) {
	t.Parallel()
	driver := memcas.New()
	rng, fill := testenv.Records(9)
	dir := t.TempDir()
	s := open(t, dir, local.Options{Driver: driver})
	h, f := create(t, s, "s")
	first := fill(2 << 20)
	_, err := h.Commit(t.Context(), state(0, f, first))
	must(t, err)
	before := make(map[string]bool)
	for _, o := range objectsOf(t, driver) {
		before[o.Key] = true
	}
	second := testenv.StateEdits()[0].Apply(rng, fill, bytes.Clone(first))
	_, err = h.Commit(t.Context(), state(1, f, second))
	must(t, err)
	for key := range before { // what both need
		spoil(t, driver, key)
	}
	_, err = s.Verify(t.Context(), lashstore.VerifyOptions{Repair: true})
	must(t, err)
	_, err = h.Commit(t.Context(), state(2, f, second))
	must(t, err)
	// What follows it does not follow what was lost.
	third := testenv.StateEdits()[0].Apply(rng, fill, bytes.Clone(second))
	_, err = h.Commit(t.Context(), state(3, f, third))
	must(t, err)
	for rev, want := range map[lashstore.Revision][]byte{2: second, 3: second, 4: third} {
		snap, err := h.Load(t.Context(), lashstore.LoadOptions{Revision: rev})
		must(t, err)
		if !bytes.Equal(snap.Checkpoint.Components["state"].Bytes, want) {
			t.Errorf("revision %d is another", rev)
		}
	}
	rep, err := s.Verify(t.Context(), lashstore.VerifyOptions{Content: true})
	must(t, err)
	for _, l := range rep.Lost {
		if l.FirstRevision != 1 || l.LastRevision != 1 {
			t.Errorf("lost: %+v", l)
		}
	}
	if len(rep.Lost) != 1 {
		t.Errorf("%d contents are lost, want the first", len(rep.Lost))
	}
}

// A damaged manifest that nobody has verified is found when equal content is
// committed, and stored again.
func TestDamagedManifestIsStoredAgain(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(t *testing.T, driver cas.Driver, key string){
		"damaged": spoil,
		"gone": func(t *testing.T, driver cas.Driver, key string) {
			t.Helper()
			must(t, driver.Delete(t.Context(), []string{key}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			driver := memcas.New()
			_, fill := testenv.Noise(8)
			content := fill(6 << 20)
			s := open(t, t.TempDir(), local.Options{Driver: driver})
			h, f := create(t, s, "s")
			_, err := h.Commit(t.Context(), state(0, f, content))
			must(t, err)
			smallest := objectsOf(t, driver)[0]
			for _, o := range objectsOf(t, driver) {
				if o.SizeBytes < smallest.SizeBytes {
					smallest = o
				}
			}
			damage(t, driver, smallest.Key)
			other, f := create(t, s, "other")
			_, err = other.Commit(t.Context(), state(0, f, content))
			must(t, err)
			for _, reader := range []lashstore.Session{other, h} {
				snap, err := reader.Load(t.Context(), lashstore.LoadOptions{})
				must(t, err)
				if !bytes.Equal(snap.Checkpoint.Components["state"].Bytes, content) {
					t.Error("the state is another")
				}
			}
		})
	}
}
