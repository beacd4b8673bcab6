package conformance

import (
	"time"

	"github.com/lashstore/lashstore"
)

func clockScenarios() []scenario {
	return []scenario{
		{name: "X_Clock_StepBackLease", run: xClockStepBackLease},
		{name: "X_Clock_StepBackClaim", run: xClockStepBackClaim},
		{name: "X_Clock_StepBackHistory", run: xClockStepBackHistory},
	}
}

// Section 13, Leases: the clock never steps back within a process. A clock that is
// set back must neither prolong a lease nor bring back an expired one (W25).
func xClockStepBackLease(e *env) {
	s := e.create("root")
	start := e.Clock.Now()
	l := e.lease(s, "a")
	e.Clock.Advance(30 * time.Second)
	_, err := s.LeaseStatus(e.Context()) // the store has seen this time
	e.must(err)

	e.Clock.Set(start.Add(-time.Hour))
	renewed, err := s.RenewLease(e.Context(), l.Fence(), leaseTTL)
	e.must(err)
	equal(e, "expiry of a renewal after stepping back", renewed.ExpiresAt, start.Add(30*time.Second+leaseTTL))

	e.Clock.Set(start.Add(30*time.Second + leaseTTL))
	status, err := s.LeaseStatus(e.Context())
	e.must(err)
	equal(e, "status at the expiry", status, lashstore.LeaseStatus{FencingToken: 1})
	e.Clock.Set(start)
	status, err = s.LeaseStatus(e.Context())
	e.must(err)
	equal(e, "status after stepping back", status, lashstore.LeaseStatus{FencingToken: 1})
	_, err = s.RenewLease(e.Context(), l.Fence(), leaseTTL)
	e.fenced(err, lashstore.FenceExpired)
	equal(e, "fencing token", e.lease(s, "b").FencingToken, 2)
}

// As for leases: work that has expired must not be held again by a clock.
func xClockStepBackClaim(e *env) {
	s := e.create("root")
	start := e.Clock.Now()
	batch := e.enqueue(s, exclusive("work"))
	l, err := s.ClaimLease(e.Context(), owner("a"), time.Hour)
	e.must(err)
	claim := e.claim(s, request(l, "a"))
	e.Clock.Advance(leaseTTL)
	equal(e, "pending at the expiry", e.pending(s), []lashstore.BatchID{batch.BatchID})
	e.Clock.Set(start)
	equal(e, "pending after stepping back", e.pending(s), []lashstore.BatchID{batch.BatchID})
	second := e.claim(s, request(l, "b"))
	equal(e, "fencing token", second.FencingToken, claim.FencingToken+1)
	equal(e, "expiry", second.ExpiresAt, start.Add(2*leaseTTL))
}

// History that goes back in time could not be trimmed by age or shown in order.
func xClockStepBackHistory(e *env) {
	s := e.create("root")
	e.commit(s, lashstore.Commit{})
	first := e.Clock.Now()
	e.Clock.Advance(-time.Hour)
	e.commit(s, lashstore.Commit{})
	revisions, err := s.Revisions(e.Context(), lashstore.ListRevisions{})
	e.must(err)
	equal(e, "revisions", len(revisions), 2)
	if revisions[0].CommittedAt.Before(first) {
		e.Errorf("revision 2 was committed at %s, before revision 1 at %s", revisions[0].CommittedAt, first)
	}
}
