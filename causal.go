package lashstore

// CausalType says what kind of thing caused another.
type CausalType string

// The causes of spec section 2.1.
const (
	CauseTurn              CausalType = "turn"
	CauseEffect            CausalType = "effect"
	CauseToolCall          CausalType = "tool_call"
	CauseProcess           CausalType = "process"
	CauseProcessEvent      CausalType = "process_event"
	CauseTriggerOccurrence CausalType = "trigger_occurrence"
	CauseSessionNode       CausalType = "session_node"
)

// CausalRef names what caused a session, frame or node. Which fields are set
// depends on Type; the others are empty.
type CausalRef struct {
	Type         CausalType `json:"type"`
	SessionID    SessionID  `json:"session_id,omitempty"`
	TurnID       TurnID     `json:"turn_id,omitempty"`
	EffectID     string     `json:"effect_id,omitempty"`
	CallID       string     `json:"call_id,omitempty"`
	ProcessID    string     `json:"process_id,omitempty"`
	Sequence     uint64     `json:"sequence,omitempty"`
	OccurrenceID string     `json:"occurrence_id,omitempty"`
	NodeID       NodeID     `json:"node_id,omitempty"`
}

// Validate reports an [*InvalidError] unless exactly the fields that Type needs
// are set (an effect's turn is optional, a sequence may be 0).
func (c *CausalRef) Validate() error {
	if c == nil {
		return nil
	}
	need, ok := causalFields(c.Type)
	if !ok {
		return Invalid("caused_by.type", string(c.Type), "is not a known cause")
	}
	fields := []struct {
		name, value string
		bit         causalField
	}{
		{"session_id", string(c.SessionID), causalSession},
		{"turn_id", string(c.TurnID), causalTurn},
		{"effect_id", c.EffectID, causalEffect},
		{"call_id", c.CallID, causalCall},
		{"process_id", c.ProcessID, causalProcess},
		{"occurrence_id", c.OccurrenceID, causalOccurrence},
		{"node_id", string(c.NodeID), causalNode},
	}
	for _, f := range fields {
		name := "caused_by." + f.name
		if c.Type == CauseEffect && f.bit == causalTurn && f.value == "" {
			continue
		}
		if need&f.bit == 0 && f.value != "" {
			return Invalid(name, f.value, "does not belong to a cause of type %q", c.Type)
		}
		if need&f.bit != 0 {
			if err := validateText(name, f.value, MaxNameBytes); err != nil {
				return err
			}
		}
	}
	if c.Sequence > MaxCounter || (c.Sequence != 0 && c.Type != CauseProcessEvent) {
		return Invalid("caused_by.sequence", c.Sequence, "is out of range or does not belong to a cause of type %q", c.Type)
	}
	return nil
}

type causalField uint8

const (
	causalSession causalField = 1 << iota
	causalTurn
	causalEffect
	causalCall
	causalProcess
	causalOccurrence
	causalNode
)

// causalFields says which fields a cause of the type has.
func causalFields(t CausalType) (causalField, bool) {
	switch t {
	case CauseTurn:
		return causalSession | causalTurn, true
	case CauseEffect:
		return causalSession | causalTurn | causalEffect, true
	case CauseToolCall:
		return causalSession | causalCall, true
	case CauseProcess, CauseProcessEvent:
		return causalProcess, true
	case CauseTriggerOccurrence:
		return causalOccurrence, true
	case CauseSessionNode:
		return causalSession | causalNode, true
	default:
		return 0, false
	}
}
