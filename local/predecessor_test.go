package local_test

import (
	"bytes"
	"testing"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
	"github.com/lashstore/lashstore/cas/memcas"
	"github.com/lashstore/lashstore/internal/testenv"
	"github.com/lashstore/lashstore/local"
)

// objectsOf lists what a tenant has in the tier.
func objectsOf(t *testing.T, driver cas.Driver) []cas.ObjectInfo {
	t.Helper()
	infos, err := driver.List(t.Context(), local.DefaultTenant+"/b3/", "", cas.MaxDeleteKeys)
	if err != nil {
		t.Fatal(err)
	}
	return infos
}

// A session whose state is damaged is mended by the next state: that is stored
// without what it would follow.
func TestDamagedPredecessorIsNotFollowed(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(key string, driver cas.Driver) error{
		"lost": func(key string, driver cas.Driver) error { return driver.Delete(t.Context(), []string{key}) },
		"garbage": func(key string, driver cas.Driver) error {
			return driver.Put(t.Context(), key, []byte("something else"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, driver := t.TempDir(), memcas.New()
			rng, fill := testenv.Records(4)
			state := fill(2 << 20)
			s := openStorage(t, dir, driver, lashstore.Retention{})
			s.commit(state)
			s.close()
			for _, info := range objectsOf(t, driver) {
				if err := damage(info.Key, driver); err != nil {
					t.Fatal(err)
				}
			}
			next := &storage{t: t, revision: s.revision}
			next.open(dir, driver, lashstore.Retention{})
			var err error
			if next.session, err = next.store.OpenSession(t.Context(), "s", lashstore.OpenOptions{}); err != nil {
				t.Fatal(err)
			}
			state = testenv.StateEdits()[0].Apply(rng, fill, state)
			next.commit(state)
			if got := next.load(); !bytes.Equal(got, state) {
				t.Error("the new state is another")
			}
			next.close()
		})
	}
}

// A worker that has not the last state in memory shares its chunks all the same.
func TestPredecessorIsFollowedAfterARestart(t *testing.T) {
	t.Parallel()
	for name, recent := range map[string]int64{"in memory": 0, "not in memory": -1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, driver := t.TempDir(), &countingDriver{Driver: memcas.New()}
			_, fill := testenv.Noise(5)
			state := fill(4 << 20)
			s := openStorage(t, dir, driver, lashstore.Retention{})
			s.commit(state)
			s.close()
			driver.take()

			next := &storage{t: t, revision: s.revision}
			var err error
			next.store, err = local.Open(t.Context(), dir, local.Options{Driver: driver, RecentBytes: recent, Durability: lashstore.DurabilityNormal})
			if err != nil {
				t.Fatal(err)
			}
			if next.session, err = next.store.OpenSession(t.Context(), "s", lashstore.OpenOptions{}); err != nil {
				t.Fatal(err)
			}
			next.load()
			copy(state[1<<20:], fill(1024))
			next.commit(state)
			_, size := driver.take()
			// With the state in memory a delta, and without it a chunk or two; the manifest
			// is a difference in either case.
			if limit := map[int64]int64{0: 8 << 10, -1: 80 << 10}[recent]; size > limit {
				t.Errorf("stored %d bytes for a change of 1 KiB in 4 MiB, want at most %d", size, limit)
			}
			if got := next.load(); !bytes.Equal(got, state) {
				t.Error("the state is another")
			}
			next.close()
		})
	}
}

// The damage of one session is no reason to refuse another's content: a manifest of
// it that cannot be read is passed over.
func TestDamagedManifestOfAnotherSession(t *testing.T) {
	t.Parallel()
	driver := memcas.New()
	rng, fill := testenv.Records(6)
	state := fill(2 << 20)
	s := openStorage(t, t.TempDir(), driver, lashstore.Retention{})
	s.commit(state)
	before := make(map[string]bool)
	for _, info := range objectsOf(t, driver) {
		before[info.Key] = true
	}
	state = testenv.StateEdits()[0].Apply(rng, fill, state)
	s.commit(state)
	for _, info := range objectsOf(t, driver) { // the second state's segment and difference
		if !before[info.Key] {
			if err := driver.Put(t.Context(), info.Key, []byte("something else")); err != nil {
				t.Fatal(err)
			}
		}
	}
	other := &storage{t: t, store: s.store}
	var err error
	other.session, _, err = s.store.CreateSession(t.Context(), lashstore.CreateSession{Meta: lashstore.SessionMeta{SessionID: "other"}})
	if err != nil {
		t.Fatal(err)
	}
	other.commit(state) // without a predecessor: whole, in objects of its own
	if got := other.load(); !bytes.Equal(got, state) {
		t.Error("the state is another")
	}
	s.close()
}
