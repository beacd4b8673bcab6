package diskcache_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
	"github.com/lashstore/lashstore/cas/castest"
	"github.com/lashstore/lashstore/cas/diskcache"
	"github.com/lashstore/lashstore/cas/filecas"
	"github.com/lashstore/lashstore/cas/memcas"
	"github.com/lashstore/lashstore/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// small is the block size of most tests, blockCost what a full one counts as, and
// least the smallest limit that goes with it.
const (
	small     = 4 << 10
	blockCost = 3 * 4096
	least     = diskcache.MinBlocks * blockCost
)

// openCache opens a cache that has counted its folder, so that it stores.
func openCache(tb testing.TB, next cas.Driver, dir string, opts diskcache.Options) *diskcache.Cache {
	tb.Helper()
	c, err := diskcache.New(next, dir, opts)
	if err != nil {
		tb.Fatalf("New: %v", err)
	}
	tb.Cleanup(func() {
		if err := c.Close(); err != nil {
			tb.Errorf("Close: %v", err)
		}
	})
	<-c.Counted()
	return c
}

// bundle is a cache in front of a counted driver in memory.
type bundle struct {
	tier  *castest.Faulty
	cache *diskcache.Cache
	dir   string
	clock *testenv.Clock
	reg   *prometheus.Registry
}

// setup opens a cache of small blocks; its clock is moved by the test alone.
func setup(t *testing.T) *bundle {
	t.Helper()
	b := &bundle{
		tier: castest.NewFaulty(memcas.New()), dir: t.TempDir(),
		clock: testenv.NewClock(), reg: prometheus.NewRegistry(),
	}
	b.cache = b.open(t)
	return b
}

// open opens another cache on the same folder and tier.
func (b *bundle) open(t *testing.T) *diskcache.Cache {
	t.Helper()
	return openCache(t, b.tier, b.dir, diskcache.Options{
		MaxBytes: least, BlockBytes: small, Metrics: b.reg, Now: b.clock.Now,
	})
}

// counts returns the counters and gauges that are not 0, by name and label.
func (b *bundle) counts(t *testing.T) map[string]float64 {
	t.Helper()
	families, err := b.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counts := make(map[string]float64)
	for _, family := range families {
		for _, m := range family.GetMetric() {
			name := family.GetName()[len("lashstore_diskcache_"):]
			for _, label := range m.GetLabel() {
				name += "/" + label.GetValue()
			}
			if value := m.GetCounter().GetValue() + m.GetGauge().GetValue(); value != 0 {
				counts[name] = value
			}
		}
	}
	return counts
}

func (b *bundle) wantCounts(t *testing.T, what string, want map[string]float64) {
	t.Helper()
	if diff := cmp.Diff(want, b.counts(t)); diff != "" {
		t.Errorf("%s: metrics differ (-want +got):\n%s", what, diff)
	}
}

// gets is how often the tier was asked for content.
func (b *bundle) gets() int { return len(b.tier.Calls(castest.Get)) }

func noise(n int, seed byte) []byte {
	content := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(content)
	return content
}

func put(tb testing.TB, d cas.Driver, key string, body []byte) {
	tb.Helper()
	if err := d.Put(tb.Context(), key, body); err != nil {
		tb.Fatalf("Put %s: %v", key, err)
	}
}

func get(ctx context.Context, d cas.Driver, key string, offset, length int64) ([]byte, error) {
	r, err := d.Get(ctx, key, offset, length)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(r)
	return body, errors.Join(err, r.Close())
}

func wantRange(t *testing.T, d cas.Driver, key string, offset, length int64, want []byte) {
	t.Helper()
	got, err := get(t.Context(), d, key, offset, length)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("Get %s from %d, %d bytes: got %d bytes, error %v, want %d bytes", key, offset, length, len(got), err, len(want))
	}
}

