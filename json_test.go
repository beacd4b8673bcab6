package lashstore_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/lashstore/lashstore"
)

func withBody(raw string) error {
	d := validDraft()
	d.Payloads[0].Body = json.RawMessage(raw)
	return d.Validate()
}

// A payload that is no JSON object, or that a recursive reader cannot read, is found
// out when it is delivered, too late.
func TestPayloadJSON(t *testing.T) {
	t.Parallel()
	nested := func(depth int) string { return strings.Repeat(`{"a":`, depth-1) + `{}` + strings.Repeat(`}`, depth-1) }
	for name, raw := range map[string]string{
		"nothing": "", "blank": "  ", "cut": `{"a"`, "array": `[]`, "number": `1`, "null": `null`, "text": `"{}"`,
		"two values": `{}{}`, "trailing": `{}x`, "comment": `{}//`, "single quotes": `{'a':1}`, "control": "{\"a\":\"\x01\"}",
		"not UTF-8": "{\"a\":\"\xff\"}", "key not UTF-8": "{\"\xc3\":1}", "byte order mark": "\ufeff{}",
		"too deep": nested(lashstore.MaxJSONDepth + 1), "much too deep": strings.Repeat("[", 1<<20), "unbalanced": strings.Repeat("}", 1<<16),
		"too large": `{"a":"` + strings.Repeat("x", lashstore.MaxPayloadBytes) + `"}`,
	} {
		wantInvalid(t, name, withBody(raw))
	}
	for name, raw := range map[string]string{
		"empty": `{}`, "white space": " \t\r\n{ } \n", "deepest": nested(lashstore.MaxJSONDepth),
		"brackets in text": `{"a":"` + strings.Repeat(`[{\"\\`, 1000) + `"}`, "numbers": `{"a":1e400,"b":12345678901234567890}`,
		"key twice": `{"a":1,"a":2}`, "escapes": `{"a":"\u0000\ud800"}`,
		"largest": `{"a":"` + strings.Repeat("x", lashstore.MaxPayloadBytes-8) + `"}`,
	} {
		wantValid(t, name, withBody(raw))
	}
	var limit *lashstore.LimitError
	if err := withBody(nested(lashstore.MaxJSONDepth + 1)); !errors.As(err, &limit) || limit.Max != lashstore.MaxJSONDepth {
		t.Errorf("too deep: got %v, want the limit", err)
	}
}

// A stored record with a field that this program does not know is of a newer one:
// dropping the field would lose data at the next write.
func TestDecodeStrict(t *testing.T) {
	t.Parallel()
	type record struct {
		A int `json:"a"`
	}
	for name, raw := range map[string]string{
		"unknown field": `{"a":1,"b":2}`, "two values": `{"a":1}{"a":2}`, "trailing": `{"a":1} x`, "cut": `{"a":1`, "nothing": ``,
		"another type": `{"a":"1"}`, "an array": `[]`, "trailing bracket": `{"a":1}]`,
	} {
		var r record
		if err := lashstore.DecodeStrict([]byte(raw), &r); err == nil {
			t.Errorf("%s: decoded as %+v", name, r)
		}
	}
	var r record
	if err := lashstore.DecodeStrict([]byte(" {\"a\": 7}\n"), &r); err != nil || r.A != 7 {
		t.Errorf("decoded as %+v, %v", r, err)
	}
}

// What is read strictly is one value of JSON, and what it becomes is written and
// read again as the same.
func FuzzDecodeStrict(f *testing.F) {
	for _, raw := range []string{`{}`, `{"session_id":"s","kind":"root"}`, `{"type":"turn","session_id":"s"}`, `{"a":1}`, `{}{}`, "\xff", `null`, strings.Repeat("[", 100)} {
		f.Add([]byte(raw))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var ref lashstore.CausalRef
		if err := lashstore.DecodeStrict(raw, &ref); err != nil {
			return
		}
		if !json.Valid(raw) {
			t.Fatalf("%q is no JSON and was decoded as %+v", raw, ref)
		}
		_ = ref.Validate()
		again, err := json.Marshal(ref)
		if err != nil {
			t.Fatal(err)
		}
		var back lashstore.CausalRef
		if err := lashstore.DecodeStrict(again, &back); err != nil || back != ref {
			t.Fatalf("%q became %+v, then %+v, %v", raw, ref, back, err)
		}
	})
}

// A payload that is accepted is JSON of text, as deep as a reader can go.
func FuzzPayload(f *testing.F) {
	for _, raw := range []string{`{}`, `{"a":[[[]]]}`, `{"a":"[\"{"}`, `[`, "{\"\xff\":1}", `{"a":"\`, `}`} {
		f.Add([]byte(raw))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if err := withBody(string(raw)); err != nil {
			return
		}
		var v map[string]any
		if err := json.Unmarshal(raw, &v); err != nil || v == nil {
			t.Fatalf("%q was accepted and decodes as %v, %v", raw, v, err)
		}
		if strings.ToValidUTF8(string(raw), "") != string(raw) {
			t.Fatalf("%q was accepted and is not UTF-8", raw)
		}
	})
}

// Reading a node's message must neither fail on what is one nor panic on what is
// none.
func FuzzNodePayload(f *testing.F) {
	for _, raw := range []string{
		`{"event":{"Conversation":{"id":"1","role":"User","parts":[{"id":"p","kind":"Text","content":"x"}]}}}`,
		`{"event":{"Protocol":{"plugin_id":"p","payload":null}}}`, `{"event":{}}`, `{"event":null}`, `{}`, `{"event":{"Conversation":null}}`,
		`{"plugin_type":"t","body":{}}`, `{"plugin_type":null}`, `[]`, `{"event":{"Conversation":{"parts":null},"Protocol":{}}}`,
	} {
		f.Add([]byte(raw), true)
		f.Add([]byte(raw), false)
	}
	f.Fuzz(func(t *testing.T, raw []byte, event bool) {
		n := lashstore.Node{NodeID: "n", Kind: lashstore.NodePlugin, Payload: raw}
		if event {
			n.Kind = lashstore.NodeEvent
		}
		m, err := n.CheckPayload()
		if err != nil && (m != nil || !errors.Is(err, lashstore.ErrGraphInvalid)) {
			t.Fatalf("%q: %v, %v", raw, m, err)
		}
		if m != nil {
			_ = m.Text()
		}
	})
}
