package integration_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/local"
)

// shareTask is the task of one of several processes on a directory.
type shareTask struct {
	Dir    string
	Seed   uint64
	Number int
	ID     lashstore.SessionID
	Fence  lashstore.Fence
	Count  int
}

// outcome is what one call of such a process came to.
type outcome struct {
	OK          bool                  `json:"ok"`
	Error       string                `json:"error,omitempty"`
	Kind        string                `json:"kind,omitempty"` // of the error
	Incarnation lashstore.Incarnation `json:"incarnation,omitempty"`
	Revision    lashstore.Revision    `json:"revision,omitempty"`
	Batches     []lashstore.BatchID   `json:"batches,omitempty"`
	Fencing     uint64                `json:"fencing,omitempty"`
}

// kindOf names the contract's error that err is.
func kindOf(err error) string {
	for name, kind := range map[string]error{
		"head_moved": lashstore.ErrHeadMoved, "lease_held": lashstore.ErrLeaseHeld, "fenced": lashstore.ErrFenced,
		"deleted": lashstore.ErrSessionDeleted, "busy": lashstore.ErrBusy, "storage": lashstore.ErrStorage,
	} {
		if errors.Is(err, kind) {
			return name
		}
	}
	return "other"
}

func outcomeOf(err error) outcome {
	if err == nil {
		return outcome{OK: true}
	}
	return outcome{Error: err.Error(), Kind: kindOf(err)}
}

// ready tells the parent so and waits for its word.
func (c *child) ready() error {
	if err := c.say("ready"); err != nil {
		return err
	}
	return c.wait()
}

// share opens the directory, once the parent says so, and the session.
func (c *child) share(ctx context.Context, task *shareTask) (*local.Store, lashstore.Session, error) {
	if err := c.task(task); err != nil {
		return nil, nil, err
	}
	store, err := local.Open(ctx, task.Dir, local.Options{})
	if err != nil {
		return nil, nil, err
	}
	h, err := store.OpenSession(ctx, task.ID, lashstore.OpenOptions{})
	if err != nil {
		return nil, nil, errors.Join(err, store.Close())
	}
	return store, h, c.ready()
}

// firstOpen opens a directory that others open at the same time, and uses it.
func firstOpen(ctx context.Context, c *child) error {
	var task shareTask
	if err := errors.Join(c.task(&task), c.ready()); err != nil {
		return err
	}
	store, err := local.Open(ctx, task.Dir, local.Options{})
	if err != nil {
		return c.say(outcomeOf(err))
	}
	load := workload{Seed: task.Seed, Session: task.ID, Epoch: 1}
	h, _, err := store.CreateSession(ctx, lashstore.CreateSession{Meta: load.meta()})
	if err == nil {
		err = runTurns(ctx, h, load, fmt.Sprintf("process-%d", task.Number), lashstore.Revision(task.Count))
	}
	return c.say(outcomeOf(errors.Join(err, store.Close())))
}

// runTurns commits the next n revisions of a workload.
func runTurns(ctx context.Context, h lashstore.Session, load workload, name string, n lashstore.Revision) error {
	owner := lashstore.Owner{OwnerID: name, IncarnationID: name}
	lease, err := h.ClaimLease(ctx, owner, time.Hour)
	if err == nil && lease.Displaced != nil {
		// Its own, of a turn that failed: a new grant takes that turn's claims over.
		if err = h.ReleaseLease(ctx, lease.Fence()); err == nil {
			lease, err = h.ClaimLease(ctx, owner, time.Hour)
		}
	}
	if err != nil {
		return err
	}
	head, err := h.Head(ctx)
	if err != nil {
		return err
	}
	t := turner{h: h, load: load, fence: lease.Fence(), owner: owner}
	for rev := head.Revision + 1; rev <= head.Revision+n; rev++ {
		if _, err := t.prepare(ctx, rev); err != nil {
			return err
		}
		if err := t.commit(ctx, rev); err != nil {
			return err
		}
	}
	return h.ReleaseLease(ctx, lease.Fence())
}

// createSame creates a session that others create at the same time.
func createSame(ctx context.Context, c *child) error {
	var task shareTask
	if err := c.task(&task); err != nil {
		return err
	}
	store, err := local.Open(ctx, task.Dir, local.Options{})
	if err != nil {
		return err
	}
	for i := range task.Count {
		if err := c.ready(); err != nil {
			return err
		}
		meta := lashstore.SessionMeta{SessionID: lashstore.SessionID(fmt.Sprintf("%s-%d", task.ID, i)), SessionName: fmt.Sprint(task.Number)}
		h, created, err := store.CreateSession(ctx, lashstore.CreateSession{Meta: meta})
		out := outcomeOf(err)
		if err == nil {
			out.OK, out.Incarnation = created, h.Incarnation()
		}
		if err := c.say(out); err != nil {
			return err
		}
	}
	return store.Close()
}

// claimLease claims a lease that others claim at the same time.
func claimLease(ctx context.Context, c *child) error {
	var task shareTask
	store, h, err := c.share(ctx, &task)
	if err != nil {
		return err
	}
	name := fmt.Sprintf("process-%d", task.Number)
	lease, err := h.ClaimLease(ctx, lashstore.Owner{OwnerID: name, IncarnationID: name}, time.Hour)
	out := outcomeOf(err)
	out.Fencing = uint64(lease.FencingToken)
	if err := c.say(out); err != nil {
		return err
	}
	return store.Close()
}