// blockFiles returns the block files below dir with their sizes.
func blockFiles(t *testing.T, dir string) map[string]int64 {
	t.Helper()
	files := make(map[string]int64)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a file may go while the folder is walked
		}
		if err != nil || d.IsDir() || d.Name() == "CACHEDIR.TAG" {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		files[path] = info.Size()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// onDisk is what the files below dir count as.
func onDisk(t *testing.T, dir string) (total int64) {
	t.Helper()
	for _, size := range blockFiles(t, dir) {
		total += diskcache.CostOf(size)
	}
	return total
}

func TestDriverOverMemory(t *testing.T) {
	t.Parallel()
	castest.Run(t, func(tb testing.TB) castest.Harness {
		tb.Helper()
		return castest.Harness{Driver: openCache(tb, memcas.New(), tb.TempDir(), diskcache.Options{})}
	})
}

// Another handle is another cache on the same folder, as another process would have.
func TestDriverOverFiles(t *testing.T) {
	t.Parallel()
	castest.Run(t, func(tb testing.TB) castest.Harness {
		tb.Helper()
		root, dir := tb.TempDir(), tb.TempDir()
		open := func(tb testing.TB) cas.Driver {
			tb.Helper()
			d, err := filecas.Open(root, filecas.Options{NoSync: true})
			if err != nil {
				tb.Fatal(err)
			}
			tb.Cleanup(func() { _ = d.Close() })
			return openCache(tb, d, dir, diskcache.Options{})
		}
		return castest.Harness{Driver: open(tb), Another: open}
	})
}

// A cache that never stores, since its folder was not counted, is a driver as well.
func TestDriverWithoutStoring(t *testing.T) {
	t.Parallel()
	castest.Run(t, func(tb testing.TB) castest.Harness {
		tb.Helper()
		c := openCache(tb, memcas.New(), tb.TempDir(), diskcache.Options{})
		c.SetWrite(func(*os.File, []byte) (int, error) { return 0, errors.New("broken") })
		return castest.Harness{Driver: c}
	})
}

// Blocks and bytes are counted by where they came from, and what was read once is not
// asked of the tier again.
func TestHitsAndMisses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	body := noise(10*small+100, 1)
	put(t, b.tier, "k", body)

	wantRange(t, b.cache, "k", 5*small+10, 20, body[5*small+10:5*small+30])
	b.wantCounts(t, "after a small range", map[string]float64{
		"blocks_total/miss": 1, "bytes_total/miss": 20, "fetched_bytes_total": small, "size_bytes": blockCost,
	})
	wantRange(t, b.cache, "k", 5*small, 100, body[5*small:5*small+100])
	b.wantCounts(t, "after a range of the same block", map[string]float64{
		"blocks_total/miss": 1, "bytes_total/miss": 20, "fetched_bytes_total": small, "size_bytes": blockCost,
		"blocks_total/hit": 1, "bytes_total/hit": 100,
	})
	if b.gets() != 1 {
		t.Errorf("%d requests, want 1", b.gets())
	}
	// Whole: one request for what lies before the cached block, one for the rest.
	wantRange(t, b.cache, "k", 0, -1, body)
	if b.gets() != 3 {
		t.Errorf("%d requests after the whole object, want 3", b.gets())
	}
	b.pass(t) // a count that ran while blocks were stored leaves the size too high
	b.wantCounts(t, "after the whole object", map[string]float64{
		"blocks_total/miss": 11, "bytes_total/miss": float64(20 + 9*small + 100), "fetched_bytes_total": 10*small + 100,
		"blocks_total/hit": 2, "bytes_total/hit": 100 + small, "size_bytes": 10*blockCost + 2*4096,
	})
	for range 2 {
		wantRange(t, b.cache, "k", 0, -1, body)
		wantRange(t, b.cache, "k", 9*small+1, 1<<40, body[9*small+1:])
	}
	if b.gets() != 3 {
		t.Errorf("%d requests when all is cached, want 3", b.gets())
	}
	if got := b.cache.States(); got != 0 {
		t.Errorf("%d keys have a state though nobody reads", got)
	}
}

