package gc

import (
	"context"
	"errors"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/metadata"
)

// InspectOptions say how an inspection looks. The zero value changes nothing.
type InspectOptions struct {
	// Restore makes the references those that the sessions have, as the mark of an
	// audit does. Nothing is condemned for being unknown, doomed or deleted.
	Restore  bool
	Workers  int // shards at a time; 0 means 4
	Progress func(lashstore.CollectProgress)
}

// Inspection is what an audit would find.
type Inspection struct {
	Mark  lashstore.MarkReport
	Sweep lashstore.SweepReport
	// Unswept are the parts of the digest space that could not be compared with the
	// tier as a whole, since a record of the catalog in them cannot be read.
	Unswept []metadata.Shard
	// Refused are the reasons for which a collection would delete nothing.
	Refused []error
}

// Inspect looks for what an audit looks for and goes on where an audit would stop,
// since it deletes nothing: with the other sessions after one that cannot be read,
// and with the tier after sessions that cannot.
//
// Errors: [lashstore.ErrCollectionRefused] with the cause where the catalog or the
// tier could not be read at all for reasons that may pass, and those of a context
// that is over.
func (c *Collector) Inspect(ctx context.Context, opts InspectOptions) (Inspection, error) {
	var out Inspection
	r := newRun(c, lashstore.CollectOptions{
		Audit: true, DryRun: !opts.Restore, Workers: opts.Workers, Progress: opts.Progress,
	})
	note := func(err error) error {
		if err == nil {
			return nil
		}
		settled := cause(err) == nil || lasting(err) || errors.Is(err, lashstore.ErrWrongTier)
		if !settled || !errors.Is(err, lashstore.ErrCollectionRefused) {
			return err
		}
		out.Refused = append(out.Refused, err)
		return nil
	}
	finish := func(err error) (Inspection, error) {
		out.Mark, out.Sweep = *r.report.Mark, *r.report.Sweep
		return out, err
	}
	for _, step := range []func() error{
		func() error { return r.strays(ctx) },
		func() error { return r.markSessions(ctx, "") },
		func() error { return r.owned(ctx) },
	} {
		if err := note(step()); err != nil {
			return finish(err)
		}
	}
	r.opts.DryRun = true // from here on, whatever was restored
	var mu sync.Mutex    // guards out
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(r.opts.Workers)
	for n := range shardCount {
		group.Go(func() error {
			s := &shardRun{run: r, n: n, shard: shardAt(n)}
			err := s.sweep(groupCtx)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				out.Unswept = append(out.Unswept, s.shard)
			}
			return note(err)
		})
	}
	return finish(group.Wait())
}

// cause is what made a collection refuse, if it was an error.
func cause(err error) error {
	if refused, ok := errors.AsType[*lashstore.CollectionRefusedError](err); ok {
		return refused.Err
	}
	return err
}
