package lashstore

import (
	"context"
	"fmt"
	"time"
)

// Commit is one step of a session: everything in it applies together or not at all.
type Commit struct {
	// ExpectedRevision is the revision the commit was derived from, 0 for a session
	// with nothing committed.
	ExpectedRevision Revision
	// Fence is the execution lease the commit is made under.
	Fence Fence
	// ReleaseLease frees the lease in the same transaction. If the lease was lost to
	// a replay in between, that does not fail the replay.
	ReleaseLease bool
	// TurnID, if set, makes the commit idempotent: see guarantee G4.
	TurnID TurnID
	// Config replaces the configuration. Nil keeps it; the first commit needs one.
	Config *SessionConfig
	// Frames are appended in order; the last becomes the current one.
	Frames []AgentFrame
	// CurrentFrameID makes an existing frame the current one instead.
	CurrentFrameID FrameID
	Graph          GraphDelta
	// Checkpoint replaces the checkpoint: it is the complete set of components. Nil
	// keeps that of the previous revision.
	Checkpoint *Checkpoint
	// Usage is added to the totals.
	Usage []UsageEntry
	// Completions settle claims: their batches leave the queue.
	Completions []ClaimCompletion
	// Enqueue adds batches, so that no work is lost between commit and enqueue.
	Enqueue []BatchDraft
	// Attachments marks attachments of this session as committed.
	Attachments []Digest
}

// CommitResult is what a commit did, or, for a replay, what it did the first time.
type CommitResult struct {
	Revision    Revision  `json:"head_revision"`
	CommittedAt time.Time `json:"committed_at"`
	// Components are the references of the revision's checkpoint by key.
	Components map[string]BlobRef `json:"components,omitempty"`
	// Enqueued are the batches of Commit.Enqueue, in order.
	Enqueued []BatchID `json:"enqueued,omitempty"`
	// Replayed reports that the turn had been committed before and nothing changed.
	Replayed bool `json:"replayed"`
}

// Validate checks everything that can be checked without the session: field forms
// and the limits on bytes and rows.
func (c *Commit) Validate() error {
	if err := c.ExpectedRevision.Validate(); err != nil {
		return err
	}
	if c.TurnID != "" {
		if err := c.TurnID.Validate(); err != nil {
			return err
		}
	}
	if c.Config != nil {
		if err := c.Config.Validate(); err != nil {
			return err
		}
	}
	if err := c.validateFrames(); err != nil {
		return err
	}
	if err := c.Graph.Validate(); err != nil {
		return err
	}
	if err := c.Checkpoint.Validate(); err != nil {
		return err
	}
	for _, u := range c.Usage {
		if err := u.Validate(); err != nil {
			return err
		}
	}
	if err := c.validateQueue(); err != nil {
		return err
	}
	return c.validateSize()
}

func (c *Commit) validateFrames() error {
	seen := make(map[FrameID]struct{}, len(c.Frames))
	for i := range c.Frames {
		if err := c.Frames[i].Validate(); err != nil {
			return err
		}
		if _, dup := seen[c.Frames[i].FrameID]; dup {
			return Invalid("frame_id", string(c.Frames[i].FrameID), "is given twice")
		}
		seen[c.Frames[i].FrameID] = struct{}{}
	}
	if c.CurrentFrameID != "" {
		return c.CurrentFrameID.Validate()
	}
	return nil
}

func (c *Commit) validateQueue() error {
	batches := make(map[BatchID]struct{})
	for i, done := range c.Completions {
		if len(done.BatchIDs) == 0 {
			return Invalid(fmt.Sprintf("completions[%d].batch_ids", i), "", "must not be empty")
		}
		for _, id := range done.BatchIDs {
			if _, dup := batches[id]; dup {
				return Invalid(fmt.Sprintf("completions[%d].batch_ids", i), string(id), "is given twice")
			}
			batches[id] = struct{}{}
		}
	}
	for i, d := range c.Enqueue {
		if err := d.Validate(); err != nil {
			return fmt.Errorf("enqueue[%d]: %w", i, err)
		}
	}
	seen := make(map[Digest]struct{}, len(c.Attachments))
	for _, id := range c.Attachments {
		if id.IsZero() {
			return Invalid("attachments", "", "contain an empty id")
		}
		if _, dup := seen[id]; dup {
			return Invalid("attachments", id, "is given twice")
		}
		seen[id] = struct{}{}
	}
	return nil
}

