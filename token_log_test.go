package lashstore_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/lashstore/lashstore"
)

// A token in a log lets its reader commit in the holder's name.
func TestTokenNeverPrints(t *testing.T) {
	t.Parallel()
	const secret = "5ec2e7005ec2e7005ec2e7005ec2e700"
	const token = lashstore.Token(secret)
	fence := lashstore.Fence{SessionID: "s", Token: token, FencingToken: 7}
	lease := lashstore.Lease{SessionID: "s", Token: token, LeaseHolder: lashstore.LeaseHolder{Owner: lashstore.Owner{OwnerID: "w"}, FencingToken: 7}}
	claim := lashstore.Claim{SessionID: "s", ClaimID: "qwc:1:1", Token: token, FencingToken: 7}
	values := map[string]any{
		"token": token, "fence": fence, "lease": lease, "claim": claim,
		"completion": claim.Completion(), "result": lashstore.ClaimResult{Claim: &claim}, "refusal": lashstore.ClaimResult{Refusal: lashstore.RefusedEmpty},
		"request": lashstore.ClaimRequest{Fence: fence}, "commit": lashstore.Commit{Fence: fence, Completions: []lashstore.ClaimCompletion{claim.Completion()}},
		"pointer to a fence": &fence, "pointer to a lease": &lease, "pointer to a claim": &claim,
		"fences": []lashstore.Fence{fence}, "tokens by name": map[string]lashstore.Token{"a": token},
	}
	leaks := func(text string) bool {
		return strings.Contains(text, secret) || strings.Contains(strings.ToLower(text), fmt.Sprintf("%x", secret))
	}
	for name, v := range values {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T %v", "%40v", "%-40s", "%t", "%U"} {
			if text := fmt.Sprintf(verb, v); leaks(text) && !strings.Contains(verb, "T") {
				t.Errorf("%s prints its token with %s: %s", name, verb, text)
			}
		}
		if text := fmt.Sprint(v); leaks(text) {
			t.Errorf("%s prints its token: %s", name, text)
		}
		if text := fmt.Errorf("wrong: %v", v).Error(); leaks(text) {
			t.Errorf("%s prints its token in an error: %s", name, text)
		}
	}
	delete(values, "fences") // encoding/json, which slog uses for these, is how tokens travel
	delete(values, "tokens by name")
	for name, v := range values {
		for handler, newHandler := range map[string]func(*bytes.Buffer) slog.Handler{
			"text": func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
			"JSON": func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
		} {
			var b bytes.Buffer
			slog.New(newHandler(&b)).Info("event", "value", v, slog.Group("group", "value", v))
			if leaks(b.String()) {
				t.Errorf("%s logs its token (%s): %s", name, handler, b.String())
			}
		}
	}
	if token.String() != "redacted" || lashstore.Token("").String() != "none" {
		t.Errorf("tokens print as %s and %s", token, lashstore.Token(""))
	}
}

// What is logged in the token's place must still say which lease it was.
func TestLogsSayWhichLease(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	claim := &lashstore.Claim{SessionID: "session-a", ClaimID: "qwc:1:2", FencingToken: 2}
	slog.New(slog.NewTextHandler(&b, nil)).Info("event",
		"fence", lashstore.Fence{SessionID: "session-a", FencingToken: 7},
		"lease", lashstore.Lease{SessionID: "session-a", LeaseHolder: lashstore.LeaseHolder{Owner: lashstore.Owner{OwnerID: "worker"}, FencingToken: 7}},
		"claim", lashstore.ClaimResult{Claim: claim},
		"refusal", lashstore.ClaimResult{Refusal: lashstore.RefusedHeld},
		"completion", claim.Completion(),
		"request", lashstore.ClaimRequest{Owner: lashstore.Owner{OwnerID: "worker"}},
		"commit", lashstore.Commit{TurnID: "turn-1", Checkpoint: &lashstore.Checkpoint{}},
	)
	for _, want := range []string{
		"fence.session_id=session-a", "fence.fencing_token=7", "lease.owner_id=worker", "lease.fencing_token=7",
		"claim.claim_id=qwc:1:2", "refusal.refusal=held", "completion.claim_id=qwc:1:2", "request.owner_id=worker", "commit.turn_id=turn-1",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the log %q lacks %s", b.String(), want)
		}
	}
}
