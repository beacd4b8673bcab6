package transcript

import (
	"fmt"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/lashstore/lashstore"
)

// Message is one message of the input.
type Message struct {
	// Index counts the messages of the input from 1.
	Index int
	// Raw is the message as it was, without white space between its tokens.
	Raw jsontext.Value
	// Role is the text of its "role".
	Role string
	// Model is the text of its "model", if it has one.
	Model string
	// Usage is what its "usage" says.
	Usage lashstore.TokenUsage

	demo    bool
	content jsontext.Value // nil if absent
	calls   jsontext.Value // nil if absent
	callID  string
}

// parseMessage reads one message from a compact value, which it keeps.
func parseMessage(raw jsontext.Value, index int, p place) (*Message, error) {
	if raw.Kind() != '{' {
		return nil, p.errorf("a message must be an object, not %s", kindName(raw.Kind()))
	}
	m := &Message{Index: index, Raw: raw}
	hasRole := false
	for name, value := range members(raw) {
		var err error
		switch name {
		case "role":
			hasRole = true
			m.Role, err = text(value, p.at(name))
			if err == nil && m.Role == "" {
				err = p.at(name).errorf("must not be empty")
			}
		case "content":
			m.content, err = value, checkContent(value, p.at(name))
		case "usage":
			m.Usage, err = parseUsage(value, p.at(name))
		case "model":
			m.Model = optionalText(value)
		case "tool_calls":
			m.calls = value
		case "tool_call_id":
			m.callID = optionalText(value)
		case "tool_call_ids":
			m.callID = firstText(value)
		case "is_demo":
			m.demo = m.demo || value.Kind() == 't'
		case "message_type":
			m.demo = m.demo || optionalText(value) == "demonstration"
		}
		if err != nil {
			return nil, err
		}
	}
	if !hasRole {
		return nil, p.errorf(`"role" is missing`)
	}
	return m, nil
}

func checkContent(v jsontext.Value, p place) error {
	switch v.Kind() {
	case '"', '[', '{', 'n':
		return nil
	default:
		return p.errorf("must be a string, a list, an object or null, not %s", kindName(v.Kind()))
	}
}

// contractRole maps a role of chat formats. A role that is not known is an event:
// something that is neither the user nor the model nor an instruction.
func contractRole(role string) lashstore.Role {
	switch strings.ToLower(role) {
	case "user", "human":
		return lashstore.RoleUser
	case "assistant", "ai", "model":
		return lashstore.RoleAssistant
	case "system", "developer":
		return lashstore.RoleSystem
	default:
		return lashstore.RoleEvent
	}
}

// isToolResult reports whether a message answers a tool call.
func (m *Message) isToolResult() bool {
	switch strings.ToLower(m.Role) {
	case "tool", "function", "ipython":
		return true
	default:
		return false
	}
}

// nodeID is where the message stands in its input.
func nodeID(index int) lashstore.NodeID { return lashstore.NodeID(fmt.Sprintf("m%06d", index)) }

// parts renders the message for readers of the contract. If the content is a plain
// string, the first part has it and the second result is true.
func (m *Message) parts() ([]lashstore.Part, bool) {
	var parts []lashstore.Part
	plain := m.content.Kind() == '"'
	switch m.content.Kind() {
	case '"':
		kind := lashstore.PartText
		if m.isToolResult() {
			kind = lashstore.PartToolResult
		}
		parts = append(parts, lashstore.Part{Kind: kind, Content: optionalText(m.content), ToolCallID: partName(m.callID)})
	case '[':
		for item := range elements(m.content) {
			if part, ok := contentPart(item); ok {
				parts = append(parts, part)
			}
		}
	default: // null, absent, or an object of an unknown kind: no text
	}
	for call := range elements(m.calls) {
		if part, ok := toolCallPart(call); ok {
			parts = append(parts, part)
		}
	}
	for i := range parts {
		parts[i].ID = fmt.Sprintf("%s.%d", nodeID(m.Index), i)
	}
	return parts, plain
}

// contentPart renders one entry of a list of content. Only text is copied: images
// and arguments stay in the message itself.
func contentPart(item jsontext.Value) (lashstore.Part, bool) {
	if item.Kind() == '"' {
		return lashstore.Part{Kind: lashstore.PartText, Content: optionalText(item)}, true
	}
	f := fields(item)
	switch optionalText(f["type"]) {
	case "text", "input_text", "output_text":
		return lashstore.Part{Kind: lashstore.PartText, Content: optionalText(f["text"])}, true
	case "image", "image_url", "input_image":
		return lashstore.Part{Kind: lashstore.PartImage}, true
	case "thinking", "reasoning":
		return lashstore.Part{Kind: lashstore.PartReasoning}, true
	case "tool_use":
		return lashstore.Part{
			Kind: lashstore.PartToolCall, ToolCallID: partName(optionalText(f["id"])), ToolName: partName(optionalText(f["name"])),
		}, true
	case "tool_result":
		return lashstore.Part{Kind: lashstore.PartToolResult, ToolCallID: partName(optionalText(f["tool_use_id"]))}, true
	default:
		return lashstore.Part{}, false
	}
}

func toolCallPart(call jsontext.Value) (lashstore.Part, bool) {
	f := fields(call)
	name := optionalText(fields(f["function"])["name"])
	if f == nil || name == "" {
		return lashstore.Part{}, false
	}
	return lashstore.Part{Kind: lashstore.PartToolCall, ToolCallID: partName(optionalText(f["id"])), ToolName: partName(name)}, true
}

// partName drops a label that is longer than labels may be; the message has it.
func partName(s string) string {
	if len(s) > lashstore.MaxNameBytes {
		return ""
	}
	return s
}
