package gc_test

import (
	"bytes"
	"database/sql"
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	_ "modernc.org/sqlite"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
	"github.com/lashstore/lashstore/cas/castest"
	"github.com/lashstore/lashstore/cas/memcas"
	"github.com/lashstore/lashstore/internal/testenv"
	"github.com/lashstore/lashstore/local"
	"github.com/lashstore/lashstore/metadata"
)

// tenant is a tenant with real databases, and a tier in memory that can be made to
// fail. Its store keeps one revision, so that a commit lets go of what the one before
// referred to.
type tenant struct {
	*testing.T
	dir    string
	clock  *testenv.Clock
	skew   atomic.Int64 // by how much the wall clock is ahead of the time that passed
	tier   *memcas.Driver
	driver *castest.Faulty // in front of tier
	rand   *testenv.Rand
	opts   local.Options
	store  *local.Store

	mu   sync.Mutex
	step func(string) // guarded by mu
}

func setup(t *testing.T) *tenant {
	t.Helper()
	x := &tenant{T: t, dir: t.TempDir(), clock: testenv.NewClock(), rand: testenv.NewRand(t)}
	x.tier = memcas.NewWith(memcas.Options{Now: x.clock.Now})
	x.driver = castest.NewFaulty(x.tier)
	x.opts = local.Options{
		Driver: x.driver, Durability: lashstore.DurabilityNormal, Retention: lashstore.Retention{Revisions: 1},
		Now: x.clock.Now, Elapsed: func() time.Duration { return x.clock.Now().Sub(testenv.Start()) - time.Duration(x.skew.Load()) },
		Rand: x.rand, Processes: testenv.NewProcessTable(), Step: x.steps,
	}
	x.open()
	t.Cleanup(x.close)
	return x
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func (x *tenant) steps(name string) {
	x.mu.Lock()
	fn := x.step
	x.mu.Unlock()
	if fn != nil {
		fn(name)
	}
}

// at calls fn at each step with the name, in whatever goroutine that is.
func (x *tenant) at(name string, fn func()) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.step = nil
	if fn != nil {
		x.step = func(step string) {
			if step == name {
				fn()
			}
		}
	}
}

// once calls fn at the first step with the name.
func (x *tenant) once(name string, fn func()) {
	var once sync.Once
	x.at(name, func() { once.Do(fn) })
}

func (x *tenant) open() {
	x.Helper()
	var err error
	x.store, err = local.Open(x.Context(), x.dir, x.opts)
	must(x.T, err)
}

// close closes the store, which settles it.
func (x *tenant) close() {
	x.Helper()
	must(x.T, x.store.Close())
}

func (x *tenant) reopen() {
	x.Helper()
	x.close()
	x.open()
}

// content returns content of the name, that goes to the tier as one object.
func content(name string) []byte { return noise(name, 20<<10) }

func noise(name string, size int) []byte {
	var seed [32]byte
	copy(seed[:], name)
	b := make([]byte, size)
	_, _ = rand.NewChaCha8(seed).Read(b) // never fails
	return b
}

func digestOf(name string) lashstore.Digest { return lashstore.DigestOf(content(name)) }

// commit makes the named contents the session's components, admitting it if need be,
// and settles.
func (x *tenant) commit(id lashstore.SessionID, names ...string) {
	x.Helper()
	contents := make(map[string][]byte)
	for _, n := range names {
		contents[n] = content(n)
	}
	x.commitAll(id, contents)
	x.settle()
}

