package integration_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/internal/testenv"
	"github.com/lashstore/lashstore/local"
)

// pause stops the first operation that reaches a step, until it is told to go on.
type pause struct {
	step    string
	once    sync.Once
	reached chan struct{}
	resume  chan struct{}
}

func newPause(step string) *pause {
	return &pause{step: step, reached: make(chan struct{}), resume: make(chan struct{})}
}

// at is the Step option.
func (p *pause) at(step string) {
	if step == p.step {
		p.once.Do(func() {
			close(p.reached)
			<-p.resume
		})
	}
}

// during runs call, and meanwhile, once call has stopped at the step, other. It
// returns the error of call.
func (p *pause) during(t *testing.T, call func() error, other func()) error {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- call() }()
	select {
	case <-p.reached:
	case err := <-done:
		close(p.resume)
		t.Fatalf("it never reached step %s: %v", p.step, err)
	case <-time.After(patience):
		t.Fatalf("step %s was not reached", p.step)
	}
	func() {
		defer close(p.resume) // whatever other does
		other()
	}()
	return <-done
}

// interleaving is a directory that two stores, as of two processes, work on.
type interleaving struct {
	t     *testing.T
	dir   string
	pause *pause
	// slow is the store whose operations stop at the step.
	slow, other *local.Store
	load        workload
}

func newInterleaving(t *testing.T, step string) *interleaving {
	t.Helper()
	x := &interleaving{t: t, dir: t.TempDir(), pause: newPause(step), load: workload{Seed: testenv.Seed(t), Session: "contested", Epoch: 1}}
	opts := local.Options{Retention: lashstore.Retention{Revisions: retained}}
	x.other = open(t, x.dir, opts)
	opts.Step = x.pause.at
	x.slow = open(t, x.dir, opts)
	return x
}

func (x *interleaving) ctx() context.Context { return x.t.Context() }

func (x *interleaving) delete() {
	x.t.Helper()
	if err := x.other.DeleteSession(x.ctx(), x.load.Session); err != nil {
		x.t.Errorf("delete beside it: %v", err)
	}
}

// recreate makes a new session of the id and fills it.
func (x *interleaving) recreate() {
	x.t.Helper()
	x.load.Epoch++
	h := create(x.t, x.other, x.load)
	if err := runTurns(x.ctx(), h, x.load, "successor", 2); err != nil {
		x.t.Error(err)
	}
}

// done checks what is left when both stores are closed: the session of the present
// epoch, if there, and nothing of another.
func (x *interleaving) done(there bool) {
	x.t.Helper()
	if err := errors.Join(x.slow.Close(), x.other.Close()); err != nil {
		x.t.Fatal(err)
	}
	l := newLedger(x.load.Seed)
	e := entry{epoch: x.load.Epoch, created: true, deleting: !there, deleted: !there}
	if there {
		e.acked = 2
		s := open(x.t, x.dir, local.Options{})
		h, err := s.OpenSession(x.ctx(), x.load.Session, lashstore.OpenOptions{})
		if err != nil {
			x.t.Fatal(err)
		}
		e.incarnation = h.Incarnation()
		if err := s.Close(); err != nil {
			x.t.Fatal(err)
		}
	}
	l.entries[x.load.Session] = e
	if err := l.check(x.ctx(), x.dir); err != nil {
		x.t.Error(err)
	}
}

// A commit that was slow must not come after the deletion of its session, nor into
// the next session of that id, nor leave references that nobody removes.
func TestDeleteDuringCommit(t *testing.T) {
	t.Parallel()
	for _, step := range []string{local.StepReserved, local.StepUploaded, local.StepStaged, local.StepVerified} {
		for _, again := range []bool{false, true} {
			name := step
			if again {
				name += " and recreate"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				x := newInterleaving(t, step)
				h := create(t, x.slow, x.load)
				deleted := make(chan struct{})
				err := x.pause.during(t, func() error { return runTurns(x.ctx(), h, x.load, "slow", 1) }, func() {
					beside := func() {
						defer close(deleted)
						x.delete()
						if again {
							x.recreate()
						}
					}
					if step == local.StepVerified {
						go beside() // it waits for the transaction to end
						return
					}
					beside()
				})
				<-deleted
				// From "verified" on the commit is first; what follows it may be too late.
				if step != local.StepVerified && !errors.Is(err, lashstore.ErrSessionDeleted) {
					t.Errorf("commit: %v, want ErrSessionDeleted", err)
				}
				x.done(again)
			})
		}
	}
}

// A creation that was slow must not bring back, as a file or as a session, what was
// deleted meanwhile.
func TestDeleteDuringCreate(t *testing.T) {
	t.Parallel()
	for _, step := range []string{local.StepAdmitted, local.StepMaterialised} {
		for _, again := range []bool{false, true} {
			name := step
			if again {
				name += " and recreate"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				x := newInterleaving(t, step)
				first := x.load.meta()
				err := x.pause.during(t, func() error {
					_, _, err := x.slow.CreateSession(x.ctx(), lashstore.CreateSession{Meta: first})
					return err
				}, func() {
					x.delete()
					if again {
						x.recreate()
					}
				})
				if !errors.Is(err, lashstore.ErrSessionDeleted) {
					t.Errorf("create: %v, want ErrSessionDeleted", err)
				}
				x.done(again)
			})
		}
	}
}

// A deletion that was slow must not take the next session of that id with it.
func TestRecreateDuringDelete(t *testing.T) {
	t.Parallel()
	for _, step := range []string{local.StepDeleting, local.StepMarked, local.StepReleased, local.StepRemoved} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			x := newInterleaving(t, step)
			if err := runTurns(x.ctx(), create(t, x.slow, x.load), x.load, "first", 2); err != nil {
				t.Fatal(err)
			}
			err := x.pause.during(t, func() error { return x.slow.DeleteSession(x.ctx(), x.load.Session) }, func() {
				if _, err := x.other.OpenSession(x.ctx(), x.load.Session, lashstore.OpenOptions{}); !errors.Is(err, lashstore.ErrSessionDeleted) {
					t.Errorf("open while it is being deleted: %v, want ErrSessionDeleted", err)
				}
				x.recreate()
			})
			if err != nil {
				t.Errorf("delete: %v", err)
			}
			x.done(true)
		})
	}
}
