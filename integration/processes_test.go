package integration_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/internal/testenv"
	"github.com/lashstore/lashstore/local"
)

// crowd is how many processes share a directory.
const crowd = 8

// open opens a store and closes it when the test ends.
func open(t *testing.T, dir string, opts local.Options) *local.Store {
	t.Helper()
	s, err := local.Open(t.Context(), dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close the store: %v", err)
		}
	})
	return s
}

func create(t *testing.T, s *local.Store, load workload) lashstore.Session {
	t.Helper()
	h, created, err := s.CreateSession(t.Context(), lashstore.CreateSession{Meta: load.meta(), Recreate: load.Epoch > 1})
	if err != nil || !created {
		t.Fatalf("create %s: created %t, %v", load.Session, created, err)
	}
	return h
}

// Processes that meet on a directory that does not exist yet must all get the same
// store: none may fail, and none may make a database that another replaces.
func TestFirstOpenTogether(t *testing.T) {
	t.Parallel()
	seed, rounds := testenv.Seed(t), 2
	if testenv.InCI() {
		rounds = 15
	}
	for range rounds {
		dir := t.TempDir() + "/not/there/yet"
		id := func(i int) lashstore.SessionID { return lashstore.SessionID(fmt.Sprintf("session-%d", i)) }
		procs := together(t, "first-open", crowd, func(i int) any {
			return shareTask{Dir: dir, Seed: seed, Number: i, ID: id(i), Count: 2}
		})
		for i, p := range procs {
			for _, out := range rest[outcome](p) {
				if !out.OK {
					t.Errorf("process %d: %s", i, out.Error)
				}
			}
		}
		l := newLedger(seed)
		for i := range crowd {
			l.entries[id(i)] = entry{epoch: 1, acked: 2}
		}
		s := open(t, dir, local.Options{})
		for i := range crowd {
			h, err := s.OpenSession(t.Context(), id(i), lashstore.OpenOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := checkSession(t.Context(), h, l.workload(id(i)), 2, 2); err != nil {
				t.Errorf("session %d: %v", i, err)
			}
		}
	}
}

// If two creators of one session both believed to be the first, the later would
// start over what the earlier had begun.
func TestCreateTogether(t *testing.T) {
	t.Parallel()
	dir, count := t.TempDir(), 5
	if testenv.InCI() {
		count = 50
	}
	procs := make([]*process, crowd)
	for i := range procs {
		procs[i] = start(t, "create", shareTask{Dir: dir, Number: i, ID: "same", Count: count})
	}
	var ids []lashstore.Incarnation
	for round := range count {
		for _, p := range procs {
			var ready string
			p.next(&ready)
		}
		for _, p := range procs {
			p.proceed()
		}
		winner, incarnations := -1, make(map[lashstore.Incarnation]int)
		for i, p := range procs {
			var out outcome
			p.next(&out)
			if out.Error != "" {
				t.Fatalf("round %d, process %d: %s", round, i, out.Error)
			}
			incarnations[out.Incarnation]++
			if out.OK {
				if winner >= 0 {
					t.Errorf("round %d: processes %d and %d both created it", round, winner, i)
				}
				winner = i
			}
			ids = append(ids, out.Incarnation)
		}
		if len(incarnations) != 1 || winner < 0 {
			t.Errorf("round %d: winner %d, incarnations %v, want one of each", round, winner, incarnations)
		}
	}
	for _, p := range procs {
		p.finish()
	}
	slices.Sort(ids)
	if got := len(slices.Compact(ids)); got != count {
		t.Errorf("%d incarnations of %d sessions", got, count)
	}
}

// Two holders of one lease would both run the session.
func TestLeaseHasOneWinner(t *testing.T) {
	t.Parallel()
	dir, load := t.TempDir(), workload{Session: "leased", Epoch: 1}
	h := create(t, open(t, dir, local.Options{}), load)
	winners := 0
	for i, p := range together(t, "lease", crowd, func(i int) any { return shareTask{Dir: dir, Number: i, ID: load.Session} }) {
		for _, out := range rest[outcome](p) {
			switch {
			case out.OK && out.Fencing == 1:
				winners++
			case out.OK:
				t.Errorf("process %d got fencing token %d, want 1", i, out.Fencing)
			case out.Kind != "lease_held":
				t.Errorf("process %d: %s", i, out.Error)
			}
		}
	}
	if winners != 1 {
		t.Errorf("%d processes have the lease, want 1", winners)
	}
	if st, err := h.LeaseStatus(t.Context()); err != nil || st.Holder == nil || st.FencingToken != 1 {
		t.Errorf("lease status %+v, %v", st, err)
	}
}

// A batch that two processes take is work done twice; one that none takes is lost.
func TestEachBatchIsClaimedOnce(t *testing.T) {
	t.Parallel()
	dir, count := t.TempDir(), 60
	if testenv.InCI() {
		count = 400
	}
	load := workload{Seed: testenv.Seed(t), Session: "queue", Epoch: 1}
	h := create(t, open(t, dir, local.Options{}), load)
	enqueue := func(from, to int) (ids []lashstore.BatchID) {
		for i := from; i < to; i++ {
			d := load.batch(fmt.Sprint(i))
			if i%3 == 0 {
				d.SlotPolicy = lashstore.SlotExclusive
			}
			res, err := h.Enqueue(t.Context(), d)
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, res.Batch.BatchID)
		}
		return ids
	}
	want := enqueue(0, count/2)
	procs := together(t, "queue", crowd/2, func(i int) any { return shareTask{Dir: dir, Number: i, ID: load.Session} })
	want = append(want, enqueue(count/2, count)...) // while they are at work
	taken, last := make(map[lashstore.BatchID]int), lashstore.Revision(0)
	for _, p := range procs {
		for _, out := range rest[outcome](p) {
			for _, id := range out.Batches {
				taken[id]++
			}
			last = max(last, out.Revision)
		}
	}
	left, err := h.ListQueue(t.Context(), lashstore.ListQueue{Limit: lashstore.MaxListLimit})
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range left { // enqueued after the last process found nothing
		taken[b.BatchID]++
	}
	for _, id := range want {
		if taken[id] != 1 {
			t.Errorf("batch %s was settled %d times", id, taken[id])
		}
	}
	if len(taken) != len(want) || last == 0 {
		t.Errorf("%d batches were settled by %d commits, %d were enqueued", len(taken), last, len(want))
	}
}

