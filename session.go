package lashstore

import (
	"context"
	"encoding/json"
	"io"
	"time"
)

// RelationKind says whether a session stands alone.
type RelationKind string

// The relations of a session.
const (
	RelationRoot  RelationKind = "root"
	RelationChild RelationKind = "child"
)

// SessionRelation places a session under another. The zero value means root.
type SessionRelation struct {
	Kind            RelationKind `json:"kind"`
	ParentSessionID SessionID    `json:"parent_session_id,omitempty"`
	CausedBy        *CausalRef   `json:"caused_by,omitempty"`
}

// Validate reports an [*InvalidError]: a child needs a parent, a root has none.
func (r SessionRelation) Validate() error {
	switch r.Kind {
	case "", RelationRoot:
		if r.ParentSessionID != "" || r.CausedBy != nil {
			return Invalid("relation", string(r.Kind), "is root and must not name a parent or a cause")
		}
		return nil
	case RelationChild:
		if err := validateText("relation.parent_session_id", string(r.ParentSessionID), MaxSessionIDBytes); err != nil {
			return err
		}
		return r.CausedBy.Validate()
	default:
		return Invalid("relation.kind", string(r.Kind), "is not root or child")
	}
}

// Bounds of a session's time to live. Below a second the collector, which comes by
// now and then, could not keep what they promise; a session that is to outlive the
// upper one needs none.
const (
	MinSessionTTL = time.Second
	MaxSessionTTL = 3653 * 24 * time.Hour // ten years, leap days included
)

// SessionMeta is what a session is called, where it came from and how long it is
// kept. It is written at creation and replaced only by SetMeta.
type SessionMeta struct {
	SessionID   SessionID       `json:"session_id"`
	SessionName string          `json:"session_name"` // display name; empty means the session id
	CreatedAt   time.Time       `json:"created_at"`   // at creation, zero means now
	Model       string          `json:"model"`        // model id at creation
	Cwd         *string         `json:"cwd"`          // working directory of the creating process, if it said so
	Relation    SessionRelation `json:"relation"`
	// TTL is the time to live: once nothing was committed for that long, the
	// collector may delete the session, as DeleteSession would; it does not while a
	// lease is live or a batch is queued. Before the first commit it counts from
	// CreatedAt, so an old one leaves no time. 0 means never; otherwise whole
	// milliseconds from [MinSessionTTL] to [MaxSessionTTL]. In JSON it is "ttl_ms",
	// left out if 0.
	TTL time.Duration `json:"-"`
}

// ExpiresAt is when the session expires if updated is the time of its last commit,
// or of its creation before the first one; zero means never. The end of what
// [MaxTimeMS] can represent bounds it.
func (m SessionMeta) ExpiresAt(updated time.Time) time.Time {
	if m.TTL == 0 {
		return time.Time{}
	}
	if updated.IsZero() {
		updated = time.UnixMilli(0) // which databases store alike
	}
	at, last := updated.Add(m.TTL).UTC(), time.UnixMilli(MaxTimeMS).UTC()
	if at.After(last) {
		return last
	}
	return at
}

// sessionMetaJSON is the JSON form of [SessionMeta]; Go would write a duration in
// nanoseconds.
type sessionMetaJSON struct {
	sessionMetaFields
	TTL int64 `json:"ttl_ms,omitempty"`
}

// sessionMetaFields are the fields of [SessionMeta] without its methods.
type sessionMetaFields SessionMeta

// MarshalJSON writes the time to live in milliseconds.
func (m SessionMeta) MarshalJSON() ([]byte, error) {
	return json.Marshal(sessionMetaJSON{sessionMetaFields(m), m.TTL.Milliseconds()})
}

// UnmarshalJSON reads what MarshalJSON writes. Unknown fields are refused: metadata
// is replaced as a whole, so one that a reader drops would be lost when it is set.
func (m *SessionMeta) UnmarshalJSON(raw []byte) error {
	in := sessionMetaJSON{sessionMetaFields(*m), m.TTL.Milliseconds()} // what is absent stays
	if err := DecodeStrict(raw, &in); err != nil {
		return err
	}
	// The check is for the conversion; Validate has the bounds.
	if in.TTL < 0 || in.TTL > MaxSessionTTL.Milliseconds() {
		return Invalid("ttl_ms", in.TTL, "is not within 0 to %d", MaxSessionTTL.Milliseconds())
	}
	*m = SessionMeta(in.sessionMetaFields)
	m.TTL = time.Duration(in.TTL) * time.Millisecond
	return nil
}

