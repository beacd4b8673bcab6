package lashstore

import (
	"context"
	"time"
)

// How long a collector waits.
const (
	// DefaultGrace is how long content that nothing refers to is kept before it is
	// deleted (design section 6): the time in which it can be undeleted, and the age up
	// to which a backup of the metadata can be restored beside the tier of today.
	DefaultGrace = 24 * time.Hour
	// MaxGrace bounds the grace period.
	MaxGrace = 10 * 365 * 24 * time.Hour
	// MaxCollectWorkers bounds how many shards one collection works on at a time.
	MaxCollectWorkers = 64
)

// maxFindings bounds how many findings a report names. Its counts are of all.
const maxFindings = 1000

// CollectOptions say what one collection of a tenant does. The zero value deletes
// what has been without a reference for [DefaultGrace].
type CollectOptions struct {
	// DryRun reports what would be done and changes nothing.
	DryRun bool
	// Audit compares every session with the references that the catalog has of it, and
	// then the catalog with what is in the tier. It reads every session's database and
	// lists the whole tier; without it, a collection looks only at what was let go of.
	Audit bool
	// Grace is how long content is kept after its last reference went; nil means
	// [DefaultGrace]. 0 deletes at once: nothing can be undeleted, and no backup that is
	// older than the collection can be restored.
	Grace *time.Duration
	// Workers is how many shards are worked on at a time, 1 to [MaxCollectWorkers]; 0
	// means 4.
	Workers int
	// Progress, if set, is called now and then, by one goroutine at a time.
	Progress func(CollectProgress)
}

// Validate reports all wrong fields.
func (o CollectOptions) Validate() error {
	if o.Grace != nil && (*o.Grace < 0 || *o.Grace > MaxGrace) {
		return Invalid("grace", *o.Grace, "is not within 0 to %s", MaxGrace)
	}
	if o.Workers < 0 || o.Workers > MaxCollectWorkers {
		return Invalid("workers", o.Workers, "is not within 0 to %d", MaxCollectWorkers)
	}
	return nil
}

// CollectPhase is a part of a collection.
type CollectPhase string

// The phases, in their order. Mark and sweep are those of an audit.
const (
	PhaseRelease CollectPhase = "release" // expired sessions and uploads, interrupted deletions
	PhaseMark    CollectPhase = "mark"    // sessions against the catalog
	PhaseSweep   CollectPhase = "sweep"   // the catalog against the tier
	PhaseDelete  CollectPhase = "delete"  // what is condemned, after the grace period
)

// CollectProgress says how far a collection is.
type CollectProgress struct {
	Phase CollectPhase
	Done  int64
	Total int64 // 0: not known
}

// CollectOutcome says how a collection ended.
type CollectOutcome string

// The outcomes.
const (
	CollectSwept      CollectOutcome = "swept"         // all that was due is deleted
	CollectIncomplete CollectOutcome = "incomplete"    // some is left: it failed, or another worker has it
	CollectNothing    CollectOutcome = "nothing_to_do" // nothing was due
	CollectRefused    CollectOutcome = "refused"       // nothing was deleted, on purpose: see the reason
	CollectFailed     CollectOutcome = "failed"        // it ended with an error before it was through
)

// CollectReport says what a collection did, or, of a dry run, would have done.
type CollectReport struct {
	Outcome CollectOutcome `json:"outcome"`
	// Reason says in words why an outcome is refused, incomplete or failed.
	Reason    string        `json:"reason,omitempty"`
	DryRun    bool          `json:"dry_run,omitempty"`
	StartedAt time.Time     `json:"started_at"`
	Duration  time.Duration `json:"duration_ns"`
	Grace     time.Duration `json:"grace_ns"`

	// Roots are the sessions and uploads that refer to something, Retained the objects
	// that are referred to. Only an audit counts them.
	Roots    int64 `json:"roots,omitempty"`
	Retained int64 `json:"retained,omitempty"`

	SessionsExpired   int64 `json:"sessions_expired"`   // for which nothing was done for their TTL
	SessionsRemoved   int64 `json:"sessions_removed"`   // deleted ones of which something was left
	UploadsExpired    int64 `json:"uploads_expired"`    // that no session took over
	Condemned         int64 `json:"condemned"`          // objects that wait for the end of the grace period
	CondemnedBytes    int64 `json:"condemned_bytes"`    // as stored
	Doomed            int64 `json:"doomed"`             // objects whose deletion this run decided
	DoomedBytes       int64 `json:"doomed_bytes"`       // as stored
	Deleted           int64 `json:"deleted"`            // objects that this run deleted
	DeletedBytes      int64 `json:"deleted_bytes"`      // as stored
	Pending           int64 `json:"pending"`            // objects whose deletion is decided and not done
	DeleteRequests    int64 `json:"delete_requests"`    // batches sent to the tier
	ListRequests      int64 `json:"list_requests"`      // pages listed of the tier
	ShardsBusyForeign int64 `json:"shards_held_others"` // shards that another worker had

	Mark  *MarkReport  `json:"mark,omitempty"`  // of an audit
	Sweep *SweepReport `json:"sweep,omitempty"` // of an audit

	// Errors are what went wrong with single sessions, shards or objects.
	Errors []string `json:"errors,omitempty"`
}

