package lashstore_test

import (
	"math"
	"testing"

	"github.com/lashstore/lashstore"
)

// A sum that wraps turns the largest bill into the smallest (W22).
func TestTokenUsage(t *testing.T) {
	t.Parallel()
	u := lashstore.TokenUsage{InputTokens: 1, OutputTokens: 2, CachedInputTokens: 100, ReasoningTokens: 4}
	if u.Total() != 7 {
		t.Errorf("total is %d, want 7: cached tokens are part of the input", u.Total())
	}
	most := lashstore.TokenUsage{InputTokens: math.MaxInt64, ReasoningTokens: 1}
	if most.Total() != math.MaxInt64 {
		t.Errorf("total is %d, want it saturated", most.Total())
	}
	if sum, ok := u.Add(u); !ok || sum != (lashstore.TokenUsage{InputTokens: 2, OutputTokens: 4, CachedInputTokens: 200, ReasoningTokens: 8}) {
		t.Errorf("sum is %+v, %t", sum, ok)
	}
	for _, one := range []lashstore.TokenUsage{{InputTokens: 1}, {OutputTokens: 1}, {CachedInputTokens: 1}, {ReasoningTokens: 1}} {
		full := lashstore.TokenUsage{InputTokens: math.MaxInt64, OutputTokens: math.MaxInt64, CachedInputTokens: math.MaxInt64, ReasoningTokens: math.MaxInt64}
		if _, ok := full.Add(one); ok {
			t.Errorf("adding %+v to the most did not overflow", one)
		}
		if one.IsZero() {
			t.Errorf("%+v counts as nothing", one)
		}
	}
	if !(lashstore.TokenUsage{}).IsZero() {
		t.Error("nothing counts as something")
	}
}