func (x *tenant) commitAll(id lashstore.SessionID, contents map[string][]byte) {
	x.Helper()
	s, _, err := x.store.CreateSession(x.Context(), lashstore.CreateSession{Meta: lashstore.SessionMeta{SessionID: id}, Recreate: true})
	must(x.T, err)
	l, err := s.ClaimLease(x.Context(), lashstore.Owner{OwnerID: "w", IncarnationID: "1"}, time.Hour)
	must(x.T, err)
	head, err := s.Head(x.Context())
	must(x.T, err)
	components := make(map[string]lashstore.Component)
	for n, b := range contents {
		components[n] = lashstore.Changed(b)
	}
	_, err = s.Commit(x.Context(), lashstore.Commit{
		ExpectedRevision: head.Revision, Fence: l.Fence(), ReleaseLease: true,
		Config:     &lashstore.SessionConfig{ProviderID: "p", Model: lashstore.ModelSpec{ID: "m", Limits: lashstore.ModelLimits{ContextWindowTokens: 1}}},
		Checkpoint: &lashstore.Checkpoint{Components: components},
	})
	must(x.T, err)
	must(x.T, s.Close())
}

// settle lets go of what sessions no longer hold.
func (x *tenant) settle() {
	x.Helper()
	_, err := x.store.ListSessions(x.Context(), lashstore.ListSessions{})
	must(x.T, err)
}

// has checks that a session's components are the named contents, and can be read.
func (x *tenant) has(id lashstore.SessionID, names ...string) {
	x.Helper()
	s, err := x.store.OpenSession(x.Context(), id, lashstore.OpenOptions{})
	must(x.T, err)
	defer func() { must(x.T, s.Close()) }()
	snap, err := s.Load(x.Context(), lashstore.LoadOptions{HydrateLimit: 1})
	must(x.T, err)
	equal(x.T, "components", len(snap.Checkpoint.Components), len(names))
	for _, n := range names {
		r, err := s.OpenContent(x.Context(), digestOf(n))
		if err != nil {
			x.Errorf("session %q: content %q: %v", id, n, err)
			continue
		}
		got, err := io.ReadAll(r)
		if err := errors.Join(err, r.Close()); err != nil || !bytes.Equal(got, content(n)) {
			x.Errorf("session %q: content %q reads back as other content (%v)", id, n, err)
		}
	}
}

// now is a collection without grace.
func now() lashstore.CollectOptions {
	return lashstore.CollectOptions{Grace: new(time.Duration), Workers: 1}
}

func audit() lashstore.CollectOptions {
	o := now()
	o.Audit = true
	return o
}

// collect runs a collection that must not fail.
func (x *tenant) collect(opts lashstore.CollectOptions) lashstore.CollectReport {
	x.Helper()
	report, err := x.store.Collect(x.Context(), opts)
	must(x.T, err)
	return report
}

// refused checks that a collection deletes nothing on purpose, and returns why.
func (x *tenant) refused(opts lashstore.CollectOptions, because string) lashstore.CollectReport {
	x.Helper()
	before := x.objects()
	report, err := x.store.Collect(x.Context(), opts)
	if !errors.Is(err, lashstore.ErrCollectionRefused) {
		x.Fatalf("got error %v, want %v", err, lashstore.ErrCollectionRefused)
	}
	equal(x.T, "outcome", report.Outcome, lashstore.CollectRefused)
	if !strings.Contains(report.Reason, because) {
		x.Errorf("refused because %q, want %q", report.Reason, because)
	}
	if !slices.Equal(x.objects(), before) {
		x.Error("a collection that was refused changed the tier")
	}
	return report
}

const objectRoot = local.DefaultTenant + "/b3/"

// objects are the keys of the tenant's objects in the tier.
func (x *tenant) objects() (keys []string) {
	x.Helper()
	infos, err := x.tier.List(x.Context(), objectRoot, "", 1<<20)
	must(x.T, err)
	for _, i := range infos {
		keys = append(keys, i.Key)
	}
	return keys
}

// keys are the keys of the named content in the tier.
func (x *tenant) keys(name string) (keys []string) {
	x.Helper()
	begin, _, _ := strings.Cut(cas.ObjectName{Digest: digestOf(name), Generation: 1}.Key(), ".")
	for _, key := range x.objects() {
		if strings.HasPrefix(key, local.DefaultTenant+"/"+begin) {
			keys = append(keys, key)
		}
	}
	return keys
}

