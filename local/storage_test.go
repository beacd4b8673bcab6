package local_test

import (
	"bytes"
	"context"
	"path/filepath"
	"sync"
	"testing"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
	"github.com/lashstore/lashstore/cas/memcas"
	"github.com/lashstore/lashstore/internal/testenv"
	"github.com/lashstore/lashstore/local"
)

// countingDriver counts what is put.
type countingDriver struct {
	cas.Driver

	mu          sync.Mutex // guards what follows
	puts, bytes int64
}

func (d *countingDriver) Put(ctx context.Context, key string, body []byte) error {
	d.mu.Lock()
	d.puts++
	d.bytes += int64(len(body))
	d.mu.Unlock()
	return d.Driver.Put(ctx, key, body)
}

// take returns the counts since it was last called.
func (d *countingDriver) take() (puts, size int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	puts, size = d.puts, d.bytes
	d.puts, d.bytes = 0, 0
	return puts, size
}

// A large state that changes a little each turn takes little more room than the
// changes with its history, little more than itself without, and one or two puts a
// turn: the budget of design section 11, on content that does not compress, which is
// the hardest.
func TestStorageBudget(t *testing.T) {
	t.Parallel()
	turns := 100
	if testing.Short() {
		turns = 15
	}
	changed := int64(turns * testenv.StateChangedBytes)
	for _, edit := range testenv.StateEdits() {
		t.Run(edit.Name, func(t *testing.T) {
			t.Parallel()
			dir, driver := t.TempDir(), &countingDriver{Driver: memcas.New()}
			rng, fill := testenv.Noise(1)
			state := fill(testenv.StateBytes)
			s := openStorage(t, dir, driver, lashstore.Retention{Revisions: -1})
			s.commit(state)
			driver.take()
			var stored int64
			for range turns {
				state = edit.Apply(rng, fill, state)
				s.commit(state)
				puts, size := driver.take()
				if puts > 2 {
					t.Errorf("turn %d took %d puts, want at most 2", s.revision, puts)
				}
				stored += size
			}
			if limit := 3 * changed; stored > limit {
				t.Errorf("history: %d bytes stored for %d changed, want at most 3 times", stored, changed)
			}
			t.Logf("history kept: %.2f times the changed bytes", float64(stored)/float64(changed))
			s.close()

			// A few turns trim the history to the last revision.
			s.reopen(dir, driver, lashstore.Retention{Revisions: 1})
			for range 4 {
				state = edit.Apply(rng, fill, state)
				s.commit(state)
			}
			if got := s.load(); !bytes.Equal(got, state) {
				t.Error("the state is another")
			}
			s.close()
			held := heldBytes(t, dir)
			t.Logf("history trimmed: %.2f times the state", float64(held)/float64(len(state)))
			if limit := int64(len(state)) * 3 / 2; held > limit {
				t.Errorf("trimmed: %d bytes held for a state of %d, want at most 1.5 times", held, len(state))
			}
		})
	}
}

// storage is one session that grows.
type storage struct {
	t        *testing.T
	store    *local.Store
	session  lashstore.Session
	revision lashstore.Revision
}

func openStorage(t *testing.T, dir string, driver cas.Driver, keep lashstore.Retention) *storage {
	t.Helper()
	s := &storage{t: t}
	s.open(dir, driver, keep)
	var err error
	s.session, _, err = s.store.CreateSession(t.Context(), lashstore.CreateSession{Meta: lashstore.SessionMeta{SessionID: "s"}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// reopen opens the session as the next worker does, and loads it.
func (s *storage) reopen(dir string, driver cas.Driver, keep lashstore.Retention) {
	s.t.Helper()
	s.open(dir, driver, keep)
	var err error
	if s.session, err = s.store.OpenSession(s.t.Context(), "s", lashstore.OpenOptions{}); err != nil {
		s.t.Fatal(err)
	}
	s.load()
}

func (s *storage) open(dir string, driver cas.Driver, keep lashstore.Retention) {
	s.t.Helper()
	var err error
	s.store, err = local.Open(s.t.Context(), dir, local.Options{Driver: driver, Retention: keep, Durability: lashstore.DurabilityNormal})
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *storage) close() {
	s.t.Helper()
	if err := s.store.Close(); err != nil {
		s.t.Fatal(err)
	}
}

func (s *storage) commit(state []byte) {
	s.t.Helper()
	lease, err := s.session.ClaimLease(s.t.Context(), lashstore.Owner{OwnerID: "w", IncarnationID: "1"}, lashstore.DefaultLeaseTTL)
	if err != nil {
		s.t.Fatal(err)
	}
	c := lashstore.Commit{ExpectedRevision: s.revision, Fence: lease.Fence(), Checkpoint: &lashstore.Checkpoint{
		Components: map[string]lashstore.Component{lashstore.ComponentExecutionState: lashstore.Changed(state)},
	}}
	if s.revision == 0 {
		c.Config = &lashstore.SessionConfig{ProviderID: "p", Model: lashstore.ModelSpec{ID: "m", Limits: lashstore.ModelLimits{ContextWindowTokens: 1}}}
	}
	res, err := s.session.Commit(s.t.Context(), c)
	if err != nil {
		s.t.Fatal(err)
	}
	s.revision = res.Revision
}

func (s *storage) load() []byte {
	s.t.Helper()
	snap, err := s.session.Load(s.t.Context(), lashstore.LoadOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	return snap.Checkpoint.Components[lashstore.ComponentExecutionState].Bytes
}

// heldBytes adds up the stored objects that some holder refers to: what is left once
// a collector has run.
func heldBytes(t *testing.T, dir string) (held int64) {
	t.Helper()
	db := openDB(t, filepath.Join(dir, "tenants", local.DefaultTenant, "catalog.db"))
	err := db.QueryRowContext(t.Context(),
		`SELECT coalesce(sum(stored_size), 0) FROM blob WHERE digest IN (SELECT digest FROM edge)`).Scan(&held)
	if err != nil {
		t.Fatal(err)
	}
	return held
}