// The end of an object is remembered, wherever it falls: reading it whole once more
// needs no request, the empty object included.
func TestEndIsCached(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for i, size := range []int{0, 1, small - 1, small, small + 1, 3 * small} {
		key := string(rune('a' + i))
		body := noise(size, 2)
		put(t, b.tier, key, body)
		before := b.gets()
		for range 3 {
			wantRange(t, b.cache, key, 0, -1, body)
		}
		if got := b.gets() - before; got != 1 {
			t.Errorf("an object of %d bytes, read three times: %d requests, want 1", size, got)
		}
	}
}

// What was cached is there after a restart; another namespace, another block size and
// another key see nothing of it.
func TestRestart(t *testing.T) {
	t.Parallel()
	b := setup(t)
	body := noise(3*small, 3)
	put(t, b.tier, "k", body)
	wantRange(t, b.cache, "k", 0, -1, body)
	if err := b.cache.Close(); err != nil {
		t.Fatal(err)
	}
	b.wantCounts(t, "after Close", map[string]float64{
		"blocks_total/miss": 3, "bytes_total/miss": 3 * small, "fetched_bytes_total": 3 * small,
	})
	again := b.open(t)
	wantRange(t, again, "k", 0, -1, body)
	if b.gets() != 1 {
		t.Errorf("%d requests after a restart, want 1", b.gets())
	}
	if got := again.Booked(); got != 3*blockCost {
		t.Errorf("after a restart the books say %d bytes, want %d", got, 3*blockCost)
	}
	for _, opts := range []diskcache.Options{
		{MaxBytes: least, BlockBytes: small, Namespace: "other"},
		{MaxBytes: 10 * least, BlockBytes: 2 * small},
	} {
		before := b.gets()
		wantRange(t, openCache(t, b.tier, b.dir, opts), "k", 0, -1, body)
		if b.gets() != before+1 {
			t.Errorf("options %+v: the tier was not asked", opts)
		}
	}
}

// Delete and Put drop what is cached; Forget does, and leaves the tier alone.
func TestDropped(t *testing.T) {
	t.Parallel()
	b := setup(t)
	old, replaced := noise(2*small+5, 4), noise(2*small+5, 5)
	put(t, b.cache, "k", old)
	wantRange(t, b.cache, "k", 0, -1, old)
	put(t, b.cache, "k", replaced)
	if got := onDisk(t, b.dir); got != 0 || b.cache.Booked() != 0 {
		t.Errorf("after Put %d bytes are on disk, %d in the books", got, b.cache.Booked())
	}
	wantRange(t, b.cache, "k", 0, -1, replaced)

	// A tier whose answer was damaged on its way: the cache repeats it until told.
	b.cache.Forget("k")
	b.tier.Script(castest.Get, castest.FlipBit(77))
	damaged := bytes.Clone(replaced)
	damaged[77/8] ^= 1 << (77 % 8)
	for range 2 {
		wantRange(t, b.cache, "k", 0, -1, damaged)
	}
	b.cache.Forget("k")
	wantRange(t, b.cache, "k", 0, -1, replaced)

	if err := b.cache.Delete(t.Context(), []string{"k", "absent"}); err != nil {
		t.Fatalf("Delete: %v", err)
	}
	if _, err := get(t.Context(), b.cache, "k", 0, -1); !errors.Is(err, cas.ErrObjectNotFound) {
		t.Errorf("after Delete: got error %v, want ErrObjectNotFound", err)
	}
	b.pass(t)
	if entries, err := os.ReadDir(filepath.Dir(b.cache.BlockPath("k", 0))); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the empty shard is still there after a count: %v, %v", entries, err)
	}
}

