package conformance

import (
	"encoding/json"
	"errors"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/lashstore/lashstore"
)

func refusalScenarios() []scenario {
	return []scenario{
		{name: "X_Commit_BadInput", run: xCommitBadInput},
		{name: "X_Commit_TooMuch", run: xCommitTooMuch},
		{name: "X_Commit_HostileText", run: xCommitHostileText},
	}
}

// hostileTexts are texts that no id of up to limit bytes may be: empty, too long,
// with control characters, or not UTF-8.
func hostileTexts(limit int) []string {
	return []string{
		"", "a\x00b", "\x00", "line\nbreak", "tab\t", "bell\a", "del\x7f", "c1\u0085", "\xff\xfe", "cut \xe2\x82",
		strings.Repeat("x", limit+1), strings.Repeat("x", 10<<10), strings.Repeat("é", limit/2+1),
	}
}

// strangeTexts are texts that an id may be, and that must reach neither a path nor
// a statement as they are.
func strangeTexts() []string {
	return []string{
		"../../etc/passwd", "..", ".", "/", "\\", "a/../b", "C:\\x", "~", "%00", "%2e%2e%2f", "'; DROP TABLE nodes; --",
		`"`, "`", "$(x)", "*?[a]", " ", "  x  ", "NULL", "0", "-1", "\u202egnp.exe", "\ufeff", "🤖", "ﷺ", "con", "nul.db",
	}
}

// badCommits are commits that are wrong in themselves or that do not fit the
// session made by populated, by what is wrong with them.
func badCommits() map[string]lashstore.Commit {
	bad := map[string]lashstore.Commit{
		"no provider":     {Config: &lashstore.SessionConfig{Model: modelA()}},
		"no model":        {Config: &lashstore.SessionConfig{ProviderID: "p"}},
		"unknown mode":    {Graph: lashstore.GraphDelta{Mode: "upsert"}},
		"unchanged nodes": {Graph: lashstore.GraphDelta{Nodes: []lashstore.Node{node("x", "")}}},
		"unknown kind":    {Graph: lashstore.GraphDelta{Mode: lashstore.GraphAppend, Nodes: []lashstore.Node{{NodeID: "x", Kind: "image", Payload: json.RawMessage(`{}`)}}}},
		"usage negative":  {Usage: []lashstore.UsageEntry{{Source: "s", Model: "m", Usage: lashstore.TokenUsage{InputTokens: -1}}}},
		"usage no model":  {Usage: []lashstore.UsageEntry{{Source: "s"}}},
		"empty completion": {Completions: []lashstore.ClaimCompletion{{
			SessionID: "populated", ClaimID: "qwc:1:1", Token: "0",
		}}},
		"batch given twice": {Completions: []lashstore.ClaimCompletion{{
			SessionID: "populated", ClaimID: "qwc:1:1", Token: "0", BatchIDs: []lashstore.BatchID{"b", "b"},
		}}},
		"attachment none":     {Attachments: []lashstore.Digest{{}}},
		"attachment twice":    {Attachments: []lashstore.Digest{lashstore.DigestOf(nil), lashstore.DigestOf(nil)}},
		"turn index overflow": {Checkpoint: checkpoint(math.MaxUint64, nil)},
		"no component":        {Checkpoint: &lashstore.Checkpoint{Components: map[string]lashstore.Component{"k": {}}}},
		"bytes and reference": {Checkpoint: &lashstore.Checkpoint{Components: map[string]lashstore.Component{
			"k": {Bytes: []byte("x"), Ref: refOf([]byte("x"))},
		}}},
		"negative size": {Checkpoint: &lashstore.Checkpoint{Components: map[string]lashstore.Component{
			"k": {Ref: lashstore.BlobRef{Digest: lashstore.DigestOf([]byte(populatedComponent)), SizeBytes: -1}},
		}}},
		"component revision": {Checkpoint: &lashstore.Checkpoint{Components: map[string]lashstore.Component{
			"k": {Bytes: []byte("x"), Revision: math.MaxUint64},
		}}},
		"component kind": {Checkpoint: &lashstore.Checkpoint{Components: map[string]lashstore.Component{
			"k": {Bytes: []byte("x"), Descriptor: lashstore.Descriptor{Kind: "other"}},
		}}},
		"turn usage": {Checkpoint: &lashstore.Checkpoint{TurnState: lashstore.TurnState{
			TokenUsage: lashstore.TokenUsage{CachedInputTokens: math.MinInt64},
		}}},
		"prompt usage": {Checkpoint: &lashstore.Checkpoint{TurnState: lashstore.TurnState{
			LastPromptUsage: &lashstore.PromptUsage{ContextBudgetTokens: -1},
		}}},
		"enqueue nothing": {Enqueue: []lashstore.BatchDraft{{}}},
		"enqueue mixed": {Enqueue: []lashstore.BatchDraft{{
			Payloads: []lashstore.Payload{turnInput("x"), command("k").Payloads[0]},
		}}},
	}
	maps.Copy(bad, badTimes())
	maps.Copy(bad, badJSON())
	return bad
}

