package conformance

import (
	"math"
	"time"

	"github.com/lashstore/lashstore"
)

// selectScenarios check the pure functions that every implementation claims with.
func selectScenarios() []scenario {
	return []scenario{
		{name: "S57_SelectExclusiveHead", run: s57SelectExclusiveHead},
		{name: "S58_SelectJoinUpToMax", run: s58SelectJoinUpToMax},
		{name: "S59_SelectKeyBreak", run: s59SelectKeyBreak},
		{name: "S60_SelectBoundary", run: s60SelectBoundary},
		{name: "S61_SelectCommandAhead", run: s61SelectCommandAhead},
		{name: "S62_SelectCommandBehind", run: s62SelectCommandBehind},
		{name: "S63_DeriveClaim", run: s63DeriveClaim},
	}
}

// candidate is turn work at the earliest safe boundary.
func candidate(slot lashstore.SlotPolicy, key lashstore.MergeKey) lashstore.Candidate {
	return lashstore.Candidate{
		Class: lashstore.WorkTurn, DeliveryPolicy: lashstore.DeliverEarliest, SlotPolicy: slot, MergeKey: key,
	}
}

func (e *env) selects(boundary lashstore.ClaimBoundary, limit, want int, why lashstore.ClaimRefusal, candidates ...lashstore.Candidate) {
	e.Helper()
	got, refusal := lashstore.SelectTurnWork(candidates, boundary, limit)
	equal(e, "selected turn work", got, want)
	equal(e, "refusal", refusal, why)
}

// An exclusive batch is alone in its claim (I13).
func s57SelectExclusiveHead(e *env) {
	c := candidate(lashstore.SlotExclusive, lashstore.MergeNever)
	e.selects(lashstore.BoundaryIdle, 8, 1, "", c, c)
}

// A join stops at the limit.
func s58SelectJoinUpToMax(e *env) {
	c := candidate(lashstore.SlotJoin, lashstore.MergePayloadDefault)
	e.selects(lashstore.BoundaryIdle, 3, 3, "", c, c, c, c)
	e.selects(lashstore.BoundaryIdle, 8, 4, "", c, c, c, c)
	never := candidate(lashstore.SlotJoin, lashstore.MergeNever) // equal to itself like any other
	e.selects(lashstore.BoundaryIdle, 8, 2, "", never, never)
	e.selects(lashstore.BoundaryIdle, 0, 0, lashstore.RefusedZeroLimit, c)
	e.selects(lashstore.BoundaryIdle, 1, 0, lashstore.RefusedEmpty)
}

// A join stops at another key.
func s59SelectKeyBreak(e *env) {
	a, b := candidate(lashstore.SlotJoin, lashstore.MergeGroup("a")), candidate(lashstore.SlotJoin, lashstore.MergeGroup("b"))
	e.selects(lashstore.BoundaryIdle, 8, 1, "", a, b)
	e.selects(lashstore.BoundaryIdle, 8, 1, "", a, b, a)
	e.selects(lashstore.BoundaryIdle, 8, 1, "", a, candidate(lashstore.SlotExclusive, lashstore.MergeGroup("a")))
}

// Within a turn only what may interrupt it is taken.
func s60SelectBoundary(e *env) {
	c := candidate(lashstore.SlotExclusive, lashstore.MergeNever)
	c.DeliveryPolicy = lashstore.DeliverAfterCommit
	e.selects(lashstore.BoundaryCheckpoint, 8, 0, lashstore.RefusedBoundary, c)
	e.selects(lashstore.BoundaryIdle, 8, 1, "", c)
}

// A command in front blocks turn work (I12).
func s61SelectCommandAhead(e *env) {
	cmd := lashstore.Candidate{Class: lashstore.WorkCommand, DeliveryPolicy: lashstore.DeliverAfterCommit, SlotPolicy: lashstore.SlotExclusive, MergeKey: lashstore.MergeNever}
	turn := candidate(lashstore.SlotExclusive, lashstore.MergeNever)
	equal(e, "selected commands", lashstore.SelectCommand([]lashstore.Candidate{cmd, turn}), 1)
	e.selects(lashstore.BoundaryIdle, 8, 0, lashstore.RefusedCommandAhead, cmd, turn)
	equal(e, "selected commands of none", lashstore.SelectCommand(nil), 0)
}

// A command behind is neither taken nor joined, whatever its key.
func s62SelectCommandBehind(e *env) {
	turn := candidate(lashstore.SlotJoin, lashstore.MergeGroup("a"))
	cmd := turn
	cmd.Class = lashstore.WorkCommand
	equal(e, "selected commands", lashstore.SelectCommand([]lashstore.Candidate{turn, cmd}), 0)
	e.selects(lashstore.BoundaryIdle, 8, 1, "", turn, cmd)
}

// Section 13, Leases: the token is random and no part of the derivation (W9).
func s63DeriveClaim(e *env) {
	at := time.UnixMilli(1000).UTC()
	got, err := lashstore.DeriveClaim(7, 2, at, 250*time.Millisecond)
	e.must(err)
	equal(e, "grant", got, lashstore.ClaimGrant{
		ClaimID: "qwc:7:3", FencingToken: 3, ClaimedAt: at, ExpiresAt: time.UnixMilli(1250).UTC(),
	})
	_, err = lashstore.DeriveClaim(7, math.MaxInt64, at, 0)
	e.is(err, lashstore.ErrLimitExceeded)
}
