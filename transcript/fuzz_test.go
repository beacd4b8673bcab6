package transcript_test

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"testing"

	"github.com/lashstore/lashstore/transcript"
)

// Whatever is read is written again, and whatever is not read is refused with its
// place.
func FuzzScan(f *testing.F) {
	for _, name := range []string{"testdata/chat.jsonl", "testdata/agent.traj"} {
		seed, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(seed)
	}
	f.Add([]byte(`{"history":[{"role":"user"}],"trajectory":[{"state":"\u0000"}],"info":{"model_stats":{"tokens_sent":1e2}}}`))
	f.Add([]byte("{\"role\":\"tool\",\"content\":[\"a\",{\"type\":\"tool_result\"},1]}\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		src := transcript.Source{Name: "fuzz", Reader: bytes.NewReader(data), Size: int64(len(data))}
		plan, err := transcript.Scan(t.Context(), src)
		if err != nil {
			var in *transcript.InputError
			if !errors.As(err, &in) || in.File != "fuzz" {
				t.Fatalf("not an input error: %v", err)
			}
			return
		}
		count, steps := 0, 0
		for step, err := range plan.All(t.Context()) {
			if err != nil {
				t.Fatalf("scanned, but: %v", err)
			}
			steps++
			for _, m := range step.Messages {
				count++
				n, err := m.Node()
				if err != nil {
					t.Fatal(err)
				}
				back, err := transcript.Restore(&n)
				if err != nil {
					t.Fatalf("restore %s: %v", n.Payload, err)
				}
				if want, got := tokens(t, m.Raw), tokens(t, back); !slices.Equal(want, got) {
					t.Fatalf("message %d\nwant %s\ngot  %s", m.Index, m.Raw, back)
				}
			}
		}
		if count != plan.Messages || steps != plan.Steps {
			t.Fatalf("%d messages in %d steps, the plan says %+v", count, steps, plan)
		}
	})
}
