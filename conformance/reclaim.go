package conformance

import (
	"errors"

	"github.com/lashstore/lashstore"
)

func reclaimScenarios() []scenario {
	return []scenario{
		{name: "S29_ReclaimFromTheDead", run: s29ReclaimFromTheDead},
		{name: "S30_ReclaimWithOldObservation", run: s30ReclaimWithOldObservation},
		{name: "S31_ReclaimRace", run: s31ReclaimRace},
		{name: "S32_OtherHost", run: s32OtherHost},
		{name: "S33_OtherBoot", run: s33OtherBoot},
		{name: "S34_OpaqueHolder", run: s34OpaqueHolder},
		{name: "S35_LivingHolder", run: s35LivingHolder},
		{name: "X_Reclaim_OtherNamespace", run: xReclaimOtherNamespace},
		{name: "X_Reclaim_UnreadableTable", run: xReclaimUnreadableTable},
		{name: "X_Reclaim_FreeLease", run: xReclaimFreeLease},
	}
}

// localProcess is a process on host-a in boot-a.
func localProcess(pid int64, start uint64) lashstore.Liveness {
	return lashstore.Liveness{
		Kind: lashstore.LivenessLocalProcess, HostID: "host-a", BootID: "boot-a", PIDNamespace: "ns-a", PID: pid, ProcessStart: start,
	}
}

// tableOf is a process table: start times by process id.
type tableOf map[int64]uint64

func (t tableOf) StartTime(pid int64) (start uint64, exists bool, err error) {
	start, exists = t[pid]
	return start, exists, nil
}

// process is an owner that is a process; it runs unless a scenario says otherwise.
func process(name string, pid int64) lashstore.Owner {
	o := owner(name)
	o.Liveness = localProcess(pid, 1000)
	return o
}

// deadHolder creates a session whose lease a dead process holds: its number
// belongs to a younger one.
func (e *env) deadHolder() (lashstore.Session, lashstore.Lease) {
	e.Helper()
	s := e.create("root")
	l, err := s.ClaimLease(e.Context(), process("dead", 100), leaseTTL)
	e.must(err)
	e.Processes.Start(100, 2000)
	return s, l
}

// A crashed worker on the same machine should not cost half a minute; only a
// reclaim may say so, never a plain claim (I10).
func s29ReclaimFromTheDead(e *env) {
	s, dead := e.deadHolder()
	claimant := process("b", 200)
	_, err := s.ClaimLease(e.Context(), claimant, leaseTTL)
	e.held(err, dead)
	l, err := s.ReclaimLease(e.Context(), claimant, dead.LeaseHolder, leaseTTL)
	e.must(err)
	equal(e, "fencing token", l.FencingToken, dead.FencingToken+1)
	if l.Displaced == nil {
		e.Fatal("the new holder does not learn whom it displaced")
	}
	equal(e, "displaced", *l.Displaced, dead.LeaseHolder)
	_, err = s.RenewLease(e.Context(), dead.Fence(), leaseTTL)
	e.fenced(err, lashstore.FenceSuperseded)
}

// Evidence about a former holder says nothing about the present one.
func s30ReclaimWithOldObservation(e *env) {
	s, dead := e.deadHolder()
	e.Processes.Start(200, 1000)
	second, err := s.ReclaimLease(e.Context(), process("b", 200), dead.LeaseHolder, leaseTTL)
	e.must(err)
	_, err = s.ReclaimLease(e.Context(), process("c", 300), dead.LeaseHolder, leaseTTL)
	e.held(err, second)

	// Even if the present holder is dead too: it is not the one that was observed.
	e.Processes.Exit(200)
	_, err = s.ReclaimLease(e.Context(), process("c", 300), dead.LeaseHolder, leaseTTL)
	e.held(err, second)
	third, err := s.ReclaimLease(e.Context(), process("c", 300), second.LeaseHolder, leaseTTL)
	e.must(err)
	equal(e, "fencing token", third.FencingToken, second.FencingToken+1)
}

