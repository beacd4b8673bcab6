package lashstore_test

import (
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lashstore/lashstore"
)

// A batch that cannot be claimed poisons the queue (W13).
func TestBatchDraft(t *testing.T) {
	t.Parallel()
	command := lashstore.Payload{Type: lashstore.PayloadSessionCommand, Body: json.RawMessage(`{}`)}
	change := func(f func(*lashstore.BatchDraft)) lashstore.BatchDraft {
		d := validDraft()
		f(&d)
		return d
	}
	for name, d := range map[string]lashstore.BatchDraft{
		"empty":          {},
		"mixed":          change(func(d *lashstore.BatchDraft) { d.Payloads = append(d.Payloads, command) }),
		"too many":       change(func(d *lashstore.BatchDraft) { d.Payloads = slices.Repeat(d.Payloads, lashstore.MaxBatchItems+1) }),
		"group unnamed":  change(func(d *lashstore.BatchDraft) { d.MergeKey = lashstore.MergeGroup("") }),
		"group hostile":  change(func(d *lashstore.BatchDraft) { d.MergeKey = lashstore.MergeGroup("a\x00") }),
		"group long":     change(func(d *lashstore.BatchDraft) { d.MergeKey = lashstore.MergeGroup(strings.Repeat("g", 512)) }),
		"body no object": change(func(d *lashstore.BatchDraft) { d.Payloads[0].Body = json.RawMessage(`1`) }),
	} {
		wantInvalid(t, name, d.Validate())
	}
	for name, d := range map[string]lashstore.BatchDraft{
		"plain":    validDraft(),
		"commands": {Payloads: []lashstore.Payload{command, command}},
		"most":     change(func(d *lashstore.BatchDraft) { d.Payloads = slices.Repeat(d.Payloads, lashstore.MaxBatchItems) }),
		"grouped":  change(func(d *lashstore.BatchDraft) { d.MergeKey = lashstore.MergeGroup("never") }),
		"a wake": change(func(d *lashstore.BatchDraft) {
			d.Payloads = append(d.Payloads, lashstore.Payload{Type: lashstore.PayloadProcessWake, Body: json.RawMessage(`{}`)})
		}),
	} {
		wantValid(t, name, d.Validate())
	}
	full := validDraft().WithDefaults()
	if full.DeliveryPolicy != lashstore.DeliverEarliest || full.SlotPolicy != lashstore.SlotExclusive || full.MergeKey != lashstore.MergeNever {
		t.Errorf("defaults are %+v", full)
	}
	if lashstore.MergeGroup("never") == lashstore.MergeNever {
		t.Error("a group named never is the key never")
	}
}

// A wake is delivered once for each process and sequence, so its key has both.
func TestNewWakeDraft(t *testing.T) {
	t.Parallel()
	d, err := lashstore.NewWakeDraft(lashstore.ProcessWake{WakeID: "w", TargetSessionID: "s", ProcessID: "p:1", Sequence: 7})
	if err != nil {
		t.Fatal(err)
	}
	wantValid(t, "wake", d.Validate())
	if d.SourceKey != "process:p:1:event:7:wake" || d.SlotPolicy != lashstore.SlotExclusive || d.DeliveryPolicy != lashstore.DeliverEarliest || d.Class() != lashstore.WorkTurn {
		t.Errorf("draft is %+v", d)
	}
	var wake lashstore.ProcessWake
	if err := lashstore.DecodeStrict(d.Payloads[0].Body, &wake); err != nil || wake.EventType != "process.wake" || wake.Sequence != 7 {
		t.Errorf("body is %+v, %v", wake, err)
	}
	for name, w := range map[string]lashstore.ProcessWake{
		"no process":     {},
		"hostile":        {ProcessID: "a\x00b"},
		"long process":   {ProcessID: strings.Repeat("p", lashstore.MaxNameBytes)},
		"target":         {ProcessID: "p", TargetSessionID: "\xff"},
		"sequence":       {ProcessID: "p", Sequence: math.MaxUint64},
		"input":          {ProcessID: "p", Input: json.RawMessage(`{`)},
		"invocation":     {ProcessID: "p", EventInvocation: json.RawMessage("\"\xff\"")},
		"deep input":     {ProcessID: "p", Input: json.RawMessage(strings.Repeat("[", 1000))},
		"too much input": {ProcessID: "p", Input: json.RawMessage(strings.Repeat(" ", lashstore.MaxPayloadBytes+1))},
	} {
		_, err := lashstore.NewWakeDraft(w)
		wantInvalid(t, name, err)
	}
}

