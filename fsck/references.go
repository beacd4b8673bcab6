package fsck

import (
	"context"
	"errors"
	"fmt"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/gc"
)

// references compares sessions with the catalog and the catalog with the tier.
func (r *run) references(ctx context.Context) error {
	progress := func(p lashstore.CollectProgress) {
		r.progress(lashstore.VerifyReferences, p.Done, p.Total)
	}
	err := patiently(func() (err error) {
		r.inspected, err = r.v.opts.Collector.Inspect(ctx, gc.InspectOptions{
			Restore: r.opts.Repair, Workers: r.opts.Workers, Progress: progress,
		})
		return err
	})
	if err != nil {
		return fmt.Errorf("compare references: %w", err)
	}
	sweep, mark := &r.inspected.Sweep, &r.inspected.Mark
	r.count(func(rep *lashstore.VerifyReport) {
		rep.Unknown, rep.Foreign = sweep.Unknown+sweep.UnknownYoung, sweep.Foreign
		rep.SurplusReferences = mark.SurplusEdges
	})
	for _, f := range sweep.Damage {
		if len(f.Sessions) > 0 || f.More > 0 { // else nobody needs it: collections see to it
			r.findObject(f)
			r.want(ctx, f.Digest, f.Key)
		}
	}
	r.refusals()
	return nil
}

// refusals reports why references could not be compared as a whole, unless the
// findings say so.
func (r *run) refusals() {
	unreadable := false
	for _, f := range r.inspected.Mark.Faults {
		unreadable = unreadable || f.Kind == lashstore.FindingUnreadable || f.Kind == lashstore.FindingLostSession || f.Kind == lashstore.FindingFoundSession
	}
	for _, err := range r.inspected.Refused {
		switch {
		case errors.Is(err, lashstore.ErrWrongTier):
			r.find(lashstore.Finding{Kind: lashstore.FindingOwner, Detail: err.Error()})
		case !unreadable:
			r.fail(fmt.Errorf("compare references: %w", err))
		}
	}
}

// addFaults adds what comparing references found, but for what is said better by the
// sessions' own records.
func (r *run) addFaults(ctx context.Context) error {
	mark := &r.inspected.Mark
	listed := int64(0)
	for _, f := range mark.Faults {
		switch f.Kind {
		case lashstore.FindingMissingEdge, lashstore.FindingMissingRow, lashstore.FindingOtherObject:
			listed++
		default:
		}
		if f.Kind == lashstore.FindingUnreadable && len(f.Sessions) == 1 && r.flawed[f.Sessions[0]] ||
			f.Kind == lashstore.FindingMissingRow && r.mended[f.Digest] {
			continue
		}
		if f.Kind == lashstore.FindingMissingRow && f.Repaired { // the first session restored it for all
			var err error
			if f.Sessions, f.More, err = r.holders(ctx, f.Digest); err != nil {
				return err
			}
		}
		r.find(f)
	}
	rest := max(0, mark.MissingEdges+mark.MissingRows+mark.OtherObjects-listed) // more than the list takes
	r.count(func(rep *lashstore.VerifyReport) {
		if r.opts.Repair {
			rep.Repaired += rest
		} else {
			rep.Damaged += rest
		}
	})
	return nil
}