// MarkReport is what an audit found of references. A reference too many is normal: a
// process that died, or a commit on its way, leaves them. All else is a fault that
// the store must not have; what can be restored has been.
type MarkReport struct {
	Sessions int64 `json:"sessions"` // compared
	Objects  int64 `json:"objects"`  // that they hold
	// AttachmentsExpired are those that were put and that no commit referred to in time.
	AttachmentsExpired int64 `json:"attachments_expired,omitempty"`
	SurplusEdges       int64 `json:"surplus_edges"`
	MissingEdges       int64 `json:"missing_edges"`
	MissingRows        int64 `json:"missing_rows"`
	OtherObjects       int64 `json:"other_objects"` // sessions and catalog name different objects for equal content
	LostSessions       int64 `json:"lost_sessions"` // in the catalog, without a database
	FoundSessions      int64 `json:"found_sessions"`
	// Faults names the first of all but the surplus.
	Faults []Finding `json:"faults,omitempty"`
}

// SweepReport is what an audit found in the tier.
type SweepReport struct {
	Objects      int64 `json:"objects"` // listed
	ObjectBytes  int64 `json:"object_bytes"`
	Rows         int64 `json:"rows"`          // of the catalog
	Unknown      int64 `json:"unknown"`       // objects without a row, old enough to be deleted
	UnknownBytes int64 `json:"unknown_bytes"` // of those
	UnknownYoung int64 `json:"unknown_young"` // without a row, within the grace period
	Foreign      int64 `json:"foreign"`       // keys that are no objects: never deleted
	Unreferenced int64 `json:"unreferenced"`  // rows without a reference that nobody had condemned
	Missing      int64 `json:"missing"`       // rows whose object is not in the tier
	WrongSize    int64 `json:"wrong_size"`    // objects of another size than was stored
	// Damage names the first objects that are missing or of the wrong size.
	Damage []Finding `json:"damage,omitempty"`
}

// FindingKind says what is wrong.
type FindingKind string

// The kinds of findings of audits and verifications.
const (
	FindingMissingEdge  FindingKind = "missing_reference"   // the catalog did not know that a session holds an object
	FindingMissingRow   FindingKind = "missing_row"         // the catalog did not know an object that a session holds
	FindingOtherObject  FindingKind = "other_object"        // a session and the catalog name different objects
	FindingLostSession  FindingKind = "lost_session"        // a session's database is gone
	FindingFoundSession FindingKind = "found_session"       // the catalog did not know a session's database
	FindingUnreadable   FindingKind = "unreadable"          // a session's database or record cannot be read
	FindingMissing      FindingKind = "missing_object"      // an object is not in the tier
	FindingWrongSize    FindingKind = "wrong_size"          // an object has another size than was stored
	FindingCorrupt      FindingKind = "corrupt_object"      // an object's bytes are not what was stored
	FindingCorruptValue FindingKind = "corrupt_content"     // content cannot be put together from its objects
	FindingCatalog      FindingKind = "unreadable_catalog"  // a record of the catalog cannot be read
	FindingRefcount     FindingKind = "wrong_count"         // a session miscounts the uses of an object
	FindingOwner        FindingKind = "other_owner"         // the tier belongs to another data directory
	FindingStaleCatalog FindingKind = "catalog_from_backup" // the catalog is older than what it was last seen at
	FindingClock        FindingKind = "clock"               // the clock jumped
	FindingUnknown      FindingKind = "unreferenced_holder" // a holder that is neither a session nor an upload
)

// Finding is one thing that is wrong, and to whom it belongs.
type Finding struct {
	Kind   FindingKind `json:"kind"`
	Digest Digest      `json:"digest,omitzero"` // of the object or content
	Key    string      `json:"key,omitempty"`   // of the object in the tier, or of a record
	// Sessions are those that need it, at most ten; More counts the others.
	Sessions []SessionID `json:"sessions,omitempty"`
	More     int64       `json:"more_sessions,omitempty"`
	// Repaired reports that it was put right.
	Repaired bool   `json:"repaired,omitempty"`
	Detail   string `json:"detail,omitempty"`
}

