package local_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/lashstore/lashstore/gc"
	"github.com/lashstore/lashstore/local"
)

// A commit, upload, settlement, deletion or collection that is interrupted, overtaken or
// repeated at any point must never cost a blob that something refers to, and must leave
// nothing behind for ever. Each history interleaves calls of two processes on one
// directory, at every transaction, step and request; -rapid.checks says how many.
func TestSimulation(t *testing.T) {
	t.Parallel()
	tally := &simTally{events: make(map[string]int)}
	dir := filepath.Join(t.TempDir(), "data")
	tmpl := newSimTemplate(t)
	rapid.Check(t, func(t *rapid.T) { tmpl.try(t, dir, tally) })
	t.Logf("what happened:\n%s", tally)
	tally.demand(t)
}

// try draws a history and carries it out.
func (m *simTemplate) try(t *rapid.T, dir string, tally *simTally) {
	steps := simHistories.Draw(t, "steps")
	tally.count("histories")
	tally.add("steps", len(steps))
	trace, err := m.runHistory(dir, tally, steps)
	if err != nil {
		t.Fatalf("%v\nhistory:\n  %s", err, strings.Join(trace, "\n  "))
	}
}

// demand fails a run of many histories in which something never happened: then it does
// not test what it is there for.
func (t *simTally) demand(tb testing.TB) {
	tb.Helper()
	var events []string
	if t.events["histories"] >= 5000 {
		events = []string{
			"commits", "uploads", "sessions created", "sessions deleted", "sessions expired", "uploads expired", "undeleted",
			"commit begun again after a lost reservation", "condemned content revived", "content stored again after its deletion",
			"audit: surplus edges removed", "audit: unknown objects doomed", "deletions completed by a collection",
			"objects doomed", "objects deleted", "put late", "put twice", "put refused", "put answer lost",
			"delete refused", "delete late", "late put", "crash with a request on its way",
		}
	}
	if t.events["histories"] >= 50_000 {
		events = append(events, "late delete", "delete twice", "delete answer lost",
			"crash at tier: put", "crash at tier: after put", "crash at tier: delete", "crash at tier: after delete", "crash at tier: list")
		for _, step := range slices.Concat(local.CommitSteps(), local.LifecycleSteps(), gc.Steps()) {
			events = append(events, "crash at step: "+step)
		}
	}
	for _, event := range events {
		if t.events[event] == 0 {
			tb.Errorf("in %d histories there was never: %s", t.events["histories"], event)
		}
	}
}
