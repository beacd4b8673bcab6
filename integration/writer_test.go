package integration_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/local"
)

// retained is how many revisions the stores of these tests keep: few, so that every
// commit trims and has something to settle.
const retained = 3

// writerTask says what a writing process is to do until it is killed.
type writerTask struct {
	Dir  string
	Seed uint64
	Name string
	// Sessions are written to, each by a goroutine of its own.
	Sessions []lashstore.SessionID
	// Lifecycle has another goroutine create and delete sessions.
	Lifecycle bool
	// Unfinished are sessions whose deletion an earlier process began.
	Unfinished []lashstore.SessionID
	// At the KillCount-th time that it reaches KillStep the process kills itself.
	KillStep  string
	KillCount int64
}

// What an acknowledgement is of. The intents are written before the call, since a
// call that was not acknowledged may have been done all the same.
const (
	ackCreating = "creating"
	ackCreated  = "created"
	ackPut      = "put"
	ackCommit   = "commit"
	ackDeleting = "deleting"
	ackDeleted  = "deleted"
)

// ack is a line of a writing process.
type ack struct {
	Op          string                `json:"op"`
	Session     lashstore.SessionID   `json:"session"`
	Epoch       int                   `json:"epoch,omitempty"`
	Revision    lashstore.Revision    `json:"revision,omitempty"`
	Incarnation lashstore.Incarnation `json:"incarnation,omitempty"`
}

type writer struct {
	writerTask
	child *child
	store *local.Store
	steps atomic.Int64
}

