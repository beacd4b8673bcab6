package diskcache_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lashstore/lashstore/cas/diskcache"
)

// fill puts n objects of one block and reads each, a minute apart, so that k00 was
// used longest ago.
func (b *bundle) fill(t *testing.T, n int) {
	t.Helper()
	for i := range n {
		key := fmt.Sprintf("k%02d", i)
		put(t, b.tier, key, noise(small, byte(i)))
		wantRange(t, b.cache, key, 0, -1, noise(small, byte(i)))
		b.pass(t) // no block is left out because the books are too high for a moment
		b.clock.Advance(time.Minute)
	}
}

// cached returns which of the objects k00 and on have their block on disk.
func (b *bundle) cached(t *testing.T, n int) []int {
	t.Helper()
	var there []int
	files := blockFiles(t, b.dir)
	for i := range n {
		if _, ok := files[b.cache.BlockPath(fmt.Sprintf("k%02d", i), 0)]; ok {
			there = append(there, i)
		}
	}
	return there
}

func (b *bundle) pass(t *testing.T) (found int64, evicted int) {
	t.Helper()
	found, evicted, err := b.cache.Pass(t.Context())
	if err != nil {
		t.Fatalf("Pass: %v", err)
	}
	return found, evicted
}

func upTo(from, to int) []int {
	var all []int
	for i := from; i < to; i++ {
		all = append(all, i)
	}
	return all
}

// What was used longest ago goes first, and reading counts as use, also in a later
// run of the program. Below the mark nothing goes.
func TestEvictsLeastRecentlyUsed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const most = diskcache.MinBlocks * 90 / 100 // 57 blocks are just below 90 %
	b.fill(t, most)
	if found, evicted := b.pass(t); evicted != 0 || found != most*blockCost {
		t.Fatalf("below the mark: found %d, evicted %d, want %d and none", found, evicted, most*blockCost)
	}
	for _, i := range []int{0, 3} { // used again: these stay
		wantRange(t, b.cache, fmt.Sprintf("k%02d", i), 10, 10, noise(small, byte(i))[10:20])
	}
	b.clock.Advance(time.Minute)
	if err := b.cache.Close(); err != nil {
		t.Fatal(err)
	}
	b.cache = b.open(t)
	put(t, b.tier, "last", noise(small, 99))
	wantRange(t, b.cache, "last", 0, -1, noise(small, 99))
	b.pass(t) // the one that the read asked for, or after it
	// 58 blocks were there; down to 80 % of 64 leaves 51, one of which is "last".
	want := append([]int{0, 3}, upTo(9, most)...)
	if diff := cmp.Diff(want, b.cached(t, most)); diff != "" {
		t.Errorf("blocks that stayed (-want +got):\n%s", diff)
	}
	counts := b.counts(t)
	if counts["evicted_blocks_total"] != 7 || counts["evicted_bytes_total"] != 7*blockCost || counts["size_bytes"] != 51*blockCost {
		t.Errorf("metrics %v, want 7 evicted blocks and room for 51 in use", counts)
	}
	for i := range most { // what went is fetched again, what stayed is not
		before := b.gets()
		wantRange(t, b.cache, fmt.Sprintf("k%02d", i), 0, -1, noise(small, byte(i)))
		if fetched := b.gets() != before; fetched == slices.Contains(want, i) {
			t.Errorf("k%02d: fetched %v, stayed %v", i, fetched, !fetched)
		}
		if i == 5 {
			break // more would evict again
		}
	}
}

// However much is read, the files never take more than the limit, and the books are
// never below what is there.
func TestLimitHolds(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for i := range 40 {
		key := fmt.Sprintf("big%02d", i)
		body := noise(9*small+i*100, byte(i))
		put(t, b.tier, key, body)
		wantRange(t, b.cache, key, 0, -1, body)
		if got := onDisk(t, b.dir); got > least {
			t.Fatalf("after %d objects %d bytes are on disk, the limit is %d", i, got, least)
		}
		b.clock.Advance(time.Second)
	}
	b.pass(t)
	if got, booked := onDisk(t, b.dir), b.cache.Booked(); got != booked || got == 0 {
		t.Errorf("%d bytes are on disk, the books say %d", got, booked)
	}
	if evicted := b.counts(t)["evicted_blocks_total"]; evicted == 0 {
		t.Error("nothing was evicted")
	}
}

// A folder that is far over the limit when it is opened, since that was lowered, is
// brought below it before anything is stored.
func TestLowerLimit(t *testing.T) {
	t.Parallel()
	b := setup(t)
	roomy := openCache(t, b.tier, b.dir, diskcache.Options{MaxBytes: 10 * least, BlockBytes: small, Now: b.clock.Now})
	body := noise(3*diskcache.MinBlocks*small, 1)
	put(t, b.tier, "k", body)
	wantRange(t, roomy, "k", 0, -1, body)
	if got := onDisk(t, b.dir); got <= 2*least {
		t.Fatalf("%d bytes are on disk, too few for this test", got)
	}
	lowered := b.open(t)
	if _, _, err := lowered.Pass(t.Context()); err != nil { // the one that opening began, or after it
		t.Fatal(err)
	}
	if got := onDisk(t, b.dir); got > least*80/100 || got == 0 {
		t.Errorf("%d bytes are on disk, want at most %d", got, least*80/100)
	}
}

