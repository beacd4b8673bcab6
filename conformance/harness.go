package conformance

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"github.com/lashstore/lashstore"
)

// Harness is one empty tenant and the ways to reach it. Open, Clock, Processes and
// Tier are required; the capabilities below them may be nil.
type Harness struct {
	// Open opens the tenant's data, all of it or, the first time, what is to become of
	// it. Each call gives a handle that shares nothing in memory with the others, as
	// another process would have. All handles ask the same clock and process table and
	// read one source of randomness, so that they do not repeat each other. The suite
	// closes what it opened. Open may be called by several goroutines.
	Open func(ctx context.Context, s Settings) (lashstore.Store, error)
	// Clock is the time of every handle.
	Clock Clock
	// Processes is where the stores look for holders of leases.
	Processes Processes
	// Tier is what the store claims to be.
	Tier lashstore.DurabilityTier

	// Files is set where the tenant's data lies in a directory.
	Files *Files
	// Damage is set where stored data can be damaged.
	Damage *Damage
	// Faults is set where the blob tier can be made to fail.
	Faults *Faults
	// Collects says that the stores are [lashstore.Collector] too. They tell the time
	// that passes during a collection by Clock, like the time of day.
	Collects bool
}

// Settings are what a scenario asks of the store it opens. The zero value is the
// store's own default.
type Settings struct {
	Profile            lashstore.Profile
	Retention          lashstore.Retention
	UploadTTL          time.Duration
	SourceKeyRetention time.Duration
	ReadOnly           bool
	// Grace is how long content that nothing refers to is kept; nil is the default.
	Grace *time.Duration
	// CollectEvery starts a collection in the background after so many commits of the
	// store; OnCollect is given its report.
	CollectEvery int
	OnCollect    func(lashstore.CollectReport, error)
}

// Clock is a clock that stands still until it is moved.
type Clock interface {
	Now() time.Time
	// Advance moves the clock; d may be negative.
	Advance(d time.Duration)
	Set(t time.Time)
}

// Processes decides which processes of the machine are running.
type Processes interface {
	Start(pid int64, start uint64)
	Exit(pid int64)
	// Fail makes the table unreadable until it is called with nil.
	Fail(err error)
}

// Files says where the data lies.
type Files struct {
	// Root is the directory that all of the tenant's data lies in.
	Root string
	// SessionPath is where the database of a session lies at present, or where that of
	// an unknown one would lie.
	SessionPath func(id lashstore.SessionID) string
	// OpenDB opens a database file as any program could, creating it if it is missing.
	// It is called while no store is open.
	OpenDB func(tb testing.TB, path string) *sql.DB
}

// Damage spoils stored data. Its functions are called while no store is open.
type Damage struct {
	// Blob changes bytes of the content wherever it lies, in the session's database
	// or in the blob tier.
	Blob func(tb testing.TB, id lashstore.SessionID, digest lashstore.Digest)
	// LoseBlob removes the stored bytes of the content and leaves all references.
	LoseBlob func(tb testing.TB, id lashstore.SessionID, digest lashstore.Digest)
	// Node makes a node's stored record unreadable.
	Node func(tb testing.TB, id lashstore.SessionID, node lashstore.NodeID)
	// Head makes the stored head unreadable.
	Head func(tb testing.TB, id lashstore.SessionID)
	// Database overwrites the beginning of the session's database file.
	Database func(tb testing.TB, id lashstore.SessionID)
}

// Faults makes the store's surroundings fail.
type Faults struct {
	// FailBlobs makes every operation on the blob tier fail with err until it is
	// called with nil. It may be called while stores are open.
	FailBlobs func(err error)
}
