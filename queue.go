package lashstore

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// DeliveryPolicy says when a batch may be taken.
type DeliveryPolicy string

// The delivery policies. The empty policy means [DeliverEarliest].
const (
	DeliverEarliest    DeliveryPolicy = "earliest_safe_boundary"
	DeliverAfterCommit DeliveryPolicy = "after_current_turn_commit"
)

// SlotPolicy says whether a batch may share a claim.
type SlotPolicy string

// The slot policies. The empty policy means [SlotExclusive].
const (
	SlotJoin      SlotPolicy = "join"
	SlotExclusive SlotPolicy = "exclusive"
)

// MergeKey says which adjacent batches may share a claim: those whose keys are
// equal. The empty key means [MergeNever], which is equal to itself like any other.
type MergeKey string

// Merge keys that are not groups.
const (
	MergeNever          MergeKey = "never"
	MergePayloadDefault MergeKey = "payload_default"
	mergeGroupPrefix             = "group:"
)

// MergeGroup returns the key of a named group.
func MergeGroup(name string) MergeKey { return MergeKey(mergeGroupPrefix + name) }

// WorkClass says what a batch holds; all its payloads agree.
type WorkClass string

// The work classes.
const (
	WorkCommand WorkClass = "session_command"
	WorkTurn    WorkClass = "turn_work"
)

// ClaimBoundary says where a claimer stands.
type ClaimBoundary string

// The boundaries. The empty boundary means [BoundaryIdle].
const (
	BoundaryIdle       ClaimBoundary = "idle"                   // between turns
	BoundaryCheckpoint ClaimBoundary = "active_turn_checkpoint" // inside a running turn
)

// PayloadType says what one queued payload is.
type PayloadType string

// The payload types.
const (
	PayloadTurnInput      PayloadType = "turn_input"
	PayloadProcessWake    PayloadType = "process_wake"
	PayloadSessionCommand PayloadType = "session_command"
)

// Class returns the work class of a payload type, or "" for an unknown type.
func (t PayloadType) Class() WorkClass {
	switch t {
	case PayloadTurnInput, PayloadProcessWake:
		return WorkTurn
	case PayloadSessionCommand:
		return WorkCommand
	default:
		return ""
	}
}

// Payload is one queued input. Body is a JSON object that the store keeps byte for
// byte.
type Payload struct {
	Type PayloadType     `json:"type"`
	Body json.RawMessage `json:"body"`
}

// BatchDraft is work to be enqueued.
type BatchDraft struct {
	// SourceKey makes the enqueue idempotent; empty means none. The key is remembered
	// while the batch is queued and for a time after it ended
	// ([DefaultSourceKeyRetention]).
	SourceKey      string         `json:"source_key,omitempty"`
	DeliveryPolicy DeliveryPolicy `json:"delivery_policy"`
	SlotPolicy     SlotPolicy     `json:"slot_policy"`
	MergeKey       MergeKey       `json:"merge_key"`
	AvailableAt    time.Time      `json:"available_at,omitzero"` // zero: at once
	Payloads       []Payload      `json:"payloads"`              // 1 to [MaxBatchItems], of one class
}

// WithDefaults returns the draft with empty policies filled in.
func (d BatchDraft) WithDefaults() BatchDraft {
	if d.DeliveryPolicy == "" {
		d.DeliveryPolicy = DeliverEarliest
	}
	if d.SlotPolicy == "" {
		d.SlotPolicy = SlotExclusive
	}
	if d.MergeKey == "" {
		d.MergeKey = MergeNever
	}
	return d
}

// Class returns the work class of the draft's payloads, or "" if they do not agree.
func (d BatchDraft) Class() WorkClass {
	var class WorkClass
	for i, p := range d.Payloads {
		if c := p.Type.Class(); i == 0 {
			class = c
		} else if c != class {
			return ""
		}
	}
	return class
}

// Validate reports the first wrong field of a draft as an [*InvalidError] or a
// [*LimitError].
func (d BatchDraft) Validate() error {
	if err := validateOptionalText("source_key", d.SourceKey, MaxNameBytes); err != nil {
		return err
	}
	switch d.DeliveryPolicy {
	case "", DeliverEarliest, DeliverAfterCommit:
	default:
		return Invalid("delivery_policy", string(d.DeliveryPolicy), "is not a known delivery policy")
	}
	switch d.SlotPolicy {
	case "", SlotJoin, SlotExclusive:
	default:
		return Invalid("slot_policy", string(d.SlotPolicy), "is not join or exclusive")
	}
	if err := d.MergeKey.validate(); err != nil {
		return err
	}
	if err := validateTime("available_at", d.AvailableAt); err != nil {
		return err
	}
	return d.validatePayloads()
}

