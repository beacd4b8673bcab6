package lashstore

import (
	"encoding/json"
	"time"
)

// ModelLimits are the limits of a model.
type ModelLimits struct {
	ContextWindowTokens uint64 `json:"context_window_tokens"`           // at least 1
	OutputTokenCapacity uint64 `json:"output_token_capacity,omitempty"` // 0: not stated
}

// ModelSpec names a model.
type ModelSpec struct {
	ID      string      `json:"id"`
	Variant string      `json:"variant,omitempty"`
	Limits  ModelLimits `json:"limits"`
}

// Validate reports the first wrong field as an [*InvalidError].
func (m ModelSpec) Validate() error {
	if err := validateText("model.id", m.ID, MaxNameBytes); err != nil {
		return err
	}
	if err := validateOptionalText("model.variant", m.Variant, MaxNameBytes); err != nil {
		return err
	}
	if m.Limits.ContextWindowTokens < 1 || m.Limits.ContextWindowTokens > MaxCounter {
		return Invalid("model.limits.context_window_tokens", m.Limits.ContextWindowTokens, "must be at least 1")
	}
	if m.Limits.OutputTokenCapacity > MaxCounter {
		return Invalid("model.limits.output_token_capacity", m.Limits.OutputTokenCapacity, "is too large")
	}
	return nil
}

// SessionConfig is the configuration a session runs with. Only the provider's id
// is stored; loading never binds a live provider.
type SessionConfig struct {
	ProviderID string    `json:"provider_id"`
	Model      ModelSpec `json:"model"`
}

// Validate reports the first wrong field as an [*InvalidError].
func (c SessionConfig) Validate() error {
	if err := validateText("config.provider_id", c.ProviderID, MaxNameBytes); err != nil {
		return err
	}
	return c.Model.Validate()
}

// SessionPolicy is what an agent frame runs under.
type SessionPolicy struct {
	Model      ModelSpec       `json:"model"`
	ProviderID string          `json:"provider_id"`
	SessionID  *SessionID      `json:"session_id"`
	Autonomous bool            `json:"autonomous"`
	MaxTurns   *uint64         `json:"max_turns"`
	Prompt     json.RawMessage `json:"prompt,omitempty"`
}

// PluginSource says where a frame's plugins come from.
type PluginSource string

// The plugin sources. The empty source means [PluginsSessionFork].
const (
	PluginsHostFresh   PluginSource = "current_host_fresh"
	PluginsSessionFork PluginSource = "current_session_fork"
)

// Subagent places a frame under another session's.
type Subagent struct {
	ParentSessionID SessionID `json:"parent_session_id"`
	Capability      string    `json:"capability"`
	Depth           uint64    `json:"depth"`
	MaxDepth        uint64    `json:"max_depth"`
}

func (s *Subagent) validate() error {
	if s == nil {
		return nil
	}
	if err := validateText("subagent.parent_session_id", string(s.ParentSessionID), MaxSessionIDBytes); err != nil {
		return err
	}
	if err := validateOptionalText("subagent.capability", s.Capability, MaxNameBytes); err != nil {
		return err
	}
	if s.Depth > MaxCounter || s.MaxDepth > MaxCounter {
		return Invalid("subagent.depth", max(s.Depth, s.MaxDepth), "is too large")
	}
	return nil
}

// FrameAssignment is what an agent frame was given to do. PluginOptions and
// ToolAccess are opaque JSON objects.
type FrameAssignment struct {
	Policy        SessionPolicy   `json:"policy"`
	PluginOptions json.RawMessage `json:"plugin_options,omitempty"`
	PluginSource  PluginSource    `json:"plugin_source,omitempty"`
	ToolAccess    json.RawMessage `json:"tool_access,omitempty"`
	Subagent      *Subagent       `json:"subagent,omitempty"`
	UsageSource   string          `json:"usage_source,omitempty"`
}

// FrameStatus says whether a frame is the current one.
type FrameStatus string

// The statuses of a frame.
const (
	FrameActive     FrameStatus = "active"
	FrameSuperseded FrameStatus = "superseded"
)

// Known reasons for a frame; any other text is allowed.
const (
	FrameReasonInitial    = "initial"
	FrameReasonContinueAs = "continue_as"
	FrameReasonCompaction = "compaction"
)

// InitialFrameID is the id of a session's first frame by convention.
func InitialFrameID(id SessionID) FrameID { return FrameID(string(id) + ":frame:initial") }

// AgentFrame is one execution segment of a session. On append the store fills
// SessionID, PreviousFrameID and Status: the frame becomes the current one and the
// previous current frame is superseded.
type AgentFrame struct {
	FrameID             FrameID         `json:"frame_id"`
	SessionID           SessionID       `json:"session_id"`
	PreviousFrameID     FrameID         `json:"previous_frame_id,omitempty"`
	Status              FrameStatus     `json:"status"`
	Reason              string          `json:"reason"` // empty on append means initial
	CausedBy            *CausalRef      `json:"caused_by,omitempty"`
	CreatedAt           time.Time       `json:"created_at"` // zero on append means now
	Assignment          FrameAssignment `json:"assignment"`
	ProtocolTurnOptions json.RawMessage `json:"protocol_turn_options,omitempty"`
	// ExecutionState is the state the frame started from, if any. On append give its
	// bytes or a reference; on read it carries the reference.
	ExecutionState *Component `json:"execution_state,omitempty"`
}

