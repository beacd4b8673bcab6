package gc

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
	"github.com/lashstore/lashstore/metadata"
)

// doom removes the rows that have been condemned for the grace period, slice by slice.
func (s *shardRun) doom(ctx context.Context) error {
	for more := true; more; {
		if err := s.tick(ctx); err != nil {
			return err
		}
		s.collector.step(StepDooming)
		var (
			doomed []metadata.Doomed
			err    error
		)
		err = s.pacer.run(ctx, func() (err error) {
			doomed, more, err = s.collector.opts.Catalog.Doom(ctx, s.shard, s.before())
			return err
		})
		if err != nil {
			return refuse(err, "what is condemned cannot be read or removed")
		}
		s.countDoomed(doomed)
	}
	s.collector.step(StepDoomed)
	return nil
}

func (s *shardRun) countDoomed(doomed []metadata.Doomed) {
	s.count(func(rep *lashstore.CollectReport) {
		rep.Doomed += int64(len(doomed))
		for _, d := range doomed {
			rep.DoomedBytes += d.StoredBytes
		}
	})
}

// deleteDoomed deletes what is doomed, also by earlier runs. What the tier does not
// delete stays in the queue.
func (s *shardRun) deleteDoomed(ctx context.Context) error {
	var after metadata.Object
	for {
		if err := s.tick(ctx); err != nil {
			return err
		}
		batch, err := s.collector.opts.Catalog.Doomed(ctx, s.shard, after, cas.MaxDeleteKeys)
		if err != nil {
			return err
		}
		if len(batch) == 0 {
			return nil
		}
		after = batch[len(batch)-1].Object
		gone, err := s.deleteBatch(ctx, batch)
		if err != nil {
			return err
		}
		s.collector.step(StepDeleted)
		for part := range slices.Chunk(gone, changeSlice) {
			err := s.pacer.run(ctx, func() error { return s.collector.opts.Catalog.Deleted(ctx, part) })
			if err != nil {
				return err
			}
		}
		s.count(func(rep *lashstore.CollectReport) {
			rep.Deleted += int64(len(gone))
			for _, d := range gone {
				rep.DeletedBytes += d.StoredBytes
			}
			rep.Pending += int64(len(batch) - len(gone))
		})
		s.progress(lashstore.PhaseDelete, s.deleted(), 0)
	}
}

func (s *shardRun) deleted() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.report.Deleted
}

// deleteBatch returns the objects that the tier confirmed to be gone. Those that
// failed are in the report, and do not keep the others from being deleted.
func (s *shardRun) deleteBatch(ctx context.Context, batch []metadata.Doomed) (gone []metadata.Doomed, err error) {
	names := make([]cas.ObjectName, len(batch))
	for i, d := range batch {
		names[i] = objectName(d.Object)
	}
	err = s.collector.opts.Tier.DeleteObjects(ctx, names)
	s.count(func(rep *lashstore.CollectReport) { rep.DeleteRequests++ })
	var failed *cas.DeleteError
	switch {
	case err == nil:
		return batch, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case !errors.As(err, &failed):
		return nil, fmt.Errorf("delete objects: %w", err)
	}
	for i, d := range batch {
		if why := failed.Failed[names[i].Key()]; why == nil {
			gone = append(gone, d)
		} else {
			s.fail(fmt.Errorf("delete %s: %w", names[i], why))
		}
	}
	return gone, nil
}
