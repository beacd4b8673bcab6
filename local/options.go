package local

import (
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
	"github.com/lashstore/lashstore/metadata"
)

// Defaults of [Options].
const (
	// DefaultTenant is the tenant of a store that serves only one.
	DefaultTenant = "default"
	// DefaultMaxOpenSessions bounds the open session databases (design section 4).
	// Each costs about 0.2 MB and up to five file descriptors.
	DefaultMaxOpenSessions = 1024
	// DefaultRecentBytes bounds the memory for newest states: a dozen of 10 MiB, or one
	// of the largest that are usual.
	DefaultRecentBytes = 128 << 20
	// DefaultBusyTimeout is how long a write waits for another process's write
	// (spec part 01, section 1.1).
	DefaultBusyTimeout = 15 * time.Second
)

// Options configure a store. The zero value is what a developer on a laptop wants.
type Options struct {
	// Tenant is the tenant whose sessions and blobs the store serves; empty means
	// [DefaultTenant]. Form: [a-z0-9][a-z0-9-]{1,62}.
	Tenant string
	// Driver is where large content goes; nil means the folder "blobs" in the data
	// directory. The store does not close it.
	Driver cas.Driver
	// TierName names what Driver reaches, such as "s3://bucket/prefix", without secrets.
	// A data directory belongs to the tier that it was first written with, and a tier's
	// prefix to one data directory: anything else is [lashstore.ErrWrongTier]. Drivers
	// without a name count as one and the same.
	TierName string
	// Profile chooses between latency and space; empty means balanced.
	Profile lashstore.Profile
	// Durability says what an acknowledged write survives; empty means full.
	Durability lashstore.Durability
	// Retention says which revisions are kept; zero means the last 100.
	Retention lashstore.Retention
	// UploadTTL is how long an upload that no commit has used is protected; 0 means
	// [lashstore.DefaultUploadTTL].
	UploadTTL time.Duration
	// SourceKeyRetention is how long the source keys of finished batches are
	// remembered; 0 means [lashstore.DefaultSourceKeyRetention].
	SourceKeyRetention time.Duration
	// BusyTimeout is how long a write waits for another process's; 0 means
	// [DefaultBusyTimeout].
	BusyTimeout time.Duration
	// MaxOpenSessions bounds the open session databases; 0 means
	// [DefaultMaxOpenSessions]. The limit of open files may lower it.
	MaxOpenSessions int
	// RecentBytes bounds the memory for the newest states of components, which later
	// ones are stored as differences from; 0 means [DefaultRecentBytes], negative none.
	// A state that is not in it is stored with the chunks that changed as a whole.
	RecentBytes int64
	// Grace is how long content that nothing refers to is kept; nil means
	// [lashstore.DefaultGrace].
	Grace *time.Duration
	// CollectEvery starts a collection in the background after so many commits of this
	// store; 0 starts none. Failures are logged, and repeated with the next.
	CollectEvery int
	// CollectInterval starts a collection in the background so often; 0 starts none.
	CollectInterval time.Duration
	// OnCollect, if set, is given the report of each collection in the background.
	OnCollect func(lashstore.CollectReport, error)
	// ReadOnly opens without the right to write: nothing is created or migrated.
	ReadOnly bool
	// Processes answers whether a lease's holder is alive; nil means the operating
	// system's process table.
	Processes lashstore.ProcessTable
	// Now is the clock; nil means the system's. It may step back: the store's own
	// notion of now does not.
	Now func() time.Time
	// Elapsed is a clock that only goes on, by which a collection finds out that the
	// other was set; nil means the system's.
	Elapsed func() time.Duration
	// Rand is the source of tokens, ids and generations; nil means crypto/rand.
	Rand io.Reader
	// Logger receives what no caller is told, such as a failed background settle;
	// nil discards it.
	Logger *slog.Logger
	// Step, if set, is called at each named step of the operations that take several
	// (the Step constants). It is for tests that kill the process right there.
	Step func(step string)
	// Metrics, if set, is where the store registers its Prometheus collectors.
	Metrics prometheus.Registerer

	// Of tests that decide which of several processes goes on: gate holds writers back,
	// and nothing is settled in the background.
	gate metadata.Gate
}

func (o Options) withDefaults() Options {
	if o.Tenant == "" {
		o.Tenant = DefaultTenant
	}
	if o.Profile == "" {
		o.Profile = lashstore.ProfileBalanced
	}
	if o.Durability == "" {
		o.Durability = lashstore.DurabilityFull
	}
	if o.UploadTTL == 0 {
		o.UploadTTL = lashstore.DefaultUploadTTL
	}
	if o.SourceKeyRetention == 0 {
		o.SourceKeyRetention = lashstore.DefaultSourceKeyRetention
	}
	if o.BusyTimeout == 0 {
		o.BusyTimeout = DefaultBusyTimeout
	}
	if o.MaxOpenSessions == 0 {
		o.MaxOpenSessions = DefaultMaxOpenSessions
	}
	if o.RecentBytes == 0 {
		o.RecentBytes = DefaultRecentBytes
	}
	if o.Processes == nil {
		o.Processes = osProcesses{}
	}
	if o.Now == nil {
		o.Now = time.Now //nolint:forbidigo // the one place that reads the system clock
	}
	if o.Elapsed == nil {
		began := time.Now()                                           //nolint:forbidigo // the one place that reads the system clock
		o.Elapsed = func() time.Duration { return time.Since(began) } //nolint:forbidigo // the same
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Validate reports all wrong fields, joined.
func (o Options) Validate() error {
	var errs []error
	if o.Tenant != "" {
		errs = append(errs, metadata.ValidateTenant(o.Tenant))
	}
	errs = append(errs, o.Profile.Validate(), o.Durability.Validate(), o.Retention.Validate())
	for _, d := range []struct {
		name  string
		value time.Duration
	}{
		{"upload_ttl", o.UploadTTL},
		{"source_key_retention", o.SourceKeyRetention},
		{"busy_timeout", o.BusyTimeout},
		{"collect_interval", o.CollectInterval},
	} {
		if d.value < 0 {
			errs = append(errs, lashstore.Invalid(d.name, d.value, "must not be negative"))
		}
	}
	if len(o.TierName) > maxTierBytes {
		errs = append(errs, lashstore.Invalid("tier_name", len(o.TierName), "has more than %d bytes", maxTierBytes))
	}
	errs = append(errs, lashstore.CollectOptions{Grace: o.Grace}.Validate())
	if o.CollectEvery < 0 {
		errs = append(errs, lashstore.Invalid("collect_every", o.CollectEvery, "must not be negative"))
	}
	if o.MaxOpenSessions < 0 {
		errs = append(errs, lashstore.Invalid("max_open_sessions", o.MaxOpenSessions, "must not be negative"))
	}
	return errors.Join(errs...)
}