// key is the key of the named content, which must have just one.
func (x *tenant) key(name string) string {
	x.Helper()
	keys := x.keys(name)
	if len(keys) != 1 {
		x.Fatalf("content %q has %d objects", name, len(keys))
	}
	return keys[0]
}

func (x *tenant) path(name string) string {
	return filepath.Join(x.dir, "tenants", local.DefaultTenant, name)
}

// jump sets the wall clock.
func (x *tenant) jump(d time.Duration) {
	x.skew.Add(int64(d))
	x.clock.Advance(d)
}

// catalog calls fn with the catalog as another process has it.
func (x *tenant) catalog(fn func(k *metadata.Catalog)) {
	x.Helper()
	k, err := metadata.OpenCatalog(x.Context(), x.path("catalog.db"), metadata.CatalogOptions{
		Durability: lashstore.DurabilityNormal, BusyTimeout: time.Minute, Now: x.clock.Now, Rand: x.rand,
	})
	must(x.T, err)
	defer func() { must(x.T, k.Close()) }()
	fn(k)
}

func (x *tenant) session(id lashstore.SessionID) (row metadata.SessionRow) {
	x.Helper()
	x.catalog(func(k *metadata.Catalog) {
		var found bool
		var err error
		row, found, err = k.Session(x.Context(), id)
		must(x.T, err)
		if !found {
			x.Fatalf("no session %q", id)
		}
	})
	return row
}

// blob is the catalog's row of the named content.
func (x *tenant) blob(name string) (row metadata.BlobRow, found bool) {
	x.Helper()
	x.catalog(func(k *metadata.Catalog) {
		var err error
		row, found, err = k.Blob(x.Context(), digestOf(name))
		must(x.T, err)
	})
	return row, found
}

// sessionPath is where the database of a session lies.
func (x *tenant) sessionPath(id lashstore.SessionID) string {
	x.Helper()
	return x.path(metadata.SessionPath(id, x.session(id).Incarnation))
}

// change runs a statement on a database as any program could, and returns how many
// rows it changed.
func (x *tenant) change(path, query string, args ...any) int64 {
	x.Helper()
	db, err := sql.Open("sqlite", path+"?_pragma=busy_timeout(10000)")
	must(x.T, err)
	defer func() { must(x.T, db.Close()) }()
	res, err := db.ExecContext(x.Context(), query, args...)
	must(x.T, err)
	n, err := res.RowsAffected()
	must(x.T, err)
	return n
}

// exact checks that the tier and the catalog have what the sessions hold, all of it
// and nothing else.
func (x *tenant) exact() {
	x.Helper()
	x.catalog(func(k *metadata.Catalog) {
		rows, err := k.SessionsAfter(x.Context(), "", 1000)
		must(x.T, err)
		want := make(map[string]metadata.Object)
		for _, row := range rows {
			for _, o := range x.held(row) {
				want[local.DefaultTenant+"/"+cas.ObjectName{Digest: o.Digest, Generation: cas.Generation(o.Generation)}.Key()] = o
			}
		}
		if got, want := x.objects(), slices.Sorted(maps.Keys(want)); !slices.Equal(got, want) {
			x.Errorf("the tier has\n%q,\nthe sessions hold\n%q", got, want)
		}
		for _, o := range want {
			row, found, err := k.Blob(x.Context(), o.Digest)
			must(x.T, err)
			if !found || row.Generation != o.Generation || !row.Present || row.Holders == 0 {
				x.Errorf("a session holds %s, and the catalog has %+v", o.Digest, row)
			}
		}
		counts, err := k.Counts(x.Context())
		must(x.T, err)
		equal(x.T, "rows of the catalog", counts.Objects, int64(len(want)))
		equal(x.T, "rows that something refers to", counts.Held, int64(len(want)))
	})
	equal(x.T, "doomed", x.status().Doomed, 0)
}

