package conformance

import (
	"math"

	"github.com/lashstore/lashstore"
)

func usageScenarios() []scenario {
	return []scenario{
		{name: "X_Usage_Merging", run: xUsageMerging},
		{name: "X_Usage_Overflow", run: xUsageOverflow},
	}
}

// Section 13, Usage: an entry counts when any field is non-zero. A bill that leaves
// out cached tokens, or sums in another order, is wrong (W22).
func xUsageMerging(e *env) {
	s := e.create("root")
	entry := func(source, model string, in, out, cached, reasoning int64) lashstore.UsageEntry {
		return lashstore.UsageEntry{Source: source, Model: model, Usage: lashstore.TokenUsage{
			InputTokens: in, OutputTokens: out, CachedInputTokens: cached, ReasoningTokens: reasoning,
		}}
	}
	e.commit(s, lashstore.Commit{Usage: []lashstore.UsageEntry{
		entry("turn", "b", 1, 2, 3, 4), entry("turn", "a", 0, 0, 5, 0), entry("turn", "none", 0, 0, 0, 0), entry("turn", "b", 10, 0, 0, 0),
	}})
	e.commit(s, lashstore.Commit{Usage: []lashstore.UsageEntry{
		entry("subagent", "b", 0, 0, 0, 7), entry("turn", "a", 1, 0, 0, 0), entry("turn", "b", 100, 0, 0, 0),
	}})
	want := []lashstore.UsageEntry{
		entry("turn", "b", 111, 2, 3, 4), entry("turn", "a", 1, 0, 5, 0), entry("subagent", "b", 0, 0, 0, 7),
	}
	e.reopen(Settings{})
	s = e.session("root")
	got, err := s.Usage(e.Context())
	e.must(err)
	equal(e, "usage", got, want)
	equal(e, "usage of the head", e.load(s, lashstore.LoadOptions{}).Usage, want)
	equal(e, "usage with revision 1, as of now", e.load(s, lashstore.LoadOptions{Revision: 1}).Usage, want)
}

// A sum that wraps turns the largest bill into the smallest.
func xUsageOverflow(e *env) {
	s := e.create("root")
	most := lashstore.TokenUsage{InputTokens: math.MaxInt64, CachedInputTokens: math.MaxInt64}
	e.commit(s, lashstore.Commit{Usage: []lashstore.UsageEntry{{Source: "turn", Model: "m", Usage: most}}})
	for name, more := range map[string][]lashstore.TokenUsage{
		"input":           {{InputTokens: 1}},
		"cached":          {{CachedInputTokens: 1}},
		"within a commit": {{OutputTokens: math.MaxInt64}, {OutputTokens: 1}},
	} {
		e.Logf("refusing more %s", name)
		var c lashstore.Commit
		for _, u := range more {
			c.Usage = append(c.Usage, lashstore.UsageEntry{Source: "turn", Model: "m", Usage: u})
		}
		_, err := s.Commit(e.Context(), e.prepare(s, c))
		e.oneOf(err, lashstore.ErrLimitExceeded, lashstore.ErrInvalid)
	}
	got, err := s.Usage(e.Context())
	e.must(err)
	equal(e, "usage", got, []lashstore.UsageEntry{{Source: "turn", Model: "m", Usage: most}})
}
