package gc

import (
	"context"
	"time"

	"github.com/lashstore/lashstore/metadata"
)

// What a collector believes of a clock. Nothing becomes unsafe if a clock is wrong; but
// what is meant to be kept for a day, uploads, sessions and the chance to undelete, would
// be gone at once.
const (
	// clockTolerance is by how much clocks of machines that share a directory, or a wall
	// clock that is being adjusted, may differ.
	clockTolerance = time.Minute
	// maxIdle is how long after the last collection the time is taken for granted. After
	// a longer pause, a first run only notes the time: if the clock jumped, there is time
	// to see what the run said, until the next.
	maxIdle = 45 * 24 * time.Hour // more than a month, for those who collect monthly
)

// trust refuses a collection that cannot know what it must.
func (r *run) trust(ctx context.Context) error {
	state, err := r.collector.opts.Catalog.Collection(ctx)
	if err != nil {
		return refuse(err, "the catalog cannot be read")
	}
	if state.Stopped != "" && !r.opts.Audit {
		return refuse(nil, "%s; nothing is deleted before an audit has passed", state.Stopped)
	}
	now := r.began
	switch {
	case state.Clock.IsZero():
	case now.Before(state.Clock.Add(-clockTolerance)):
		return refuse(nil, "the clock is at %s, and an earlier collection saw %s: it has been set back",
			stamp(now), stamp(state.Clock))
	case now.Sub(state.Clock) > maxIdle:
		if !r.opts.DryRun {
			if err := r.noteClock(ctx, now); err != nil {
				return err
			}
		}
		return refuse(nil, "the clock is at %s, %s after the last collection: either it jumped, or none has run for long; if it is right, the next one will delete",
			stamp(now), now.Sub(state.Clock).Round(time.Hour))
	}
	return nil
}

func (r *run) noteClock(ctx context.Context, now time.Time) error {
	return r.collector.opts.Catalog.UpdateCollection(ctx, func(s *metadata.CollectionState) error {
		s.Clock = now
		return nil
	})
}

// steady refuses to go on if the wall clock has moved otherwise than time has.
func (r *run) steady() error {
	wall := r.collector.opts.Now().Round(0).Sub(r.began.Round(0))
	if drift := wall - r.elapsed(); drift > clockTolerance || drift < -clockTolerance {
		return refuse(nil, "the clock jumped by %s during the collection", drift.Round(time.Second))
	}
	return nil
}

// owned makes sure that what is about to be deleted is this catalog's.
func (r *run) owned(ctx context.Context) error {
	check := r.collector.opts.CheckOwner
	if check == nil {
		return nil
	}
	if err := check(ctx); err != nil {
		if passing(err) {
			return err
		}
		return refuse(err, "the tier is not known to belong to this data directory alone")
	}
	return nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// stop keeps this and later collections from deleting until an audit passes.
func (r *run) stop(ctx context.Context, reason string, err error) error {
	if !r.opts.DryRun {
		if stopErr := r.collector.opts.Catalog.Stop(context.WithoutCancel(ctx), reason); stopErr != nil {
			return refuse(stopErr, "%s", reason)
		}
	}
	return refuse(err, "%s", reason)
}
