package fsck_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	_ "modernc.org/sqlite"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
	"github.com/lashstore/lashstore/cas/filecas"
	"github.com/lashstore/lashstore/internal/testenv"
	"github.com/lashstore/lashstore/local"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// database/sql ends this goroutine after Close has returned.
		goleak.IgnoreTopFunction("database/sql.(*DB).connectionOpener"))
}

// tenant is a store in a directory, with sessions that know their revisions.
type tenant struct {
	t      *testing.T
	dir    string
	clock  *testenv.Clock
	rand   io.Reader
	driver cas.Driver
	store  *local.Store
	heads  map[lashstore.SessionID]lashstore.Revision
	fences map[lashstore.SessionID]lashstore.Fence
}

// newTenant opens a store over driver, nil for the folder in the directory.
func newTenant(t *testing.T, driver cas.Driver) *tenant {
	t.Helper()
	n := &tenant{
		t: t, dir: t.TempDir(), clock: testenv.NewClock(), rand: testenv.NewRand(t), driver: driver,
		heads: make(map[lashstore.SessionID]lashstore.Revision), fences: make(map[lashstore.SessionID]lashstore.Fence),
	}
	n.open(false)
	t.Cleanup(n.close)
	return n
}

func (n *tenant) open(readOnly bool) {
	n.t.Helper()
	var err error
	n.store, err = local.Open(n.t.Context(), n.dir, local.Options{
		Driver: n.driver, Durability: lashstore.DurabilityNormal, Retention: lashstore.Retention{Revisions: 3}, ReadOnly: readOnly,
		Now: n.clock.Now, Elapsed: func() time.Duration { return n.clock.Now().Sub(testenv.Start()) }, Rand: n.rand,
	})
	n.must(err)
}

func (n *tenant) close() {
	if n.store != nil {
		n.must(n.store.Close())
	}
	n.store = nil
}

// reopen gives a store that remembers nothing.
func (n *tenant) reopen() {
	n.close()
	n.open(false)
}

func (n *tenant) must(err error) {
	n.t.Helper()
	if err != nil {
		n.t.Fatal(err)
	}
}

// session opens a session, making it first if there is none.
func (n *tenant) session(id lashstore.SessionID) lashstore.Session {
	n.t.Helper()
	h, _, err := n.store.CreateSession(n.t.Context(), lashstore.CreateSession{Meta: lashstore.SessionMeta{SessionID: id}})
	n.must(err)
	n.t.Cleanup(func() { n.must(h.Close()) })
	if _, known := n.fences[id]; !known {
		l, err := h.ClaimLease(n.t.Context(), lashstore.Owner{OwnerID: "w", IncarnationID: "1"}, 24*time.Hour)
		n.must(err)
		n.fences[id] = l.Fence()
	}
	return h
}

// commit makes content the component "state" of a session.
func (n *tenant) commit(id lashstore.SessionID, content []byte) {
	n.t.Helper()
	n.commitComponents(id, map[string]lashstore.Component{"state": lashstore.Changed(content)})
}

func (n *tenant) commitComponents(id lashstore.SessionID, components map[string]lashstore.Component) {
	n.t.Helper()
	h, f, rev := n.session(id), n.fences[id], n.heads[id]
	node, err := lashstore.NewMessageNode(lashstore.NodeID("node-"+string(rune('a'+rev))), lashstore.Message{Role: lashstore.RoleUser})
	n.must(err)
	if rev > 0 {
		node.ParentNodeID = lashstore.NodeID("node-" + string(rune('a'+rev-1)))
	}
	c := lashstore.Commit{
		ExpectedRevision: rev, Fence: f, TurnID: lashstore.TurnID("turn-" + string(rune('a'+rev))),
		Config:     &lashstore.SessionConfig{ProviderID: "p", Model: lashstore.ModelSpec{ID: "m", Limits: lashstore.ModelLimits{ContextWindowTokens: 1}}},
		Graph:      lashstore.GraphDelta{Mode: lashstore.GraphAppend, Nodes: []lashstore.Node{node}, Leaf: &node.NodeID},
		Checkpoint: &lashstore.Checkpoint{Components: components},
		Usage:      []lashstore.UsageEntry{{Source: "s", Model: "m", Usage: lashstore.TokenUsage{InputTokens: 1}}},
		Enqueue: []lashstore.BatchDraft{{
			SourceKey: "key-" + string(rune('a'+rev)), Payloads: []lashstore.Payload{{Type: lashstore.PayloadTurnInput, Body: []byte(`{}`)}},
		}},
	}
	if rev == 0 {
		c.Frames = []lashstore.AgentFrame{{
			FrameID:    lashstore.InitialFrameID(id),
			Assignment: lashstore.FrameAssignment{Policy: lashstore.SessionPolicy{Model: c.Config.Model, ProviderID: "p"}},
		}}
	}
	res, err := h.Commit(n.t.Context(), c)
	n.must(err)
	n.heads[id] = res.Revision
}

