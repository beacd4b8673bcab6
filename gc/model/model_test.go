package model

import (
	"context"
	"errors"
	"testing"
)

func check(t *testing.T, c Config) Result {
	t.Helper()
	r, err := Check(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// logTrace shows a counterexample as a reader of the test's output wants it.
func logTrace(t *testing.T, v *Violation) {
	t.Helper()
	for i, p := range v.Trace {
		t.Logf("%3d  %s", i+1, p)
	}
	t.Logf("     %s", v.Reason)
}

// The protocol is safe, in as many states as there are. A number that changes means
// that the protocol or the model of it changed: that of the base is also that of an
// independent model in another language.
func TestProtocolIsSafe(t *testing.T) {
	for _, tc := range []struct {
		config Config
		states int
		large  bool
	}{
		{config: Config{}, states: 266_339},
		{config: Config{Fork: true}, states: 515_061, large: true},
		{config: Config{Deletion: true}, states: 2_253_298, large: true},
		{config: Config{Uploads: true}, states: 3_843_448, large: true},
		{config: Config{Fork: true, Deletion: true}, states: 3_571_768, large: true},
		{config: Config{Generations: 1}, states: 4_179},
		{config: Config{Generations: 1, Fork: true}, states: 4_949},
		{config: Config{Generations: 1, Deletion: true}, states: 39_202},
		{config: Config{Generations: 1, Uploads: true}, states: 46_296},
		{config: Config{Generations: 1, Fork: true, Deletion: true}, states: 28_760},
		{config: Config{Generations: 1, Fork: true, Uploads: true}, states: 63_350},
		{config: Config{Generations: 1, Uploads: true, Deletion: true}, states: 366_854, large: true},
		{config: Config{Generations: 1, Fork: true, Uploads: true, Deletion: true}, states: 362_672, large: true},
	} {
		t.Run(tc.config.String(), func(t *testing.T) {
			if tc.large && testing.Short() {
				return // the race detector, which runs with -short, has nothing to find here
			}
			r := check(t, tc.config)
			if r.Violation != nil {
				logTrace(t, r.Violation)
				t.Fatalf("not safe: a counterexample of %d steps after %d states", len(r.Violation.Trace), r.States)
			}
			if r.States != tc.states {
				t.Errorf("%d states, want %d", r.States, tc.states)
			}
			t.Logf("safe over %d states, the farthest %d steps away", r.States, r.Depth)
		})
	}
}

// Each rule of the protocol is needed, and the search sees what happens without it.
func TestPlantedBugs(t *testing.T) {
	want := map[Bug]int{ // the first five as in the independent model
		SameName: 14, ReleaseBefore: 10, NoReread: 11, NoLock: 10, NoClear: 12,
		ForkAfter: 15, ForkCount: 17, ForkAdmit: 17,
		ExpireHeld: 9, AdoptNoReread: 12,
		DeleteBeforeMark: 11, ReserveDeleted: 4, SameHolder: 15,
	}
	if len(Bugs()) != len(want) {
		t.Errorf("%d bugs, of which %d are expected", len(Bugs()), len(want))
	}
	for _, b := range Bugs() {
		t.Run(b.String(), func(t *testing.T) {
			c := b.Needs()
			v := check(t, c).Violation
			if v == nil {
				t.Fatal("no counterexample")
			}
			logTrace(t, v)
			if len(v.Trace) != want[b] {
				t.Errorf("a counterexample of %d steps, want %d", len(v.Trace), want[b])
			}
			replay(t, c, v)
		})
	}
}

// replay follows a trace from the initial state by its steps alone. A trace that says
// something else than what was searched would be worse than none.
func replay(t *testing.T, c Config, v *Violation) {
	t.Helper()
	s := Initial(c)
	for i, p := range v.Trace {
		if why := s.Broken(); why != "" {
			t.Fatalf("broken before step %d: %s", i+1, why)
		}
		found := 0
		for _, n := range Successors(c, s, nil) {
			if n.Step == p {
				s = n.Next
				found++
			}
		}
		if found != 1 {
			t.Fatalf("step %d, %s: possible in %d ways, want 1", i+1, p, found)
		}
	}
	if s != v.Last || s.Broken() != v.Reason || v.Reason == "" {
		t.Errorf("the steps lead to %+v (%q), not to %+v (%q)", s, s.Broken(), v.Last, v.Reason)
	}
}

// A step that is never taken is one that nothing was proved about: with all
// extensions every action must occur but those of planted bugs, and without them none
// of an extension.
func TestEveryActionIsTaken(t *testing.T) {
	ofBugs := map[Action]bool{DropThenCrash: true, LockUnread: true, DeleteReleaseSlow: true, DeleteLate: true}
	all := check(t, Config{Generations: 1, Fork: true, Uploads: true, Deletion: true})
	base := check(t, Config{Generations: 1})
	for a := range actions {
		if taken := all.Taken[a] > 0; taken == ofBugs[a] {
			t.Errorf("%q taken: %t", a, taken)
		}
		if taken, want := base.Taken[a] > 0, a < Expire && !ofBugs[a]; taken != want {
			t.Errorf("%q taken without extensions: %t, want %t", a, taken, want)
		}
	}
}

// A configuration that proves nothing must not look like one that does.
func TestCheckRefuses(t *testing.T) {
	for _, c := range []Config{
		{Generations: MaxGenerations + 1},
		{Generations: -1},
		{MaxStates: -1},
		{Bug: bugs},
		{Bug: ForkAfter},
		{Bug: ExpireHeld, Fork: true},
		{Bug: SameHolder, Uploads: true},
	} {
		if _, err := Check(t.Context(), c); !errors.Is(err, ErrInvalidConfig) {
			t.Errorf("%+v: got %v, want %v", c, err, ErrInvalidConfig)
		}
	}
	r, err := Check(t.Context(), Config{MaxStates: 1000})
	if !errors.Is(err, ErrStateLimit) || r.States == 0 || r.States > 1000 {
		t.Errorf("limit: got %d states and %v, want up to 1000 and %v", r.States, err, ErrStateLimit)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Check(ctx, Config{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got %v", err)
	}
}