// inSession calls fn with a session's database as another process has it.
func (x *tenant) inSession(id lashstore.SessionID, fn func(db *metadata.SessionDB)) {
	x.Helper()
	x.inIncarnation(x.session(id), false, fn)
}

func (x *tenant) inIncarnation(row metadata.SessionRow, readOnly bool, fn func(db *metadata.SessionDB)) {
	x.Helper()
	db, err := metadata.OpenSessionDB(x.Context(), x.path(metadata.SessionPath(row.Meta.SessionID, row.Incarnation)),
		row.Meta.SessionID, row.Incarnation, readOnly, metadata.SessionOptions{
			Durability: lashstore.DurabilityNormal, BusyTimeout: time.Minute, Now: x.clock.Now, Rand: x.rand,
			Processes: testenv.NewProcessTable(), TempDir: x.path("tmp"),
		})
	must(x.T, err)
	defer func() { must(x.T, db.Close()) }()
	fn(db)
}

// held is what a session holds.
func (x *tenant) held(row metadata.SessionRow) (objects []metadata.Object) {
	x.Helper()
	x.inIncarnation(row, true, func(db *metadata.SessionDB) {
		h, err := db.Held(x.Context(), lashstore.Digest{}, 1<<20)
		must(x.T, err)
		objects = h.Objects
	})
	return objects
}

// backup copies the catalog, and restore puts the copy back. The store is closed
// meanwhile.
func (x *tenant) backup() {
	x.Helper()
	x.close()
	b, err := os.ReadFile(x.path("catalog.db"))
	must(x.T, err)
	must(x.T, os.WriteFile(filepath.Join(x.dir, "backup.db"), b, 0o600))
	x.open()
}

func (x *tenant) restore() {
	x.Helper()
	x.close()
	b, err := os.ReadFile(filepath.Join(x.dir, "backup.db"))
	must(x.T, err)
	must(x.T, os.WriteFile(x.path("catalog.db"), b, 0o600))
	for _, suffix := range []string{"-wal", "-shm"} {
		if err := os.Remove(x.path("catalog.db" + suffix)); err != nil && !errors.Is(err, os.ErrNotExist) {
			x.Fatal(err)
		}
	}
	x.open()
}

// status is the state of collections.
func (x *tenant) status() lashstore.CollectionStatus {
	x.Helper()
	st, err := x.store.CollectionStatus(x.Context())
	must(x.T, err)
	return st
}

// registry makes the store count, from the next time it is opened.
func (x *tenant) registry() *prometheus.Registry {
	reg := prometheus.NewRegistry()
	x.opts.Metrics = reg
	x.reopen()
	return reg
}

func newReader(name string) io.Reader { return bytes.NewReader(content(name)) }

// surplus makes the session refer to content in the catalog that it does not hold, as a
// commit does that never came.
func (x *tenant) surplus(id lashstore.SessionID, names ...string) {
	x.Helper()
	row := x.session(id)
	digests := make([]lashstore.Digest, len(names))
	for i, n := range names {
		digests[i] = digestOf(n)
	}
	x.catalog(func(k *metadata.Catalog) {
		_, err := k.Reserve(x.Context(), metadata.SessionHolder(id, row.Incarnation), digests)
		must(x.T, err)
	})
}

// unknownKey is the key of an object of the named content that nobody reserved.
func (x *tenant) unknownKey(name string) string {
	return local.DefaultTenant + "/" + cas.ObjectName{Digest: digestOf(name), Generation: 0x1234}.Key()
}

// catalogState marks a session in the catalog, and nowhere else.
func (x *tenant) catalogState(id lashstore.SessionID, state metadata.SessionState) {
	x.Helper()
	row := x.session(id)
	x.catalog(func(k *metadata.Catalog) { must(x.T, k.SetState(x.Context(), id, row.Incarnation, state)) })
}
