package lashstore

import "encoding/json"

// Well-known component keys. Any other key of 1 to [MaxNameBytes] bytes is allowed.
const (
	ComponentToolState      = "tool_state"
	ComponentPluginSnapshot = "plugin_snapshot"
	ComponentExecutionState = "execution_state"
)

// Component is one part of a checkpoint: bytes that changed, or a reference to
// bytes that did not.
//
// In a commit exactly one of Bytes and Ref is given. Bytes that are present but
// empty are content of length 0 and must be non-nil. Ref names content that the
// session holds or that an upload protects. In what a load returns Ref is always
// set, and Bytes is set when Hydrated.
type Component struct {
	Ref   BlobRef `json:"ref,omitzero"`
	Bytes []byte  `json:"bytes,omitzero"`
	// Hydrated reports, after a load, that Bytes holds the content.
	Hydrated bool `json:"hydrated,omitempty"`
	// Revision is a counter of the component's own that the store only keeps, such as
	// the revision of a plugin snapshot.
	Revision uint64 `json:"revision,omitempty"`
	// Descriptor says what the content is. The zero Descriptor means the standard one
	// of a well-known key, and generic otherwise.
	Descriptor Descriptor `json:"descriptor,omitzero"`
}

// Changed returns a component with new bytes, which the store does not modify and
// does not keep after the call. Nil bytes are content of length 0.
func Changed(content []byte) Component {
	if content == nil {
		content = []byte{}
	}
	return Component{Bytes: content}
}

// Unchanged returns a component that refers to content already held.
func Unchanged(ref BlobRef) Component { return Component{Ref: ref} }

// IsChange reports whether the component carries bytes to be stored.
func (c *Component) IsChange() bool { return c.Bytes != nil && c.Ref.Digest.IsZero() }

func (c *Component) validate(field string) error {
	if (c.Bytes == nil) == c.Ref.Digest.IsZero() {
		return Invalid(field, "", "needs either bytes or a reference")
	}
	if c.Ref.SizeBytes < 0 {
		return Invalid(field+".ref.size_bytes", c.Ref.SizeBytes, "must not be negative")
	}
	if c.Revision > MaxCounter {
		return Invalid(field+".revision", c.Revision, "is too large")
	}
	if int64(len(c.Bytes)) > MaxBlobBytes {
		return &LimitError{Limit: "blob_bytes", Max: MaxBlobBytes, Got: int64(len(c.Bytes))}
	}
	return c.Descriptor.Validate()
}

// ComponentDescriptor returns the descriptor to store a component with: its own,
// or the standard one of its key.
func ComponentDescriptor(key string, c *Component) Descriptor {
	if c.Descriptor != (Descriptor{}) {
		return c.Descriptor
	}
	switch key {
	case ComponentToolState:
		return StandardDescriptor(KindToolState)
	case ComponentPluginSnapshot:
		return StandardDescriptor(KindPluginSnapshot)
	case ComponentExecutionState:
		return StandardDescriptor(KindExecutionState)
	default:
		return Descriptor{Kind: KindGeneric, Hints: Hints{Compressible: true}}
	}
}

// TurnState is what a checkpoint says of the turn it closes.
type TurnState struct {
	TurnIndex           uint64          `json:"turn_index"`
	TokenUsage          TokenUsage      `json:"token_usage"`
	LastPromptUsage     *PromptUsage    `json:"last_prompt_usage,omitempty"`
	ProtocolTurnOptions json.RawMessage `json:"protocol_turn_options,omitempty"`
}

// Checkpoint is the resumable state at a turn boundary: a complete set of
// components by key. A key that the previous checkpoint had and this one lacks is
// gone from this revision on.
type Checkpoint struct {
	TurnState  TurnState            `json:"turn_state"`
	Components map[string]Component `json:"components"`
}

// Validate checks a checkpoint for commit.
func (c *Checkpoint) Validate() error {
	if c == nil {
		return nil
	}
	if n := len(c.Components); n > MaxComponents {
		return &LimitError{Limit: "checkpoint_components", Max: MaxComponents, Got: int64(n)}
	}
	if c.TurnState.TurnIndex > MaxCounter {
		return Invalid("turn_state.turn_index", c.TurnState.TurnIndex, "is too large")
	}
	if err := c.TurnState.TokenUsage.Validate("turn_state.token_usage"); err != nil {
		return err
	}
	if p := c.TurnState.LastPromptUsage; p != nil {
		if err := p.Validate("turn_state.last_prompt_usage"); err != nil {
			return err
		}
	}
	if err := validateOptionalJSON("turn_state.protocol_turn_options", c.TurnState.ProtocolTurnOptions); err != nil {
		return err
	}
	for key, comp := range c.Components {
		if err := validateText("component key", key, MaxNameBytes); err != nil {
			return err
		}
		if err := comp.validate("component " + key); err != nil {
			return err
		}
	}
	return nil
}
