package lashstore

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// Role says who speaks in a conversation message.
type Role string

// The roles of a message.
const (
	RoleUser      Role = "User"
	RoleAssistant Role = "Assistant"
	RoleSystem    Role = "System"
	RoleEvent     Role = "Event"
)

// PartKind says what a part of a message is.
type PartKind string

// The kinds of part.
const (
	PartText       PartKind = "Text"
	PartImage      PartKind = "Image"
	PartCode       PartKind = "Code"
	PartOutput     PartKind = "Output"
	PartError      PartKind = "Error"
	PartProse      PartKind = "Prose"
	PartToolCall   PartKind = "ToolCall"
	PartToolResult PartKind = "ToolResult"
	PartReasoning  PartKind = "Reasoning"
)

// Part is one part of a message. Optional fields of the format that the store does
// not look at are kept in the node's payload, not here.
type Part struct {
	ID         string          `json:"id"`
	Kind       PartKind        `json:"kind"`
	Content    string          `json:"content"`
	PruneState json.RawMessage `json:"prune_state,omitempty"`
	Attachment json.RawMessage `json:"attachment,omitempty"`
	ToolCallID string          `json:"tool_call_id,omitempty"`
	ToolName   string          `json:"tool_name,omitempty"`
}

// Message is a conversation message, the value of "Conversation" in an event
// node's payload.
type Message struct {
	ID     string          `json:"id"`
	Role   Role            `json:"role"`
	Parts  []Part          `json:"parts"`
	Origin json.RawMessage `json:"origin,omitempty"`
}

// imageText is what a list of sessions shows for an image part.
const imageText = "[Image attached]"

// Text joins the parts that a list of sessions shows with blank lines: neither tool
// calls nor tool results nor blank parts; "[Image attached]" for an image.
func (m *Message) Text() string {
	var texts []string
	for _, p := range m.Parts {
		switch {
		case p.Kind == PartToolCall || p.Kind == PartToolResult:
		case p.Kind == PartImage:
			texts = append(texts, imageText)
		case strings.TrimSpace(p.Content) != "":
			texts = append(texts, p.Content)
		}
	}
	return strings.TrimSpace(strings.Join(texts, "\n\n"))
}

// NewMessageNode returns the node for a message, without parent.
func NewMessageNode(id NodeID, m Message) (Node, error) {
	var payload bytes.Buffer
	enc := json.NewEncoder(&payload)
	enc.SetEscapeHTML(false) // payloads are not put into pages, and "<" would take six bytes
	if err := enc.Encode(map[string]any{"event": map[string]any{"Conversation": m}}); err != nil {
		return Node{}, fmt.Errorf("encode message %q: %w", m.ID, err)
	}
	return Node{NodeID: id, Kind: NodeEvent, Payload: bytes.TrimRight(payload.Bytes(), "\n")}, nil
}

// Message returns the conversation message of an event node, or nil if the node is
// something else. A payload that lacks what its kind needs is an error.
func (n *Node) Message() (*Message, error) {
	if n.Kind != NodeEvent {
		return nil, nil //nolint:nilnil // "no message" is an answer, not a failure
	}
	var p struct {
		Event struct {
			Conversation *Message
			Protocol     *struct {
				PluginID *string         `json:"plugin_id"`
				Payload  json.RawMessage `json:"payload"`
			}
		} `json:"event"`
	}
	if err := json.Unmarshal(n.Payload, &p); err != nil {
		return nil, &GraphError{Node: n.NodeID, Reason: "event payload: " + err.Error()}
	}
	switch c, pr := p.Event.Conversation, p.Event.Protocol; {
	case c != nil && pr == nil:
		return c, nil
	case c == nil && pr != nil:
		if pr.PluginID == nil || pr.Payload == nil {
			return nil, &GraphError{Node: n.NodeID, Reason: "protocol event needs plugin_id and payload"}
		}
		return nil, nil //nolint:nilnil // "no message" is an answer, not a failure
	default:
		return nil, &GraphError{Node: n.NodeID, Reason: "event payload needs either Conversation or Protocol"}
	}
}

// checkPlugin checks the payload of a plugin node.
func (n *Node) checkPlugin() error {
	var p struct {
		PluginType *string         `json:"plugin_type"`
		Body       json.RawMessage `json:"body"`
	}
	if err := json.Unmarshal(n.Payload, &p); err != nil {
		return &GraphError{Node: n.NodeID, Reason: "plugin payload: " + err.Error()}
	}
	if p.PluginType == nil || p.Body == nil {
		return &GraphError{Node: n.NodeID, Reason: "plugin payload needs plugin_type and body"}
	}
	return nil
}

// CheckPayload checks that the payload has what its kind needs and returns the
// conversation message, if it is one.
func (n *Node) CheckPayload() (*Message, error) {
	if n.Kind == NodePlugin {
		return nil, n.checkPlugin()
	}
	return n.Message()
}