// validateSize sums what the commit carries, before any transaction begins.
func (c *Commit) validateSize() error {
	rows := len(c.Frames) + len(c.Graph.Nodes) + len(c.Usage) + len(c.Attachments)
	var size int64
	for i := range c.Graph.Nodes {
		size += int64(len(c.Graph.Nodes[i].Payload))
	}
	for i := range c.Frames {
		f := &c.Frames[i]
		size += int64(len(f.ProtocolTurnOptions) + len(f.Assignment.PluginOptions) +
			len(f.Assignment.ToolAccess) + len(f.Assignment.Policy.Prompt))
		if f.ExecutionState != nil {
			size += int64(len(f.ExecutionState.Bytes))
		}
	}
	if c.Checkpoint != nil {
		rows += len(c.Checkpoint.Components)
		for _, comp := range c.Checkpoint.Components {
			size += int64(len(comp.Bytes))
		}
	}
	for _, done := range c.Completions {
		rows += len(done.BatchIDs)
	}
	for _, d := range c.Enqueue {
		rows += 1 + len(d.Payloads)
		for _, p := range d.Payloads {
			size += int64(len(p.Body))
		}
	}
	if rows > MaxCommitRows {
		return &LimitError{Limit: "commit_rows", Max: MaxCommitRows, Got: int64(rows)}
	}
	if size > MaxCommitBytes {
		return &LimitError{Limit: "commit_bytes", Max: MaxCommitBytes, Got: size}
	}
	return nil
}

// Committer changes a session.
type Committer interface {
	// Commit applies a commit. Its checks, in this order, decide the error:
	//
	//  1. the commit itself ([ErrInvalid], [ErrLimitExceeded], [ErrGraphInvalid]) and
	//     the session it is for ([ErrWrongSession], [ErrSessionDeleted]);
	//  2. the turn: the same commit again is a replay, which needs no lease, revision
	//     or claim; another commit is [ErrTurnConflict];
	//  3. the lease ([ErrFenced]);
	//  4. the expected revision ([ErrHeadMoved]);
	//  5. the completions, each batch for itself ([ErrClaimLost]);
	//  6. nodes, leaf and frames against the stored ones ([ErrGraphInvalid],
	//     [ErrInvalid]), references ([ErrUnknownReference]), attachments and source keys
	//     ([ErrSourceKeyConflict]).
	//
	// Bytes that go to the blob tier are uploaded before these checks are final; if
	// the commit is then refused they become collectable.
	Commit(ctx context.Context, c Commit) (CommitResult, error)
	// Tombstone hides nodes from every read, of every revision, and returns how many
	// it hid. Hidden and unknown ids are left alone. Children of a hidden node stay
	// visible, under their nearest visible ancestor, and a path leads past it.
	//
	// Errors: [ErrFenced], [ErrInvalid].
	Tombstone(ctx context.Context, fence Fence, ids []NodeID) (int, error)
	// Vacuum erases the payloads of hidden nodes and gives the space back. Their ids
	// stay taken.
	//
	// Errors: [ErrFenced].
	Vacuum(ctx context.Context, fence Fence) (VacuumReport, error)
	// SetMeta replaces the metadata; the last writer wins. It needs no lease, so that
	// a session can be renamed while it runs.
	//
	// Errors: [ErrInvalid], [ErrWrongSession].
	SetMeta(ctx context.Context, meta SessionMeta) error
}
