package gc

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/metadata"
)

// Leases of shards. Workers renew them between slices, each of which takes well under
// a second where the tier answers; one that was killed is replaced after the time.
const (
	leaseTTL = 30 * time.Second
	// markShard is the lease of the mark phase.
	markShard = -1
)

// resumeWithin is how old an interrupted audit may be to be taken up. Marking again
// what changed since would cost as much as marking anew.
const resumeWithin = 24 * time.Hour

// errMarkedElsewhere ends an audit whose mark phase another worker has.
var errMarkedElsewhere = errors.New("another worker is at the mark phase of an audit")

// audit begins an audit or takes one up, and marks. Sweeping is left to the shards.
func (r *run) audit(ctx context.Context) error {
	if r.opts.DryRun {
		return r.mark(ctx, "")
	}
	k := r.collector.opts.Catalog
	state, err := r.beginAudit(ctx)
	if err != nil {
		return err
	}
	r.auditID = state.Audit
	if state.Phase == metadata.AuditSweep {
		return nil // marked by a run that was interrupted, or by another worker
	}
	lease, err := k.ClaimShard(ctx, markShard, r.collector.opts.Worker, leaseTTL)
	if errors.Is(err, metadata.ErrShardHeld) {
		return refuse(errMarkedElsewhere, "an audit by another worker is under way")
	}
	if err != nil {
		return err
	}
	err = r.markLeased(ctx, &lease, state)
	if errors.Is(err, metadata.ErrShardHeld) { // this worker was too slow
		err = refuse(errMarkedElsewhere, "an audit by another worker has taken over")
	}
	return errors.Join(err, k.ReleaseShard(context.WithoutCancel(ctx), lease, ""))
}

// beginAudit returns the audit that is under way, after beginning one if there is none.
func (r *run) beginAudit(ctx context.Context) (state metadata.CollectionState, err error) {
	id := make([]byte, 8)
	if _, err := io.ReadFull(r.collector.opts.Rand, id); err != nil {
		return state, fmt.Errorf("name the audit: %w", err)
	}
	now := r.now()
	err = r.collector.opts.Catalog.UpdateCollection(ctx, func(s *metadata.CollectionState) error {
		if s.Audit == "" || now.Sub(s.AuditAt) > resumeWithin || now.Before(s.AuditAt.Add(-clockTolerance)) {
			s.Audit, s.AuditAt, s.Phase, s.MarkAfter = hex.EncodeToString(id), now, metadata.AuditMark, ""
		}
		state = *s
		return nil
	})
	return state, err
}

// markLeased marks, and remembers how far it is.
func (r *run) markLeased(ctx context.Context, lease *metadata.ShardLease, state metadata.CollectionState) error {
	k := r.collector.opts.Catalog
	r.savedMark = r.now()
	r.saveMark = func(ctx context.Context, after lashstore.SessionID) error {
		if r.now().Sub(r.savedMark) < leaseTTL/8 {
			return nil
		}
		r.savedMark = r.now()
		if err := k.RenewShard(ctx, lease, leaseTTL); err != nil {
			return err
		}
		return k.UpdateCollection(ctx, func(s *metadata.CollectionState) error {
			if s.Audit == state.Audit {
				s.MarkAfter = string(after)
			}
			return nil
		})
	}
	if err := r.mark(ctx, lashstore.SessionID(state.MarkAfter)); err != nil {
		return err
	}
	return k.UpdateCollection(ctx, func(s *metadata.CollectionState) error {
		if s.Audit != state.Audit {
			return refuse(nil, "%s; nothing is deleted before an audit that begins now has passed", s.Stopped)
		}
		s.Phase, s.Stopped = metadata.AuditSweep, ""
		return nil
	})
}