// Two heirs of one dead holder would both write.
func s31ReclaimRace(e *env) {
	s, dead := e.deadHolder()
	handles := []lashstore.Session{s, e.sessionOf(e.second(Settings{}), "root")}
	for pid := range int64(6) {
		e.Processes.Start(200+pid, 1000)
	}
	errs := race(6, func(i int) error {
		l, err := handles[i%2].ReclaimLease(e.Context(), process(string(rune('a'+i)), 200+int64(i)), dead.LeaseHolder, leaseTTL)
		if err == nil && l.FencingToken != dead.FencingToken+1 {
			return errors.New("reclaimed without a larger fencing token")
		}
		return err
	})
	equal(e, "winners", e.winners(errs, lashstore.ErrLeaseHeld), 1)
}

// notReclaimed checks that the holder's death is not taken as proven.
func (e *env) notReclaimed(s lashstore.Session, l lashstore.Lease, change func(*lashstore.Liveness)) {
	e.Helper()
	claimant := process("b", 200)
	change(&claimant.Liveness)
	_, err := s.ReclaimLease(e.Context(), claimant, l.LeaseHolder, leaseTTL)
	e.held(err, l)
}

// A process number means nothing on another machine.
func s32OtherHost(e *env) {
	s, dead := e.deadHolder()
	e.notReclaimed(s, dead, func(l *lashstore.Liveness) { l.HostID = "host-b" })
}

// An old boot proves nothing: the record may be of a machine that has the name now.
func s33OtherBoot(e *env) {
	s, dead := e.deadHolder()
	e.notReclaimed(s, dead, func(l *lashstore.Liveness) { l.BootID = "boot-b" })
}

// Without evidence there is no proof, on either side.
func s34OpaqueHolder(e *env) {
	s := e.create("root")
	l := e.lease(s, "opaque")
	e.notReclaimed(s, l, func(*lashstore.Liveness) {})
	e.must(s.ReleaseLease(e.Context(), l.Fence()))
	dead, err := s.ClaimLease(e.Context(), process("dead", 100), leaseTTL)
	e.must(err)
	e.notReclaimed(s, dead, func(l *lashstore.Liveness) { *l = lashstore.Liveness{} })
}

// A living holder that lost its lease would be two writers.
func s35LivingHolder(e *env) {
	s, l := e.deadHolder()
	e.Processes.Start(100, 1000)
	e.notReclaimed(s, l, func(*lashstore.Liveness) {})
}

// Section 13, Leases: in another process-id namespace the same number is another
// process (W26).
func xReclaimOtherNamespace(e *env) {
	s, dead := e.deadHolder()
	e.notReclaimed(s, dead, func(l *lashstore.Liveness) { l.PIDNamespace = "ns-b" })
	e.notReclaimed(s, dead, func(l *lashstore.Liveness) { l.PIDNamespace = "" })
}

// A table that cannot be read proves nothing.
func xReclaimUnreadableTable(e *env) {
	s, dead := e.deadHolder()
	e.Processes.Fail(errors.New("no process table"))
	e.notReclaimed(s, dead, func(*lashstore.Liveness) {})
	e.Processes.Fail(nil)
	_, err := s.ReclaimLease(e.Context(), process("b", 200), dead.LeaseHolder, leaseTTL)
	e.must(err)
}

// Between the observation and the reclaim the lease may have become free; then
// nobody has to be dead.
func xReclaimFreeLease(e *env) {
	s := e.create("root")
	observed := lashstore.LeaseHolder{Owner: owner("nobody"), FencingToken: 7}
	first, err := s.ReclaimLease(e.Context(), owner("a"), observed, leaseTTL)
	e.must(err)
	equal(e, "fencing token", first.FencingToken, 1)
	e.must(s.ReleaseLease(e.Context(), first.Fence()))
	second, err := s.ReclaimLease(e.Context(), owner("b"), first.LeaseHolder, leaseTTL)
	e.must(err)
	equal(e, "fencing token after a release", second.FencingToken, 2)
	e.Clock.Advance(leaseTTL)
	third, err := s.ReclaimLease(e.Context(), owner("c"), second.LeaseHolder, leaseTTL)
	e.must(err)
	equal(e, "fencing token after an expiry", third.FencingToken, 3)

	// The present holder is no exception: it claims instead.
	_, err = s.ReclaimLease(e.Context(), owner("c"), third.LeaseHolder, leaseTTL)
	e.held(err, third)
}
