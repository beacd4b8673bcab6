package lashstore_test

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/lashstore/lashstore"
)

// hostile are texts that no id of up to limit bytes may be.
func hostile(limit int) []string {
	return []string{
		"", "a\x00b", "\x00", "line\nbreak", "\t", "\x1b[2J", "del\x7f", "c1\u0085", "\xff\xfe", "cut \xe2\x82",
		strings.Repeat("x", limit+1), strings.Repeat("x", 10<<10), strings.Repeat("é", limit/2+1),
	}
}

// strange are texts that an id may be.
func strange(limit int) []string {
	return []string{
		"../../etc/passwd", "..", "/", "\\", "C:\\x", "~", "%00", "'; DROP TABLE x; --", `"`, " ", "\u202e", "\ufeff", "🤖",
		strings.Repeat("x", limit), strings.Repeat("é", limit/2),
	}
}

// wantInvalid checks that the value was refused as invalid, and why in few words.
func wantInvalid(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, lashstore.ErrInvalid) && !errors.Is(err, lashstore.ErrLimitExceeded) && !errors.Is(err, lashstore.ErrGraphInvalid) {
		t.Errorf("%s: got %v, want it refused", what, err)
	}
	if err != nil && len(err.Error()) > 2048 {
		t.Errorf("%s: the error repeats %d bytes", what, len(err.Error()))
	}
}

func wantValid(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Errorf("%s: got %v, want it accepted", what, err)
	}
}

func validConfig() lashstore.SessionConfig {
	return lashstore.SessionConfig{ProviderID: "p", Model: validModel()}
}

func validModel() lashstore.ModelSpec {
	return lashstore.ModelSpec{ID: "m", Limits: lashstore.ModelLimits{ContextWindowTokens: 1}}
}

func validFrame() lashstore.AgentFrame {
	return lashstore.AgentFrame{
		FrameID:    "f",
		Assignment: lashstore.FrameAssignment{Policy: lashstore.SessionPolicy{Model: validModel(), ProviderID: "p"}},
	}
}

func validNode(id lashstore.NodeID) lashstore.Node {
	return lashstore.Node{NodeID: id, Kind: lashstore.NodePlugin, Payload: json.RawMessage(`{"plugin_type":"t","body":1}`)}
}

func validDraft() lashstore.BatchDraft {
	return lashstore.BatchDraft{Payloads: []lashstore.Payload{{Type: lashstore.PayloadTurnInput, Body: json.RawMessage(`{}`)}}}
}

