package transcript

import (
	"github.com/go-json-experiment/json/jsontext"

	"github.com/lashstore/lashstore"
)

// usageSource is the source under which imported tokens are counted.
const usageSource = "turn"

// unknownModel stands for a model that the input does not name.
const unknownModel = "unknown"

// parseUsage reads the "usage" of a message. Three spellings are known: that of
// the contract, and those of two families of chat formats. What is not known is
// kept with the message and counts nothing.
func parseUsage(v jsontext.Value, p place) (lashstore.TokenUsage, error) {
	if v.Kind() == 'n' {
		return lashstore.TokenUsage{}, nil
	}
	if v.Kind() != '{' {
		return lashstore.TokenUsage{}, p.errorf("must be an object or null, not %s", kindName(v.Kind()))
	}
	r := countReader{place: p, fields: fields(v)}
	if _, ok := r.fields["prompt_tokens"]; ok {
		return r.promptCompletion()
	}
	// input_tokens is the whole input, unless what the cache supplied is counted
	// apart from it.
	u := lashstore.TokenUsage{
		InputTokens:       r.count("input_tokens"),
		OutputTokens:      r.count("output_tokens"),
		CachedInputTokens: r.count("cached_input_tokens"),
		ReasoningTokens:   r.count("reasoning_tokens"),
	}
	read, written := r.count("cache_read_input_tokens"), r.count("cache_creation_input_tokens")
	u = r.add(u, lashstore.TokenUsage{InputTokens: read, CachedInputTokens: read})
	u = r.add(u, lashstore.TokenUsage{InputTokens: written})
	return u, r.err
}

// promptCompletion reads the spelling in which reasoning is part of the completion;
// in the contract it stands beside the output.
func (r *countReader) promptCompletion() (lashstore.TokenUsage, error) {
	u := lashstore.TokenUsage{
		InputTokens:       r.count("prompt_tokens"),
		OutputTokens:      r.count("completion_tokens"),
		CachedInputTokens: r.detail("prompt_tokens_details", "cached_tokens"),
		ReasoningTokens:   r.detail("completion_tokens_details", "reasoning_tokens"),
	}
	u.OutputTokens = max(0, u.OutputTokens-u.ReasoningTokens)
	return u, r.err
}

// countReader reads token counts and keeps the first error.
type countReader struct {
	place  place
	fields map[string]jsontext.Value
	err    error
}

func (r *countReader) count(name string) int64 { return r.read(r.fields[name], r.place.at(name)) }

func (r *countReader) detail(group, name string) int64 {
	return r.read(fields(r.fields[group])[name], r.place.at(group, name))
}

func (r *countReader) read(v jsontext.Value, p place) int64 {
	if len(v) == 0 || v.Kind() == 'n' || r.err != nil {
		return 0
	}
	n, err := wholeNumber(v)
	if err != nil || n < 0 {
		r.err = p.errorf("must be a whole number from 0, not %.32s", v)
		return 0
	}
	return n
}

func (r *countReader) add(u, v lashstore.TokenUsage) lashstore.TokenUsage {
	sum, ok := u.Add(v)
	if !ok && r.err == nil {
		r.err = r.place.errorf("token counts are too large")
	}
	return sum
}