// Validate reports the first wrong field as an [*InvalidError].
func (m SessionMeta) Validate() error {
	if err := m.SessionID.Validate(); err != nil {
		return err
	}
	if err := validateFreeText("session_name", m.SessionName, MaxDisplayBytes); err != nil {
		return err
	}
	if err := validateTime("created_at", m.CreatedAt); err != nil {
		return err
	}
	if err := validateFreeText("model", m.Model, MaxNameBytes); err != nil {
		return err
	}
	if m.Cwd != nil {
		if err := validateFreeText("cwd", *m.Cwd, MaxDisplayBytes); err != nil {
			return err
		}
	}
	if err := m.validateTTL(); err != nil {
		return err
	}
	return m.Relation.Validate()
}

func (m SessionMeta) validateTTL() error {
	switch {
	case m.TTL == 0:
		return nil
	case m.TTL < MinSessionTTL, m.TTL > MaxSessionTTL:
		return Invalid("ttl", m.TTL, "is neither 0 nor within %s to %s", MinSessionTTL, MaxSessionTTL)
	case m.TTL%time.Millisecond != 0:
		return Invalid("ttl", m.TTL, "is not in whole milliseconds")
	case m.CreatedAt.Add(m.TTL).After(time.UnixMilli(MaxTimeMS)):
		return Invalid("ttl", m.TTL, "ends after the year 9999, counted from the creation")
	}
	return nil
}

// SessionPickerInfo is what a list of sessions to resume shows. Both message facts
// are over all visible nodes in insertion order, not over the active path.
type SessionPickerInfo struct {
	SessionID SessionID       `json:"session_id"`
	Cwd       *string         `json:"cwd"`
	Relation  SessionRelation `json:"relation"`
	// FirstUserMessage joins the text parts of the first user message with blank
	// lines; an image part counts as "[Image attached]". It is cut after
	// [MaxDisplayBytes].
	FirstUserMessage string `json:"first_user_message"`
	UserMessageCount int64  `json:"user_message_count"`
}

// SessionSummary is one line of a session list. The tenant's catalog keeps it and
// refreshes it shortly after a commit, so it may lag behind the session's head.
type SessionSummary struct {
	SessionPickerInfo
	SessionName string      `json:"session_name"`
	Model       string      `json:"model"`
	Incarnation Incarnation `json:"incarnation"`
	CreatedAt   time.Time   `json:"created_at"`
	UpdatedAt   time.Time   `json:"updated_at"` // of the last commit; at first, of the creation
	// ExpiresAt is UpdatedAt and the session's time to live; zero means never. The
	// session is still there until the collector comes by.
	ExpiresAt    time.Time `json:"expires_at,omitzero"`
	HeadRevision Revision  `json:"head_revision"`
	NodeCount    int64     `json:"node_count"`
}

// CreateSession is the input of Sessions.CreateSession.
type CreateSession struct {
	Meta SessionMeta
	// Recreate allows the id of a deleted session to be used again, for a new and
	// empty session with a new incarnation.
	Recreate bool
}

// OpenOptions are the optional parts of opening a session.
type OpenOptions struct {
	// ReadOnly opens without the right to write: nothing is created, migrated or
	// changed, and every write fails with [ErrReadOnly].
	ReadOnly bool
	// Incarnation, if set, must be the session's; otherwise [ErrWrongSession].
	Incarnation Incarnation
}

// SessionOrder is the order of a session list.
type SessionOrder string

// The orders of a list. The empty order means [OrderUpdated].
const (
	OrderUpdated SessionOrder = "updated" // last commit first
	OrderID      SessionOrder = "id"      // by session id, bytewise ascending
)

// ListSessions selects a page of sessions.
type ListSessions struct {
	Order SessionOrder
	// Parent, if set, selects the children of that session.
	Parent SessionID
	// Limit is 1 to [MaxListLimit]; 0 means [DefaultListLimit].
	Limit int
	// Cursor continues after the page that returned it; empty for the first page. It
	// is opaque and belongs to one order and parent.
	Cursor string
}

// Validate reports the first wrong field as an [*InvalidError].
func (l ListSessions) Validate() error {
	switch l.Order {
	case "", OrderUpdated, OrderID:
	default:
		return Invalid("order", string(l.Order), "is not updated or id")
	}
	if err := validateOptionalText("parent", string(l.Parent), MaxSessionIDBytes); err != nil {
		return err
	}
	return validateLimit(l.Limit)
}

