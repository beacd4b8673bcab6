package lashstore

import "math"

// TokenUsage counts tokens. Counts are 0 to [MaxCounter].
type TokenUsage struct {
	InputTokens       int64 `json:"input_tokens"`
	OutputTokens      int64 `json:"output_tokens"`
	CachedInputTokens int64 `json:"cached_input_tokens"`
	ReasoningTokens   int64 `json:"reasoning_tokens"`
}

// Total is input, output and reasoning tokens together; cached input tokens are
// part of the input. It saturates at [MaxCounter].
func (u TokenUsage) Total() int64 {
	var sum int64
	for _, n := range []int64{u.InputTokens, u.OutputTokens, u.ReasoningTokens} {
		if n > math.MaxInt64-sum {
			return math.MaxInt64
		}
		sum += n
	}
	return sum
}

// IsZero reports whether every count is 0.
func (u TokenUsage) IsZero() bool { return u == TokenUsage{} }

// Validate reports the first negative count as an [*InvalidError].
func (u TokenUsage) Validate(field string) error {
	counts := []struct {
		name string
		n    int64
	}{
		{"input_tokens", u.InputTokens},
		{"output_tokens", u.OutputTokens},
		{"cached_input_tokens", u.CachedInputTokens},
		{"reasoning_tokens", u.ReasoningTokens},
	}
	for _, c := range counts {
		if c.n < 0 {
			return Invalid(field+"."+c.name, c.n, "must not be negative")
		}
	}
	return nil
}

// Add returns the sum, and false if a count overflows.
func (u TokenUsage) Add(v TokenUsage) (TokenUsage, bool) {
	ok := true
	add := func(a, b int64) int64 {
		if b > math.MaxInt64-a {
			ok = false
			return 0
		}
		return a + b
	}
	sum := TokenUsage{
		InputTokens:       add(u.InputTokens, v.InputTokens),
		OutputTokens:      add(u.OutputTokens, v.OutputTokens),
		CachedInputTokens: add(u.CachedInputTokens, v.CachedInputTokens),
		ReasoningTokens:   add(u.ReasoningTokens, v.ReasoningTokens),
	}
	return sum, ok
}

// PromptUsage says how much of the context the last prompt used.
type PromptUsage struct {
	PromptContextTokens int64 `json:"prompt_context_tokens"`
	InputTokens         int64 `json:"input_tokens"`
	CachedInputTokens   int64 `json:"cached_input_tokens"`
	ContextBudgetTokens int64 `json:"context_budget_tokens"`
}

// Validate reports a negative count as an [*InvalidError].
func (p PromptUsage) Validate(field string) error {
	if min(p.PromptContextTokens, p.InputTokens, p.CachedInputTokens, p.ContextBudgetTokens) < 0 {
		return Invalid(field, "", "has a negative count")
	}
	return nil
}

// UsageEntry is what one source used of one model: in a commit, an amount to add;
// in what is read, the total.
type UsageEntry struct {
	Source string     `json:"source"` // such as turn, subagent, compaction
	Model  string     `json:"model"`
	Usage  TokenUsage `json:"usage"`
}

// Validate reports the first wrong field as an [*InvalidError].
func (e UsageEntry) Validate() error {
	if err := validateText("usage.source", e.Source, MaxNameBytes); err != nil {
		return err
	}
	if err := validateText("usage.model", e.Model, MaxNameBytes); err != nil {
		return err
	}
	return e.Usage.Validate("usage")
}
