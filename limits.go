package lashstore

import (
	"math"
	"time"
)

// Limits of the contract. They hold for every implementation; an implementation
// may set lower ones in its options but never raises these.
const (
	// MaxSessionIDBytes bounds a session id (design section 3).
	MaxSessionIDBytes = 256
	// MaxNodeIDBytes bounds a node id: a message id with the longest prefix and
	// suffix that the append rules add still fits an index entry on one page.
	MaxNodeIDBytes = 512
	// MaxNameBytes bounds every other id and label: owners, frames, turns, source
	// keys, component keys, models, artifact names.
	MaxNameBytes = 512
	// MaxDisplayBytes bounds display data: session names, working directories,
	// attachment labels.
	MaxDisplayBytes = 4096
	// MaxPayloadBytes bounds one JSON payload: a node, a queue item, a frame's
	// options. What is larger belongs into a blob.
	MaxPayloadBytes = 8 << 20
	// MaxJSONDepth bounds the nesting of a JSON payload, as encoding/json does not
	// bound what a recursive reader of it would use.
	MaxJSONDepth = 512
	// MaxCommitBytes bounds what one commit carries inline: node payloads,
	// component bytes, frames and enqueued payloads together.
	MaxCommitBytes = 64 << 20
	// MaxCommitRows bounds the rows one commit may add: nodes, frames,
	// components, usage entries, settled and enqueued batches, attachments. It is
	// sized so that replacing a graph of 100,000 nodes fits.
	MaxCommitRows = 250_000
	// MaxComponents bounds the keys of one checkpoint.
	MaxComponents = 1024
	// MaxBlobBytes bounds one blob.
	MaxBlobBytes = 1 << 30
	// MaxBatchItems bounds the payloads of one queued batch.
	MaxBatchItems = 256
	// MaxClaimBatches bounds the batches of one claim.
	MaxClaimBatches = 1024
	// MaxListLimit bounds one page of any list; DefaultListLimit is used for 0.
	MaxListLimit     = 1000
	DefaultListLimit = 100
	// MaxTTL bounds leases and claims: a holder that is silent for a day is dead.
	MaxTTL = 24 * time.Hour
	// MaxCounter is the largest revision, sequence, fencing token or token count:
	// the databases below keep signed 64-bit integers.
	MaxCounter = math.MaxInt64
	// MaxTimeMS is the last representable time, 9999-12-31T23:59:59.999Z, the end
	// of what RFC 3339 can write.
	MaxTimeMS = 253_402_300_799_999
)

// Timings that a runtime should use (spec part 01, section 1.1). The time to live
// is three renewals, so that a healthy holder survives two lost ones.
const (
	DefaultLeaseTTL     = 30 * time.Second
	DefaultLeaseRenewal = 10 * time.Second
	DefaultClaimTTL     = 30 * time.Second
	// DefaultClaimBatches is how many batches a runtime asks for at once.
	DefaultClaimBatches = 64
	// DefaultSourceKeyRetention is how long the source key of a finished batch is
	// remembered, so that a late retry is not delivered again (design section 13).
	DefaultSourceKeyRetention = 7 * 24 * time.Hour
	// DefaultRetainedRevisions is how many revisions of history are kept.
	DefaultRetainedRevisions = 100
	// DefaultUploadTTL is how long an upload that no commit has used is protected.
	DefaultUploadTTL = 24 * time.Hour
)

// validateTime accepts the zero time and any time from 1970 to [MaxTimeMS].
func validateTime(field string, t time.Time) error {
	if t.IsZero() {
		return nil
	}
	// UnixMilli overflows silently for far years, so the year is checked first.
	if y := t.UTC().Year(); y < 1970 || y > 9999 {
		return Invalid(field, t, "is outside 1970 to 9999")
	}
	return nil
}

// ValidateTTL checks the time to live of a lease, a claim or an upload: from 0
// (expired at once) to [MaxTTL].
func ValidateTTL(field string, ttl time.Duration) error {
	switch {
	case ttl < 0:
		return Invalid(field, ttl, "must not be negative")
	case ttl > MaxTTL:
		return Invalid(field, ttl, "is longer than %s", MaxTTL)
	}
	return nil
}
