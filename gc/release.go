package gc

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/metadata"
)

// pageRows is how many rows of sessions are read at a time.
const pageRows = 500

// release lets go of what has had its time: sessions, interrupted deletions, uploads.
// A session that cannot be deleted does not keep the others from it.
func (r *run) release(ctx context.Context) error {
	k := r.collector.opts.Catalog
	err := r.eachSession(ctx, func(ctx context.Context, after lashstore.SessionID) ([]metadata.SessionRow, error) {
		return k.ExpiredSessions(ctx, r.now(), after, pageRows)
	}, r.expire)
	if err != nil {
		return err
	}
	err = r.eachSession(ctx, func(ctx context.Context, after lashstore.SessionID) ([]metadata.SessionRow, error) {
		return k.Deleting(ctx, after, pageRows)
	}, r.remove)
	if err != nil {
		return err
	}
	return r.releaseUploads(ctx)
}

// eachSession calls fn for the sessions that list returns, page by page.
func (r *run) eachSession(ctx context.Context, list func(context.Context, lashstore.SessionID) ([]metadata.SessionRow, error),
	fn func(context.Context, metadata.SessionRow) error,
) error {
	var (
		after lashstore.SessionID
		done  int64
	)
	for {
		if err := r.tick(ctx); err != nil {
			return err
		}
		rows, err := list(ctx, after)
		if err != nil {
			return refuse(err, "the catalog cannot be read")
		}
		if len(rows) == 0 {
			return nil
		}
		for _, row := range rows {
			after = row.Meta.SessionID
			if err := fn(ctx, row); err != nil {
				if passing(err) {
					return err
				}
				r.fail(fmt.Errorf("session %q: %w", after, err))
			}
			done++
			r.progress(lashstore.PhaseRelease, done, 0)
		}
	}
}

// expire deletes a session whose time to live is over, if its own database agrees.
func (r *run) expire(ctx context.Context, row metadata.SessionRow) error {
	if r.opts.DryRun {
		r.count(func(rep *lashstore.CollectReport) { rep.SessionsExpired++ })
		return nil
	}
	due, err := r.markExpired(ctx, row)
	switch {
	case errors.Is(err, lashstore.ErrSessionDeleted): // marked by a run that was interrupted
	case errors.Is(err, fs.ErrNotExist) && row.State == metadata.SessionCreating:
		return nil // its creator may be about to make the file
	case err != nil:
		return err
	case !due:
		return nil
	}
	if err := r.collector.opts.Delete(ctx, row); err != nil {
		return err
	}
	r.count(func(rep *lashstore.CollectReport) { rep.SessionsExpired++ })
	return nil
}

// markExpired asks the session's own database, which knows what was done since. Where
// it disagrees, the catalog learns the session's true times.
func (r *run) markExpired(ctx context.Context, row metadata.SessionRow) (due bool, err error) {
	db, err := r.collector.opts.OpenSession(ctx, row, false)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	answer, err := db.MarkExpired(ctx, r.now())
	if err != nil || answer == metadata.Expired {
		return err == nil, err
	}
	sum, _, err := db.Summary(ctx)
	if err != nil {
		return false, err
	}
	return false, r.collector.opts.Catalog.Refresh(ctx, []lashstore.SessionSummary{sum})
}

// remove completes a deletion.
func (r *run) remove(ctx context.Context, row metadata.SessionRow) error {
	if !r.opts.DryRun {
		if err := r.collector.opts.Delete(ctx, row); err != nil {
			return err
		}
	}
	r.count(func(rep *lashstore.CollectReport) { rep.SessionsRemoved++ })
	return nil
}

// releaseUploads lets go of what expired uploads protected.
func (r *run) releaseUploads(ctx context.Context) error {
	k := r.collector.opts.Catalog
	expired, err := k.ExpiredUploads(ctx, r.now())
	if err != nil {
		return refuse(err, "the catalog cannot be read")
	}
	if r.opts.DryRun {
		r.count(func(rep *lashstore.CollectReport) { rep.UploadsExpired = expired })
		return nil
	}
	for more := expired > 0; more; {
		if err := r.tick(ctx); err != nil {
			return err
		}
		r.collector.step(StepReleasing)
		var n int64
		err := r.pacer.run(ctx, func() (err error) {
			n, more, err = k.ReleaseExpired(ctx, r.now())
			return err
		})
		if err != nil {
			return err
		}
		r.count(func(rep *lashstore.CollectReport) { rep.UploadsExpired += n })
	}
	return nil
}
