package lashstore

import (
	"fmt"
	"strings"
	"time"
)

// InvalidError says which input is wrong and why.
type InvalidError struct {
	Field  string // name of the field, as in JSON
	Value  string // what was given, shortened and quoted
	Reason string
}

// maxQuoted bounds how much of a caller's value an error repeats.
const maxQuoted = 96

// Invalid returns an [*InvalidError] for field, with the value shortened.
func Invalid(field string, value any, reason string, args ...any) *InvalidError {
	text := fmt.Sprint(value)
	if len(text) > maxQuoted {
		text = strings.ToValidUTF8(text[:maxQuoted], "\uFFFD") + "…"
	}
	return &InvalidError{Field: field, Value: fmt.Sprintf("%q", text), Reason: fmt.Sprintf(reason, args...)}
}

func (e *InvalidError) Error() string { return fmt.Sprintf("%s %s %s", e.Field, e.Value, e.Reason) }

// Unwrap returns [ErrInvalid].
func (e *InvalidError) Unwrap() error { return ErrInvalid }

// LimitError says which limit was passed.
type LimitError struct {
	Limit string // name of the limit
	Max   int64
	Got   int64
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("%s is %d, the limit is %d", e.Limit, e.Got, e.Max)
}

// Unwrap returns [ErrLimitExceeded].
func (e *LimitError) Unwrap() error { return ErrLimitExceeded }

// WrongSessionError says which session a database or record is bound to.
type WrongSessionError struct {
	Bound     SessionID
	Attempted SessionID
	// Incarnations are set when the ids agree and the incarnations do not.
	BoundIncarnation     Incarnation
	AttemptedIncarnation Incarnation
}

func (e *WrongSessionError) Error() string {
	if e.Bound == e.Attempted {
		return fmt.Sprintf("session %q is now incarnation %s, not %s", e.Bound, e.BoundIncarnation, e.AttemptedIncarnation)
	}
	return fmt.Sprintf("bound to session %q, not %q", e.Bound, e.Attempted)
}

// Unwrap returns [ErrWrongSession].
func (e *WrongSessionError) Unwrap() error { return ErrWrongSession }

// WrongTierError says that data directory and blob tier do not belong together.
// Writing would take blobs for stored that are not, or let one directory's collector
// delete what another's sessions need.
type WrongTierError struct {
	// Want is the tier that the directory belongs to, Got the one it was opened with.
	// They are equal where the tier is the right one by name and belongs to another
	// directory.
	Want, Got string
}

func (e *WrongTierError) Error() string {
	if e.Want == e.Got {
		return fmt.Sprintf("%v: %s is in use by another data directory", ErrWrongTier, e.Got)
	}
	return fmt.Sprintf("%v: the data directory belongs to %s and was opened with %s", ErrWrongTier, e.Want, e.Got)
}

// Unwrap returns [ErrWrongTier].
func (e *WrongTierError) Unwrap() error { return ErrWrongTier }

// HeadMovedError carries the revision that the commit expected and the head's.
type HeadMovedError struct {
	Session  SessionID
	Expected Revision
	Actual   Revision
}

func (e *HeadMovedError) Error() string {
	return fmt.Sprintf("session %q: head is at revision %d, expected %d", e.Session, e.Actual, e.Expected)
}

// Unwrap returns [ErrHeadMoved].
func (e *HeadMovedError) Unwrap() error { return ErrHeadMoved }

// TurnConflictError names the turn that was committed with other content.
type TurnConflictError struct {
	Session  SessionID
	Turn     TurnID
	Revision Revision // where the turn was committed
}

func (e *TurnConflictError) Error() string {
	return fmt.Sprintf("session %q: turn %q was committed at revision %d with other content", e.Session, e.Turn, e.Revision)
}

// Unwrap returns [ErrTurnConflict].
func (e *TurnConflictError) Unwrap() error { return ErrTurnConflict }

// FenceReason says why a lease does not count.
type FenceReason string

