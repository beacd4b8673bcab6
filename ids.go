package lashstore

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// SessionID identifies a session within a tenant. The caller chooses it: 1 to
// [MaxSessionIDBytes] bytes of UTF-8 without control characters. Ids that differ
// in a single byte (letter case included) name different sessions. It is never
// used as a path or an object key unsanitised.
type SessionID string

// Validate reports an [*InvalidError] for the field "session_id".
func (id SessionID) Validate() error {
	return validateText("session_id", string(id), MaxSessionIDBytes)
}

// Incarnation distinguishes two sessions that had the same id one after the
// other: 32 hexadecimal digits of 128 random bits, new at every creation.
type Incarnation string

// Revision counts the commits of a session: 1 for the first, 0 for none.
type Revision uint64

// Validate reports an [*InvalidError] when the revision is not representable.
func (r Revision) Validate() error {
	if r > MaxCounter {
		return Invalid("revision", r, "is larger than any revision can be")
	}
	return nil
}

// NodeID identifies a graph node within its session: 1 to [MaxNodeIDBytes] bytes
// of UTF-8 without control characters.
type NodeID string

// Validate reports an [*InvalidError] for the field "node_id".
func (id NodeID) Validate() error { return validateText("node_id", string(id), MaxNodeIDBytes) }

// FrameID identifies an agent frame within its session; same form as [NodeID].
type FrameID string

// Validate reports an [*InvalidError] for the field "frame_id".
func (id FrameID) Validate() error { return validateText("frame_id", string(id), MaxNameBytes) }

// TurnID names the turn that a commit finishes, for idempotency; same form as
// [NodeID]. The empty id means that the commit is not stamped.
type TurnID string

// Validate reports an [*InvalidError] for the field "turn_id".
func (id TurnID) Validate() error { return validateText("turn_id", string(id), MaxNameBytes) }

// BatchID identifies a queued batch: "qwb:" and 32 hexadecimal digits of 128
// random bits.
type BatchID string

// ItemID identifies one payload of a batch: the batch id, ":item:" and its index.
type ItemID string

// ClaimID identifies a claim on queued batches: "qwc:", the sequence number of its
// first batch, ":" and the claim's fencing token.
type ClaimID string

// FencingToken numbers the grants of a lease or of a claim. It only grows; a
// larger one belongs to a newer holder.
type FencingToken uint64

// Token proves that its bearer holds a lease or a claim: 32 hexadecimal digits of
// 128 random bits. It is a secret between the store and the holder: nothing that
// describes the lease to others contains it, and it does not print.
type Token string

// String hides the token, so that it cannot reach a log through a format verb.
func (t Token) String() string {
	if t == "" {
		return "none"
	}
	return "redacted"
}

// GoString hides the token from %#v.
func (t Token) GoString() string { return t.String() }

// validateText checks an id or a name: UTF-8, within the limit, not empty, and
// free of control characters, which would otherwise reach logs and file names.
func validateText(field, s string, limit int) error {
	switch {
	case s == "":
		return Invalid(field, s, "must not be empty")
	case len(s) > limit:
		return Invalid(field, s, "is longer than %d bytes", limit)
	case !utf8.ValidString(s):
		return Invalid(field, s, "is not valid UTF-8")
	case strings.ContainsFunc(s, unicode.IsControl):
		return Invalid(field, s, "contains a control character")
	}
	return nil
}

// validateOptionalText is validateText for a field that may be empty.
func validateOptionalText(field, s string, limit int) error {
	if s == "" {
		return nil
	}
	return validateText(field, s, limit)
}

// validateFreeText is for display data: any UTF-8 within the limit, or nothing.
func validateFreeText(field, s string, limit int) error {
	switch {
	case len(s) > limit:
		return Invalid(field, s, "is longer than %d bytes", limit)
	case !utf8.ValidString(s):
		return Invalid(field, s, "is not valid UTF-8")
	}
	return nil
}
