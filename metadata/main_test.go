package metadata

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/internal/testenv"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// database/sql ends this goroutine after Close has returned.
		goleak.IgnoreTopFunction("database/sql.(*DB).connectionOpener"))
}

// bundle is what most tests need: one session and its catalog.
type bundle struct {
	clock   *testenv.Clock
	opts    SessionOptions
	catalog *Catalog
	path    string
	inc     lashstore.Incarnation
	db      *SessionDB
}

const testSession = lashstore.SessionID("s")

func setup(t *testing.T) *bundle {
	t.Helper()
	dir, rand := t.TempDir(), testenv.NewRand(t)
	b := &bundle{clock: testenv.NewClock()}
	b.opts = SessionOptions{
		Durability: lashstore.DurabilityNormal, BusyTimeout: time.Minute, SourceKeyRetention: time.Hour, TempDir: dir + "/tmp",
		Now: b.clock.Now, Rand: rand, Processes: testenv.NewProcessTable(),
	}
	var err error
	b.catalog, err = OpenCatalog(t.Context(), dir+"/catalog.db", CatalogOptions{
		Durability: lashstore.DurabilityNormal, BusyTimeout: time.Minute, Now: b.clock.Now, Rand: rand,
	})
	must(t, err)
	t.Cleanup(func() { must(t, b.catalog.Close()) })
	row, _, err := b.catalog.Admit(t.Context(), lashstore.SessionMeta{SessionID: testSession}, false)
	must(t, err)
	b.inc, b.path = row.Incarnation, dir+"/"+SessionPath(testSession, row.Incarnation)
	must(t, CreateSessionFile(t.Context(), b.path, row.Meta, b.inc, b.opts))
	must(t, b.catalog.SetState(t.Context(), testSession, b.inc, SessionLive))
	b.db = b.open(t)
	return b
}

// open opens the session once more, as another process would.
func (b *bundle) open(t *testing.T) *SessionDB {
	t.Helper()
	db, err := OpenSessionDB(t.Context(), b.path, testSession, b.inc, false, b.opts)
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	return db
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// lease takes the lease.
func (b *bundle) lease(t *testing.T) lashstore.Fence {
	t.Helper()
	l, err := b.db.ClaimLease(t.Context(), lashstore.Owner{OwnerID: "w", IncarnationID: "1"}, time.Hour)
	must(t, err)
	return l.Fence()
}

func testConfig() *lashstore.SessionConfig {
	return &lashstore.SessionConfig{ProviderID: "p", Model: lashstore.ModelSpec{ID: "m", Limits: lashstore.ModelLimits{ContextWindowTokens: 1}}}
}
