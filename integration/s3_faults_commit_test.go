package integration_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas/s3cas"
	"github.com/lashstore/lashstore/internal/faultproxy"
	"github.com/lashstore/lashstore/internal/testenv"
	"github.com/lashstore/lashstore/local"
)

const (
	// evolvingSessions commit side by side, and share some content.
	evolvingSessions = 3
	// maxCommitTries is how often a commit is repeated before a test gives up: with the
	// faults below, one in some ten fails.
	maxCommitTries = 200
)

// evolving is a session whose state, of 300 KiB to 1 MiB, changes a little each turn:
// its content becomes segments, deltas and manifests that build on each other.
type evolving struct {
	load   workload
	h      lashstore.Session
	fence  lashstore.Fence
	states [][]byte // of each revision, from 1
	rng    *rand.Rand
	fill   func(n int) []byte
	acked  lashstore.Revision
}

func newEvolving(seed uint64, i int) *evolving {
	e := &evolving{load: workload{Seed: seed, Session: lashstore.SessionID(fmt.Sprintf("evolving-%d", i)), Epoch: 1}}
	e.rng, e.fill = testenv.Records(seed + uint64(i))
	return e
}

// state is the state of a revision. Revisions are asked for in order.
func (e *evolving) state(rev lashstore.Revision) []byte {
	if int(rev) <= len(e.states) {
		return e.states[rev-1]
	}
	var state []byte
	if rev == 1 {
		state = e.fill(300<<10 + e.rng.IntN(500<<10))
	} else {
		state = bytes.Clone(e.states[rev-2])
	}
	switch rev % 3 {
	case 0:
		half := e.rng.IntN(len(state))
		state = append(state[:half:half], append(e.fill(3<<10), state[half:]...)...)
	case 1:
		state = append(state, e.fill(5<<10)...)
	default:
		for range 6 {
			copy(state[e.rng.IntN(len(state)):], e.fill(700))
		}
	}
	e.states = append(e.states, state)
	return state
}

// components is the content of a revision: its state, something small, and content
// that all sessions come to hold.
func (e *evolving) components(rev lashstore.Revision) map[string][]byte {
	return map[string][]byte{
		lashstore.ComponentExecutionState: e.state(rev),
		lashstore.ComponentToolState:      e.load.text("tool", rev, inlineSize),
		lashstore.ComponentPluginSnapshot: e.load.shared(rev / 3),
	}
}

// commit commits a revision once.
func (e *evolving) commit(ctx context.Context, rev lashstore.Revision) (lashstore.CommitResult, error) {
	c := lashstore.Commit{
		ExpectedRevision: rev - 1, Fence: e.fence, TurnID: lashstore.TurnID(fmt.Sprintf("turn-%d", rev)),
		Graph:      e.load.delta(rev),
		Checkpoint: &lashstore.Checkpoint{TurnState: e.load.turnState(rev), Components: make(map[string]lashstore.Component)},
	}
	if rev == 1 {
		cfg := e.load.config(rev)
		c.Config = &cfg
	}
	if f, ok := e.load.frame(rev); ok {
		c.Frames = []lashstore.AgentFrame{f}
	}
	for key, content := range e.components(rev) {
		c.Checkpoint.Components[key] = lashstore.Changed(content)
	}
	res, err := e.h.Commit(ctx, c)
	if err == nil && res.Revision != rev {
		return res, fmt.Errorf("committed as revision %d, want %d", res.Revision, rev)
	}
	return res, err
}