// An id with a control character reaches logs and file names; one without a limit
// every index. Whatever else an id is, is the caller's business.
func TestTextFields(t *testing.T) {
	t.Parallel()
	causal := func(c lashstore.CausalRef) error { return c.Validate() }
	fields := map[string]struct {
		limit    int
		optional bool
		check    func(text string) error
	}{
		"session id": {lashstore.MaxSessionIDBytes, false, func(x string) error { return lashstore.SessionID(x).Validate() }},
		"node id":    {lashstore.MaxNodeIDBytes, false, func(x string) error { return lashstore.NodeID(x).Validate() }},
		"frame id":   {lashstore.MaxNameBytes, false, func(x string) error { return lashstore.FrameID(x).Validate() }},
		"turn id":    {lashstore.MaxNameBytes, false, func(x string) error { return lashstore.TurnID(x).Validate() }},
		"parent node": {lashstore.MaxNodeIDBytes, true, func(x string) error {
			n := validNode("n")
			n.ParentNodeID = lashstore.NodeID(x)
			return n.Validate()
		}},
		"node's frame": {lashstore.MaxNameBytes, true, func(x string) error {
			n := validNode("n")
			n.AgentFrameID = lashstore.FrameID(x)
			return n.Validate()
		}},
		"parent session": {lashstore.MaxSessionIDBytes, false, func(x string) error {
			return lashstore.SessionRelation{Kind: lashstore.RelationChild, ParentSessionID: lashstore.SessionID(x)}.Validate()
		}},
		"owner":       {lashstore.MaxNameBytes, false, func(x string) error { return lashstore.Owner{OwnerID: x, IncarnationID: "i"}.Validate() }},
		"incarnation": {lashstore.MaxNameBytes, false, func(x string) error { return lashstore.Owner{OwnerID: "o", IncarnationID: x}.Validate() }},
		"executor": {lashstore.MaxNameBytes, true, func(x string) error {
			return lashstore.Owner{OwnerID: "o", IncarnationID: "i", ExecutorID: x}.Validate()
		}},
		"provider": {lashstore.MaxNameBytes, false, func(x string) error { return lashstore.SessionConfig{ProviderID: x, Model: validModel()}.Validate() }},
		"model": {lashstore.MaxNameBytes, false, func(x string) error {
			m := validModel()
			m.ID = x
			return m.Validate()
		}},
		"variant": {lashstore.MaxNameBytes, true, func(x string) error {
			m := validModel()
			m.Variant = x
			return m.Validate()
		}},
		"frame's reason": {lashstore.MaxNameBytes, true, func(x string) error {
			f := validFrame()
			f.Reason = x
			return f.Validate()
		}},
		"frame's provider": {lashstore.MaxNameBytes, false, func(x string) error {
			f := validFrame()
			f.Assignment.Policy.ProviderID = x
			return f.Validate()
		}},
		"usage source":       {lashstore.MaxNameBytes, false, func(x string) error { return lashstore.UsageEntry{Source: x, Model: "m"}.Validate() }},
		"usage model":        {lashstore.MaxNameBytes, false, func(x string) error { return lashstore.UsageEntry{Source: "s", Model: x}.Validate() }},
		"source key":         {lashstore.MaxNameBytes, true, func(x string) error { d := validDraft(); d.SourceKey = x; return d.Validate() }},
		"artifact namespace": {lashstore.MaxNameBytes, false, func(x string) error { return lashstore.ArtifactName{Namespace: x, Name: "n"}.Validate() }},
		"artifact name":      {lashstore.MaxNameBytes, false, func(x string) error { return lashstore.ArtifactName{Namespace: "n", Name: x}.Validate() }},
		"component key": {lashstore.MaxNameBytes, false, func(x string) error {
			return (&lashstore.Checkpoint{Components: map[string]lashstore.Component{x: lashstore.Changed(nil)}}).Validate()
		}},
		"list's parent": {lashstore.MaxSessionIDBytes, true, func(x string) error { return lashstore.ListSessions{Parent: lashstore.SessionID(x)}.Validate() }},
		"explicit leaf": {lashstore.MaxNodeIDBytes, true, func(x string) error {
			return lashstore.LoadOptions{Scope: lashstore.ScopeActivePath, Leaf: lashstore.NodeID(x)}.Validate()
		}},
		"host": {lashstore.MaxNameBytes, false, func(x string) error {
			return lashstore.Liveness{Kind: lashstore.LivenessLocalProcess, HostID: x, BootID: "b", PID: 1}.Validate()
		}},
		"boot": {lashstore.MaxNameBytes, false, func(x string) error {
			return lashstore.Liveness{Kind: lashstore.LivenessLocalProcess, HostID: "h", BootID: x, PID: 1}.Validate()
		}},
		"cause's process": {lashstore.MaxNameBytes, false, func(x string) error { return causal(lashstore.CausalRef{Type: lashstore.CauseProcess, ProcessID: x}) }},
		"cause's call": {lashstore.MaxNameBytes, false, func(x string) error {
			return causal(lashstore.CausalRef{Type: lashstore.CauseToolCall, SessionID: "s", CallID: x})
		}},
		"cause's occurrence": {lashstore.MaxNameBytes, false, func(x string) error {
			return causal(lashstore.CausalRef{Type: lashstore.CauseTriggerOccurrence, OccurrenceID: x})
		}},
	}
	for name, f := range fields {
		for _, text := range hostile(f.limit) {
			if text == "" && f.optional {
				wantValid(t, name+" left out", f.check(text))
				continue
			}
			if err := f.check(text); !errors.Is(err, lashstore.ErrInvalid) {
				t.Errorf("%s %.20q: got %v, want %q", name, text, err, lashstore.ErrInvalid)
			}
		}
		for _, text := range strange(f.limit) {
			wantValid(t, name+" "+text[:min(20, len(text))], f.check(text))
		}
	}
}

