package lashstore_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/lashstore/lashstore"
)

// A resume list shows a message's text: what a person wrote, not what tools said.
func TestMessageText(t *testing.T) {
	t.Parallel()
	part := func(kind lashstore.PartKind, content string) lashstore.Part {
		return lashstore.Part{Kind: kind, Content: content}
	}
	for name, c := range map[string]struct {
		parts []lashstore.Part
		want  string
	}{
		"nothing":     {nil, ""},
		"blank":       {[]lashstore.Part{part(lashstore.PartText, " \n\t")}, ""},
		"text":        {[]lashstore.Part{part(lashstore.PartText, "  hello ")}, "hello"},
		"two parts":   {[]lashstore.Part{part(lashstore.PartText, "a"), part(lashstore.PartProse, "b")}, "a\n\nb"},
		"image":       {[]lashstore.Part{part(lashstore.PartImage, "bytes"), part(lashstore.PartText, "b")}, "[Image attached]\n\nb"},
		"only tools":  {[]lashstore.Part{part(lashstore.PartToolCall, "x"), part(lashstore.PartToolResult, "y")}, ""},
		"with tools":  {[]lashstore.Part{part(lashstore.PartText, "a"), part(lashstore.PartToolCall, "x"), part(lashstore.PartCode, "c")}, "a\n\nc"},
		"blank image": {[]lashstore.Part{part(lashstore.PartImage, "")}, "[Image attached]"},
	} {
		if got := (&lashstore.Message{Parts: c.parts}).Text(); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

// A payload without what its kind needs would be stored and never shown.
func TestNodePayload(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		kind    lashstore.NodeKind
		payload string
		message bool
		bad     bool
	}{
		"message":                   {lashstore.NodeEvent, `{"event":{"Conversation":{"id":"m","role":"User","parts":[]}}}`, true, false},
		"message with more":         {lashstore.NodeEvent, `{"event":{"Conversation":{"id":"m","role":"User","parts":[],"new":1}},"x":2}`, true, false},
		"protocol":                  {lashstore.NodeEvent, `{"event":{"Protocol":{"plugin_id":"p","payload":{}}}}`, false, false},
		"protocol, null payload":    {lashstore.NodeEvent, `{"event":{"Protocol":{"plugin_id":"p","payload":null}}}`, false, false},
		"protocol without payload":  {lashstore.NodeEvent, `{"event":{"Protocol":{"plugin_id":"p"}}}`, false, true},
		"protocol without plugin":   {lashstore.NodeEvent, `{"event":{"Protocol":{"payload":1}}}`, false, true},
		"both":                      {lashstore.NodeEvent, `{"event":{"Conversation":{},"Protocol":{"plugin_id":"p","payload":1}}}`, false, true},
		"neither":                   {lashstore.NodeEvent, `{"event":{}}`, false, true},
		"no event":                  {lashstore.NodeEvent, `{"plugin_type":"t","body":1}`, false, true},
		"wrong type":                {lashstore.NodeEvent, `{"event":{"Conversation":[]}}`, false, true},
		"plugin":                    {lashstore.NodePlugin, `{"plugin_type":"t","body":{"a":1}}`, false, false},
		"plugin, null body":         {lashstore.NodePlugin, `{"plugin_type":"t","body":null}`, false, false},
		"plugin without body":       {lashstore.NodePlugin, `{"plugin_type":"t"}`, false, true},
		"plugin without type":       {lashstore.NodePlugin, `{"body":1}`, false, true},
		"plugin with another type":  {lashstore.NodePlugin, `{"plugin_type":1,"body":1}`, false, true},
		"an event in a plugin node": {lashstore.NodePlugin, `{"event":{"Conversation":{}}}`, false, true},
	} {
		n := lashstore.Node{NodeID: "n", Kind: c.kind, Payload: json.RawMessage(c.payload)}
		m, err := n.CheckPayload()
		if (m != nil) != c.message || (err != nil) != c.bad || (err != nil && !errors.Is(err, lashstore.ErrGraphInvalid)) {
			t.Errorf("%s: got %v, %v", name, m, err)
		}
	}
}
