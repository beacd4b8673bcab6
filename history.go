package lashstore

import "time"

// RevisionInfo describes one kept revision.
type RevisionInfo struct {
	Revision    Revision           `json:"revision"`
	CommittedAt time.Time          `json:"committed_at"`
	TurnID      TurnID             `json:"turn_id,omitempty"`
	TurnIndex   uint64             `json:"turn_index"`
	LeafNodeID  NodeID             `json:"leaf_node_id,omitempty"`
	NodeCount   int64              `json:"graph_node_count"`
	Components  map[string]BlobRef `json:"components,omitempty"`
}

// ListRevisions selects kept revisions, newest first.
type ListRevisions struct {
	// Before continues below a revision; 0 starts at the head.
	Before Revision
	// Limit is 1 to [MaxListLimit]; 0 means [DefaultListLimit].
	Limit int
}

// Validate reports the first wrong field as an [*InvalidError].
func (l ListRevisions) Validate() error {
	if err := l.Before.Validate(); err != nil {
		return err
	}
	return validateLimit(l.Limit)
}

// Retention says which revisions are kept. Those that exceed it are trimmed by the
// next commit, together with what only they refer to; the head always stays. The
// zero value keeps the last [DefaultRetainedRevisions].
type Retention struct {
	// Revisions is how many are kept: 0 means [DefaultRetainedRevisions], -1 all.
	Revisions int
	// MaxAge, if not 0, also trims revisions older than this, whatever their number.
	MaxAge time.Duration
}

// Validate reports the first wrong field as an [*InvalidError].
func (r Retention) Validate() error {
	if r.Revisions < -1 {
		return Invalid("retention.revisions", r.Revisions, "is less than -1")
	}
	if r.MaxAge < 0 {
		return Invalid("retention.max_age", r.MaxAge, "must not be negative")
	}
	return nil
}

// Durability says what an acknowledged write survives.
type Durability string

// The durabilities. The empty durability means [DurabilityFull].
const (
	DurabilityFull   Durability = "full"   // the death of the machine
	DurabilityNormal Durability = "normal" // the death of the process
)

// Validate reports an [*InvalidError] for an unknown durability.
func (d Durability) Validate() error {
	switch d {
	case "", DurabilityFull, DurabilityNormal:
		return nil
	default:
		return Invalid("durability", string(d), "is not full or normal")
	}
}