// badTimes are commits with times that milliseconds since 1970 do not hold.
func badTimes() map[string]lashstore.Commit {
	bad := map[string]lashstore.Commit{}
	for name, at := range map[string]time.Time{
		"before 1970":       time.Date(1969, 12, 31, 23, 59, 59, 0, time.UTC),
		"after 9999":        time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC),
		"far in the past":   time.Unix(math.MinInt64/2, 0),
		"far in the future": time.Unix(math.MaxInt64/2, 0),
	} {
		n, f, d := node("x", ""), frame("x", ""), exclusive("x")
		n.Timestamp, f.CreatedAt, d.AvailableAt = at, at, at
		bad["node "+name] = lashstore.Commit{Graph: appendNodes(n)}
		bad["frame "+name] = lashstore.Commit{Frames: []lashstore.AgentFrame{f}}
		bad["batch "+name] = lashstore.Commit{Enqueue: []lashstore.BatchDraft{d}}
	}
	return bad
}

// badJSON are commits with payloads that are not what a payload must be.
func badJSON() map[string]lashstore.Commit {
	bad := map[string]lashstore.Commit{}
	for name, raw := range map[string]string{
		"cut":           `{"a":`,
		"array":         `[]`,
		"null":          `null`,
		"text":          `"{}"`,
		"two values":    `{}{}`,
		"blank":         ` `,
		"not UTF-8":     "{\"a\":\"\xff\"}",
		"control":       "{\"a\":\"\x00\"}",
		"deep":          `{"a":` + strings.Repeat("[", lashstore.MaxJSONDepth) + strings.Repeat("]", lashstore.MaxJSONDepth) + `}`,
		"deep and open": strings.Repeat(`{"a":`, 100_000),
	} {
		n, d, f := node("x", ""), exclusive("x"), frame("x", "")
		n.Payload, d.Payloads[0].Body, f.Assignment.PluginOptions = json.RawMessage(raw), json.RawMessage(raw), json.RawMessage(raw)
		bad["node payload "+name] = lashstore.Commit{Graph: appendNodes(n)}
		bad["queue payload "+name] = lashstore.Commit{Enqueue: []lashstore.BatchDraft{d}}
		bad["plugin options "+name] = lashstore.Commit{Frames: []lashstore.AgentFrame{f}}
		f.Assignment.PluginOptions, f.Assignment.ToolAccess = nil, json.RawMessage(raw)
		bad["tool access "+name] = lashstore.Commit{Frames: []lashstore.AgentFrame{f}}
	}
	return bad
}

// Input that is wrong must be refused by name, before anything was written (I6).
func xCommitBadInput(e *env) {
	s := e.populated("populated")
	before := e.state(s)
	base := e.prepare(s, lashstore.Commit{})
	held := e.state(s).Lease
	bad := badCommits()
	for _, name := range slices.Sorted(maps.Keys(bad)) {
		c := bad[name]
		c.ExpectedRevision, c.Fence = base.ExpectedRevision, base.Fence
		_, err := s.Commit(e.Context(), c)
		if !isErr(err, lashstore.ErrInvalid) && !isErr(err, lashstore.ErrLimitExceeded) && !isErr(err, lashstore.ErrGraphInvalid) {
			e.Errorf("%s: got %v (%s), want invalid input", name, err, lashstore.Code(err))
		}
		if err != nil && len(err.Error()) > 4096 {
			e.Errorf("%s: the error repeats %d bytes of the input", name, len(err.Error()))
		}
	}
	after := e.state(s)
	equal(e, "lease after refused commits", after.Lease, held)
	after.Lease = before.Lease
	equal(e, "the session after refused commits", after, before)
	e.commit(s, lashstore.Commit{})
}

// A commit without limits blocks every other writer, or ends the process.
func xCommitTooMuch(e *env) {
	s := e.populated("populated")
	base := e.prepare(s, lashstore.Commit{})
	before := e.state(s)
	half := make([]byte, lashstore.MaxCommitBytes/2+1)
	manyKeys := &lashstore.Checkpoint{Components: map[string]lashstore.Component{}}
	for i := range lashstore.MaxComponents + 1 {
		manyKeys.Components[string(rune('a'+i%26))+strings.Repeat("k", i/26)] = lashstore.Changed(nil)
	}
	manyItems := exclusive("x")
	manyItems.Payloads = slices.Repeat(manyItems.Payloads, lashstore.MaxBatchItems+1)
	large := exclusive("x")
	large.Payloads[0].Body = json.RawMessage(`{"a":"` + strings.Repeat("x", lashstore.MaxPayloadBytes) + `"}`)
	entry := lashstore.UsageEntry{Source: "s", Model: "m", Usage: lashstore.TokenUsage{InputTokens: 1}}
	for name, c := range map[string]lashstore.Commit{
		"bytes":      {Checkpoint: checkpoint(0, map[string][]byte{"a": half, "b": half})},
		"rows":       {Usage: slices.Repeat([]lashstore.UsageEntry{entry}, lashstore.MaxCommitRows+1)},
		"components": {Checkpoint: manyKeys},
		"items":      {Enqueue: []lashstore.BatchDraft{manyItems}},
		"payload":    {Enqueue: []lashstore.BatchDraft{large}},
	} {
		c.ExpectedRevision, c.Fence = base.ExpectedRevision, base.Fence
		_, err := s.Commit(e.Context(), c)
		var limit *lashstore.LimitError
		if !errors.As(err, &limit) {
			e.Errorf("too many %s: got %v, want a %T", name, err, limit)
			continue
		}
		if limit.Got <= limit.Max {
			e.Errorf("too many %s: the error says %d of %d", name, limit.Got, limit.Max)
		}
	}
	equal(e, "the session after refused commits", e.state(s), before)
}