// The reasons of a [FencedError].
const (
	FenceMissing      FenceReason = "missing"       // the call named no lease
	FenceWrongSession FenceReason = "wrong_session" // it names another session's
	FenceReleased     FenceReason = "released"      // nobody holds the lease
	FenceSuperseded   FenceReason = "superseded"    // another grant replaced it
	FenceExpired      FenceReason = "expired"       // it was not renewed in time
)

// FencedError says why a lease was refused and who holds it now.
type FencedError struct {
	Session SessionID
	Reason  FenceReason
	Given   FencingToken
	Current FencingToken
	Holder  string // owner id of the current holder, if any
}

func (e *FencedError) Error() string {
	msg := fmt.Sprintf("session %q: execution lease %s (fencing token %d, current %d", e.Session, e.Reason, e.Given, e.Current)
	if e.Holder != "" {
		msg += fmt.Sprintf(", held by %q", e.Holder)
	}
	return msg + ")"
}

// Unwrap returns [ErrFenced].
func (e *FencedError) Unwrap() error { return ErrFenced }

// LeaseHeldError names the holder of a lease that could not be claimed.
type LeaseHeldError struct {
	Session SessionID
	Holder  LeaseHolder
}

func (e *LeaseHeldError) Error() string {
	return fmt.Sprintf("session %q: execution lease held by %q until %s (fencing token %d)", e.Session,
		e.Holder.Owner.OwnerID, e.Holder.ExpiresAt.UTC().Format(time.RFC3339Nano), e.Holder.FencingToken)
}

// Unwrap returns [ErrLeaseHeld].
func (e *LeaseHeldError) Unwrap() error { return ErrLeaseHeld }

// ClaimLostError names the claim and, where one is at fault, the batch.
type ClaimLostError struct {
	Session SessionID
	Claim   ClaimID
	Batch   BatchID
	// Successor is the claim that holds the batch now, if any.
	Successor ClaimID
	Reason    string
}

func (e *ClaimLostError) Error() string {
	msg := fmt.Sprintf("session %q: claim %s", e.Session, e.Claim)
	if e.Batch != "" {
		msg += fmt.Sprintf(", batch %s", e.Batch)
	}
	msg += ": " + e.Reason
	if e.Successor != "" {
		msg += fmt.Sprintf(" (now %s)", e.Successor)
	}
	return msg
}

// Unwrap returns [ErrClaimLost].
func (e *ClaimLostError) Unwrap() error { return ErrClaimLost }

// GraphError names the node that cannot be appended.
type GraphError struct {
	Node   NodeID
	Reason string
}

func (e *GraphError) Error() string { return fmt.Sprintf("node %q: %s", e.Node, e.Reason) }

// Unwrap returns [ErrGraphInvalid].
func (e *GraphError) Unwrap() error { return ErrGraphInvalid }

// RevisionNotFoundError says which revisions are kept.
type RevisionNotFoundError struct {
	Session  SessionID
	Revision Revision
	Oldest   Revision // 0: none
	Newest   Revision // 0: none
}

func (e *RevisionNotFoundError) Error() string {
	return fmt.Sprintf("session %q: revision %d not found (kept: %d to %d)", e.Session, e.Revision, e.Oldest, e.Newest)
}

// Unwrap returns [ErrRevisionNotFound].
func (e *RevisionNotFoundError) Unwrap() error { return ErrRevisionNotFound }

// UnknownReferenceError names the digest and where it was used.
type UnknownReferenceError struct {
	Session SessionID
	Digest  Digest
	Use     string // for example "component tool_state"
}

func (e *UnknownReferenceError) Error() string {
	return fmt.Sprintf("session %q: %s refers to %s, which is not held", e.Session, e.Use, e.Digest)
}

// Unwrap returns [ErrUnknownReference].
func (e *UnknownReferenceError) Unwrap() error { return ErrUnknownReference }

