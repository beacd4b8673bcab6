package lashstore

import (
	"context"
	"time"
)

// MaxVerifyWorkers bounds how many objects and sessions one verification reads at a
// time.
const MaxVerifyWorkers = 64

// maxLost bounds how many losses a report names. LostMore counts the others.
const maxLost = 1000

// More kinds of findings, of verifications only.
const (
	FindingDatabase FindingKind = "damaged_database" // SQLite finds a database damaged
	FindingRecord   FindingKind = "corrupt_record"   // a record of a session cannot be trusted
	FindingReturned FindingKind = "returned_object"  // an object that was lost is there again
)

// VerifyOptions say what a verification looks at and what it does about it. The zero
// value reads every record and every object that is referred to, and changes nothing.
type VerifyOptions struct {
	// Repair restores references and records of the catalog from what the sessions'
	// own databases say, and marks objects that are missing or damaged, so that the
	// next commit of equal content stores them again. It deletes no object.
	Repair bool
	// Content puts every content together too, and checks the digest of the whole.
	Content bool
	// Sample, if greater than 0, is the share of objects and contents that is read,
	// chosen at random; whether an object is there and has its size is still looked at
	// for all. 0 and 1 read all.
	Sample float64
	// Seed chooses the sample: the same seed, the same objects. 0 draws one, which the
	// report names.
	Seed uint64
	// Workers is how many objects or sessions are read at a time, 1 to
	// [MaxVerifyWorkers]; 0 means 4. Each may take 50 MiB of memory.
	Workers int
	// Progress, if set, is called now and then, by one goroutine at a time.
	Progress func(VerifyProgress)
}

// Validate reports what is wrong as an [*InvalidError].
func (o VerifyOptions) Validate() error {
	if !(o.Sample >= 0 && o.Sample <= 1) { // in this form, for what is no number
		return Invalid("sample", o.Sample, "is not within 0 to 1")
	}
	if o.Workers < 0 || o.Workers > MaxVerifyWorkers {
		return Invalid("workers", o.Workers, "is not within 0 to %d", MaxVerifyWorkers)
	}
	return nil
}

// VerifyPhase is a part of a verification.
type VerifyPhase string

// The phases, in their order.
const (
	VerifyCatalog    VerifyPhase = "catalog"    // the catalog's records
	VerifyReferences VerifyPhase = "references" // sessions against the catalog, the catalog against the tier
	VerifySessions   VerifyPhase = "sessions"   // the records of every session
	VerifyObjects    VerifyPhase = "objects"    // the bytes of every object
	VerifyContents   VerifyPhase = "contents"   // how contents are put together
)

// VerifyProgress says how far a verification is.
type VerifyProgress struct {
	Phase VerifyPhase
	Done  int64
	Total int64 // 0: not known
}

// VerifyOutcome says how a verification ended.
type VerifyOutcome string

// The outcomes.
const (
	VerifyClean      VerifyOutcome = "clean"      // nothing is wrong
	VerifyRepaired   VerifyOutcome = "repaired"   // all that was wrong has been put right
	VerifyDamaged    VerifyOutcome = "damaged"    // something is wrong
	VerifyIncomplete VerifyOutcome = "incomplete" // nothing was found wrong, but not all could be looked at
)

// VerifyReport says what a verification looked at and what it found.
type VerifyReport struct {
	Outcome   VerifyOutcome `json:"outcome"`
	StartedAt time.Time     `json:"started_at"`
	Duration  time.Duration `json:"duration_ns"`
	Repair    bool          `json:"repair,omitempty"`
	Content   bool          `json:"content,omitempty"`
	Sample    float64       `json:"sample"` // the share that was read
	Seed      uint64        `json:"seed,omitempty"`

	Sessions     int64 `json:"sessions"`      // whose records were read
	Records      int64 `json:"records"`       // rows that were checked, the catalog's included
	InlineBytes  int64 `json:"inline_bytes"`  // of content in the sessions' databases
	Objects      int64 `json:"objects"`       // that are referred to
	ObjectBytes  int64 `json:"object_bytes"`  // of those, as stored
	ObjectsRead  int64 `json:"objects_read"`  // whole, and verified
	Contents     int64 `json:"contents"`      // whose manifests were checked
	ContentsRead int64 `json:"contents_read"` // put together, and verified
	BytesRead    int64 `json:"bytes_read"`    // from the tier
	Unknown      int64 `json:"unknown"`       // objects that the catalog does not know: collections delete them
	Foreign      int64 `json:"foreign"`       // keys in the tier that are no objects
	// SurplusReferences are edges of sessions to what they do not hold: normal, and
	// removed by audits.
	SurplusReferences int64 `json:"surplus_references"`

	// Damaged counts all findings that were not repaired, Repaired the others.
	Damaged  int64 `json:"damaged"`
	Repaired int64 `json:"repaired"`
	// Wanted counts the objects that this run marked: the next commit or upload of
	// equal content stores them again.
	Wanted int64 `json:"wanted"`
	// Findings names the first, at most 1,000.
	Findings []Finding `json:"findings,omitempty"`
	// Lost is what sessions can no longer read in full because of missing or damaged
	// objects: at most 1,000. LostMore counts the others.
	Lost     []LostContent `json:"lost,omitempty"`
	LostMore int64         `json:"lost_more,omitempty"`

	// Errors are what kept single records and objects from being looked at, at most
	// 100; ErrorCount counts all.
	Errors     []string `json:"errors,omitempty"`
	ErrorCount int64    `json:"error_count"`
}

// Uses of content.
const (
	UseComponent  = "component"
	UseFrame      = "frame"
	UseAttachment = "attachment"
	UseArtifact   = "artifact"
)

// LostContent is content that cannot be read, and where a session uses it.
type LostContent struct {
	SessionID SessionID `json:"session_id"`
	Digest    Digest    `json:"digest"` // of the content
	SizeBytes int64     `json:"size_bytes"`
	// Use is one of the constants; Name is the component's key, the frame's id, the
	// attachment's media type or the artifact's namespace and name.
	Use  string `json:"use"`
	Name string `json:"name,omitempty"`
	// FirstRevision and LastRevision are the kept revisions that have it, both
	// included; 0 for what has no revisions.
	FirstRevision Revision `json:"first_revision,omitempty"`
	LastRevision  Revision `json:"last_revision,omitempty"`
}

// AddLost notes a loss, up to the bound of the report.
func (r *VerifyReport) AddLost(l LostContent) {
	if len(r.Lost) < maxLost {
		r.Lost = append(r.Lost, l)
	} else {
		r.LostMore++
	}
}

// Verifier finds out whether all that a tenant has is there and is what was stored.
type Verifier interface {
	// Verify reads the records of the tenant, compares what refers to what, and reads
	// the objects, beside live writers. Without Repair it changes nothing.
	//
	// What is damaged is in the report and no error. The report is valid with an error
	// too. Errors: [ErrInvalid]; [ErrReadOnly] for a repair of a store that was opened
	// for reading; [ErrStorage] and the others of the databases and the tier, where the
	// verification could not go on.
	Verify(ctx context.Context, opts VerifyOptions) (VerifyReport, error)
}