// A value that no enum has must not be stored to be found later.
func TestEnums(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"other", "Root", "root ", "\x00", "ACTIVE", strings.Repeat("x", 10<<10)} {
		node, frame, draft := validNode("n"), validFrame(), validDraft()
		node.Kind = lashstore.NodeKind(bad)
		frame.Assignment.PluginSource = lashstore.PluginSource(bad)
		draft.Payloads[0].Type = lashstore.PayloadType(bad)
		for name, err := range map[string]error{
			"relation":        lashstore.SessionRelation{Kind: lashstore.RelationKind(bad)}.Validate(),
			"order":           lashstore.ListSessions{Order: lashstore.SessionOrder(bad)}.Validate(),
			"cause":           (&lashstore.CausalRef{Type: lashstore.CausalType(bad)}).Validate(),
			"node kind":       node.Validate(),
			"graph mode":      (&lashstore.GraphDelta{Mode: lashstore.GraphMode(bad)}).Validate(),
			"scope":           lashstore.LoadOptions{Scope: lashstore.LoadScope(bad)}.Validate(),
			"plugin source":   frame.Validate(),
			"liveness":        lashstore.Liveness{Kind: lashstore.LivenessKind(bad)}.Validate(),
			"delivery policy": lashstore.BatchDraft{DeliveryPolicy: lashstore.DeliveryPolicy(bad), Payloads: validDraft().Payloads}.Validate(),
			"slot policy":     lashstore.BatchDraft{SlotPolicy: lashstore.SlotPolicy(bad), Payloads: validDraft().Payloads}.Validate(),
			"merge key":       lashstore.BatchDraft{MergeKey: lashstore.MergeKey(bad), Payloads: validDraft().Payloads}.Validate(),
			"payload type":    draft.Validate(),
			"boundary":        lashstore.ClaimRequest{Owner: lashstore.Owner{OwnerID: "o", IncarnationID: "i"}, Boundary: lashstore.ClaimBoundary(bad)}.Validate(),
			"artifact kind":   lashstore.Descriptor{Kind: lashstore.ArtifactKind(bad)}.Validate(),
			"profile":         lashstore.Profile(bad).Validate(),
		} {
			if !errors.Is(err, lashstore.ErrInvalid) {
				t.Errorf("%s %.20q: got %v, want %q", name, bad, err, lashstore.ErrInvalid)
			}
		}
	}
}

// Numbers that a signed 64-bit column does not hold would wrap (W23).
func TestNumbers(t *testing.T) {
	t.Parallel()
	const over = lashstore.MaxCounter + 1
	model := func(window, output uint64) error {
		return lashstore.ModelSpec{ID: "m", Limits: lashstore.ModelLimits{ContextWindowTokens: window, OutputTokenCapacity: output}}.Validate()
	}
	component := lashstore.Changed(nil)
	component.Revision = over
	for name, err := range map[string]error{
		"revision":           lashstore.Revision(math.MaxUint64).Validate(),
		"before":             lashstore.ListRevisions{Before: over}.Validate(),
		"loaded revision":    lashstore.LoadOptions{Revision: over}.Validate(),
		"expected revision":  (&lashstore.Commit{ExpectedRevision: over}).Validate(),
		"no window":          model(0, 0),
		"window":             model(over, 0),
		"output":             model(1, over),
		"turn index":         (&lashstore.Checkpoint{TurnState: lashstore.TurnState{TurnIndex: over}}).Validate(),
		"component revision": (&lashstore.Checkpoint{Components: map[string]lashstore.Component{"k": component}}).Validate(),
		"sequence":           (&lashstore.CausalRef{Type: lashstore.CauseProcessEvent, ProcessID: "p", Sequence: over}).Validate(),
		"foreign sequence":   (&lashstore.CausalRef{Type: lashstore.CauseProcess, ProcessID: "p", Sequence: 1}).Validate(),
		"after":              lashstore.ListQueue{AfterSeq: over}.Validate(),
		"process start":      lashstore.Liveness{Kind: lashstore.LivenessLocalProcess, HostID: "h", BootID: "b", PID: 1, ProcessStart: over}.Validate(),
		"process id":         lashstore.Liveness{Kind: lashstore.LivenessLocalProcess, HostID: "h", BootID: "b", PID: -1}.Validate(),
		"tokens":             lashstore.TokenUsage{ReasoningTokens: -1}.Validate("u"),
		"most tokens":        lashstore.TokenUsage{InputTokens: math.MinInt64}.Validate("u"),
		"prompt":             lashstore.PromptUsage{CachedInputTokens: -1}.Validate("u"),
		"page":               lashstore.ListSessions{Limit: lashstore.MaxListLimit + 1}.Validate(),
		"negative page":      lashstore.ListQueue{Limit: -1}.Validate(),
		"batches":            lashstore.ClaimRequest{Owner: lashstore.Owner{OwnerID: "o", IncarnationID: "i"}, MaxBatches: lashstore.MaxClaimBatches + 1}.Validate(),
		"retention":          lashstore.Retention{Revisions: -2}.Validate(),
		"age":                lashstore.Retention{MaxAge: -1}.Validate(),
	} {
		if !errors.Is(err, lashstore.ErrInvalid) {
			t.Errorf("%s: got %v, want %q", name, err, lashstore.ErrInvalid)
		}
	}
	wantValid(t, "the largest window", model(lashstore.MaxCounter, lashstore.MaxCounter))
	wantValid(t, "the largest revision", lashstore.Revision(lashstore.MaxCounter).Validate())
	wantValid(t, "the largest page", lashstore.ListRevisions{Limit: lashstore.MaxListLimit}.Validate())
	wantValid(t, "all revisions", lashstore.Retention{Revisions: -1}.Validate())
}