// AddFinding appends to a list of findings up to its bound.
func AddFinding(list []Finding, f Finding) []Finding {
	if len(list) >= maxFindings {
		return list
	}
	return append(list, f)
}

// CollectionStatus is what the catalog knows of collections.
type CollectionStatus struct {
	// Stopped, if not empty, says why nothing is deleted until an audit has passed.
	Stopped        string    `json:"stopped,omitempty"`
	RanAt          time.Time `json:"ran_at,omitzero"`     // when the last collection ended
	AuditedAt      time.Time `json:"audited_at,omitzero"` // when the last audit that passed began
	AuditRunning   bool      `json:"audit_running"`       // one has begun and not ended: it will be resumed
	Objects        int64     `json:"objects"`
	ObjectBytes    int64     `json:"object_bytes"`
	Condemned      int64     `json:"condemned"`
	CondemnedBytes int64     `json:"condemned_bytes"`
	// CondemnedSince is when the oldest of the condemned lost its last reference.
	CondemnedSince time.Time     `json:"condemned_since,omitzero"`
	Doomed         int64         `json:"doomed"`
	DoomedBytes    int64         `json:"doomed_bytes"`
	Uploads        int64         `json:"uploads"` // holds, expired or not
	Leases         []ShardLease  `json:"leases,omitempty"`
	Totals         CollectTotals `json:"totals"`
}

// CollectTotals are sums over all collections of a tenant.
type CollectTotals struct {
	Runs         int64 `json:"runs"`
	Audits       int64 `json:"audits"`
	Deleted      int64 `json:"deleted"`
	DeletedBytes int64 `json:"deleted_bytes"`
}

// ShardLease is a shard that a worker has taken.
type ShardLease struct {
	Shard     int       `json:"shard"` // -1: the mark phase
	Worker    string    `json:"worker"`
	ExpiresAt time.Time `json:"expires_at"`
}

// UndeleteOptions say what is kept from being collected. Exactly one of Digests and
// All is set.
type UndeleteOptions struct {
	// Digests are content that a session referred to or that was uploaded. Each must
	// still be there as a whole, and be one object or have its manifest in the tier: the
	// manifest of content of a few hundred KiB mostly went with its session. All keeps
	// such content too, for a backup of the session to find.
	Digests []Digest
	// All keeps everything that is condemned.
	All bool
	// For is how long, up to [MaxGrace]; 0 means [DefaultUploadTTL].
	For time.Duration
}

// Validate reports what is wrong as an [*InvalidError] or [*LimitError].
func (o UndeleteOptions) Validate() error {
	switch {
	case o.All == (len(o.Digests) > 0):
		return Invalid("digests", len(o.Digests), "must be given unless all is, and not both")
	case len(o.Digests) > MaxListLimit:
		return &LimitError{Limit: "digests", Max: MaxListLimit, Got: int64(len(o.Digests))}
	case o.For < 0 || o.For > MaxGrace:
		return Invalid("for", o.For, "is not within 0 to %s", MaxGrace)
	}
	for _, d := range o.Digests {
		if d.IsZero() {
			return Invalid("digest", "", "must not be empty")
		}
	}
	return nil
}

// UndeleteReport says what was kept.
type UndeleteReport struct {
	Objects     int64     `json:"objects"`
	StoredBytes int64     `json:"stored_bytes"`
	ExpiresAt   time.Time `json:"expires_at"`
}

// Collector deletes what nothing refers to any more, beside live writers.
type Collector interface {
	// Collect runs one collection of the tenant and waits for it. Any number may run
	// at once, in any number of processes: they share the work. A collection that is
	// interrupted is taken up by the next.
	//
	// The report is valid with an error too. Errors: [ErrInvalid], [ErrReadOnly];
	// [ErrCollectionRefused] where nothing was deleted because something could not be
	// read, or the clock, the catalog or the tier cannot be trusted: the reason is in
	// the report; [ErrStorage] and the others of the databases and the tier.
	Collect(ctx context.Context, opts CollectOptions) (CollectReport, error)
	// CollectionStatus says what waits for collection.
	CollectionStatus(ctx context.Context) (CollectionStatus, error)
	// Undelete keeps content for a while that nothing refers to, as an upload would:
	// it can be opened by its digest, and a session may commit it again.
	//
	// Errors: [ErrInvalid], [ErrBlobNotFound] if some of it is gone (then nothing is
	// kept), [ErrStorage].
	Undelete(ctx context.Context, opts UndeleteOptions) (UndeleteReport, error)
}