// SessionPage is one page of a list.
type SessionPage struct {
	Sessions []SessionSummary `json:"sessions"`
	// NextCursor is empty on the last page.
	NextCursor string `json:"next_cursor,omitempty"`
}

// Sessions creates, opens, lists and deletes the sessions of one tenant.
type Sessions interface {
	// CreateSession admits a session, or opens the existing one of that id without
	// changing its metadata; created says which. It is one atomic step: of several
	// concurrent creators one admits, the others open what it admitted. A crash in
	// the middle leaves either nothing or a session that opens.
	//
	// Errors: [ErrInvalid]; [ErrSessionDeleted] if the id belonged to a deleted
	// session and Recreate is not set; [ErrStorage].
	CreateSession(ctx context.Context, req CreateSession) (s Session, created bool, err error)
	// OpenSession opens an existing session.
	//
	// Errors: [ErrSessionNotFound], [ErrSessionDeleted], [ErrWrongSession],
	// [ErrSchemaVersion], [ErrCorruptDatabase], [ErrStorage].
	OpenSession(ctx context.Context, id SessionID, opts OpenOptions) (Session, error)
	// DeleteSession deletes a session and lets go of its blobs. Its id is remembered;
	// open handles are refused from then on. Deleting a deleted session completes an
	// interrupted deletion and is otherwise a no-op, as is deleting an id that was
	// never used.
	DeleteSession(ctx context.Context, id SessionID) error
	// ListSessions returns one page of the sessions that are not deleted.
	ListSessions(ctx context.Context, list ListSessions) (SessionPage, error)
}

// Store is everything that one tenant owns.
type Store interface {
	Sessions
	Blobs
	// Tier says what the store promises of acknowledged writes.
	Tier() DurabilityTier
	// Close waits for calls in flight, finishes pending bookkeeping and releases
	// files. Handles and readers that are still open fail with [ErrClosed].
	io.Closer
}

// DurabilityTier says what survives.
type DurabilityTier string

// The tiers.
const (
	TierInline  DurabilityTier = "inline"  // dies with the process
	TierDurable DurabilityTier = "durable" // survives it
)

// Session is a handle on one session. It stays bound to the incarnation it was
// opened on: once that is deleted, calls fail with [ErrSessionDeleted].
type Session interface {
	SessionHandle
	SessionReader
	Committer
	Leases
	Queue
	Attachments
	Artifacts
}

// SessionHandle is what a handle knows of itself.
type SessionHandle interface {
	// ID and Incarnation identify what the handle is bound to.
	ID() SessionID
	Incarnation() Incarnation
	// Close lets go of the handle. It is idempotent.
	Close() error
}

// SessionReader reads a session. Each call sees one snapshot.
type SessionReader interface {
	// Meta returns the metadata.
	Meta(ctx context.Context) (SessionMeta, error)
	// PickerInfo returns what a list of sessions shows, exact and up to date.
	PickerInfo(ctx context.Context) (SessionPickerInfo, error)
	// Head returns the newest revision without its graph or components; cheap. With
	// nothing committed, its Revision is 0 and the rest is empty.
	Head(ctx context.Context) (Head, error)
	// Load returns a revision with its graph and components. With nothing
	// committed, the snapshot has revision 0 and is empty.
	//
	// Errors: [ErrRevisionNotFound], [ErrNodeNotFound] for an unknown explicit leaf,
	// [ErrCorruptRecord], [ErrCorruptBlob].
	Load(ctx context.Context, opts LoadOptions) (*Snapshot, error)
	// Node returns one visible node of the head's graph.
	//
	// Errors: [ErrNodeNotFound], [ErrCorruptRecord].
	Node(ctx context.Context, id NodeID) (Node, error)
	// Usage returns the token totals per source and model, in order of first use.
	Usage(ctx context.Context) ([]UsageEntry, error)
	// OpenContent opens content that the session refers to: a component of a kept
	// revision, a frame's state, an attachment or an artifact.
	//
	// Errors: [ErrBlobNotFound]; reading may return [ErrCorruptBlob].
	OpenContent(ctx context.Context, digest Digest) (BlobReader, error)
	// Revisions lists kept revisions, newest first.
	Revisions(ctx context.Context, list ListRevisions) ([]RevisionInfo, error)
}

func validateLimit(limit int) error {
	if limit < 0 || limit > MaxListLimit {
		return Invalid("limit", limit, "is not within 0 to %d", MaxListLimit)
	}
	return nil
}
