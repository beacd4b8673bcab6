package lashstore

import (
	"context"
	"errors"
)

// The names of errors that have no sentinel of this package.
const (
	codeCanceled         = "canceled"
	codeDeadlineExceeded = "deadline_exceeded"
	codeInternal         = "internal"
)

// errorCode is one row of the table of errors.
type errorCode struct {
	sentinel  error
	code      string
	retryable bool
}

// errorCodes has a row for every sentinel. The first row that matches decides, so
// what says more about a chain of errors stands above what it may have been caused
// by: a record that does not validate is corrupt, not the caller's invalid input.
func errorCodes() []errorCode {
	return []errorCode{
		{context.Canceled, codeCanceled, false},
		{context.DeadlineExceeded, codeDeadlineExceeded, false},
		{ErrCollectionRefused, "collection_refused", false},
		{ErrCorruptRecord, "corrupt_record", false},
		{ErrCorruptBlob, "corrupt_blob", false},
		{ErrCorruptDatabase, "corrupt_database", false},
		{ErrSchemaVersion, "schema_version", false},
		{ErrBusy, "busy", true},
		{ErrReadOnly, "read_only", false},
		{ErrDiskFull, "disk_full", false},
		{ErrStorage, "storage", true},
		{ErrClosed, "closed", false},
		{ErrSessionNotFound, "session_not_found", false},
		{ErrSessionDeleted, "session_deleted", false},
		{ErrWrongSession, "wrong_session", false},
		{ErrWrongTier, "wrong_tier", false},
		{ErrHeadMoved, "head_moved", false},
		{ErrTurnConflict, "turn_conflict", false},
		{ErrFenced, "fenced", false},
		{ErrLeaseHeld, "lease_held", false},
		{ErrClaimLost, "claim_lost", false},
		{ErrNodeNotFound, "node_not_found", false},
		{ErrRevisionNotFound, "revision_not_found", false},
		{ErrUnknownReference, "unknown_reference", false},
		{ErrSourceKeyConflict, "source_key_conflict", false},
		{ErrBatchNotFound, "batch_not_found", false},
		{ErrBatchHeld, "batch_held", false},
		{ErrAttachmentNotFound, "attachment_not_found", false},
		{ErrArtifactNotFound, "artifact_not_found", false},
		{ErrBlobNotFound, "blob_not_found", false},
		{ErrLimitExceeded, "limit_exceeded", false},
		{ErrGraphInvalid, "graph_invalid", false},
		{ErrInvalid, "invalid", false},
	}
}

// Code returns the stable name of an error, in snake_case: that of its sentinel,
// "canceled" or "deadline_exceeded" for a context's error, "internal" for any other
// and "" for nil. Names are never changed or given a second meaning, so logs,
// metrics and callers in other languages may rely on them.
func Code(err error) string {
	if err == nil {
		return ""
	}
	for _, row := range errorCodes() {
		if errors.Is(err, row.sentinel) {
			return row.code
		}
	}
	return codeInternal
}

// Retryable reports whether repeating the identical call may succeed although
// nothing else changes: another writer was in the way ([ErrBusy]) or the storage
// failed ([ErrStorage]). After a storage failure the first call may have taken
// effect unseen; a turn id or a source key makes repeating it safe.
func Retryable(err error) bool {
	for _, row := range errorCodes() {
		if errors.Is(err, row.sentinel) {
			return row.retryable
		}
	}
	return false
}
