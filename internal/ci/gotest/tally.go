package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// event is one line of "go test -json" (go doc test2json).
type event struct {
	Action  string
	Package string
	Test    string
	Output  string
}

// test names one test or subtest.
type test struct{ pkg, name string }

func (t test) String() string { return t.pkg + "." + t.name }

// tally counts tests and keeps the output of those under way.
type tally struct {
	out                     io.Writer
	passed, failed, skipped int
	pending                 map[test][]string
	failures                []string          // tests and packages
	failedIn                map[string]bool   // packages with a failed test
	reasons                 map[string][]test // of skipped tests
}

func newTally(out io.Writer) *tally {
	return &tally{
		out: out, pending: make(map[test][]string),
		failedIn: make(map[string]bool), reasons: make(map[string][]test),
	}
}

// line takes one line of output. What is not an event is printed as it is.
func (t *tally) line(line []byte) {
	var e event
	if err := json.Unmarshal(line, &e); err != nil || e.Action == "" {
		t.print(string(line))
		return
	}
	switch {
	case e.Action == "build-output":
		t.print(e.Output)
	case e.Test == "":
		t.packageEvent(e)
	default:
		t.testEvent(e)
	}
}

func (t *tally) packageEvent(e event) {
	switch e.Action {
	case "output":
		if e.Output != "PASS\n" {
			t.print(e.Output)
		}
	case "fail":
		t.cutShort(e.Package)
		if !t.failedIn[e.Package] { // it did not build, or TestMain failed
			t.failed++
			t.failures = append(t.failures, e.Package)
		}
	}
}

// cutShort prints what is known of tests that never ended, as after a panic.
func (t *tally) cutShort(pkg string) {
	for id, output := range t.pending {
		if id.pkg == pkg {
			t.print(output...)
			delete(t.pending, id)
		}
	}
}

func (t *tally) testEvent(e event) {
	id := test{e.Package, e.Test}
	switch e.Action {
	case "output":
		if !strings.HasPrefix(e.Output, "=== ") {
			t.pending[id] = append(t.pending[id], e.Output)
		}
		return
	case "pass":
		t.passed++
	case "fail":
		t.failed++
		t.failedIn[e.Package] = true
		t.failures = append(t.failures, id.String())
		t.print(t.pending[id]...)
	case "skip":
		t.skipped++
		reason := skipReason(t.pending[id])
		t.reasons[reason] = append(t.reasons[reason], id)
	default:
		return
	}
	delete(t.pending, id)
}

// skipReason finds "file.go:12: reason" in the output of a skipped test. The last
// such line is that of Skip; lines above it are the test's log.
func skipReason(output []string) string {
	for _, line := range slices.Backward(output) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "--- ") {
			continue
		}
		if place, reason, ok := strings.Cut(line, ": "); ok && strings.Contains(place, ".go:") {
			return reason
		}
		return line
	}
	return "no reason given"
}

// finish prints the summary and reports whether tests ran and all passed.
func (t *tally) finish() bool {
	reasons := make([]string, 0, len(t.reasons))
	for reason := range t.reasons {
		reasons = append(reasons, reason)
	}
	slices.Sort(reasons)
	for _, reason := range reasons {
		tests := t.reasons[reason]
		t.print(fmt.Sprintf("skipped %d: %s (%s)\n", len(tests), reason, abridge(tests)))
	}
	for _, name := range t.failures {
		t.print(fmt.Sprintf("FAILED %s\n", name))
	}
	if t.passed+t.failed == 0 {
		t.print("no test ran\n")
	}
	t.print(fmt.Sprintf("%d passed, %d failed, %d skipped\n", t.passed, t.failed, t.skipped))
	return t.passed > 0 && t.failed == 0
}

// abridge names the first of several tests.
func abridge(tests []test) string {
	if len(tests) == 1 {
		return tests[0].String()
	}
	return fmt.Sprintf("%s and %d more", tests[0], len(tests)-1)
}

func (t *tally) print(lines ...string) {
	for _, line := range lines {
		// The report is lost if standard output is; the exit code still counts.
		_, _ = io.WriteString(t.out, line)
	}
}
