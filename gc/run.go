package gc

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/lashstore/lashstore"
)

// maxErrors bounds how many errors a report has.
const maxErrors = 100

// run is one collection.
type run struct {
	collector *Collector
	opts      lashstore.CollectOptions
	grace     time.Duration
	began     time.Time
	beganAt   time.Duration // by the clock that only goes on
	auditID   string        // of the audit that this run takes part in
	audited   bool          // it has been completed
	// saveMark remembers how far the mark phase is; savedMark is when it last did.
	saveMark  func(context.Context, lashstore.SessionID) error
	savedMark time.Time

	pacer *pacer // of the transactions that come in rows

	mu     sync.Mutex
	report lashstore.CollectReport // guarded by mu while shards are worked on
	errs   int64                   // all, also those that the report does not name
}

func newRun(c *Collector, opts lashstore.CollectOptions) *run {
	r := &run{collector: c, opts: opts, grace: lashstore.DefaultGrace, began: c.opts.Now(), beganAt: c.opts.Elapsed(), pacer: newPacer(c.opts.Elapsed)}
	if opts.Grace != nil {
		r.grace = *opts.Grace
	}
	if r.opts.Workers == 0 {
		r.opts.Workers = defaultWorkers
	}
	r.report = lashstore.CollectReport{DryRun: opts.DryRun, StartedAt: r.began.UTC(), Grace: r.grace}
	if opts.Audit {
		r.report.Mark, r.report.Sweep = &lashstore.MarkReport{}, &lashstore.SweepReport{}
	}
	return r
}

func (r *run) elapsed() time.Duration { return r.collector.opts.Elapsed() - r.beganAt }

// now is the time by the clock that only goes on, from the beginning of the run: the
// wall clock was judged then, and is compared again at every slice.
func (r *run) now() time.Time { return r.began.Add(r.elapsed()) }

// before is up to when something must have been condemned to be due.
func (r *run) before() time.Time { return r.now().Add(-r.grace) }

// count changes the report.
func (r *run) count(fn func(*lashstore.CollectReport)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fn(&r.report)
}

// fail notes an error that does not end the run.
func (r *run) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.errs++
	if len(r.report.Errors) < maxErrors {
		r.report.Errors = append(r.report.Errors, err.Error())
	}
}

func (r *run) progress(phase lashstore.CollectPhase, done, total int64) {
	if r.opts.Progress == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.opts.Progress(lashstore.CollectProgress{Phase: phase, Done: done, Total: total})
}

// tick is called between slices: it ends a run whose context is over or whose clock
// jumped.
func (r *run) tick(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return r.steady()
}

// finish completes the report.
func (r *run) finish(err error) lashstore.CollectReport {
	r.mu.Lock()
	defer r.mu.Unlock()
	rep := &r.report
	rep.Duration = r.elapsed()
	var refused *lashstore.CollectionRefusedError
	var reasons []string
	switch {
	case errors.As(err, &refused):
		rep.Outcome, rep.Reason = lashstore.CollectRefused, refused.Reason
		return *rep
	case err != nil:
		rep.Outcome, rep.Reason = lashstore.CollectFailed, err.Error()
		return *rep
	}
	if r.errs > 0 {
		reasons = append(reasons, fmt.Sprintf("%d errors", r.errs))
	}
	if rep.ShardsBusyForeign > 0 {
		reasons = append(reasons, fmt.Sprintf("%d shards were held by other workers", rep.ShardsBusyForeign))
	}
	if rep.Pending > 0 {
		reasons = append(reasons, fmt.Sprintf("%d objects are still to be deleted", rep.Pending))
	}
	if rep.Mark != nil && !rep.DryRun && !r.audited && len(reasons) == 0 {
		reasons = append(reasons, "another worker took over a part of the audit")
	}
	rep.Reason = strings.Join(reasons, ", ")
	switch {
	case len(reasons) > 0:
		rep.Outcome = lashstore.CollectIncomplete
	case rep.Deleted+rep.Doomed+rep.UploadsExpired+rep.SessionsExpired+rep.SessionsRemoved > 0 ||
		rep.Mark != nil && rep.Mark.AttachmentsExpired > 0:
		rep.Outcome = lashstore.CollectSwept
	default:
		rep.Outcome = lashstore.CollectNothing
	}
	return *rep
}
