package lashstore

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// ProcessWake is the body of a [PayloadProcessWake]: an event of a child process
// that the session should hear of.
type ProcessWake struct {
	WakeID          string          `json:"wake_id"`
	TargetSessionID SessionID       `json:"target_session_id"`
	TargetScopeID   string          `json:"target_scope_id,omitempty"`
	ProcessID       string          `json:"process_id"`
	Sequence        uint64          `json:"sequence"`
	EventType       string          `json:"event_type"` // empty means process.wake
	EventInvocation json.RawMessage `json:"event_invocation,omitempty"`
	ProcessCausedBy *CausalRef      `json:"process_caused_by,omitempty"`
	DedupeKey       string          `json:"dedupe_key,omitempty"`
	Input           json.RawMessage `json:"input,omitempty"`
	CreatedAt       time.Time       `json:"created_at,omitzero"`
}

// NewWakeDraft returns the batch that delivers a wake: exclusive, at the earliest
// safe boundary, once for each process and sequence.
func NewWakeDraft(wake ProcessWake) (BatchDraft, error) {
	if err := validateText("process_id", wake.ProcessID, MaxNameBytes/2); err != nil {
		return BatchDraft{}, err
	}
	if err := validateOptionalText("target_session_id", string(wake.TargetSessionID), MaxSessionIDBytes); err != nil {
		return BatchDraft{}, err
	}
	if wake.Sequence > MaxCounter {
		return BatchDraft{}, Invalid("sequence", wake.Sequence, "is too large")
	}
	if err := validateOptionalJSON("event_invocation", wake.EventInvocation); err != nil {
		return BatchDraft{}, err
	}
	if err := validateOptionalJSON("input", wake.Input); err != nil {
		return BatchDraft{}, err
	}
	if wake.EventType == "" {
		wake.EventType = "process.wake"
	}
	body, err := json.Marshal(wake)
	if err != nil {
		return BatchDraft{}, fmt.Errorf("encode wake of process %s: %w", wake.ProcessID, err)
	}
	return BatchDraft{
		SourceKey:      fmt.Sprintf("process:%s:event:%d:wake", wake.ProcessID, wake.Sequence),
		DeliveryPolicy: DeliverEarliest,
		SlotPolicy:     SlotExclusive,
		MergeKey:       MergeNever,
		Payloads:       []Payload{{Type: PayloadProcessWake, Body: body}},
	}, nil
}

// CommandKind names a session command.
type CommandKind string

// The session commands.
const (
	CommandRefreshToolCatalog CommandKind = "refresh_tool_catalog"
	CommandResetSession       CommandKind = "reset_session"
)

// SessionCommand is the body of a [PayloadSessionCommand].
type SessionCommand struct {
	Kind   CommandKind `json:"kind"`
	Reason string      `json:"reason"`
}

// NewCommandDraft returns the batch that delivers a session command: exclusive,
// after the current turn's commit, once for each key, which must not be blank.
func NewCommandDraft(cmd SessionCommand, key string) (BatchDraft, error) {
	switch cmd.Kind {
	case CommandRefreshToolCatalog, CommandResetSession:
	default:
		return BatchDraft{}, Invalid("kind", string(cmd.Kind), "is not a known session command")
	}
	if err := validateFreeText("reason", cmd.Reason, MaxPayloadBytes/2); err != nil {
		return BatchDraft{}, err
	}
	if strings.TrimSpace(key) == "" {
		return BatchDraft{}, Invalid("idempotency_key", key, "must not be blank")
	}
	body, err := json.Marshal(cmd)
	if err != nil {
		return BatchDraft{}, fmt.Errorf("encode session command %s: %w", cmd.Kind, err)
	}
	return BatchDraft{
		SourceKey:      fmt.Sprintf("command:%s:%s", cmd.Kind, key),
		DeliveryPolicy: DeliverAfterCommit,
		SlotPolicy:     SlotExclusive,
		MergeKey:       MergeNever,
		Payloads:       []Payload{{Type: PayloadSessionCommand, Body: body}},
	}, nil
}

// NewTurnInput returns a turn input payload whose body is {"input": input}.
func NewTurnInput(input any) (Payload, error) {
	body, err := json.Marshal(map[string]any{"input": input})
	if err != nil {
		return Payload{}, fmt.Errorf("encode turn input: %w", err)
	}
	return Payload{Type: PayloadTurnInput, Body: body}, nil
}