// An id with a control character reaches logs and file names, one that is too long
// every index; both must be refused wherever they can be given. Strange ones are
// the caller's business and must be kept as they are.
func xCommitHostileText(e *env) {
	s := e.populated("populated")
	base := e.prepare(s, lashstore.Commit{})
	before := e.state(s)
	places := map[string]func(text string) lashstore.Commit{
		"node id": func(x string) lashstore.Commit {
			n := node("n", "")
			n.NodeID = lashstore.NodeID(x)
			return lashstore.Commit{Graph: lashstore.GraphDelta{Mode: lashstore.GraphAppend, Nodes: []lashstore.Node{n}}}
		},
		"turn id": func(x string) lashstore.Commit {
			return lashstore.Commit{TurnID: lashstore.TurnID(orNUL(x))}
		},
		"frame id": func(x string) lashstore.Commit {
			return lashstore.Commit{Frames: []lashstore.AgentFrame{frame(lashstore.FrameID(x), "")}}
		},
		"component key": func(x string) lashstore.Commit {
			return lashstore.Commit{Checkpoint: checkpoint(0, map[string][]byte{x: {1}})}
		},
		"usage source": func(x string) lashstore.Commit {
			return lashstore.Commit{Usage: []lashstore.UsageEntry{{Source: x, Model: "m"}}}
		},
		"usage model": func(x string) lashstore.Commit {
			return lashstore.Commit{Usage: []lashstore.UsageEntry{{Source: "s", Model: x}}}
		},
		"provider id": func(x string) lashstore.Commit { return lashstore.Commit{Config: config(x)} },
		"model id": func(x string) lashstore.Commit {
			c := config("p")
			c.Model.ID = x
			return lashstore.Commit{Config: c}
		},
		"source key": func(x string) lashstore.Commit {
			return lashstore.Commit{Enqueue: []lashstore.BatchDraft{keyed(orNUL(x), "x")}}
		},
		"merge group": func(x string) lashstore.Commit {
			return lashstore.Commit{Enqueue: []lashstore.BatchDraft{joining(x, "x")}}
		},
	}
	for place, build := range places {
		for _, text := range hostileTexts(lashstore.MaxNameBytes) {
			c := build(text)
			c.ExpectedRevision, c.Fence = base.ExpectedRevision, base.Fence
			if _, err := s.Commit(e.Context(), c); !isErr(err, lashstore.ErrInvalid) {
				e.Errorf("%s %.20q: got %v, want %q", place, text, err, lashstore.ErrInvalid)
			}
		}
	}
	equal(e, "the session after refused commits", e.state(s), before)

	strange := lashstore.Commit{Checkpoint: &lashstore.Checkpoint{Components: map[string]lashstore.Component{}}}
	strange.Graph.Mode = lashstore.GraphAppend
	for _, text := range strangeTexts() {
		strange.Graph.Nodes = append(strange.Graph.Nodes, node(lashstore.NodeID(text), ""))
		strange.Frames = append(strange.Frames, frame(lashstore.FrameID(text), text))
		strange.Checkpoint.Components[text] = lashstore.Changed([]byte(text))
		strange.Usage = append(strange.Usage, lashstore.UsageEntry{Source: text, Model: text, Usage: lashstore.TokenUsage{InputTokens: 1}})
		strange.Enqueue = append(strange.Enqueue, keyed(text, text))
	}
	strange.ExpectedRevision, strange.Fence, strange.ReleaseLease = base.ExpectedRevision, base.Fence, true
	e.apply(s, strange)
	snap := e.load(s, lashstore.LoadOptions{})
	for _, text := range strangeTexts() {
		equal(e, "component "+text, e.hydrated(snap, text), text)
		_, err := s.Node(e.Context(), lashstore.NodeID(text))
		e.must(err)
	}
	equal(e, "usage entries", len(snap.Usage), len(strangeTexts())+1)
}

// orNUL is for places where the empty text means "none".
func orNUL(text string) string {
	if text == "" {
		return "\x00"
	}
	return text
}