// check loads a revision and compares all of its bytes.
func (e *evolving) check(ctx context.Context, rev lashstore.Revision) error {
	snap, err := e.h.Load(ctx, lashstore.LoadOptions{Revision: rev})
	if err != nil {
		return err
	}
	want := e.components(rev)
	if snap.Revision != rev || snap.Checkpoint == nil || len(snap.Checkpoint.Components) != len(want) || len(snap.Graph.Nodes) != len(e.load.nodes(rev)) {
		return fmt.Errorf("%w: revision %d of session %s is not what was committed", errWrongBytes, rev, e.load.Session)
	}
	for key, content := range want {
		if !bytes.Equal(snap.Checkpoint.Components[key].Bytes, content) {
			return fmt.Errorf("%w: component %s of revision %d of session %s", errWrongBytes, key, rev, e.load.Session)
		}
	}
	return nil
}

// turns commits until a revision is there, whatever happens, and reads in between.
func (e *evolving) turns(ctx context.Context, until lashstore.Revision, failed *atomic.Int64) error {
	for rev := e.acked + 1; rev <= until; rev++ {
		for try := 1; ; try++ {
			_, err := e.commit(ctx, rev)
			if err == nil {
				break
			}
			failed.Add(1)
			if bad := typed(err, lashstore.ErrStorage, lashstore.ErrDiskFull, lashstore.ErrCorruptBlob); bad != nil || try == maxCommitTries {
				return fmt.Errorf("session %s, revision %d, try %d: %w", e.load.Session, rev, try, errors.Join(bad, err))
			}
			if head, err := e.h.Head(ctx); err != nil || head.Revision < rev-1 || head.Revision > rev {
				return fmt.Errorf("session %s is at revision %d, %w, after revision %d failed", e.load.Session, head.Revision, err, rev)
			}
		}
		e.acked = rev
		if err := e.check(ctx, 1+rev/2); err != nil {
			if bad := typed(err, lashstore.ErrStorage, lashstore.ErrCorruptBlob); bad != nil {
				return bad
			}
		}
	}
	return nil
}

// stormFaults are what the requests of commits and loads meet.
func stormFaults(late *faultproxy.Gate) []faultproxy.Fault {
	faults := []faultproxy.Fault{faultproxy.Late(late), faultproxy.Stale(), faultproxy.FlipAnswer(8 * 1009)}
	for _, row := range faultRows() {
		faults = append(faults, row.fault)
	}
	return faults
}

