package gc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
	"github.com/lashstore/lashstore/metadata"
)

// defaultWorkers is how many shards are worked on at a time: requests to an object
// store take milliseconds, and the catalog serves one writer at a time.
const defaultWorkers = 4

// Options are the parts that a collector needs. All are required unless it says so.
type Options struct {
	Catalog *metadata.Catalog
	Tier    *cas.Store
	// CheckOwner makes sure, before anything is deleted, that the tier belongs to this
	// catalog and to no other; nil where it cannot belong to another.
	CheckOwner func(ctx context.Context) error
	// Delete completes the deletion of a session, from whatever step it has reached.
	Delete func(ctx context.Context, row metadata.SessionRow) error
	// OpenSession opens a session's database, which the collector closes.
	OpenSession func(ctx context.Context, row metadata.SessionRow, readOnly bool) (*metadata.SessionDB, error)
	// Identify reads whose database a file is.
	Identify func(ctx context.Context, path string) (metadata.Identity, error)
	// IntentTTL is how long an attachment is kept that no commit refers to; 0 means
	// [lashstore.DefaultUploadTTL].
	IntentTTL time.Duration
	// Now is the wall clock, which may jump. Elapsed is a clock that only goes on.
	Now     func() time.Time
	Elapsed func() time.Duration
	// Worker says in leases who works, for people.
	Worker string
	Rand   io.Reader
	Logger *slog.Logger
	// Metrics may be nil.
	Metrics *Metrics
	// Step, if set, is called at each named step. It is for tests.
	Step func(step string)
}

// Steps of a collection, in their order.
const (
	StepCollecting = "gc collecting" // nothing done yet
	StepMarking    = "gc marking"    // a session is about to be compared
	StepSurplus    = "gc surplus"    // edges too many were found, outside of any lock
	StepReconciled = "gc reconciled" // the catalog was made to agree, the session's lock is held
	StepReleasing  = "gc releasing"  // expired uploads are about to be let go of
	StepListed     = "gc listed"     // a page was listed, its rows are not read yet
	StepDooming    = "gc dooming"    // condemned rows are about to be removed
	StepDoomed     = "gc doomed"     // rows are gone, objects are not
	StepDeleted    = "gc deleted"    // objects are gone, the queue still names them
)

// Steps lists the steps of a collection.
func Steps() []string {
	return []string{StepCollecting, StepMarking, StepSurplus, StepReconciled, StepReleasing, StepListed, StepDooming, StepDoomed, StepDeleted}
}

// Collector collects one tenant. It holds nothing between runs.
type Collector struct {
	opts Options
}

// New returns a collector.
func New(opts Options) (*Collector, error) {
	for name, missing := range map[string]bool{
		"catalog": opts.Catalog == nil, "tier": opts.Tier == nil, "delete": opts.Delete == nil,
		"open_session": opts.OpenSession == nil, "identify": opts.Identify == nil, "now": opts.Now == nil,
		"elapsed": opts.Elapsed == nil, "rand": opts.Rand == nil, "logger": opts.Logger == nil,
	} {
		if missing {
			return nil, fmt.Errorf("new collector: %w", lashstore.Invalid(name, "", "is missing"))
		}
	}
	if opts.IntentTTL == 0 {
		opts.IntentTTL = lashstore.DefaultUploadTTL
	}
	return &Collector{opts: opts}, nil
}

func (c *Collector) step(name string) {
	if c.opts.Step != nil {
		c.opts.Step(name)
	}
}

// Run runs one collection: see [lashstore.Collector].
func (c *Collector) Run(ctx context.Context, opts lashstore.CollectOptions) (lashstore.CollectReport, error) {
	if err := opts.Validate(); err != nil {
		return lashstore.CollectReport{}, fmt.Errorf("collect: %w", err)
	}
	r := newRun(c, opts)
	err := r.all(ctx)
	report := r.finish(err)
	c.opts.Metrics.count(&report, r.elapsed())
	if err != nil {
		return report, fmt.Errorf("collect: %w", err)
	}
	return report, nil
}

// all runs the phases. What stops the tenant's deletions returns an error before
// anything is deleted.
func (r *run) all(ctx context.Context) error {
	c := r.collector
	c.step(StepCollecting)
	if err := r.trust(ctx); err != nil {
		return err
	}
	if r.opts.Audit {
		if err := r.audit(ctx); err != nil {
			return err
		}
	}
	if err := r.release(ctx); err != nil {
		return err
	}
	if err := r.shards(ctx); err != nil {
		return err
	}
	if r.opts.DryRun {
		return nil
	}
	return r.record(ctx)
}

// record writes down what the next collection wants to know.
func (r *run) record(ctx context.Context) error {
	now := r.now()
	return r.collector.opts.Catalog.UpdateCollection(ctx, func(s *metadata.CollectionState) error {
		s.RanAt = now
		if now.After(s.Clock) {
			s.Clock = now
		}
		s.Runs++
		s.Deleted += r.report.Deleted
		s.DeletedBytes += r.report.DeletedBytes
		if r.audited && s.Audit == r.auditID {
			s.AuditedAt, s.Audits = s.AuditAt, s.Audits+1
			s.Audit, s.Phase, s.MarkAfter, s.Stale = "", metadata.AuditNone, "", false
		}
		return nil
	})
}

// refuse is the error of a collection that deletes nothing on purpose. One whose caller
// gave up is no such.
func refuse(err error, reason string, args ...any) error {
	if passing(err) {
		return err
	}
	return &lashstore.CollectionRefusedError{Reason: fmt.Sprintf(reason, args...), Err: err}
}

// passing reports an error that says nothing of what was being read: the caller's
// context is over, or the store closes.
func passing(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, lashstore.ErrClosed)
}