func (k MergeKey) validate() error {
	switch {
	case k == "", k == MergeNever, k == MergePayloadDefault:
		return nil
	case len(k) > len(mergeGroupPrefix) && k[:len(mergeGroupPrefix)] == mergeGroupPrefix:
		return validateText("merge_key", string(k), MaxNameBytes)
	default:
		return Invalid("merge_key", string(k), "is not never, payload_default or group:NAME")
	}
}

func (d BatchDraft) validatePayloads() error {
	if n := len(d.Payloads); n == 0 {
		return Invalid("payloads", "", "must not be empty")
	} else if n > MaxBatchItems {
		return &LimitError{Limit: "batch_items", Max: MaxBatchItems, Got: int64(n)}
	}
	for i, p := range d.Payloads {
		field := fmt.Sprintf("payloads[%d]", i)
		if p.Type.Class() == "" {
			return Invalid(field+".type", string(p.Type), "is not a known payload type")
		}
		if err := validateObject(field+".body", p.Body); err != nil {
			return err
		}
	}
	if d.Class() == "" {
		return Invalid("payloads", "", "mix session commands and turn work")
	}
	return nil
}

// Item is one payload of a stored batch.
type Item struct {
	ItemID ItemID `json:"item_id"`
	Payload
}

// Batch is queued work.
type Batch struct {
	BatchID        BatchID        `json:"batch_id"`
	SessionID      SessionID      `json:"session_id"`
	EnqueueSeq     uint64         `json:"enqueue_seq"` // rises, never reused
	SourceKey      string         `json:"source_key,omitempty"`
	Class          WorkClass      `json:"class"`
	DeliveryPolicy DeliveryPolicy `json:"delivery_policy"`
	SlotPolicy     SlotPolicy     `json:"slot_policy"`
	MergeKey       MergeKey       `json:"merge_key"`
	AvailableAt    time.Time      `json:"available_at"`
	EnqueuedAt     time.Time      `json:"enqueued_at"`
	Items          []Item         `json:"items"`
	// Claim is the live claim that holds the batch, if any.
	Claim *BatchClaim `json:"claim,omitempty"`
}

// BatchClaim describes a claim to others: without its token.
type BatchClaim struct {
	ClaimID      ClaimID      `json:"claim_id"`
	Owner        Owner        `json:"owner"`
	FencingToken FencingToken `json:"fencing_token"`
	ExpiresAt    time.Time    `json:"expires_at"`
}

// EnqueueOutcome says what became of an enqueue.
type EnqueueOutcome string

// The outcomes of an enqueue.
const (
	EnqueueAccepted  EnqueueOutcome = "accepted"  // a new batch
	EnqueueDuplicate EnqueueOutcome = "duplicate" // the key's batch is still queued
	EnqueueCompleted EnqueueOutcome = "completed" // the key's batch was completed
	EnqueueCancelled EnqueueOutcome = "cancelled" // the key's batch was cancelled
)

// EnqueueResult is the answer to an enqueue. For a batch that ended, Batch has only
// its id, session and source key.
type EnqueueResult struct {
	Outcome EnqueueOutcome `json:"outcome"`
	Batch   Batch          `json:"batch"`
}

// ClaimRequest asks for queued work.
type ClaimRequest struct {
	// Fence is the session's execution lease. Claims are pinned to it: when another
	// holder takes the lease, they may be taken over at once.
	Fence Fence
	Owner Owner
	TTL   time.Duration
	// Boundary counts for turn work only.
	Boundary ClaimBoundary
	// MaxBatches is 0 to [MaxClaimBatches]. With 0 nothing is claimed and nothing
	// else is checked. ClaimCommand and ClaimBatches ignore it.
	MaxBatches int
}

// Validate reports the first wrong field as an [*InvalidError].
func (r ClaimRequest) Validate() error {
	if err := r.Owner.Validate(); err != nil {
		return err
	}
	if err := ValidateTTL("ttl", r.TTL); err != nil {
		return err
	}
	switch r.Boundary {
	case "", BoundaryIdle, BoundaryCheckpoint:
	default:
		return Invalid("boundary", string(r.Boundary), "is not idle or active_turn_checkpoint")
	}
	if r.MaxBatches < 0 || r.MaxBatches > MaxClaimBatches {
		return Invalid("max_batches", r.MaxBatches, "is not within 0 to %d", MaxClaimBatches)
	}
	return nil
}

// Claim is a time-limited hold on batches.
type Claim struct {
	SessionID    SessionID    `json:"session_id"`
	ClaimID      ClaimID      `json:"claim_id"`
	Owner        Owner        `json:"owner"`
	Token        Token        `json:"lease_token"`
	FencingToken FencingToken `json:"fencing_token"`
	ClaimedAt    time.Time    `json:"claimed_at"`
	ExpiresAt    time.Time    `json:"expires_at"`
	Batches      []Batch      `json:"batches"`
}

