package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/lashstore/lashstore"
)

// Events of a demonstration's worker.
const (
	eventLease     = "lease"     // it has the execution lease
	eventClaimed   = "claimed"   // it has claimed a turn's input
	eventPaused    = "paused"    // it is in the middle of a turn and waits
	eventCommitted = "committed" // a commit was acknowledged
)

// demoEvent is one line of what a worker writes.
type demoEvent struct {
	Event        string                 `json:"event"`
	PID          int                    `json:"pid"`
	Turn         int                    `json:"turn,omitempty"`
	Revision     lashstore.Revision     `json:"head_revision,omitempty"`
	StateBytes   int64                  `json:"state_bytes,omitempty"`
	StateDigest  lashstore.Digest       `json:"state_digest,omitzero"`
	FencingToken lashstore.FencingToken `json:"fencing_token,omitempty"`
	ClaimID      lashstore.ClaimID      `json:"claim_id,omitempty"`
	Displaced    string                 `json:"displaced,omitempty"` // owner whose lease was taken
}

// demoWorker runs turns until the queue is empty.
type demoWorker struct {
	session lashstore.Session
	owner   lashstore.Owner
	lease   lashstore.Lease
	ttl     time.Duration
	pauseIn int       // turn in which to wait
	stdin   io.Reader // what to wait for the end of
	events  *json.Encoder
	now     func() time.Time
}

func (a *app) demoWorkerCommand() *cobra.Command {
	var session, name string
	w := &demoWorker{}
	cmd := &cobra.Command{
		Use:    "demo-worker",
		Short:  "A worker process of the demonstration",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withStore(cmd.Context(), false, func(store lashstore.Store) (err error) {
				w.session, err = store.OpenSession(cmd.Context(), lashstore.SessionID(session), lashstore.OpenOptions{})
				if err != nil {
					return err
				}
				defer func() { err = errors.Join(err, w.session.Close()) }()
				if w.owner, err = owner(name); err != nil {
					return err
				}
				w.stdin, w.events, w.now = a.stdin, json.NewEncoder(a.stdout), a.now
				return w.run(cmd.Context())
			})
		},
	}
	cmd.Flags().StringVar(&session, "session", "", "session to work on")
	cmd.Flags().StringVar(&name, "worker", "worker", "name of the worker")
	cmd.Flags().IntVar(&w.pauseIn, "pause-in-turn", 0, "turn in which to wait until standard input ends")
	return cmd
}

func (w *demoWorker) emit(e demoEvent) error {
	e.PID = os.Getpid()
	return w.events.Encode(e)
}

func (w *demoWorker) run(ctx context.Context) error {
	w.ttl = lashstore.DefaultLeaseTTL
	if w.owner.Liveness.Kind != lashstore.LivenessLocalProcess {
		// Nobody will be able to prove this process dead, so its lease has to run out
		// before another can go on.
		const short = 5 * time.Second
		w.ttl = short
	}
	if err := w.takeLease(ctx); err != nil {
		return err
	}
	for {
		done, err := w.turn(ctx)
		if done || err != nil {
			return err
		}
	}
}

// takeLease claims the lease, reclaims it from a holder that is proven dead, or
// waits until the holder's time is up.
func (w *demoWorker) takeLease(ctx context.Context) error {
	for {
		var held *lashstore.LeaseHeldError
		lease, err := w.session.ClaimLease(ctx, w.owner, w.ttl)
		if errors.As(err, &held) {
			lease, err = w.session.ReclaimLease(ctx, w.owner, held.Holder, w.ttl)
		}
		if err == nil {
			w.lease = lease
			e := demoEvent{Event: eventLease, FencingToken: lease.FencingToken}
			if lease.Displaced != nil {
				e.Displaced = lease.Displaced.Owner.OwnerID
			}
			return w.emit(e)
		}
		if !errors.As(err, &held) {
			return err
		}
		timer := time.NewTimer(held.Holder.ExpiresAt.Sub(w.now()) + time.Millisecond)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

// turn runs one turn, and reports true if there was nothing to do.
func (w *demoWorker) turn(ctx context.Context) (bool, error) {
	lease, err := w.session.RenewLease(ctx, w.lease.Fence(), w.ttl)
	if err != nil {
		return false, err
	}
	w.lease = lease
	res, err := w.session.ClaimTurnWork(ctx, lashstore.ClaimRequest{
		Fence: w.lease.Fence(), Owner: w.owner, TTL: w.ttl, MaxBatches: 1,
	})
	if err != nil || res.Refusal == lashstore.RefusedEmpty {
		return true, err
	}
	if res.Claim == nil {
		return false, fmt.Errorf("no work could be claimed: %s", res.Refusal)
	}
	before, err := w.session.Load(ctx, lashstore.LoadOptions{Scope: lashstore.ScopeActivePath})
	if err != nil {
		return false, err
	}
	turn := int(before.Revision) + 1 //nolint:gosec // there are five
	if err := w.emit(demoEvent{Event: eventClaimed, Turn: turn, ClaimID: res.Claim.ClaimID}); err != nil {
		return false, err
	}
	if turn == w.pauseIn {
		if err := w.pause(turn); err != nil {
			return false, err
		}
	}
	return turn == demoTurns, w.commit(ctx, turn, before, res.Claim)
}

// pause waits in the middle of a turn. The end of standard input is the end of
// the parent: there is nobody left to work for.
func (w *demoWorker) pause(turn int) error {
	if err := w.emit(demoEvent{Event: eventPaused, Turn: turn}); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, w.stdin)
	return errors.Join(err, errors.New("the parent process is gone"))
}

func (w *demoWorker) commit(ctx context.Context, turn int, before *lashstore.Snapshot, claim *lashstore.Claim) error {
	var input struct {
		Input string `json:"input"`
	}
	if err := json.Unmarshal(claim.Batches[0].Items[0].Body, &input); err != nil {
		return err
	}
	c, err := demoCommit(w.session.ID(), turn, before, input.Input)
	if err != nil {
		return err
	}
	c.Fence = w.lease.Fence()
	c.Completions = []lashstore.ClaimCompletion{claim.Completion()}
	res, err := w.session.Commit(ctx, c)
	if err != nil {
		return err
	}
	state := res.Components[lashstore.ComponentExecutionState]
	return w.emit(demoEvent{
		Event: eventCommitted, Turn: turn, Revision: res.Revision, StateBytes: state.SizeBytes, StateDigest: state.Digest,
	})
}
