package transcript_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/transcript"
)

const good = `{"role":"user","content":"hello"}` + "\n"

// Malformed input must say where, and must never reach a store.
func TestMalformedInput(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("[", lashstore.MaxJSONDepth) + strings.Repeat("]", lashstore.MaxJSONDepth)
	traj := func(history, steps string) string {
		return fmt.Sprintf(`{"history":%s,"trajectory":%s}`, history, steps)
	}
	history := `[{"role":"user","content":"x"}]`
	tests := []struct {
		name, file, text string
		want             string // prefix of the message
		is               error
	}{
		{"empty file", "a.jsonl", "", "a.jsonl: contains no messages", lashstore.ErrInvalid},
		{"blank lines", "a.jsonl", "\n \r\n\t\n", "a.jsonl: contains no messages", lashstore.ErrInvalid},
		{"truncated line", "a.jsonl", good + good[:20], "a.jsonl:2: not valid JSON: ", lashstore.ErrInvalid},
		{"line break in a value", "a.jsonl", good + "{\n\"role\":\"user\"}", "a.jsonl:2: not valid JSON: ", lashstore.ErrInvalid},
		{"two values", "a.jsonl", good + `{"role":"user"} {"role":"user"}`, "a.jsonl:2: more than one JSON value", lashstore.ErrInvalid},
		{"list", "a.jsonl", good + "[]", "a.jsonl:2: a message must be an object, not a list", lashstore.ErrInvalid},
		{"string", "a.jsonl", `"role"`, "a.jsonl:1: a message must be an object, not a string", lashstore.ErrInvalid},
		{"text", "a.txt", "Hello, world", "a.txt:1: not valid JSON: ", lashstore.ErrInvalid},
		{"no role", "a.jsonl", good + "\n" + `{"content":"x"}`, `a.jsonl:3: "role" is missing`, lashstore.ErrInvalid},
		{"empty role", "a.jsonl", `{"role":""}`, "a.jsonl:1: /role: must not be empty", lashstore.ErrInvalid},
		{"role is a number", "a.jsonl", `{"role":1}`, "a.jsonl:1: /role: must be a string, not a number", lashstore.ErrInvalid},
		{"content is a boolean", "a.jsonl", `{"role":"user","content":true}`, "a.jsonl:1: /content: must be ", lashstore.ErrInvalid},
		{"usage is a list", "a.jsonl", `{"role":"user","usage":[]}`, "a.jsonl:1: /usage: must be an object", lashstore.ErrInvalid},
		{"negative usage", "a.jsonl", `{"role":"user","usage":{"prompt_tokens":-1}}`, "a.jsonl:1: /usage/prompt_tokens: must be ", lashstore.ErrInvalid},
		{"fractional usage", "a.jsonl", `{"role":"user","usage":{"input_tokens":1.5}}`, "a.jsonl:1: /usage/input_tokens: must be ", lashstore.ErrInvalid},
		{
			"huge usage", "a.jsonl", `{"role":"user","usage":{"input_tokens":9223372036854775807,"cache_read_input_tokens":1}}`,
			"a.jsonl:1: /usage: token counts are too large", lashstore.ErrInvalid,
		},
		{"usage that adds up", "a.jsonl", strings.Repeat(`{"role":"user","usage":{"input_tokens":9223372036854775807}}`+"\n", 2), "a.jsonl:2: token counts", lashstore.ErrInvalid},
		{"duplicate member", "a.jsonl", `{"role":"user","a":[{"b":1,"b":2}]}`, "a.jsonl:1: /a/0/b: two members have this name", lashstore.ErrInvalid},
		{"invalid UTF-8", "a.jsonl", good + "{\"role\":\"user\",\"content\":\"\xff\"}", "a.jsonl:2: /content: not valid JSON: ", lashstore.ErrInvalid},
		{"half a surrogate pair", "a.jsonl", `{"role":"user","content":"\ud800"}`, "a.jsonl:1: /content: not valid JSON: ", lashstore.ErrInvalid},
		{"too deep", "a.jsonl", `{"role":"user","a":` + deep + `}`, `a.jsonl:1: node "m000001": payload depth`, lashstore.ErrLimitExceeded},
		{
			"huge line", "a.jsonl", good + `{"role":"user","content":"` + strings.Repeat("x", transcript.MaxLineBytes) + `"}`,
			"a.jsonl:2: line bytes is ", lashstore.ErrLimitExceeded,
		},
		{
			"huge payload", "a.jsonl", `{"role":"user","content":"` + strings.Repeat("x", transcript.MaxLineBytes-30) + `"}`,
			`a.jsonl:1: node "m000001": payload bytes`, lashstore.ErrLimitExceeded,
		},
		{"empty trajectory file", "a.traj", "", "a.traj: not valid JSON: unexpected", lashstore.ErrInvalid},
		{"no history", "a.traj", `{"trajectory":[]}`, `a.traj: "history" is missing`, lashstore.ErrInvalid},
		{"no steps", "a.traj", `{"history":[]}`, `a.traj: "trajectory" is missing`, lashstore.ErrInvalid},
		{"neither", "a.traj", `{"a":1}`, `a.traj: "history" is missing`, lashstore.ErrInvalid},
		{"no messages", "a.traj", traj("[]", "[]"), "a.traj: contains no messages", lashstore.ErrInvalid},
		{"history is an object", "a.json", traj("{}", "[]"), "a.json: /history: must be a list, not an object", lashstore.ErrInvalid},
		{"history is null", "a.traj", traj("null", "[]"), "a.traj: /history: must be a list, not null", lashstore.ErrInvalid},
		{"steps are a string", "a.traj", traj(history, `"x"`), "a.traj: /trajectory: must be a list, not a string", lashstore.ErrInvalid},
		{"step is a number", "a.traj", traj(history, `[{},7]`), "a.traj: /trajectory/1: a step must be an object, not a number", lashstore.ErrInvalid},
		{"message is a string", "a.traj", traj(`["x"]`, "[]"), "a.traj: /history/0: a message must be an object, not a string", lashstore.ErrInvalid},
		{"message without role", "a.traj", traj(`[{"role":"user"},{"content":""}]`, "[]"), `a.traj: /history/1: "role" is missing`, lashstore.ErrInvalid},
		{"content is a number", "a.traj", traj(`[{"role":"user","content":1}]`, "[]"), "a.traj: /history/0/content: must be ", lashstore.ErrInvalid},
		{"truncated trajectory", "a.traj", traj(history, "[]")[:30], "a.traj: /history/0: not valid JSON: unexpected EOF", lashstore.ErrInvalid},
		{"truncated in a step", "a.traj", traj(history, `[{"state":{"a":1}}]`)[:70], "a.traj: /trajectory/0/state", lashstore.ErrInvalid},
		{"more behind it", "a.traj", traj(history, "[]") + "{}", "a.traj: more than one JSON value", lashstore.ErrInvalid},
		{"duplicate history", "a.traj", `{"history":` + history + `,"history":[],"trajectory":[]}`, "a.traj: /history: two members have this name", lashstore.ErrInvalid},
		{"duplicate in a step", "a.traj", traj(history, `[{"state":1,"state":2}]`), "a.traj: /trajectory/0/state: two members have this name", lashstore.ErrInvalid},
		{
			"negative tokens", "a.traj", `{"history":` + history + `,"trajectory":[],"info":{"model_stats":{"tokens_sent":-3}}}`,
			"a.traj: /info/model_stats/tokens_sent: must be ", lashstore.ErrInvalid,
		},
		{
			"huge message", "a.traj", traj(`[{"role":"user","content":"`+strings.Repeat("x", transcript.MaxLineBytes)+`"}]`, "[]"),
			"a.traj: /history", lashstore.ErrLimitExceeded,
		},
		{"huge step", "a.traj", traj(history, `[{"state":"`+strings.Repeat("x", transcript.MaxStateBytes)+`"}]`), "a.traj: /trajectory", lashstore.ErrLimitExceeded},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := transcript.Scan(t.Context(), sourceOf(tt.file, tt.text))
			var in *transcript.InputError
			if !errors.As(err, &in) || !errors.Is(err, tt.is) {
				t.Fatalf("error %v (%T), want an InputError that is %v", err, err, tt.is)
			}
			if !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("got  %s\nwant %s…", err, tt.want)
			}
			if len(err.Error()) > 400 {
				t.Errorf("message of %d bytes", len(err.Error()))
			}
		})
	}
}