// eachSession runs fn for each session at once.
func eachSession(t *testing.T, sessions []*evolving, fn func(context.Context, *evolving) error) {
	t.Helper()
	group, ctx := errgroup.WithContext(t.Context())
	for _, e := range sessions {
		group.Go(func() error { return fn(ctx, e) })
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
}

// reopen opens a store again and the sessions in it.
func (f *faultyS3) reopen(dir string, opts local.Options, sessions []*evolving) *local.Store {
	f.t.Helper()
	store := open(f.t, dir, opts)
	for _, e := range sessions {
		h, err := store.OpenSession(f.t.Context(), e.load.Session, lashstore.OpenOptions{})
		if err != nil {
			f.t.Fatal(err)
		}
		e.h = h
	}
	return store
}

// In a storm of faults a commit is acknowledged or fails by a typed error, and the
// same commit again goes through. What was acknowledged is whole for whoever opens the
// store later; what was not is whole or absent.
func TestS3CommitsInAStorm(t *testing.T) {
	t.Parallel()
	eachFastS3(t, func(t *testing.T, server testenv.S3Server) {
		t.Helper()
		f := newFaultyS3(t, server)
		if !f.verifiesBody(faultproxy.OpPut) {
			t.Log("requests are not damaged: this server takes damaged ones")
		}
		dir, seed := t.TempDir(), testenv.Seed(t)
		turns := lashstore.Revision(12)
		if testenv.InCI() {
			turns = 24
		}
		d := f.open(s3cas.Options{MaxAttempts: 2, SinglePutBytes: 48 << 10})
		store := f.openStore(dir, d)
		var sessions []*evolving
		for i := range evolvingSessions {
			e := newEvolving(seed, i)
			e.h, e.fence = leaseFor(t, store, e.load)
			sessions = append(sessions, e)
		}
		var failed atomic.Int64
		f.proxy.Record()
		opts := f.storeOptions(d)
		for phase := range lashstore.Revision(2) {
			late := faultproxy.NewGate()
			f.proxy.Follow(f.storm(seed+uint64(phase), late))
			eachSession(t, sessions, func(ctx context.Context, e *evolving) error { return e.turns(ctx, (phase+1)*turns, &failed) })
			f.proxy.Heal()
			if err := errors.Join(store.Close(), d.Close()); err != nil {
				t.Fatal(err)
			}
			late.Release()
			f.proxy.Settle()
			opts.RecentBytes = -1 // what a state follows is read from the server
			store = f.reopen(dir, opts, sessions)
		}
		f.lastTurn(sessions, 2*turns+1)
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
		counts, faults := f.proxy.Counts(), 0
		for kind, n := range counts {
			if kind != faultproxy.KindPass {
				faults += n
			}
		}
		t.Logf("%d of %d requests met a fault, %d commits failed: %v", faults, len(f.proxy.Events()), failed.Load(), counts)
		if faults < 50 || failed.Load() == 0 {
			t.Errorf("%d faults and %d failed commits are no storm", faults, failed.Load())
		}
		f.noUploads(stormy)
		f.afterTheStorm(dir, sessions, 2*turns)
	})
}

// storm chooses a fault for a third of the requests. A server that takes damaged
// requests would lose what it was given.
func (f *faultyS3) storm(seed uint64, late *faultproxy.Gate) faultproxy.Script {
	random := faultproxy.Random(seed, 3, stormFaults(late)...)
	return func(r faultproxy.Request) faultproxy.Fault {
		fault := random(r)
		if fault.Kind() == faultproxy.KindFlipRequest && !f.verifiesBody(r.Op) {
			return faultproxy.Pass()
		}
		return fault
	}
}

// lastTurn begins a revision of each session that no answer comes for.
func (f *faultyS3) lastTurn(sessions []*evolving, rev lashstore.Revision) {
	f.t.Helper()
	for i, e := range sessions {
		fault := []faultproxy.Fault{faultproxy.DropAnswer(), faultproxy.ResetAfterBody(), faultproxy.ResetDuringBody()}[i%3]
		f.proxy.Follow(faultproxy.Always(fault, faultproxy.OpPut, faultproxy.OpPart, faultproxy.OpComplete))
		if _, err := e.commit(f.t.Context(), rev); err == nil {
			f.t.Errorf("session %s: revision %d was acknowledged without an answer", e.load.Session, rev)
		} else if err := typedS3(err); err != nil {
			f.t.Error(err)
		}
	}
	f.proxy.Heal()
}

// afterTheStorm opens the store without the proxy and checks everything.
func (f *faultyS3) afterTheStorm(dir string, sessions []*evolving, acked lashstore.Revision) {
	t := f.t
	t.Helper()
	f.whole(dir)
	store := f.reopen(dir, f.storeOptions(f.direct), sessions)
	eachSession(t, sessions, func(ctx context.Context, e *evolving) error {
		head, err := e.h.Head(ctx)
		if err != nil || head.Revision < acked || head.Revision > acked+1 {
			return fmt.Errorf("session %s is at revision %d, %w; %d was acknowledged", e.load.Session, head.Revision, err, acked)
		}
		for rev := lashstore.Revision(1); rev <= head.Revision; rev++ {
			if err := e.check(ctx, rev); err != nil {
				return fmt.Errorf("session %s, revision %d: %w", e.load.Session, rev, err)
			}
		}
		res, err := e.commit(ctx, acked+1)
		if err != nil || res.Replayed != (head.Revision == acked+1) {
			return fmt.Errorf("session %s: the last commit again, replayed %t with the head at %d: %w", e.load.Session, res.Replayed, head.Revision, err)
		}
		return e.check(ctx, acked+1)
	})
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	f.whole(dir)
}