// state loads the component of a session.
func (n *tenant) state(id lashstore.SessionID, rev lashstore.Revision) ([]byte, error) {
	n.t.Helper()
	snap, err := n.session(id).Load(n.t.Context(), lashstore.LoadOptions{Revision: rev})
	if err != nil {
		return nil, err
	}
	return snap.Checkpoint.Components["state"].Bytes, nil
}

// wantState fails unless a session's state is content.
func (n *tenant) wantState(id lashstore.SessionID, rev lashstore.Revision, content []byte) {
	n.t.Helper()
	got, err := n.state(id, rev)
	if err != nil || !bytes.Equal(got, content) {
		n.t.Errorf("state of %q at revision %d: %d bytes that are not the %d committed (%v)", id, rev, len(got), len(content), err)
	}
}

func (n *tenant) verify(opts lashstore.VerifyOptions) lashstore.VerifyReport {
	n.t.Helper()
	rep, err := n.store.Verify(n.t.Context(), opts)
	n.must(err)
	if rep.ErrorCount > 0 {
		n.t.Errorf("errors of a verification: %q", rep.Errors)
	}
	return rep
}

func (n *tenant) wantClean(opts lashstore.VerifyOptions) lashstore.VerifyReport {
	n.t.Helper()
	rep := n.verify(opts)
	if rep.Outcome != lashstore.VerifyClean || len(rep.Findings) > 0 || rep.Damaged+rep.Repaired > 0 || len(rep.Lost) > 0 {
		n.t.Errorf("%s: %+v, lost %+v", rep.Outcome, rep.Findings, rep.Lost)
	}
	return rep
}

// only returns the finding of a report that should have one.
func (n *tenant) only(rep lashstore.VerifyReport, outcome lashstore.VerifyOutcome) lashstore.Finding {
	n.t.Helper()
	if rep.Outcome != outcome || len(rep.Findings) != 1 || rep.Damaged+rep.Repaired != 1 {
		n.t.Fatalf("%s (want %s): %d damaged, %d repaired: %+v", rep.Outcome, outcome, rep.Damaged, rep.Repaired, rep.Findings)
	}
	return rep.Findings[0]
}

// objectFiles lists the tier of a tenant that has its own folder.
func (n *tenant) objectFiles() []string {
	n.t.Helper()
	list, err := filepath.Glob(filepath.Join(n.dir, "blobs", local.DefaultTenant, "b3", "*", "*"))
	n.must(err)
	return list
}

// newObjects returns the files of objects that a call makes.
func (n *tenant) newObjects(fn func()) []string {
	n.t.Helper()
	before := n.objectFiles()
	fn()
	return slices.DeleteFunc(n.objectFiles(), func(file string) bool { return slices.Contains(before, file) })
}

// keyOf is the key of an object's file.
func keyOf(file string) string {
	at := strings.LastIndex(filepath.ToSlash(file), "/b3/")
	return filepath.ToSlash(file)[at+1:]
}

// databaseOf is the file of a session's database.
func (n *tenant) databaseOf(id lashstore.SessionID) string {
	n.t.Helper()
	list, err := filepath.Glob(filepath.Join(n.dir, "tenants", "*", "sessions", "*", string(id)+"-*.db"))
	n.must(err)
	if len(list) != 1 {
		n.t.Fatalf("databases of %q: %q", id, list)
	}
	return list[0]
}

func (n *tenant) catalogFile() string {
	return filepath.Join(n.dir, "tenants", local.DefaultTenant, "catalog.db")
}

// exec changes a database behind the store's back; the store is closed for the time.
func (n *tenant) exec(file, query string, args ...any) {
	n.t.Helper()
	n.close()
	db, err := sql.Open("sqlite", file)
	n.must(err)
	res, err := db.ExecContext(n.t.Context(), query, args...)
	n.must(err)
	changed, err := res.RowsAffected()
	n.must(err)
	if changed == 0 {
		n.t.Fatalf("%s: nothing changed", query)
	}
	n.must(db.Close())
	n.open(false)
}

// snapshot is what lies below a directory, but for the side files of SQLite.
func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || strings.HasSuffix(path, "-wal") || strings.HasSuffix(path, "-shm") {
			return err
		}
		raw, err := os.ReadFile(path)
		sum := sha256.Sum256(raw)
		all[path] = hex.EncodeToString(sum[:])
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func sameFiles(t *testing.T, before, after map[string]string) {
	t.Helper()
	for path := range before {
		if after[path] != before[path] {
			t.Errorf("%s was changed or removed", path)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(after)) {
		if before[path] == "" {
			t.Errorf("%s is new", path)
		}
	}
}

// fill returns content that does not compress.
func fill(seed uint64, size int) []byte {
	_, noise := testenv.Noise(seed)
	return noise(size)
}

func openFiles(t *testing.T) cas.Driver {
	t.Helper()
	d, err := filecas.Open(t.TempDir(), filecas.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func canceled(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}
