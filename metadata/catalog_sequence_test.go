package metadata

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/internal/testenv"
)

// stoppedCatalog opens the catalog in a folder and returns why collections are stopped,
// and whether rows are believed.
func stoppedCatalog(t *testing.T, dir string, fn func(*Catalog)) (reason string, stale bool) {
	t.Helper()
	k, err := OpenCatalog(t.Context(), filepath.Join(dir, "catalog.db"), CatalogOptions{
		Durability: lashstore.DurabilityNormal, BusyTimeout: time.Minute, Now: testenv.NewClock().Now, Rand: testenv.NewRand(t),
	})
	must(t, err)
	defer func() { must(t, k.Close()) }()
	if fn != nil {
		fn(k)
	}
	state, err := k.Collection(t.Context())
	must(t, err)
	return state.Stopped, state.Stale
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	must(t, err)
	must(t, os.WriteFile(to, b, 0o600))
}

// A catalog is distrusted when it is behind what it was seen at, once for each time
// that it was put back, and not for being opened.
func TestSequence(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	catalog, backup := filepath.Join(dir, "catalog.db"), filepath.Join(dir, "backup")
	admit := func(ids ...string) func(*Catalog) {
		return func(k *Catalog) {
			for _, id := range ids {
				_, _, err := k.Admit(t.Context(), lashstore.SessionMeta{SessionID: lashstore.SessionID(id)}, false)
				must(t, err)
			}
		}
	}
	pass := func(k *Catalog) {
		must(t, k.UpdateCollection(t.Context(), func(s *CollectionState) error { s.Stopped, s.Stale = "", false; return nil }))
	}
	reason, stale := stoppedCatalog(t, dir, admit("a"))
	same(t, "new", reason == "" && !stale, true)
	copyFile(t, catalog, backup)
	for range 3 {
		reason, _ = stoppedCatalog(t, dir, admit("b", "c", "d", "e", "f", "g", "h"))
		same(t, "opened again", reason, "")
	}
	for range 2 {
		copyFile(t, backup, catalog)
		reason, stale = stoppedCatalog(t, dir, nil)
		same(t, "put back", strings.Contains(reason, "put back from a backup") && stale, true)
		reason, stale = stoppedCatalog(t, dir, nil)
		same(t, "still distrusted when opened again", reason != "" && stale, true)
		stoppedCatalog(t, dir, pass)
		for range 2 {
			reason, stale = stoppedCatalog(t, dir, nil)
			same(t, "distrusted after it was put right", reason, "")
			same(t, "stale after it was put right", stale, false)
		}
	}
}

// While rows are not believed, what they call present is stored again.
func TestStaleCatalogIsNotBelieved(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	o := b.stored(t, "a")[0]
	h := SessionHolder(testSession, b.inc)
	must(t, b.catalog.distrust(ctx, "a test"))
	res, err := b.catalog.Reserve(ctx, h, digestsOf([]string{"a"}))
	must(t, err)
	same(t, "reservation", res[0], Reservation{Object: o, Doubtful: true})
	must(t, b.catalog.UpdateCollection(ctx, func(s *CollectionState) error { s.Stale = false; return nil }))
	res, err = b.catalog.Reserve(ctx, h, digestsOf([]string{"a"}))
	must(t, err)
	same(t, "reservation when it is believed", res[0], Reservation{Object: o, Present: true})
}

// The file's number is read as it was written, or not believed.
func TestSequenceFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, missing, err := openSequence(dir)
	must(t, err)
	same(t, "missing", missing, true)
	same(t, "new", s.seen, 0)
	for _, n := range []int64{1, 255, 1 << 40, 1 << 62} {
		must(t, s.note(n))
		must(t, s.note(n-1)) // never back
		again, missing, err := openSequence(dir)
		must(t, err)
		same(t, "missing", missing, false)
		same(t, "read back", again.seen, n)
		must(t, again.close())
	}
	must(t, s.close())
	must(t, s.close())
	if err := s.note(1<<62 + 1); !errors.Is(err, lashstore.ErrStorage) {
		t.Errorf("writing a closed file: %v", err)
	}
	whole, err := os.ReadFile(filepath.Join(dir, sequenceFile))
	must(t, err)
	same(t, "size", len(whole), sequenceBytes)
	for bit := range len(whole) * 8 {
		spoilt := bytes.Clone(whole)
		spoilt[bit/8] ^= 1 << (bit % 8)
		n, err := readSequence(bytes.NewReader(spoilt))
		must(t, err)
		same(t, "with a bit changed", n, -1)
	}
	for size := 1; size < len(whole); size++ {
		n, err := readSequence(bytes.NewReader(whole[:size]))
		must(t, err)
		same(t, "cut", n, -1)
	}
	if _, err := readSequence(brokenFile{}); !errors.Is(err, os.ErrPermission) {
		t.Errorf("a file that cannot be read: %v", err)
	}
}

type brokenFile struct{}

func (brokenFile) ReadAt([]byte, int64) (int, error) { return 0, os.ErrPermission }

// Without the right to write, nobody is told anything, and nothing is made.
func TestSequenceReadOnly(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	stoppedCatalog(t, dir, nil)
	must(t, os.Remove(filepath.Join(dir, sequenceFile)))
	k, err := OpenCatalog(t.Context(), filepath.Join(dir, "catalog.db"), CatalogOptions{
		Durability: lashstore.DurabilityNormal, BusyTimeout: time.Minute, Now: testenv.NewClock().Now, Rand: testenv.NewRand(t), ReadOnly: true,
	})
	must(t, err)
	must(t, k.Close())
	if _, err := os.Stat(filepath.Join(dir, sequenceFile)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a reader made the file: %v", err)
	}
}
