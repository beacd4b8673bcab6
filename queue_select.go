package lashstore

import (
	"fmt"
	"time"
)

// Candidate is what selection looks at: a batch that is available and in no live
// claim.
type Candidate struct {
	Class          WorkClass
	DeliveryPolicy DeliveryPolicy
	SlotPolicy     SlotPolicy
	MergeKey       MergeKey
}

// SelectCommand returns how many of the candidates ClaimCommand takes: 1 if the
// first is a session command, else 0.
func SelectCommand(candidates []Candidate) int {
	if len(candidates) > 0 && candidates[0].Class == WorkCommand {
		return 1
	}
	return 0
}

// SelectTurnWork returns how many of the candidates, from the first, ClaimTurnWork
// takes, and why if none.
func SelectTurnWork(candidates []Candidate, boundary ClaimBoundary, limit int) (int, ClaimRefusal) {
	switch {
	case limit <= 0:
		return 0, RefusedZeroLimit
	case len(candidates) == 0:
		return 0, RefusedEmpty
	}
	first := candidates[0]
	switch {
	case first.Class == WorkCommand:
		return 0, RefusedCommandAhead
	case boundary == BoundaryCheckpoint && first.DeliveryPolicy != DeliverEarliest:
		return 0, RefusedBoundary
	case first.SlotPolicy == SlotExclusive:
		return 1, ""
	}
	n := 1
	for n < len(candidates) && n < limit && candidates[n] == first {
		n++
	}
	return n, ""
}

// ClaimGrant is the derived part of a claim.
type ClaimGrant struct {
	ClaimID      ClaimID
	FencingToken FencingToken
	ClaimedAt    time.Time
	ExpiresAt    time.Time
}

// DeriveClaim computes a claim from its first batch's sequence number and claim
// fencing token so far. The token is not part of it: that is random.
func DeriveClaim(seq uint64, fencing FencingToken, now time.Time, ttl time.Duration) (ClaimGrant, error) {
	if fencing >= MaxCounter {
		return ClaimGrant{}, &LimitError{Limit: "claim_fencing_token", Max: MaxCounter, Got: MaxCounter}
	}
	return ClaimGrant{
		ClaimID:      ClaimID(fmt.Sprintf("qwc:%d:%d", seq, fencing+1)),
		FencingToken: fencing + 1,
		ClaimedAt:    now,
		ExpiresAt:    now.Add(ttl),
	}, nil
}
