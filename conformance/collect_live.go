package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/lashstore/lashstore"
)

func liveScenarios() []scenario {
	return []scenario{
		{name: "X_Collect_NothingThatLives", needs: needCollector, run: xCollectNothingThatLives},
		{name: "X_Collect_BesideWriters", needs: needCollector, run: xCollectBesideWriters},
		{name: "X_Collect_Together", needs: needCollector, run: xCollectTogether},
	}
}

// held is what sessions must hold: session, component, content.
type held map[lashstore.SessionID]map[string][]byte

// whole checks that every session has its components, and returns them all.
func (e *env) whole(want held) (contents [][]byte) {
	e.Helper()
	for _, id := range slices.Sorted(maps.Keys(want)) {
		s := e.session(id)
		snap := e.load(s, lashstore.LoadOptions{HydrateLimit: 1})
		for key, content := range want[id] {
			equal(e, "reference of "+key, snap.Checkpoint.Components[key].Ref, refOf(content))
			if got := e.content(s, lashstore.DigestOf(content)); !bytes.Equal(got, content) {
				e.Errorf("session %q: %s reads back as other content", id, key)
			}
			contents = append(contents, content)
		}
	}
	return contents
}

// Whatever sessions do, a collection without any grace takes nothing that they refer
// to, and in the end nothing else is left.
func xCollectNothingThatLives(e *env) {
	h := fnv.New64a()
	_, _ = h.Write([]byte(e.Name()))
	seed := h.Sum64()
	e.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	pool := make([][]byte, 12)
	for i := range pool {
		pool[i] = e.random(fmt.Sprint("content ", i), []int{500, 20 << 10, tierSize, 600 << 10}[i%4])
		if i%4 == 3 && i > 3 { // shares pieces with another
			copy(pool[i], pool[3][:300<<10])
		}
	}
	want := held{}
	ids := []lashstore.SessionID{"a", "b", "c"}
	settings := keepOne()
	e.reopen(settings)
	for range 60 {
		id := ids[rnd.IntN(len(ids))]
		switch rnd.IntN(8) {
		case 0:
			e.must(e.store().DeleteSession(e.Context(), id))
			delete(want, id)
		case 1:
			e.put(pool[rnd.IntN(len(pool))], lashstore.PutBlobOptions{})
		case 2, 3:
			e.Clock.Advance(lashstore.DefaultUploadTTL / 3)
			e.reopen(settings)
			e.collect(lashstore.CollectOptions{Grace: atOnce(), Audit: rnd.IntN(2) == 0, Workers: 1 + rnd.IntN(4)})
			e.whole(want)
		default:
			s, _, err := e.store().CreateSession(e.Context(), lashstore.CreateSession{Meta: lashstore.SessionMeta{SessionID: id}, Recreate: true})
			e.must(err)
			components := map[string][]byte{}
			for n := rnd.IntN(3); n >= 0; n-- {
				components[fmt.Sprint("component ", n)] = pool[rnd.IntN(len(pool))]
			}
			e.commit(s, lashstore.Commit{Checkpoint: checkpoint(0, components)})
			want[id] = components
		}
	}
	e.sweep(settings)
	live := e.whole(want)
	for _, content := range pool {
		if !slices.ContainsFunc(live, func(c []byte) bool { return bytes.Equal(c, content) }) {
			e.deleted(content)
		}
	}
	report := e.collect(lashstore.CollectOptions{Grace: atOnce(), Audit: true})
	equal(e, "outcome of the last audit", report.Outcome, lashstore.CollectNothing)
	equal(e, "faults", report.Mark.Faults, nil)
	equal(e, "damage", report.Sweep.Damage, nil)
	equal(e, "objects in the tier that nothing refers to", report.Sweep.Objects-report.Retained, 0)
}