// crashWriter is the process that the crash test kills.
func crashWriter(ctx context.Context, c *child) error {
	w := &writer{child: c}
	if err := c.task(&w.writerTask); err != nil {
		return err
	}
	store, err := local.Open(ctx, w.Dir, local.Options{Retention: lashstore.Retention{Revisions: retained}, Step: w.step})
	if err != nil {
		return err
	}
	w.store = store
	for _, id := range w.Unfinished {
		if err := w.delete(ctx, id); err != nil {
			return err
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, id := range w.Sessions {
		group.Go(func() error { return w.write(ctx, id) })
	}
	if w.Lifecycle {
		group.Go(func() error { return w.cycle(ctx) })
	}
	return group.Wait()
}

// step kills the process when its step has come.
func (w *writer) step(name string) {
	if name != w.KillStep || w.steps.Add(1) != w.KillCount {
		return
	}
	if err := syscall.Kill(syscall.Getpid(), syscall.SIGKILL); err != nil {
		panic(err) // nobody is left to tell
	}
	select {} // until the signal arrives
}

// write commits to one session for as long as the process lives.
func (w *writer) write(ctx context.Context, id lashstore.SessionID) error {
	h, err := w.create(ctx, workload{Seed: w.Seed, Session: id, Epoch: 1}, false)
	if err != nil {
		return err
	}
	return w.turns(ctx, h, workload{Seed: w.Seed, Session: id, Epoch: 1}, 1<<20)
}

func (w *writer) create(ctx context.Context, load workload, recreate bool) (lashstore.Session, error) {
	line := ack{Op: ackCreating, Session: load.Session, Epoch: load.Epoch}
	if err := w.child.say(line); err != nil {
		return nil, err
	}
	h, _, err := w.store.CreateSession(ctx, lashstore.CreateSession{Meta: load.meta(), Recreate: recreate})
	if err != nil {
		return nil, err
	}
	line.Op, line.Incarnation = ackCreated, h.Incarnation()
	return h, w.child.say(line)
}

func (w *writer) delete(ctx context.Context, id lashstore.SessionID) error {
	if err := w.child.say(ack{Op: ackDeleting, Session: id}); err != nil {
		return err
	}
	if err := w.store.DeleteSession(ctx, id); err != nil {
		return err
	}
	return w.child.say(ack{Op: ackDeleted, Session: id})
}

// cycle creates and deletes sessions, and settles what others leave.
func (w *writer) cycle(ctx context.Context) error {
	for k := 0; ; k++ {
		id := lashstore.SessionID(fmt.Sprintf("%s-%d", w.Name, k))
		for epoch := 1; epoch <= 1+k%2; epoch++ {
			load := workload{Seed: w.Seed, Session: id, Epoch: epoch}
			h, err := w.create(ctx, load, epoch > 1)
			if err != nil {
				return err
			}
			if err := w.turns(ctx, h, load, lashstore.Revision(k%4)); err != nil {
				return err
			}
			if _, err := w.store.ListSessions(ctx, lashstore.ListSessions{}); err != nil {
				return err
			}
			if k%8 == 7 {
				break // this one stays
			}
			if err := w.delete(ctx, id); err != nil {
				return err
			}
		}
	}
}

// owner identifies this process as a holder of leases.
func (w *writer) owner() lashstore.Owner {
	live := local.ProcessLiveness()
	return lashstore.Owner{OwnerID: w.Name, IncarnationID: fmt.Sprintf("pid-%d", live.PID), Liveness: live}
}

// takeLease takes the lease of a session that a dead process may still hold.
func takeLease(ctx context.Context, h lashstore.Session, owner lashstore.Owner) (lashstore.Lease, error) {
	lease, err := h.ClaimLease(ctx, owner, lashstore.MaxTTL)
	if held, ok := errors.AsType[*lashstore.LeaseHeldError](err); ok {
		return h.ReclaimLease(ctx, owner, held.Holder, lashstore.MaxTTL)
	}
	return lease, err
}

// turns runs n turns, from where the session is.
func (w *writer) turns(ctx context.Context, h lashstore.Session, load workload, n lashstore.Revision) error {
	lease, err := takeLease(ctx, h, w.owner())
	if err != nil {
		return err
	}
	head, err := h.Head(ctx)
	if err != nil {
		return err
	}
	t := turner{h: h, load: load, fence: lease.Fence(), owner: w.owner()}
	for rev := head.Revision + 1; rev <= head.Revision+n; rev++ {
		put, err := t.prepare(ctx, rev)
		if err != nil {
			return fmt.Errorf("session %s, before revision %d: %w", load.Session, rev, err)
		}
		line := ack{Op: ackPut, Session: load.Session, Epoch: load.Epoch, Revision: rev}
		if put {
			if err := w.child.say(line); err != nil {
				return err
			}
		}
		if err := t.commit(ctx, rev); err != nil {
			return fmt.Errorf("session %s, revision %d: %w", load.Session, rev, err)
		}
		line.Op = ackCommit
		if err := w.child.say(line); err != nil {
			return err
		}
	}
	return nil
}

// turner runs turns of a workload on a session.
type turner struct {
	h     lashstore.Session
	load  workload
	fence lashstore.Fence
	owner lashstore.Owner
	done  []lashstore.ClaimCompletion
}

// prepare does what precedes a revision's commit; put says that an attachment was.
func (t *turner) prepare(ctx context.Context, rev lashstore.Revision) (put bool, err error) {
	if rev > attachmentLife {
		if content, ok := t.load.attachment(rev - attachmentLife); ok {
			if err := t.h.ForgetAttachment(ctx, lashstore.DigestOf(content)); err != nil {
				return false, err
			}
		}
	}
	if content, ok := t.load.attachment(rev); ok {
		if _, err := t.h.PutAttachment(ctx, bytes.NewReader(content), lashstore.AttachmentMeta{MediaType: "image/png"}); err != nil {
			return false, err
		}
		put = true
	}
	if _, err := t.h.Enqueue(ctx, t.load.batch(inputKey(rev))); err != nil {
		return put, err
	}
	res, err := t.h.ClaimTurnWork(ctx, lashstore.ClaimRequest{Fence: t.fence, Owner: t.owner, TTL: time.Hour, MaxBatches: claimedPerTurn})
	if err != nil {
		return put, err
	}
	if res.Claim == nil {
		return put, fmt.Errorf("nothing was claimed: %s", res.Refusal)
	}
	want := append(queue(rev-1), inputKey(rev))
	want = want[:min(claimedPerTurn, len(want))]
	if got := sourceKeys(res.Claim.Batches); !slices.Equal(got, want) {
		return put, fmt.Errorf("claimed %v, want %v", got, want)
	}
	t.done = []lashstore.ClaimCompletion{res.Claim.Completion()}
	return put, nil
}

func sourceKeys(batches []lashstore.Batch) []string {
	keys := make([]string, len(batches))
	for i, b := range batches {
		keys[i] = b.SourceKey
	}
	return keys
}

// commit commits a revision, and now and then again, as after a lost answer.
func (t *turner) commit(ctx context.Context, rev lashstore.Revision) error {
	c := t.load.commit(rev)
	c.Fence, c.Completions = t.fence, t.done
	res, err := t.h.Commit(ctx, c)
	if err != nil {
		return err
	}
	if res.Revision != rev || res.Replayed {
		return fmt.Errorf("committed as revision %d, replayed %t", res.Revision, res.Replayed)
	}
	if rev%5 != 2 {
		return nil
	}
	again, err := t.h.Commit(ctx, c)
	if err != nil || !again.Replayed || again.Revision != rev {
		return fmt.Errorf("sent again: revision %d, replayed %t, %w", again.Revision, again.Replayed, err)
	}
	return nil
}