// drainQueue takes batches, a few under each lease, until the queue is empty.
func drainQueue(ctx context.Context, c *child) error {
	var task shareTask
	store, h, err := c.share(ctx, &task)
	if err != nil {
		return err
	}
	name := fmt.Sprintf("process-%d", task.Number)
	owner := lashstore.Owner{OwnerID: name, IncarnationID: name}
	for turn := 0; ; turn++ {
		lease, err := h.ClaimLease(ctx, owner, time.Hour)
		if errors.Is(err, lashstore.ErrLeaseHeld) {
			<-time.After(time.Millisecond) // another's turn
			continue
		}
		if err != nil {
			return err
		}
		out, err := drainOnce(ctx, h, owner, lease.Fence(), turn)
		if err != nil {
			return err
		}
		if err := c.say(out); err != nil {
			return err
		}
		if out.Kind == string(lashstore.RefusedEmpty) {
			return store.Close()
		}
	}
}

// drainOnce claims batches and settles them with a commit that also releases the
// lease; every fifth time it drops them, for another to take.
func drainOnce(ctx context.Context, h lashstore.Session, owner lashstore.Owner, fence lashstore.Fence, turn int) (outcome, error) {
	res, err := h.ClaimTurnWork(ctx, lashstore.ClaimRequest{Fence: fence, Owner: owner, TTL: time.Hour, MaxBatches: claimedPerTurn})
	if err != nil {
		return outcome{}, err
	}
	if res.Claim == nil {
		return outcome{Kind: string(res.Refusal)}, h.ReleaseLease(ctx, fence)
	}
	if turn%5 == 4 {
		return outcome{Kind: "dropped"}, h.ReleaseLease(ctx, fence)
	}
	head, err := h.Head(ctx)
	if err != nil {
		return outcome{}, err
	}
	done := res.Claim.Completion()
	cfg := workload{}.config(1)
	got, err := h.Commit(ctx, lashstore.Commit{
		ExpectedRevision: head.Revision, Fence: fence, ReleaseLease: true, Config: &cfg, Completions: []lashstore.ClaimCompletion{done},
	})
	return outcome{OK: true, Batches: done.BatchIDs, Revision: got.Revision}, err
}

// raceCommits commits under a lease that others have too, always what it read last.
func raceCommits(ctx context.Context, c *child) error {
	var task shareTask
	store, h, err := c.share(ctx, &task)
	if err != nil {
		return err
	}
	cfg := workload{}.config(1)
	for {
		head, err := h.Head(ctx)
		if err != nil {
			return err
		}
		if head.Revision >= lashstore.Revision(task.Count) {
			return store.Close()
		}
		mine := workload{Seed: task.Seed, Session: lashstore.SessionID(fmt.Sprint(task.Number))}
		res, err := h.Commit(ctx, lashstore.Commit{
			ExpectedRevision: head.Revision, Fence: task.Fence, Config: &cfg,
			Checkpoint: &lashstore.Checkpoint{Components: map[string]lashstore.Component{
				"who":   lashstore.Changed(fmt.Append(nil, task.Number)),
				"large": lashstore.Changed(mine.text("large", head.Revision+1, sharedSize)),
			}},
		})
		out := outcomeOf(err)
		out.Revision = head.Revision + 1
		if err == nil && res.Revision != out.Revision {
			return fmt.Errorf("committed as revision %d, expected %d", res.Revision, out.Revision)
		}
		if err := c.say(out); err != nil {
			return err
		}
	}
}

// holdSession keeps a handle open while the parent deletes the session, and then
// tries everything on it.
func holdSession(ctx context.Context, c *child) error {
	var task shareTask
	store, h, err := c.share(ctx, &task)
	if err != nil {
		return err
	}
	cfg := workload{}.config(1)
	_, headErr := h.Head(ctx)
	_, leaseErr := h.ClaimLease(ctx, lashstore.Owner{OwnerID: "held", IncarnationID: "held"}, time.Hour)
	_, enqueueErr := h.Enqueue(ctx, workload{}.batch("late"))
	_, commitErr := h.Commit(ctx, lashstore.Commit{ExpectedRevision: 2, Fence: task.Fence, Config: &cfg})
	_, blobErr := h.Commit(ctx, lashstore.Commit{
		ExpectedRevision: 2, Fence: task.Fence, Config: &cfg,
		Checkpoint: &lashstore.Checkpoint{Components: map[string]lashstore.Component{"late": lashstore.Changed(make([]byte, sharedSize))}},
	})
	_, attachErr := h.PutAttachment(ctx, bytes.NewReader([]byte("late")), lashstore.AttachmentMeta{MediaType: "image/png"})
	for _, err := range []error{headErr, leaseErr, enqueueErr, commitErr, blobErr, attachErr} {
		if err := c.say(outcomeOf(err)); err != nil {
			return err
		}
	}
	if err := c.wait(); err != nil { // the parent makes the session anew
		return err
	}
	_, err = h.Load(ctx, lashstore.LoadOptions{})
	if err := c.say(outcomeOf(err)); err != nil {
		return err
	}
	return errors.Join(h.Close(), store.Close())
}
