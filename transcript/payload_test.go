package transcript_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/transcript"
)

// Sessions that were not imported are exported from their parts.
func TestRestoreRendersOtherMessages(t *testing.T) {
	t.Parallel()
	text := func(s string) lashstore.Part { return lashstore.Part{Kind: lashstore.PartText, Content: s} }
	tests := []struct {
		message lashstore.Message
		want    string
	}{
		{lashstore.Message{Role: lashstore.RoleUser, Parts: []lashstore.Part{text("a<b"), text("c")}}, `{"role":"user","content":"a<b\n\nc"}`},
		{lashstore.Message{Role: lashstore.RoleSystem}, `{"role":"system","content":""}`},
		{lashstore.Message{Role: lashstore.RoleEvent, Parts: []lashstore.Part{text("e")}}, `{"role":"event","content":"e"}`},
		{
			lashstore.Message{Role: lashstore.RoleAssistant, Parts: []lashstore.Part{
				text("t"), {Kind: lashstore.PartToolCall, ToolCallID: "1", ToolName: "ls", Content: "{}"},
			}},
			`{"role":"assistant","content":"t","tool_calls":[{"id":"1","type":"function","function":{"name":"ls","arguments":"{}"}}]}`,
		},
		{
			lashstore.Message{Role: lashstore.RoleEvent, Parts: []lashstore.Part{
				{Kind: lashstore.PartToolResult, ToolCallID: "1", Content: "out"},
			}},
			`{"role":"tool","content":"out","tool_call_id":"1"}`,
		},
	}
	for _, tt := range tests {
		n, err := lashstore.NewMessageNode("n", tt.message)
		if err != nil {
			t.Fatal(err)
		}
		got, err := transcript.Restore(&n)
		if err != nil || string(got) != tt.want {
			t.Errorf("got  %s, %v\nwant %s", got, err, tt.want)
		}
	}
}

func TestRestoreSkipsWhatIsNoMessage(t *testing.T) {
	t.Parallel()
	for _, n := range []lashstore.Node{
		{NodeID: "p", Kind: lashstore.NodePlugin, Payload: json.RawMessage(`{"plugin_type":"x","body":null}`)},
		{NodeID: "e", Kind: lashstore.NodeEvent, Payload: json.RawMessage(`{"event":{"Protocol":{"plugin_id":"x","payload":{}}}}`)},
	} {
		if got, err := transcript.Restore(&n); got != nil || err != nil {
			t.Errorf("%s: %s, %v", n.NodeID, got, err)
		}
	}
}

// A payload that contradicts itself must not become another message.
func TestRestoreRefusesDamage(t *testing.T) {
	t.Parallel()
	const event = `"event":{"Conversation":{"id":"m","role":"User","parts":[]}}`
	for _, p := range []string{
		`{"event":{}}`,
		`{"event":7}`,
		`{` + event + `,"transcript":{"format":2,"message":{}}}`,
		`{` + event + `,"transcript":{"format":1}}`,
		`{` + event + `,"transcript":{"format":1,"message":[]}}`,
		`{` + event + `,"transcript":{"format":1,"message":{"content":null},"content_part":0}}`,
		`{` + event + `,"transcript":{"format":1,"message":{"content":null},"content_part":-1}}`,
		`{` + event + `,"transcript":[]}`,
	} {
		n := lashstore.Node{NodeID: "n", Kind: lashstore.NodeEvent, Payload: json.RawMessage(p)}
		if got, err := transcript.Restore(&n); !errors.Is(err, lashstore.ErrCorruptRecord) {
			t.Errorf("%s: got %s, %v", p, got, err)
		}
	}
}
