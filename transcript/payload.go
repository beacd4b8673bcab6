package transcript

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/lashstore/lashstore"
)

// payloadFormat is the version of the "transcript" member; see the package's doc.
const payloadFormat = 1

// original is the "transcript" member of a payload.
type original struct {
	Format      int             `json:"format"`
	Message     json.RawMessage `json:"message"`
	ContentPart *int            `json:"content_part,omitempty"`
}

// payload is what an imported message is kept as.
type payload struct {
	Event struct {
		Conversation lashstore.Message
	} `json:"event"`
	Transcript *original `json:"transcript,omitempty"`
}

// Node returns the graph node that keeps the message, without parent.
func (m *Message) Node() (lashstore.Node, error) {
	parts, plain := m.parts()
	keep := original{Format: payloadFormat, Message: json.RawMessage(m.Raw)}
	if plain {
		keep.Message = replaceContent(m.Raw, []byte("null"))
		keep.ContentPart = new(int)
	}
	var p payload
	p.Event.Conversation = lashstore.Message{ID: string(nodeID(m.Index)), Role: contractRole(m.Role), Parts: parts}
	p.Transcript = &keep
	raw, err := marshal(p)
	if err != nil {
		return lashstore.Node{}, fmt.Errorf("encode message %d: %w", m.Index, err)
	}
	return lashstore.Node{NodeID: nodeID(m.Index), Kind: lashstore.NodeEvent, Payload: raw}, nil
}

// replaceContent returns an object with another value for its member "content".
func replaceContent(object, value []byte) []byte {
	for s := range spans(object) {
		if s.name == "content" {
			return slices.Concat(object[:s.start], value, object[s.end:])
		}
	}
	return object
}

// marshal encodes without the escapes that are only of use inside HTML and would
// make text longer than it was.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// Restore returns the message that a node keeps, as one JSON object without white
// space between its tokens. A message that was not imported is rendered from its
// parts, with "role", "content" and, where it has them, "tool_calls" and
// "tool_call_id". It returns nil for a node that is not a message.
//
// Errors: [lashstore.ErrCorruptRecord] if the payload contradicts itself.
func Restore(n *lashstore.Node) (json.RawMessage, error) {
	m, err := n.Message()
	if err != nil {
		return nil, damaged(n, err)
	}
	if m == nil {
		return nil, nil
	}
	var p payload
	if err := json.Unmarshal(n.Payload, &p); err != nil {
		return nil, damaged(n, err)
	}
	if p.Transcript == nil {
		return render(m)
	}
	keep := p.Transcript
	if keep.Format != payloadFormat {
		return nil, damaged(n, fmt.Errorf("transcript format %d is not known", keep.Format))
	}
	raw := jsontext.Value(keep.Message)
	if raw.Kind() != '{' {
		return nil, damaged(n, fmt.Errorf("the message is %s, not an object", kindName(raw.Kind())))
	}
	if err := raw.Compact(); err != nil {
		return nil, damaged(n, err)
	}
	if keep.ContentPart == nil {
		return json.RawMessage(raw), nil
	}
	if i := *keep.ContentPart; i < 0 || i >= len(m.Parts) {
		return nil, damaged(n, fmt.Errorf("content part %d of %d", i, len(m.Parts)))
	}
	content, err := jsontext.AppendQuote(nil, m.Parts[*keep.ContentPart].Content)
	if err != nil {
		return nil, damaged(n, err)
	}
	return replaceContent(raw, content), nil
}

func damaged(n *lashstore.Node, err error) error {
	return &lashstore.CorruptRecordError{Record: "node", Key: string(n.NodeID), Err: err}
}

// rendered is a message that no import brought, as JSON Lines.
type rendered struct {
	Role       string         `json:"role"`
	Content    string         `json:"content"`
	ToolCalls  []renderedCall `json:"tool_calls,omitempty"`
	ToolCallID string         `json:"tool_call_id,omitempty"`
}

type renderedCall struct {
	ID       string `json:"id"`
	Type     string `json:"type"`
	Function struct {
		Name      string `json:"name"`
		Arguments string `json:"arguments"`
	} `json:"function"`
}

func render(m *lashstore.Message) (json.RawMessage, error) {
	r := rendered{Content: m.Text()}
	switch m.Role {
	case lashstore.RoleUser:
		r.Role = "user"
	case lashstore.RoleAssistant:
		r.Role = "assistant"
	case lashstore.RoleSystem:
		r.Role = "system"
	default:
		r.Role = "event"
	}
	for _, p := range m.Parts {
		switch p.Kind {
		case lashstore.PartToolCall:
			call := renderedCall{ID: p.ToolCallID, Type: "function"}
			call.Function.Name, call.Function.Arguments = p.ToolName, p.Content
			r.ToolCalls = append(r.ToolCalls, call)
		case lashstore.PartToolResult:
			r.Role, r.ToolCallID = "tool", p.ToolCallID
			if r.Content != "" {
				r.Content += "\n\n"
			}
			r.Content += p.Content
		default:
		}
	}
	return marshal(r)
}