// SourceKeyConflictError names the batch that first used the key.
type SourceKeyConflictError struct {
	Session   SessionID
	SourceKey string
	Batch     BatchID
}

func (e *SourceKeyConflictError) Error() string {
	return fmt.Sprintf("session %q: source key %q was used for batch %s with another payload", e.Session, e.SourceKey, e.Batch)
}

// Unwrap returns [ErrSourceKeyConflict].
func (e *SourceKeyConflictError) Unwrap() error { return ErrSourceKeyConflict }

// BatchHeldError names the claim that holds a batch.
type BatchHeldError struct {
	Session SessionID
	Batch   BatchID
	Claim   ClaimID
	Until   time.Time
}

func (e *BatchHeldError) Error() string {
	return fmt.Sprintf("session %q: batch %s is held by claim %s until %s", e.Session, e.Batch, e.Claim,
		e.Until.UTC().Format(time.RFC3339Nano))
}

// Unwrap returns [ErrBatchHeld].
func (e *BatchHeldError) Unwrap() error { return ErrBatchHeld }

// CorruptBlobError names the content and the object in which it is damaged.
type CorruptBlobError struct {
	Digest Digest
	Key    string // object key, or "inline"
	Reason string
}

func (e *CorruptBlobError) Error() string {
	return fmt.Sprintf("corrupt blob %s (%s): %s", e.Digest, e.Key, e.Reason)
}

// Unwrap returns [ErrCorruptBlob].
func (e *CorruptBlobError) Unwrap() error { return ErrCorruptBlob }

// CorruptRecordError names a stored record that cannot be trusted.
type CorruptRecordError struct {
	Session SessionID // empty for records of the tenant
	Record  string    // kind of record, for example "node"
	Key     string    // which one
	Err     error     // why
}

func (e *CorruptRecordError) Error() string {
	return fmt.Sprintf("session %q: corrupt record %s %s: %v", e.Session, e.Record, e.Key, e.Err)
}

// Unwrap returns [ErrCorruptRecord] and the cause.
func (e *CorruptRecordError) Unwrap() []error {
	if e.Err == nil {
		return []error{ErrCorruptRecord}
	}
	return []error{ErrCorruptRecord, e.Err}
}

// SchemaVersionError says what was found and what is supported.
type SchemaVersionError struct {
	Database  string // path of the file
	Kind      string // "session" or "catalog"
	Found     int64
	Supported int64
	Reason    string
}

func (e *SchemaVersionError) Error() string {
	return fmt.Sprintf("%s database %s: version %d found, up to %d supported: %s", e.Kind, e.Database, e.Found, e.Supported, e.Reason)
}

// Unwrap returns [ErrSchemaVersion].
func (e *SchemaVersionError) Unwrap() error { return ErrSchemaVersion }

// CollectionRefusedError says why a collection deleted nothing.
type CollectionRefusedError struct {
	Reason string
	Err    error // the cause, if it was an error
}

func (e *CollectionRefusedError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("%v: %s", ErrCollectionRefused, e.Reason)
	}
	return fmt.Sprintf("%v: %s: %v", ErrCollectionRefused, e.Reason, e.Err)
}

// Unwrap returns [ErrCollectionRefused] and the cause.
func (e *CollectionRefusedError) Unwrap() []error {
	if e.Err == nil {
		return []error{ErrCollectionRefused}
	}
	return []error{ErrCollectionRefused, e.Err}
}

// StorageError says what was being done and to which file or object.
type StorageError struct {
	Op   string
	Path string
	Kind error // ErrStorage, ErrDiskFull, ErrReadOnly, ErrBusy or ErrCorruptDatabase
	Err  error // the cause
}

func (e *StorageError) Error() string {
	return fmt.Sprintf("%s %s: %v: %v", e.Op, e.Path, e.Kind, e.Err)
}

// Unwrap returns the kind and the cause.
func (e *StorageError) Unwrap() []error { return []error{e.Kind, e.Err} }