// A time that milliseconds since 1970 do not hold would come back as another one.
func TestTimes(t *testing.T) {
	t.Parallel()
	at := func(x time.Time) []error {
		n, f, d := validNode("n"), validFrame(), validDraft()
		n.Timestamp, f.CreatedAt, d.AvailableAt = x, x, x
		return []error{
			n.Validate(), f.Validate(), d.Validate(),
			lashstore.SessionMeta{SessionID: "s", CreatedAt: x}.Validate(),
			lashstore.ListAttachments{UncommittedUntil: x}.Validate(),
		}
	}
	for _, bad := range []time.Time{
		time.Date(1969, 12, 31, 23, 59, 59, 999_999_999, time.UTC),
		time.Date(1970, 1, 1, 0, 30, 0, 0, time.FixedZone("", 3600)),
		time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC),
		time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC),
		time.Unix(math.MaxInt64, 0), time.Unix(math.MinInt64, 0), time.Unix(math.MaxInt64/2, 0),
		time.Date(math.MaxInt32, 1, 1, 0, 0, 0, 0, time.UTC),
	} {
		for i, err := range at(bad) {
			if !errors.Is(err, lashstore.ErrInvalid) {
				t.Errorf("time %d s, field %d: got %v, want %q", bad.Unix(), i, err, lashstore.ErrInvalid)
			}
		}
	}
	for _, good := range []time.Time{
		{},
		time.UnixMilli(0), time.UnixMilli(lashstore.MaxTimeMS),
		time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC),
	} {
		for _, err := range at(good) {
			wantValid(t, good.String(), err)
		}
	}
	for _, ttl := range []time.Duration{-1, lashstore.MaxTTL + 1, math.MaxInt64, math.MinInt64} {
		if err := lashstore.ValidateTTL("ttl", ttl); !errors.Is(err, lashstore.ErrInvalid) {
			t.Errorf("ttl %s: got %v, want %q", ttl, err, lashstore.ErrInvalid)
		}
	}
	for _, ttl := range []time.Duration{0, 1, lashstore.MaxTTL} {
		wantValid(t, ttl.String(), lashstore.ValidateTTL("ttl", ttl))
	}
}

