package fsck

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
	"github.com/lashstore/lashstore/gc"
	"github.com/lashstore/lashstore/metadata"
)

// maxBroken bounds how many damaged objects are remembered, so that a content that
// lacks one of them is not reported a second time.
const maxBroken = 1 << 17

// run is one verification.
type run struct {
	v       *Verifier
	opts    lashstore.VerifyOptions
	beganAt time.Duration
	sample  sampler
	// inspected is what the references phase found; its faults are added when it is
	// known which sessions are damaged.
	inspected gc.Inspection

	mu     sync.Mutex // guards what follows
	report lashstore.VerifyReport
	// byKey are the findings about an object, by its key: their place in the report, or
	// -1 if it is not named there.
	byKey  map[string]int
	broken map[lashstore.Digest]bool    // damaged objects
	flawed map[lashstore.SessionID]bool // sessions whose databases are damaged
	mended map[lashstore.Digest]bool    // rows of the catalog that were repaired
}

func newRun(v *Verifier, opts lashstore.VerifyOptions) *run {
	return &run{
		v: v, opts: opts, beganAt: v.opts.Elapsed(), sample: newSampler(opts.Sample, opts.Seed),
		report: lashstore.VerifyReport{
			StartedAt: v.opts.Now().UTC(), Repair: opts.Repair, Content: opts.Content, Sample: opts.Sample, Seed: opts.Seed,
		},
		byKey: make(map[string]int), broken: make(map[lashstore.Digest]bool),
		flawed: make(map[lashstore.SessionID]bool), mended: make(map[lashstore.Digest]bool),
	}
}

// count changes the report.
func (r *run) count(fn func(*lashstore.VerifyReport)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fn(&r.report)
}

// fail notes an error that does not end the run.
func (r *run) fail(err error) {
	r.count(func(rep *lashstore.VerifyReport) {
		rep.ErrorCount++
		if len(rep.Errors) < maxErrors {
			rep.Errors = append(rep.Errors, err.Error())
		}
	})
}

// find adds a finding.
func (r *run) find(f lashstore.Finding) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.findLocked(f)
}

func (r *run) findLocked(f lashstore.Finding) (index int) {
	rep := &r.report
	if f.Repaired {
		rep.Repaired++
	} else {
		rep.Damaged++
	}
	before := len(rep.Findings)
	if rep.Findings = lashstore.AddFinding(rep.Findings, f); len(rep.Findings) == before {
		return -1
	}
	return before
}

// findObject adds a finding about an object. A second one about the same only adds to
// what the first one says.
func (r *run) findObject(f lashstore.Finding) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at, known := r.byKey[f.Key]
	switch {
	case !known:
		r.byKey[f.Key] = r.findLocked(f)
	case at >= 0:
		r.report.Findings[at].Detail = cmp.Or(r.report.Findings[at].Detail, f.Detail)
	}
	if len(r.broken) < maxBroken {
		r.broken[f.Digest] = true
	}
}

func (r *run) progress(phase lashstore.VerifyPhase, done, total int64) {
	if r.opts.Progress == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.opts.Progress(lashstore.VerifyProgress{Phase: phase, Done: done, Total: total})
}

// finish completes the report.
func (r *run) finish(err error) lashstore.VerifyReport {
	r.mu.Lock()
	defer r.mu.Unlock()
	rep := &r.report
	rep.Duration = r.v.opts.Elapsed() - r.beganAt
	slices.SortStableFunc(rep.Findings, compareFindings)
	switch {
	case rep.Damaged > 0:
		rep.Outcome = lashstore.VerifyDamaged
	case err != nil || rep.ErrorCount > 0:
		rep.Outcome = lashstore.VerifyIncomplete
	case rep.Repaired > 0:
		rep.Outcome = lashstore.VerifyRepaired
	default:
		rep.Outcome = lashstore.VerifyClean
	}
	return *rep
}

// compareFindings puts the findings about one session together, those about the
// tenant first.
func compareFindings(a, b lashstore.Finding) int {
	first := func(f lashstore.Finding) lashstore.SessionID {
		if len(f.Sessions) == 0 {
			return ""
		}
		return f.Sessions[0]
	}
	return cmp.Or(cmp.Compare(first(a), first(b)), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Key, b.Key), cmp.Compare(a.Digest.String(), b.Digest.String()))
}

func objectName(o metadata.Object) cas.ObjectName {
	return cas.ObjectName{Digest: o.Digest, Generation: cas.Generation(o.Generation)}
}