// Validate checks a frame for append.
func (f *AgentFrame) Validate() error {
	if err := f.FrameID.Validate(); err != nil {
		return err
	}
	if err := validateOptionalText("frame.reason", f.Reason, MaxNameBytes); err != nil {
		return err
	}
	if err := f.CausedBy.Validate(); err != nil {
		return err
	}
	if err := validateTime("frame.created_at", f.CreatedAt); err != nil {
		return err
	}
	if err := f.Assignment.validate(); err != nil {
		return err
	}
	if f.ExecutionState != nil {
		if err := f.ExecutionState.validate("frame.execution_state"); err != nil {
			return err
		}
	}
	return validateOptionalJSON("frame.protocol_turn_options", f.ProtocolTurnOptions)
}

func (a *FrameAssignment) validate() error {
	if err := a.Policy.Model.Validate(); err != nil {
		return err
	}
	if err := validateText("policy.provider_id", a.Policy.ProviderID, MaxNameBytes); err != nil {
		return err
	}
	if a.Policy.SessionID != nil {
		if err := validateText("policy.session_id", string(*a.Policy.SessionID), MaxSessionIDBytes); err != nil {
			return err
		}
	}
	if n := a.Policy.MaxTurns; n != nil && *n > MaxCounter {
		return Invalid("policy.max_turns", *n, "is too large")
	}
	if err := validateOptionalJSON("policy.prompt", a.Policy.Prompt); err != nil {
		return err
	}
	if err := a.Subagent.validate(); err != nil {
		return err
	}
	switch a.PluginSource {
	case "", PluginsHostFresh, PluginsSessionFork:
	default:
		return Invalid("plugin_source", string(a.PluginSource), "is not a known plugin source")
	}
	if err := validateOptionalObject("plugin_options", a.PluginOptions); err != nil {
		return err
	}
	if err := validateOptionalObject("tool_access", a.ToolAccess); err != nil {
		return err
	}
	return validateOptionalText("usage_source", a.UsageSource, MaxNameBytes)
}

// Head is the newest revision without its graph and components.
type Head struct {
	SessionID      SessionID     `json:"session_id"`
	Revision       Revision      `json:"head_revision"`
	CommittedAt    time.Time     `json:"committed_at,omitzero"`
	Config         SessionConfig `json:"config"`
	CurrentFrameID FrameID       `json:"current_agent_frame_id,omitempty"`
	LeafNodeID     NodeID        `json:"leaf_node_id,omitempty"`
	NodeCount      int64         `json:"graph_node_count"` // visible nodes
}

// LoadScope selects the nodes that a load returns.
type LoadScope string

// The scopes. The empty scope means [ScopeFullGraph].
const (
	ScopeFullGraph  LoadScope = "full_graph"  // all visible nodes, in insertion order
	ScopeActivePath LoadScope = "active_path" // from the leaf to its root, root first
	ScopeNoGraph    LoadScope = "no_graph"    // head and checkpoint only
)

// DefaultHydrateLimit is how large a component may be for a load to read its bytes
// along; what is larger is opened as a stream.
const DefaultHydrateLimit = 32 << 20

// LoadOptions select what Load reads. The zero value loads the whole head.
type LoadOptions struct {
	Scope LoadScope
	// Leaf starts the active path at another node than the revision's leaf.
	Leaf NodeID
	// Revision selects a kept revision; 0 means the head.
	Revision Revision
	// HydrateLimit is the size in bytes up to which component bytes are loaded: 0
	// means [DefaultHydrateLimit], a negative limit loads none.
	HydrateLimit int64
}

// Validate reports the first wrong field as an [*InvalidError].
func (o LoadOptions) Validate() error {
	switch o.Scope {
	case "", ScopeFullGraph, ScopeActivePath, ScopeNoGraph:
	default:
		return Invalid("scope", string(o.Scope), "is not a known scope")
	}
	if o.Leaf != "" {
		if o.Scope != ScopeActivePath {
			return Invalid("leaf", string(o.Leaf), "needs the active_path scope")
		}
		if err := o.Leaf.Validate(); err != nil {
			return err
		}
	}
	return o.Revision.Validate()
}

// Snapshot is one revision of a session, read at once.
type Snapshot struct {
	Head
	Frames     []AgentFrame `json:"agent_frames"`
	Graph      Graph        `json:"graph"`
	Checkpoint *Checkpoint  `json:"checkpoint"` // nil: the revision has none
	Usage      []UsageEntry `json:"usage"`      // totals of the session as of now
}

// RuntimeState is what a runtime starts from: the stored configuration applied to
// the policy and to every frame, so that none runs with another provider than the
// one the session was stored with.
type RuntimeState struct {
	Revision Revision
	Policy   SessionPolicy
	Frames   []AgentFrame
}

// RuntimeState derives the state that a runtime starts from. The snapshot is not
// changed.
func (s *Snapshot) RuntimeState() RuntimeState {
	st := RuntimeState{
		Revision: s.Revision,
		Policy:   SessionPolicy{Model: s.Config.Model, ProviderID: s.Config.ProviderID},
		Frames:   make([]AgentFrame, len(s.Frames)),
	}
	for i, f := range s.Frames {
		f.Assignment.Policy.ProviderID = s.Config.ProviderID
		st.Frames[i] = f
		if f.FrameID == s.CurrentFrameID {
			st.Policy = f.Assignment.Policy
		}
	}
	return st
}
