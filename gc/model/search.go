package model

import (
	"context"
	"fmt"
	"slices"
)

// contextEvery is after how many states a search looks at its context.
const contextEvery = 1 << 14

// Check examines every state that can be reached under c, nearest first, and returns
// what it found: that the invariants hold everywhere, or a shortest way to break one.
// It returns [ErrInvalidConfig], [ErrStateLimit] or the context's error, the latter
// two with the result so far.
func Check(ctx context.Context, c Config) (Result, error) {
	if err := c.Validate(); err != nil {
		return Result{}, err
	}
	q := search{Config: c.withDefaults()}
	return q.run(ctx)
}

// search is a breadth-first search. The states found are its queue: those before at
// have been examined.
type search struct {
	Config
	found visited
	at    uint32
	taken [actions]int
}

func (q *search) run(ctx context.Context) (Result, error) {
	first := Initial(q.Config)
	q.found.add(first.pack(), noState)
	var (
		out   []Transition
		depth int
		level = 1 // the number of states up to the end of this depth
	)
	for ; int(q.at) < len(q.found.keys); q.at++ {
		if int(q.at) == level {
			depth, level = depth+1, len(q.found.keys)
		}
		if q.at%contextEvery == 0 && ctx.Err() != nil {
			return q.result(depth), fmt.Errorf("check the model (%s) after %d states: %w", q.Config, q.at, ctx.Err())
		}
		s := q.found.keys[q.at].unpack()
		if why := s.Broken(); why != "" {
			q.at++
			r := q.result(depth)
			r.Violation = &Violation{Reason: why, Trace: q.trace(q.at - 1), Last: s}
			return r, nil
		}
		out = Successors(q.Config, s, out[:0])
		for i := range out {
			q.taken[out[i].Step.Action]++
			q.found.add(out[i].Next.pack(), q.at)
		}
		if len(q.found.keys) > q.MaxStates {
			return q.result(depth), fmt.Errorf("check the model (%s): %w (%d)", q.Config, ErrStateLimit, q.MaxStates)
		}
	}
	return q.result(depth), nil
}

func (q *search) result(depth int) Result {
	r := Result{States: int(q.at), Depth: depth, Taken: make(map[Action]int)}
	for a, n := range q.taken {
		if n > 0 {
			r.Taken[Action(a)] = n
		}
	}
	return r
}

// trace returns the steps from the initial state to the given one. Steps are not kept
// by the search: they are found again between each state and its parent.
func (q *search) trace(at uint32) []Step {
	var trace []Step
	for from := q.found.parents[at]; from != noState; at, from = from, q.found.parents[from] {
		for _, t := range Successors(q.Config, q.found.keys[from].unpack(), nil) {
			if t.Next.pack() == q.found.keys[at] {
				trace = append(trace, t.Step)
				break
			}
		}
	}
	slices.Reverse(trace)
	return trace
}