// A child without parent, or a cause with the fields of another, cannot be followed.
func TestRelationsAndCauses(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]lashstore.SessionRelation{
		"child without parent": {Kind: lashstore.RelationChild},
		"root with parent":     {Kind: lashstore.RelationRoot, ParentSessionID: "p"},
		"nothing with parent":  {ParentSessionID: "p"},
		"root with cause":      {CausedBy: &lashstore.CausalRef{Type: lashstore.CauseProcess, ProcessID: "p"}},
		"child of a bad cause": {Kind: lashstore.RelationChild, ParentSessionID: "p", CausedBy: &lashstore.CausalRef{}},
	} {
		wantInvalid(t, name, r.Validate())
	}
	full := lashstore.CausalRef{SessionID: "s", TurnID: "t", EffectID: "e", CallID: "c", ProcessID: "p", OccurrenceID: "o", NodeID: "n"}
	for _, c := range causes() {
		wantValid(t, string(c.Type), c.Validate())
		more := full
		more.Type = c.Type
		wantInvalid(t, string(c.Type)+" with every field", more.Validate())
		wantInvalid(t, string(c.Type)+" with none", (&lashstore.CausalRef{Type: c.Type}).Validate())
	}
	wantValid(t, "effect without turn", (&lashstore.CausalRef{Type: lashstore.CauseEffect, SessionID: "s", EffectID: "e"}).Validate())
	wantValid(t, "no cause", (*lashstore.CausalRef)(nil).Validate())
}

// causes has one valid cause of each type.
func causes() []*lashstore.CausalRef {
	return []*lashstore.CausalRef{
		{Type: lashstore.CauseTurn, SessionID: "s", TurnID: "t"},
		{Type: lashstore.CauseEffect, SessionID: "s", TurnID: "t", EffectID: "e"},
		{Type: lashstore.CauseToolCall, SessionID: "s", CallID: "c"},
		{Type: lashstore.CauseProcess, ProcessID: "p"},
		{Type: lashstore.CauseProcessEvent, ProcessID: "p", Sequence: 7},
		{Type: lashstore.CauseTriggerOccurrence, OccurrenceID: "o"},
		{Type: lashstore.CauseSessionNode, SessionID: "s", NodeID: "n"},
	}
}

// Display data may be anything that is text, within its limit.
func TestSessionMeta(t *testing.T) {
	t.Parallel()
	long, binary, multi := strings.Repeat("x", lashstore.MaxDisplayBytes+1), "\xff", "two\nlines"
	for name, m := range map[string]lashstore.SessionMeta{
		"no id":        {},
		"long name":    {SessionID: "s", SessionName: long},
		"binary name":  {SessionID: "s", SessionName: binary},
		"long model":   {SessionID: "s", Model: long},
		"binary model": {SessionID: "s", Model: binary},
		"long cwd":     {SessionID: "s", Cwd: &long},
		"binary cwd":   {SessionID: "s", Cwd: &binary},
		"relation":     {SessionID: "s", Relation: lashstore.SessionRelation{Kind: "x"}},
	} {
		wantInvalid(t, name, m.Validate())
	}
	wantValid(t, "only an id", lashstore.SessionMeta{SessionID: "s"}.Validate())
	wantValid(t, "two lines", lashstore.SessionMeta{SessionID: "s", SessionName: multi, Cwd: &multi}.Validate())
}

// Evidence of being alive that is incomplete proves nothing and looks as if it did.
func TestLiveness(t *testing.T) {
	t.Parallel()
	process := func(change func(*lashstore.Liveness)) lashstore.Liveness {
		l := lashstore.Liveness{Kind: lashstore.LivenessLocalProcess, HostID: "h", BootID: "b", PIDNamespace: "n", PID: 1, ProcessStart: 2}
		change(&l)
		return l
	}
	wantValid(t, "a process", process(func(*lashstore.Liveness) {}).Validate())
	wantValid(t, "nothing", lashstore.Liveness{}.Validate())
	wantValid(t, "opaque", lashstore.Liveness{Kind: lashstore.LivenessOpaque}.Validate())
	for name, change := range map[string]func(*lashstore.Liveness){
		"opaque with evidence":  func(l *lashstore.Liveness) { l.Kind = lashstore.LivenessOpaque },
		"nothing with evidence": func(l *lashstore.Liveness) { l.Kind = "" },
		"no host":               func(l *lashstore.Liveness) { l.HostID = "" },
		"no boot":               func(l *lashstore.Liveness) { l.BootID = "" },
		"no process":            func(l *lashstore.Liveness) { l.PID = 0 },
		"bad namespace":         func(l *lashstore.Liveness) { l.PIDNamespace = "\x00" },
	} {
		wantInvalid(t, name, process(change).Validate())
	}
}
