package main

import (
	"strings"
	"testing"
)

func TestTally(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		events []string
		want   string
		ok     bool
	}{
		{
			name: "a passing test is counted and silent",
			events: []string{
				`{"Action":"output","Package":"p","Test":"TestA","Output":"=== RUN   TestA\n"}`,
				`{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:3: chatter\n"}`,
				`{"Action":"pass","Package":"p","Test":"TestA"}`,
				`{"Action":"output","Package":"p","Output":"PASS\n"}`,
				`{"Action":"output","Package":"p","Output":"ok  \tp\t0.01s\n"}`,
				`{"Action":"pass","Package":"p"}`,
			},
			want: "ok  \tp\t0.01s\n1 passed, 0 failed, 0 skipped\n",
			ok:   true,
		},
		{
			name: "a failing test shows its output",
			events: []string{
				`{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:3: got 1, want 2\n"}`,
				`{"Action":"fail","Package":"p","Test":"TestA"}`,
				`{"Action":"fail","Package":"p"}`,
			},
			want: "    a_test.go:3: got 1, want 2\nFAILED p.TestA\n0 passed, 1 failed, 0 skipped\n",
		},
		{
			name: "skips are grouped by reason",
			events: []string{
				`{"Action":"pass","Package":"p","Test":"TestA"}`,
				`{"Action":"output","Package":"p","Test":"TestB","Output":"    a_test.go:3: needs a server\n"}`,
				`{"Action":"output","Package":"p","Test":"TestB","Output":"--- SKIP: TestB (0.00s)\n"}`,
				`{"Action":"skip","Package":"p","Test":"TestB"}`,
				`{"Action":"output","Package":"p","Test":"TestC","Output":"    a_test.go:9: needs a server\n"}`,
				`{"Action":"skip","Package":"p","Test":"TestC"}`,
				`{"Action":"skip","Package":"q"}`,
			},
			want: "skipped 2: needs a server (p.TestB and 1 more)\n1 passed, 0 failed, 2 skipped\n",
			ok:   true,
		},
		{
			name: "a package that does not build fails",
			events: []string{
				`{"ImportPath":"p","Action":"build-output","Output":"p.go:1:1: syntax error\n"}`,
				`{"Action":"fail","Package":"p"}`,
				`{"Action":"pass","Package":"q","Test":"TestA"}`,
			},
			want: "p.go:1:1: syntax error\nFAILED p\n1 passed, 1 failed, 0 skipped\n",
		},
		{
			name: "a panic shows the test that never ended",
			events: []string{
				`{"Action":"output","Package":"p","Test":"TestA","Output":"panic: no\n"}`,
				`{"Action":"fail","Package":"p"}`,
			},
			want: "panic: no\nFAILED p\n0 passed, 1 failed, 0 skipped\n",
		},
		{
			name:   "no test is not success",
			events: []string{`{"Action":"skip","Package":"p"}`},
			want:   "no test ran\n0 passed, 0 failed, 0 skipped\n",
		},
		{
			name:   "other lines pass through",
			events: []string{"warning: something", `{"Action":"pass","Package":"p","Test":"TestA"}`},
			want:   "warning: something\n1 passed, 0 failed, 0 skipped\n",
			ok:     true,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			tally := newTally(&out)
			for _, line := range tc.events {
				tally.line([]byte(line + "\n"))
			}
			ok := tally.finish()
			if out.String() != tc.want || ok != tc.ok {
				t.Errorf("got ok=%v\n%swant ok=%v\n%s", ok, out.String(), tc.ok, tc.want)
			}
		})
	}
}
