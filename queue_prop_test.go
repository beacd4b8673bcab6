package lashstore_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/lashstore/lashstore"
)

// Whatever waits: an exclusive batch is alone, a join is a run of equal ones within
// the limit, and a command is never mixed with turn work (I12, I13).
func TestSelectionInvariants(t *testing.T) {
	t.Parallel()
	candidate := rapid.Custom(func(t *rapid.T) lashstore.Candidate {
		return lashstore.Candidate{
			Class:          rapid.SampledFrom([]lashstore.WorkClass{lashstore.WorkTurn, lashstore.WorkTurn, lashstore.WorkCommand}).Draw(t, "class"),
			DeliveryPolicy: rapid.SampledFrom([]lashstore.DeliveryPolicy{lashstore.DeliverEarliest, lashstore.DeliverAfterCommit}).Draw(t, "delivery"),
			SlotPolicy:     rapid.SampledFrom([]lashstore.SlotPolicy{lashstore.SlotJoin, lashstore.SlotJoin, lashstore.SlotExclusive}).Draw(t, "slot"),
			MergeKey:       rapid.SampledFrom([]lashstore.MergeKey{lashstore.MergeNever, lashstore.MergeGroup("a")}).Draw(t, "key"),
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		cs := rapid.SliceOfN(candidate, 0, 8).Draw(t, "candidates")
		boundary := rapid.SampledFrom([]lashstore.ClaimBoundary{lashstore.BoundaryIdle, lashstore.BoundaryCheckpoint}).Draw(t, "boundary")
		limit := rapid.IntRange(0, 9).Draw(t, "limit")
		n, refusal := lashstore.SelectTurnWork(cs, boundary, limit)
		commands := lashstore.SelectCommand(cs)
		if (n == 0) != (refusal != "") {
			t.Fatalf("selected %d, refused with %q", n, refusal)
		}
		if n > 0 && commands > 0 {
			t.Fatalf("both turn work and a command come first: %v", cs)
		}
		if n > limit || n > len(cs) {
			t.Fatalf("selected %d of %d with limit %d", n, len(cs), limit)
		}
		for _, c := range cs[:n] {
			switch {
			case c.Class != lashstore.WorkTurn:
				t.Fatalf("selected a command: %v", cs[:n])
			case c != cs[0]:
				t.Fatalf("selected different ones: %v", cs[:n])
			case n > 1 && c.SlotPolicy == lashstore.SlotExclusive:
				t.Fatalf("an exclusive one is not alone: %v", cs[:n])
			case boundary == lashstore.BoundaryCheckpoint && c.DeliveryPolicy != lashstore.DeliverEarliest:
				t.Fatalf("within a turn: %v", c)
			}
		}
		// A run that ended for no reason would keep work waiting.
		if n > 0 && n < limit && n < len(cs) && cs[0].SlotPolicy == lashstore.SlotJoin && cs[n] == cs[0] {
			t.Fatalf("selected only %d of %v", n, cs)
		}
	})
}