// A reader that has a file open goes on when it is evicted.
func TestEvictionSparesReaders(t *testing.T) {
	t.Parallel()
	b := setup(t)
	body := noise(3*small, 1)
	put(t, b.tier, "k", body)
	wantRange(t, b.cache, "k", 0, -1, body)
	r, err := b.cache.Get(t.Context(), "k", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	for path := range blockFiles(t, b.dir) {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	got := make([]byte, len(body)+1)
	n := 0
	for err == nil {
		var k int
		k, err = r.Read(got[n:])
		n += k
	}
	if string(got[:n]) != string(body) {
		t.Errorf("got %d bytes, %v, want the object", n, err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

// What a dead writer left is removed once it is an hour old; until then it counts.
// Files and folders that are not the cache's are neither counted nor touched.
func TestStrays(t *testing.T) {
	t.Parallel()
	b := setup(t)
	put(t, b.tier, "k", noise(10, 1))
	wantRange(t, b.cache, "k", 0, -1, noise(10, 1))
	strays := map[string]bool{ // path → whether it stays
		"tmp/OLD": false, "tmp/YOUNG": true, "notes.txt": true, "abc/notes.txt": true, "ab/x.0000000000000000": true,
		filepath.Dir(rel(t, b, "k")) + "/notes": true, filepath.Dir(rel(t, b, "k")) + "/x.0000000000000000": true,
	}
	for name := range strays {
		path := filepath.Join(b.dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, noise(5000, 1), 0o600); err != nil {
			t.Fatal(err)
		}
		age := diskcache.StaleAfter - time.Second
		if name == "tmp/OLD" {
			age += time.Second
		}
		if err := os.Chtimes(path, b.clock.Now().Add(-age), b.clock.Now().Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	found, _ := b.pass(t)
	if want := diskcache.CostOf(diskcache.HeaderBytes+10) + diskcache.CostOf(5000); found != want {
		t.Errorf("found %d bytes, want %d: the block and the young file", found, want)
	}
	files := blockFiles(t, b.dir)
	for name, stays := range strays {
		if _, ok := files[filepath.Join(b.dir, name)]; ok != stays {
			t.Errorf("%s: there %v, want %v", name, ok, stays)
		}
	}
}

func rel(t *testing.T, b *bundle, key string) string {
	t.Helper()
	name, err := filepath.Rel(b.dir, b.cache.BlockPath(key, 0))
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// A time of use is written when it has changed by a minute, and not with each read; a
// time in the future, which would keep a block for ever, is corrected.
func TestTouch(t *testing.T) {
	t.Parallel()
	b := setup(t)
	put(t, b.tier, "k", noise(10, 1))
	wantRange(t, b.cache, "k", 0, -1, noise(10, 1))
	stored := b.clock.Now()
	path := b.cache.BlockPath("k", 0)
	wantTime := func(what string, want time.Time) {
		t.Helper()
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if !info.ModTime().Equal(want) {
			t.Errorf("%s: time %s, want %s", what, info.ModTime(), want)
		}
	}
	wantTime("stored", stored)
	b.clock.Advance(diskcache.TouchEvery - time.Nanosecond)
	wantRange(t, b.cache, "k", 0, -1, noise(10, 1))
	wantTime("within a minute", stored)
	b.clock.Advance(time.Nanosecond)
	wantRange(t, b.cache, "k", 0, -1, noise(10, 1))
	wantTime("after a minute", b.clock.Now())
	future := b.clock.Now().Add(1000 * time.Hour)
	if err := os.Chtimes(path, future, future); err != nil {
		t.Fatal(err)
	}
	wantRange(t, b.cache, "k", 0, -1, noise(10, 1))
	wantTime("from the future", b.clock.Now())
}

// A block from the future that nobody reads goes first.
func TestFutureGoesFirst(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const n = diskcache.MinBlocks*90/100 + 1
	b.fill(t, n-1)
	future := b.clock.Now().Add(1000 * time.Hour)
	if err := os.Chtimes(b.cache.BlockPath("k40", 0), future, future); err != nil {
		t.Fatal(err)
	}
	put(t, b.tier, "last", noise(small, 99))
	wantRange(t, b.cache, "last", 0, -1, noise(small, 99))
	b.pass(t)
	want := slices.DeleteFunc(upTo(6, n-1), func(i int) bool { return i == 40 })
	if diff := cmp.Diff(want, b.cached(t, n-1)); diff != "" {
		t.Errorf("blocks that stayed (-want +got):\n%s", diff)
	}
}

// What another process stored is found by the next count, and evicted like one's own.
func TestCountsWhatOthersStore(t *testing.T) {
	t.Parallel()
	b := setup(t)
	other := b.open(t)
	body := noise(diskcache.MinBlocks/2*small, 1)
	put(t, b.tier, "k", body)
	wantRange(t, other, "k", 0, -1, body)
	if got := b.cache.Booked(); got != 0 {
		t.Errorf("before the count: %d bytes in the books", got)
	}
	b.pass(t)
	if got := b.cache.Booked(); got != int64(len(body)/small*blockCost) {
		t.Errorf("after the count: %d bytes in the books, want %d", got, len(body)/small*blockCost)
	}
	files := slices.Sorted(maps.Keys(blockFiles(t, b.dir)))
	if len(files) != diskcache.MinBlocks/2 {
		t.Errorf("%d files, want %d", len(files), diskcache.MinBlocks/2)
	}
}
