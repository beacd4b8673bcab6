package model

import (
	"errors"
	"fmt"
	"strings"
)

// ErrInvalidConfig reports a configuration that cannot be checked.
var ErrInvalidConfig = errors.New("invalid configuration of the model")

// ErrStateLimit reports a search that ended at [Config.MaxStates], which proves
// nothing.
var ErrStateLimit = errors.New("more states than the limit")

// Bounds of a configuration.
const (
	// DefaultGenerations is enough for content to be deleted and to come back once.
	DefaultGenerations = 2
	// MaxGenerations is what a packed state has room for.
	MaxGenerations = 3
	// DefaultMaxStates keeps a search below 1 GiB: a state takes 12 bytes
	// and 12 to 24 more in the table by which it is found again.
	DefaultMaxStates = 12_000_000
)

// Config says what is modelled. The zero value is the base: one digest, two sessions,
// two generations, no extension, no bug.
type Config struct {
	// Generations is how often the digest can get a row, from 1 to [MaxGenerations];
	// 0 means [DefaultGenerations].
	Generations int
	// Fork lets session 1 begin as a fork of session 0.
	Fork bool
	// Uploads adds an upload with a hold of its own, which sessions adopt.
	Uploads bool
	// Deletion lets sessions be deleted and come back as new incarnations.
	Deletion bool
	// Bug is the mistake to plant.
	Bug Bug
	// MaxStates is how many states may be found before the search gives up; 0 means
	// [DefaultMaxStates].
	MaxStates int
}

func (c Config) withDefaults() Config {
	if c.Generations == 0 {
		c.Generations = DefaultGenerations
	}
	if c.MaxStates == 0 {
		c.MaxStates = DefaultMaxStates
	}
	return c
}

// String names what the configuration adds to the base, such as "fork, deletion, 2
// generations".
func (c Config) String() string {
	c = c.withDefaults()
	var parts []string
	for _, p := range []struct {
		on   bool
		name string
	}{{c.Fork, "fork"}, {c.Uploads, "uploads"}, {c.Deletion, "deletion"}, {c.Bug != NoBug, "bug " + c.Bug.String()}} {
		if p.on {
			parts = append(parts, p.name)
		}
	}
	return strings.Join(append(parts, fmt.Sprintf("%d generations", c.Generations)), ", ")
}

// Validate returns [ErrInvalidConfig], with all that is wrong, for a configuration
// out of bounds and for a bug that could not show in it.
func (c Config) Validate() error {
	var errs []error
	if c.Generations < 0 || c.Generations > MaxGenerations {
		errs = append(errs, fmt.Errorf("%d generations: from 1 to %d: %w", c.Generations, MaxGenerations, ErrInvalidConfig))
	}
	if c.MaxStates < 0 || int64(c.MaxStates) > noState {
		errs = append(errs, fmt.Errorf("at most %d states: from 1 to %d: %w", c.MaxStates, int64(noState), ErrInvalidConfig))
	}
	if c.Bug >= bugs {
		errs = append(errs, fmt.Errorf("%s is unknown: %w", c.Bug, ErrInvalidConfig))
	}
	need := c.Bug.Needs()
	if need.Fork && !c.Fork || need.Uploads && !c.Uploads || need.Deletion && !c.Deletion {
		errs = append(errs, fmt.Errorf("bug %s: its extension is off: %w", c.Bug, ErrInvalidConfig))
	}
	return errors.Join(errs...)
}

// Result is what a search found.
type Result struct {
	// States is how many different states were examined.
	States int
	// Depth is the number of steps to the last state examined: for a safe protocol, how
	// far the farthest state is from the start.
	Depth int
	// Taken counts, per action, the transitions examined. An action that was never taken
	// is one that the search says nothing about.
	Taken map[Action]int
	// Violation is a shortest way to break an invariant, or nil if there is none.
	Violation *Violation
}

// Violation is a counterexample.
type Violation struct {
	// Reason is the invariant that is broken.
	Reason string
	// Trace are the steps from the initial state to the broken one.
	Trace []Step
	// Last is the broken state.
	Last State
}