// Completion returns what a commit names to settle the whole claim.
func (c *Claim) Completion() ClaimCompletion {
	done := ClaimCompletion{SessionID: c.SessionID, ClaimID: c.ClaimID, Token: c.Token}
	for _, b := range c.Batches {
		done.BatchIDs = append(done.BatchIDs, b.BatchID)
	}
	return done
}

// ClaimCompletion settles a claim in a commit. BatchIDs are all batches of the
// claim, in order.
type ClaimCompletion struct {
	SessionID SessionID `json:"session_id"`
	ClaimID   ClaimID   `json:"claim_id"`
	Token     Token     `json:"lease_token"`
	BatchIDs  []BatchID `json:"batch_ids"`
}

// ClaimRefusal says why a claim yielded nothing.
type ClaimRefusal string

// The reasons why nothing was claimed.
const (
	RefusedZeroLimit    ClaimRefusal = "zero_limit"        // MaxBatches was 0, or no batches were named
	RefusedEmpty        ClaimRefusal = "empty"             // nothing is queued
	RefusedNotAvailable ClaimRefusal = "not_yet_available" // what is queued is for later
	RefusedHeld         ClaimRefusal = "held"              // what is available is in live claims
	RefusedCommandAhead ClaimRefusal = "command_ahead"     // a session command comes first
	RefusedNoCommand    ClaimRefusal = "no_command_ahead"  // turn work comes first
	RefusedBoundary     ClaimRefusal = "boundary"          // the first batch waits for the turn's commit
	RefusedNotLeading   ClaimRefusal = "not_leading"       // the batches asked for are not the next ones
)

// ClaimResult is a claim, or the reason why there is none.
type ClaimResult struct {
	Claim   *Claim       `json:"claim,omitempty"`
	Refusal ClaimRefusal `json:"refusal,omitempty"`
}

// ListQueue selects a page of the queue, in the order of its sequence.
type ListQueue struct {
	// PendingOnly leaves out batches that are in a live claim.
	PendingOnly bool
	// AfterSeq continues after a batch's EnqueueSeq; 0 for the first page.
	AfterSeq uint64
	// Limit is 1 to [MaxListLimit]; 0 means [DefaultListLimit].
	Limit int
}

// Validate reports the first wrong field as an [*InvalidError].
func (l ListQueue) Validate() error {
	if l.AfterSeq > MaxCounter {
		return Invalid("after_seq", l.AfterSeq, "is too large")
	}
	return validateLimit(l.Limit)
}

// Queue holds a session's inputs until a commit settles them. Batches are claimed
// in the order in which they were enqueued, among those that are available and in
// no live claim. A claim is live until it expires, is completed or abandoned, its
// holder is proven dead, or the execution lease passes to another holder. Until
// another claims the batches, a claim that is no longer live still counts as held
// by its claimant: it can be renewed or completed.
type Queue interface {
	// Enqueue adds a batch. It needs no lease.
	//
	// Errors: [ErrInvalid], [ErrLimitExceeded], [ErrSourceKeyConflict].
	Enqueue(ctx context.Context, draft BatchDraft) (EnqueueResult, error)
	// ClaimCommand claims the first batch if it is a session command.
	//
	// Errors, of all claims: [ErrFenced], [ErrInvalid].
	ClaimCommand(ctx context.Context, req ClaimRequest) (ClaimResult, error)
	// ClaimTurnWork claims the first batch if it is turn work: alone if it is
	// exclusive, and with the batches that directly follow, up to the limit, while
	// they are turn work to be joined with the same policy and merge key.
	ClaimTurnWork(ctx context.Context, req ClaimRequest) (ClaimResult, error)
	// ClaimBatches claims exactly these batches, in this order, if ClaimTurnWork with
	// their number as limit would claim them, and otherwise nothing. Without ids the
	// refusal is [RefusedZeroLimit].
	ClaimBatches(ctx context.Context, req ClaimRequest, ids []BatchID) (ClaimResult, error)
	// RenewClaim moves the expiry to ttl from now.
	//
	// Errors: [ErrClaimLost] if another claim took a batch, or it ended.
	RenewClaim(ctx context.Context, claim Claim, ttl time.Duration) (Claim, error)
	// AbandonClaim frees the batches of a claim. Batches that it no longer holds are
	// left alone.
	AbandonClaim(ctx context.Context, claim Claim) error
	// CancelBatch removes a batch that is in no live claim and returns it.
	//
	// Errors: [ErrBatchNotFound], [ErrBatchHeld].
	CancelBatch(ctx context.Context, id BatchID) (Batch, error)
	// ListQueue lists batches.
	ListQueue(ctx context.Context, list ListQueue) ([]Batch, error)
}