// What is unusual but well-formed is read.
func TestUnusualInput(t *testing.T) {
	t.Parallel()
	traj := `{"history":[{"role":"user","content":"x"},{"role":"assistant"}],"trajectory":[{}]}`
	for name, text := range map[string]string{
		"byte order mark":            "\xef\xbb\xbf" + good,
		"no line end":                strings.TrimSpace(good),
		"carriage returns":           strings.ReplaceAll(good+good, "\n", "\r\n"),
		"no content":                 `{"role":"assistant"}`,
		"null content":               `{"role":"assistant","content":null,"usage":null}`,
		"longest member of the line": `{"role":"user","content":"` + strings.Repeat("x", transcript.MaxLineBytes-1024) + `"}`,
		"trajectory on one line":     traj,
		"trajectory with a mark":     "\xef\xbb\xbf" + traj,
		"trajectory, info first":     `{"info":{},` + traj[1:],
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, s := importText(t, newFakeStore(), "input", text)
			if len(s.nodes) == 0 {
				t.Error("no messages")
			}
		})
	}
}

// A step without end is committed in parts, so that memory stays bounded.
func TestLongStepIsCommittedInParts(t *testing.T) {
	t.Parallel()
	text := strings.Repeat(good, transcript.MaxStepMessages+1)
	if _, s := importText(t, newFakeStore(), "a.jsonl", text); len(s.commits) != 2 {
		t.Errorf("%d commits", len(s.commits))
	}
	history := strings.Repeat(`{"role":"user","content":""},`, transcript.MaxStepMessages) + `{"role":"assistant"}`
	text = `{"history":[` + history + `],"trajectory":[{"state":"s"}]}`
	_, s := importText(t, newFakeStore(), "a.traj", text)
	if len(s.commits) != 2 || len(s.commits[0].Checkpoint.Components) != 0 || len(s.commits[1].Checkpoint.Components) != 2 {
		t.Errorf("%d commits", len(s.commits))
	}
}
