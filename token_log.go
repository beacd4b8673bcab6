package lashstore

import (
	"fmt"
	"io"
	"log/slog"
)

// Nothing here prints a token: not through package slog, whose JSON handler would
// encode whole records, and not through any verb of package fmt. That asks String
// for some verbs only, and prints what a pointer leads to without asking anybody
// when the verb is wrong for a pointer; so whatever carries a token formats itself.

// Format hides the token from every verb.
func (t Token) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, t.String()) }

// Format prints the fence without its token, whatever the verb.
func (f Fence) Format(state fmt.State, _ rune) {
	type plain Fence
	formatValue(state, plain(f))
}

// Format prints the lease without its token, whatever the verb.
func (l Lease) Format(state fmt.State, _ rune) {
	type plain Lease
	formatValue(state, plain(l))
}

// Format prints the claim without its token, whatever the verb.
func (c Claim) Format(state fmt.State, _ rune) {
	type plain Claim
	formatValue(state, plain(c))
}

// Format prints the completion without its token, whatever the verb.
func (c ClaimCompletion) Format(state fmt.State, _ rune) {
	type plain ClaimCompletion
	formatValue(state, plain(c))
}

// formatValue prints a struct as %v, %+v or %#v would.
func formatValue(state fmt.State, v any) {
	switch {
	case state.Flag('#'):
		_, _ = fmt.Fprintf(state, "%#v", v)
	case state.Flag('+'):
		_, _ = fmt.Fprintf(state, "%+v", v)
	default:
		_, _ = fmt.Fprintf(state, "%v", v)
	}
}

// LogValue hides the token from logs.
func (t Token) LogValue() slog.Value { return slog.StringValue(t.String()) }

// LogValue describes the fence without its token.
func (f Fence) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("session_id", string(f.SessionID)),
		slog.Uint64("fencing_token", uint64(f.FencingToken)),
	)
}

// LogValue describes the lease without its token.
func (l Lease) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("session_id", string(l.SessionID)),
		slog.String("owner_id", l.Owner.OwnerID),
		slog.String("incarnation_id", l.Owner.IncarnationID),
		slog.Uint64("fencing_token", uint64(l.FencingToken)),
		slog.Time("expires_at", l.ExpiresAt),
	)
}

// LogValue describes the claim without its token and payloads.
func (c Claim) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("session_id", string(c.SessionID)),
		slog.String("claim_id", string(c.ClaimID)),
		slog.String("owner_id", c.Owner.OwnerID),
		slog.Uint64("fencing_token", uint64(c.FencingToken)),
		slog.Time("expires_at", c.ExpiresAt),
		slog.Int("batches", len(c.Batches)),
	)
}

// LogValue describes the result without the claim's token.
func (r ClaimResult) LogValue() slog.Value {
	if r.Claim == nil {
		return slog.GroupValue(slog.String("refusal", string(r.Refusal)))
	}
	return r.Claim.LogValue()
}

// LogValue describes the request without the lease's token.
func (r ClaimRequest) LogValue() slog.Value {
	return slog.GroupValue(
		slog.Any("fence", r.Fence),
		slog.String("owner_id", r.Owner.OwnerID),
		slog.String("boundary", string(r.Boundary)),
		slog.Int("max_batches", r.MaxBatches),
	)
}

// LogValue describes the completion without the claim's token.
func (c ClaimCompletion) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("session_id", string(c.SessionID)),
		slog.String("claim_id", string(c.ClaimID)),
		slog.Int("batches", len(c.BatchIDs)),
	)
}

// LogValue says how much is in the commit: neither tokens nor content.
func (c Commit) LogValue() slog.Value {
	components := 0
	if c.Checkpoint != nil {
		components = len(c.Checkpoint.Components)
	}
	return slog.GroupValue(
		slog.Uint64("expected_revision", uint64(c.ExpectedRevision)),
		slog.String("turn_id", string(c.TurnID)),
		slog.Any("fence", c.Fence),
		slog.String("graph_mode", string(c.Graph.Mode)),
		slog.Int("nodes", len(c.Graph.Nodes)),
		slog.Int("components", components),
		slog.Int("completions", len(c.Completions)),
		slog.Int("enqueue", len(c.Enqueue)),
	)
}