// A command is delivered once for each key, after the turn that it must not disturb.
func TestNewCommandDraft(t *testing.T) {
	t.Parallel()
	d, err := lashstore.NewCommandDraft(lashstore.SessionCommand{Kind: lashstore.CommandResetSession, Reason: "r"}, "k")
	if err != nil {
		t.Fatal(err)
	}
	wantValid(t, "command", d.Validate())
	if d.SourceKey != "command:reset_session:k" || d.DeliveryPolicy != lashstore.DeliverAfterCommit || d.SlotPolicy != lashstore.SlotExclusive || d.Class() != lashstore.WorkCommand {
		t.Errorf("draft is %+v", d)
	}
	if string(d.Payloads[0].Body) != `{"kind":"reset_session","reason":"r"}` {
		t.Errorf("body is %s", d.Payloads[0].Body)
	}
	for name, c := range map[string]struct {
		command lashstore.SessionCommand
		key     string
	}{
		"no key":         {lashstore.SessionCommand{Kind: lashstore.CommandResetSession}, ""},
		"blank key":      {lashstore.SessionCommand{Kind: lashstore.CommandResetSession}, " \t"},
		"unknown kind":   {lashstore.SessionCommand{Kind: "format_disk"}, "k"},
		"reason no text": {lashstore.SessionCommand{Kind: lashstore.CommandResetSession, Reason: "\xff"}, "k"},
	} {
		_, err := lashstore.NewCommandDraft(c.command, c.key)
		wantInvalid(t, name, err)
	}
}

// A turn's input is kept as it was given, or refused.
func TestNewTurnInput(t *testing.T) {
	t.Parallel()
	p, err := lashstore.NewTurnInput(map[string]any{"items": []string{"x"}})
	if err != nil || p.Type != lashstore.PayloadTurnInput || string(p.Body) != `{"input":{"items":["x"]}}` {
		t.Errorf("payload is %s %s, %v", p.Type, p.Body, err)
	}
	if _, err := lashstore.NewTurnInput(func() {}); err == nil {
		t.Error("a function was encoded")
	}
}

// A claim that expires in the past, or whose fencing token wraps, would be two
// holders' at once.
func TestDeriveClaim(t *testing.T) {
	t.Parallel()
	at := time.UnixMilli(1000).UTC()
	for range 2 { // the derivation has no random part
		got, err := lashstore.DeriveClaim(7, 2, at, 250*time.Millisecond)
		want := lashstore.ClaimGrant{ClaimID: "qwc:7:3", FencingToken: 3, ClaimedAt: at, ExpiresAt: at.Add(250 * time.Millisecond)}
		if err != nil || got != want {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
	}
	if _, err := lashstore.DeriveClaim(1, lashstore.MaxCounter, at, 0); !errors.Is(err, lashstore.ErrLimitExceeded) {
		t.Errorf("the largest fencing token: %v, want %q", err, lashstore.ErrLimitExceeded)
	}
	if got, err := lashstore.DeriveClaim(1, lashstore.MaxCounter-1, at, 0); err != nil || got.FencingToken != lashstore.MaxCounter {
		t.Errorf("the token before it: %+v, %v", got, err)
	}
}

// What a commit names to settle a claim is all of it, in order.
func TestClaimCompletion(t *testing.T) {
	t.Parallel()
	c := lashstore.Claim{SessionID: "s", ClaimID: "c", Token: "t", Batches: []lashstore.Batch{{BatchID: "2"}, {BatchID: "1"}}}
	done := c.Completion()
	if done.SessionID != "s" || done.ClaimID != "c" || done.Token != "t" || !slices.Equal(done.BatchIDs, []lashstore.BatchID{"2", "1"}) {
		t.Errorf("completion is %v", done)
	}
}