// The expected revision is what keeps a worker that fell behind from overwriting
// what it has not seen. The loser must be told that, and not of some lock.
func TestOneCommitWinsEachRevision(t *testing.T) {
	t.Parallel()
	dir, count := t.TempDir(), 30
	if testenv.InCI() {
		count = 200
	}
	load := workload{Seed: testenv.Seed(t), Session: "raced", Epoch: 1}
	h := create(t, open(t, dir, local.Options{}), load)
	lease, err := h.ClaimLease(t.Context(), lashstore.Owner{OwnerID: "all", IncarnationID: "all"}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	procs := together(t, "commit", crowd/2, func(i int) any {
		return shareTask{Dir: dir, Seed: load.Seed, Number: i, ID: load.Session, Fence: lease.Fence(), Count: count}
	})
	winner, lost := make(map[lashstore.Revision]int), 0
	for i, p := range procs {
		for _, out := range rest[outcome](p) {
			switch other, won := winner[out.Revision]; {
			case out.OK && won:
				t.Errorf("revision %d: both process %d and process %d committed it", out.Revision, other, i)
			case out.OK:
				winner[out.Revision] = i
			case out.Kind == "head_moved":
				lost++
			default:
				t.Errorf("process %d at revision %d: %s", i, out.Revision, out.Error)
			}
		}
	}
	infos, err := h.Revisions(t.Context(), lashstore.ListRevisions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d revisions, %d commits lost", len(winner), lost)
	for _, info := range infos {
		snap, err := h.Load(t.Context(), lashstore.LoadOptions{Revision: info.Revision})
		if err != nil {
			t.Fatal(err)
		}
		who, won := winner[info.Revision]
		if got := string(snap.Checkpoint.Components["who"].Bytes); !won || got != fmt.Sprint(who) {
			t.Errorf("revision %d is by process %s, acknowledged to %d (%t)", info.Revision, got, who, won)
		}
	}
	if len(winner) < count || infos[0].Revision != lashstore.Revision(len(winner)) {
		t.Errorf("%d revisions were won, the head is %d, want at least %d", len(winner), infos[0].Revision, count)
	}
}

// A process that still has a deleted session open must be refused, also when the
// id has a new session, and must not harm that one by closing.
func TestDeleteUnderAnOpenHandle(t *testing.T) {
	t.Parallel()
	ctx, dir := t.Context(), t.TempDir()
	load := workload{Seed: testenv.Seed(t), Session: "held", Epoch: 1}
	s := open(t, dir, local.Options{Retention: lashstore.Retention{Revisions: retained}})
	h := create(t, s, load)
	if err := runTurns(ctx, h, load, "parent", 2); err != nil {
		t.Fatal(err)
	}
	lease, err := h.ClaimLease(ctx, lashstore.Owner{OwnerID: "child", IncarnationID: "1"}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	holder := start(t, "hold", shareTask{Dir: dir, ID: load.Session, Fence: lease.Fence()})
	var ready string
	holder.next(&ready)
	if err := s.DeleteSession(ctx, load.Session); err != nil {
		t.Fatal(err)
	}
	refused := func(n int) {
		t.Helper()
		for i := range n {
			var out outcome
			if holder.next(&out); out.Kind != "deleted" {
				t.Errorf("call %d on the deleted session: %+v, want ErrSessionDeleted", i, out)
			}
		}
	}
	holder.proceed()
	refused(6)
	again := load
	again.Epoch = 2
	h2 := create(t, s, again)
	if err := runTurns(ctx, h2, again, "parent", 2); err != nil {
		t.Fatal(err)
	}
	holder.proceed()
	refused(1)
	holder.finish()
	if err := runTurns(ctx, h2, again, "parent", 1); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Head(ctx); kindOf(err) != "deleted" {
		t.Errorf("the parent's own old handle: %v, want ErrSessionDeleted", err)
	}
	if _, err := checkSession(ctx, h2, again, 3, 3); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := audit(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, fault := range f.missing {
		t.Error(fault)
	}
	if len(f.surplus) > 0 {
		t.Errorf("surplus edges: %v", f.surplus)
	}
}
