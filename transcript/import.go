package transcript

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/lashstore/lashstore"
)

// cleanupTimeout bounds what an import does after it failed or was interrupted.
const cleanupTimeout = 30 * time.Second

// ImportOptions configure an import.
type ImportOptions struct {
	// Owner takes the session's execution lease. Required.
	Owner lashstore.Owner
	// Now is the clock by which the lease is renewed. Required.
	Now func() time.Time
	// LeaseTTL is how long the lease is taken for; 0 means [lashstore.DefaultLeaseTTL].
	// It is renewed when a third of it has passed.
	LeaseTTL time.Duration
	// Cwd, if not empty, is recorded as the session's working directory.
	Cwd string
	// Progress, if set, is called after each commit.
	Progress func(Progress)
}

// Progress says how far an import is.
type Progress struct {
	Steps, TotalSteps int
}

// ImportResult says what an import did.
type ImportResult struct {
	SessionID lashstore.SessionID `json:"session_id"`
	Format    Format              `json:"format"`
	Messages  int                 `json:"messages"`
	Steps     int                 `json:"steps"`
	Revision  lashstore.Revision  `json:"head_revision"`
	// Created reports that the session is new.
	Created bool `json:"created"`
	// SkippedSteps is how many steps an earlier import of the same input had already
	// committed: all of them if there was nothing to do.
	SkippedSteps int `json:"skipped_steps"`
}

// Import commits the steps of a plan to a session, which it creates unless it
// exists. An existing session must be empty or hold an earlier import of the same
// input, which is then completed. A session that was deleted is begun anew.
//
// If it fails, a session that it created is deleted again.
//
// Errors: [ErrNotEmpty]; [lashstore.ErrLeaseHeld] if somebody else works on the
// session; what the contract's Commit returns.
func Import(ctx context.Context, store lashstore.Sessions, plan *Plan, id lashstore.SessionID, opts ImportOptions) (ImportResult, error) {
	if opts.LeaseTTL == 0 {
		opts.LeaseTTL = lashstore.DefaultLeaseTTL
	}
	im := &importer{plan: plan, opts: opts, result: ImportResult{
		SessionID: id, Format: plan.Format, Messages: plan.Messages, Steps: plan.Steps,
	}}
	if err := im.run(ctx, store, id); err != nil {
		return ImportResult{}, fmt.Errorf("import %s into session %q: %w", plan.Source.Name, id, err)
	}
	return im.result, nil
}

type importer struct {
	plan    *Plan
	opts    ImportOptions
	session lashstore.Session
	lease   lashstore.Lease
	renewed time.Time // when the lease was last asked for
	result  ImportResult
}

func (im *importer) run(ctx context.Context, store lashstore.Sessions, id lashstore.SessionID) error {
	meta := lashstore.SessionMeta{SessionID: id, Model: im.plan.config().Model.ID}
	if im.opts.Cwd != "" {
		meta.Cwd = &im.opts.Cwd
	}
	s, created, err := store.CreateSession(ctx, lashstore.CreateSession{Meta: meta, Recreate: true})
	if err != nil {
		return err
	}
	im.session, im.result.Created = s, created

	err = im.claim(ctx)
	// Whoever holds the lease of a session that was new a moment ago is using it.
	ours := created && !errors.Is(err, lashstore.ErrLeaseHeld)
	if err == nil {
		err = im.commitAll(ctx)
	}
	if err == nil {
		return s.Close()
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	return errors.Join(err, im.undo(ctx, store, ours))
}

// undo leaves things as they were before: without the session, or without a lease
// on it.
func (im *importer) undo(ctx context.Context, store lashstore.Sessions, ours bool) error {
	var err error
	if !ours && im.lease.Token != "" {
		// A lease that is lost needs no release, and one that stays expires.
		_ = im.session.ReleaseLease(ctx, im.lease.Fence())
	}
	err = im.session.Close()
	if !ours {
		return err
	}
	if derr := store.DeleteSession(ctx, im.session.ID()); derr != nil {
		err = errors.Join(err, fmt.Errorf("remove the incomplete session: %w", derr))
	}
	return err
}

// claim takes the lease, if need be from an owner that is proven dead.
func (im *importer) claim(ctx context.Context) error {
	var err error
	im.renewed = im.opts.Now()
	im.lease, err = im.session.ClaimLease(ctx, im.opts.Owner, im.opts.LeaseTTL)
	if held, ok := errors.AsType[*lashstore.LeaseHeldError](err); ok {
		im.lease, err = im.session.ReclaimLease(ctx, im.opts.Owner, held.Holder, im.opts.LeaseTTL)
	}
	return err
}

// renew keeps the lease, once a third of its time has passed.
func (im *importer) renew(ctx context.Context) error {
	now := im.opts.Now()
	if now.Sub(im.renewed) < im.opts.LeaseTTL/3 {
		return nil
	}
	lease, err := im.session.RenewLease(ctx, im.lease.Fence(), im.opts.LeaseTTL)
	if err != nil {
		return err
	}
	im.lease, im.renewed = lease, now
	return nil
}

func (im *importer) commitAll(ctx context.Context) error {
	head, err := im.session.Head(ctx)
	if err != nil {
		return err
	}
	if im.result.SkippedSteps, err = im.committed(ctx, head); err != nil {
		return err
	}
	im.result.Revision = head.Revision
	if im.result.SkippedSteps == im.plan.Steps {
		return im.session.ReleaseLease(ctx, im.lease.Fence())
	}
	parent := head.LeafNodeID
	done := 0
	for step, err := range im.plan.All(ctx) {
		if err != nil {
			return err
		}
		done = step.Index
		if step.Index <= im.result.SkippedSteps {
			continue
		}
		if parent, err = im.commit(ctx, step, parent); err != nil {
			return fmt.Errorf("step %d: %w", step.Index, err)
		}
	}
	if done != im.plan.Steps {
		return place{file: im.plan.Source.Name, offset: -1}.errorf("changed while it was read")
	}
	return nil
}

func (im *importer) commit(ctx context.Context, step *Step, parent lashstore.NodeID) (lashstore.NodeID, error) {
	if err := im.renew(ctx); err != nil {
		return "", err
	}
	c, err := step.commit(im.plan, im.session.ID(), parent)
	if err != nil {
		return "", err
	}
	c.ExpectedRevision = im.result.Revision
	c.Fence = im.lease.Fence()
	c.ReleaseLease = step.Index == im.plan.Steps
	res, err := im.session.Commit(ctx, c)
	if err != nil {
		return "", err
	}
	im.result.Revision = res.Revision
	if im.opts.Progress != nil {
		im.opts.Progress(Progress{Steps: step.Index, TotalSteps: im.plan.Steps})
	}
	if c.Graph.Leaf != nil {
		parent = *c.Graph.Leaf
	}
	return parent, nil
}

// committed is how many steps of the plan the session already has.
func (im *importer) committed(ctx context.Context, head lashstore.Head) (int, error) {
	if head.Revision == 0 {
		return 0, nil
	}
	newest, err := im.session.Revisions(ctx, lashstore.ListRevisions{Limit: 1})
	if err != nil {
		return 0, err
	}
	if len(newest) == 1 {
		for step := 1; step <= im.plan.Steps; step++ {
			if newest[0].TurnID == im.plan.turnID(step) {
				return step, nil
			}
		}
	}
	reason := "has %d commits"
	if len(newest) == 1 && strings.HasPrefix(string(newest[0].TurnID), turnPrefix) {
		reason = "has %d commits, the last of them from an import of other input"
	}
	return 0, fmt.Errorf("%w: it "+reason, ErrNotEmpty, head.Revision)
}