// Collections without grace beside writers that store, drop and store again equal
// content, in two processes: every commit that was acknowledged can be read.
func xCollectBesideWriters(e *env) {
	const writers, turns = 3, 12
	pool := make([][]byte, 4)
	for i := range pool {
		pool[i] = e.random(fmt.Sprint("content ", i), tierSize)
	}
	stores := []lashstore.Store{e.reopen(keepOne()), e.second(keepOne())}
	var writing atomic.Int64
	writing.Store(writers)
	last := make([][]byte, writers)
	errs := race(writers+1, func(n int) error {
		if n == writers {
			return e.collectWhile(stores, &writing)
		}
		defer writing.Add(-1)
		var err error
		last[n], err = rewrite(e.Context(), stores[n%2], lashstore.SessionID(fmt.Sprint("writer ", n)), pool, turns)
		return err
	})
	for _, err := range errs {
		e.must(err)
	}
	e.reopen(keepOne())
	report := e.collect(lashstore.CollectOptions{Grace: atOnce(), Audit: true})
	equal(e, "faults", report.Mark.Faults, nil)
	equal(e, "damage", report.Sweep.Damage, nil)
	for n, content := range last {
		e.live(e.session(lashstore.SessionID(fmt.Sprint("writer ", n))), content)
	}
}

// collectWhile collects without grace as long as somebody writes.
func (e *env) collectWhile(stores []lashstore.Store, writing *atomic.Int64) error {
	for n := 0; writing.Load() > 0; n++ {
		st := stores[n%len(stores)]
		if _, err := st.ListSessions(e.Context(), lashstore.ListSessions{}); err != nil { // which settles
			return err
		}
		_, err := e.collectorOf(st).Collect(e.Context(), lashstore.CollectOptions{Grace: atOnce(), Audit: n%3 == 2})
		if err != nil {
			return fmt.Errorf("collection %d: %w", n, err)
		}
	}
	return nil
}

// rewrite commits contents of a pool in turn to a session, reads each back, and
// returns the last.
func rewrite(ctx context.Context, st lashstore.Store, id lashstore.SessionID, pool [][]byte, turns int) (last []byte, err error) {
	s, _, err := st.CreateSession(ctx, lashstore.CreateSession{Meta: lashstore.SessionMeta{SessionID: id}})
	if err != nil {
		return nil, err
	}
	l, err := s.ClaimLease(ctx, owner("writer"), time.Hour)
	if err != nil {
		return nil, err
	}
	for turn := range turns {
		last = pool[(turn+len(id))%len(pool)]
		_, err := s.Commit(ctx, lashstore.Commit{
			Fence: l.Fence(), ExpectedRevision: lashstore.Revision(turn), Config: config("provider-a"),
			Checkpoint: checkpoint(uint64(turn), map[string][]byte{"state": last}),
		})
		if err != nil {
			return nil, fmt.Errorf("session %q: turn %d: %w", id, turn, err)
		}
		r, err := s.OpenContent(ctx, lashstore.DigestOf(last))
		if err != nil {
			return nil, fmt.Errorf("session %q: turn %d: %w", id, turn, err)
		}
		got, err := io.ReadAll(r)
		if err := errors.Join(err, r.Close()); err != nil {
			return nil, fmt.Errorf("session %q: turn %d: %w", id, turn, err)
		}
		if !bytes.Equal(got, last) {
			return nil, fmt.Errorf("session %q: turn %d reads back as other content", id, turn)
		}
	}
	return last, nil
}

// Collections at once, in two processes, share the work and do it once.
func xCollectTogether(e *env) {
	const contents = 8
	e.reopen(keepOne())
	s := e.create("root")
	all := make([][]byte, contents)
	for i := range all {
		all[i] = e.random(fmt.Sprint("content ", i), tierSize)
		e.replace(s, all[i])
	}
	stores := []lashstore.Store{e.reopen(keepOne()), e.second(keepOne())}
	var deleted atomic.Int64
	for _, err := range race(4, func(i int) error {
		report, err := e.collectorOf(stores[i%2]).Collect(e.Context(), lashstore.CollectOptions{Grace: atOnce()})
		deleted.Add(report.Deleted)
		return err
	}) {
		e.must(err)
	}
	rest := e.collect(lashstore.CollectOptions{Grace: atOnce()})
	equal(e, "deleted in all", deleted.Load()+rest.Deleted, contents-1)
	equal(e, "shards that are still taken", len(e.status().Leases), 0)
	e.deleted(all[:contents-1]...)
	e.live(e.session("root"), all[contents-1])
}