// Only the owner may read what is cached.
func TestModes(t *testing.T) {
	t.Parallel()
	b := &bundle{tier: castest.NewFaulty(memcas.New()), dir: filepath.Join(t.TempDir(), "new"), clock: testenv.NewClock(), reg: prometheus.NewRegistry()}
	c := b.open(t)
	put(t, b.tier, "k", noise(10, 1))
	wantRange(t, c, "k", 0, -1, noise(10, 1))
	err := filepath.WalkDir(b.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %s", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(blockFiles(t, b.dir)) != 1 {
		t.Errorf("files %v, want one block", blockFiles(t, b.dir))
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		what string
		next cas.Driver
		dir  string
		opts diskcache.Options
		want error
	}{
		{"no driver", nil, t.TempDir(), diskcache.Options{}, lashstore.ErrInvalid},
		{"no folder", memcas.New(), "", diskcache.Options{}, lashstore.ErrInvalid},
		{"a file as folder", memcas.New(), file, diskcache.Options{}, lashstore.ErrStorage},
		{"small limit", memcas.New(), t.TempDir(), diskcache.Options{MaxBytes: least - 1, BlockBytes: small}, lashstore.ErrInvalid},
		{"negative limit", memcas.New(), t.TempDir(), diskcache.Options{MaxBytes: -1}, lashstore.ErrInvalid},
		{"odd block", memcas.New(), t.TempDir(), diskcache.Options{BlockBytes: 5000}, lashstore.ErrInvalid},
		{"negative block", memcas.New(), t.TempDir(), diskcache.Options{BlockBytes: -small}, lashstore.ErrInvalid},
		{"large block", memcas.New(), t.TempDir(), diskcache.Options{BlockBytes: 8 << 20}, lashstore.ErrInvalid},
		{"long namespace", memcas.New(), t.TempDir(), diskcache.Options{Namespace: string(make([]byte, 2000))}, lashstore.ErrInvalid},
	} {
		if c, err := diskcache.New(test.next, test.dir, test.opts); !errors.Is(err, test.want) {
			t.Errorf("%s: got %v, error %v, want %v", test.what, c, err, test.want)
		}
	}
}

// A range that no caller of a driver may ask for is refused, and not passed on.
func TestBadRange(t *testing.T) {
	t.Parallel()
	b := setup(t)
	put(t, b.tier, "k", noise(10, 1))
	for _, r := range [][2]int64{{-1, 1}, {0, 0}, {0, -2}, {math.MinInt64, -1}} {
		if _, err := b.cache.Get(t.Context(), "k", r[0], r[1]); !errors.Is(err, lashstore.ErrInvalid) {
			t.Errorf("from %d, %d bytes: got error %v, want ErrInvalid", r[0], r[1], err)
		}
	}
	if b.gets() != 0 {
		t.Errorf("%d requests, want none", b.gets())
	}
}

// After Close every call says so, and a reader serves the block it has and no more.
func TestClosed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	body := noise(3*small, 1)
	put(t, b.cache, "k", body)
	wantRange(t, b.cache, "k", 0, -1, body)
	r, err := b.cache.Get(t.Context(), "k", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := b.cache.Close(); err != nil {
			t.Fatalf("Close: %v", err)
		}
	}
	got, err := io.ReadAll(r)
	if !errors.Is(err, lashstore.ErrClosed) || !bytes.Equal(got, body[:small]) {
		t.Errorf("read after Close: got %d bytes, error %v, want one block and ErrClosed", len(got), err)
	}
	if err := r.Close(); err != nil {
		t.Errorf("Close of the reader: %v", err)
	}
	_, getErr := b.cache.Get(t.Context(), "k", 0, -1)
	_, statErr := b.cache.Stat(t.Context(), "k")
	_, listErr := b.cache.List(t.Context(), "", "", 1)
	for op, err := range map[string]error{
		"Put": b.cache.Put(t.Context(), "k", nil), "Get": getErr, "Stat": statErr, "List": listErr,
		"Delete": b.cache.Delete(t.Context(), []string{"k"}),
	} {
		if !errors.Is(err, lashstore.ErrClosed) {
			t.Errorf("%s: got error %v, want ErrClosed", op, err)
		}
	}
	b.cache.Forget("k") // must not panic
}
