package gc

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/metadata"
)

// shardCount is into how many parts the digest space is divided: the unit of work that
// workers share out. An audit lists each with one request at least.
const shardCount = 16

// digestSpan is how many values of a digest's first byte a shard has.
const digestSpan = 256 / shardCount

func shardAt(n int) metadata.Shard {
	first := n * digestSpan
	return metadata.Shard{First: byte(first), Last: byte(first + digestSpan - 1)} //nolint:gosec // below 256
}

// shards works on the shards in which there is something to do.
func (r *run) shards(ctx context.Context) error {
	var todo []int
	for n := range shardCount {
		if err := r.tick(ctx); err != nil {
			return err
		}
		due, err := r.collector.opts.Catalog.Due(ctx, shardAt(n), r.before())
		if err != nil {
			return refuse(err, "the catalog cannot be read")
		}
		r.count(func(rep *lashstore.CollectReport) {
			rep.Condemned += due.Waiting
			rep.CondemnedBytes += due.WaitingBytes
			if r.opts.DryRun {
				rep.Doomed, rep.DoomedBytes = rep.Doomed+due.Rows, rep.DoomedBytes+due.Bytes
			}
		})
		if due.Any() || r.opts.Audit {
			todo = append(todo, n)
		}
	}
	if len(todo) == 0 || r.opts.DryRun && !r.opts.Audit {
		return nil
	}
	if err := r.owned(ctx); err != nil {
		return err
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(r.opts.Workers)
	for _, n := range todo {
		group.Go(func() error {
			if err := r.shard(groupCtx, n); err != nil {
				return fmt.Errorf("shard %d: %w", n, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return r.concludeAudit(ctx)
}

// concludeAudit finds out whether all shards have been swept, and counts what is left.
func (r *run) concludeAudit(ctx context.Context) error {
	if !r.opts.Audit {
		return nil
	}
	counts, err := r.collector.opts.Catalog.Counts(ctx)
	if err != nil {
		return err
	}
	r.count(func(rep *lashstore.CollectReport) { rep.Roots, rep.Retained = counts.Holders, counts.Held })
	if r.opts.DryRun {
		return nil
	}
	shards, err := r.collector.opts.Catalog.Shards(ctx)
	if err != nil {
		return err
	}
	swept := 0
	for _, s := range shards {
		if s.Shard >= 0 && s.Audit == r.auditID {
			swept++
		}
	}
	r.audited = swept == shardCount
	return nil
}

// shardRun is the work on one shard.
type shardRun struct {
	*run
	n     int
	shard metadata.Shard
	lease metadata.ShardLease
}

// shard does what is due in one shard, unless another worker is at it.
func (r *run) shard(ctx context.Context, n int) error {
	s := &shardRun{run: r, n: n, shard: shardAt(n)}
	if r.opts.DryRun {
		return s.sweep(ctx)
	}
	k := r.collector.opts.Catalog
	var err error
	if s.lease, err = k.ClaimShard(ctx, n, r.collector.opts.Worker, leaseTTL); err == nil {
		var swept string
		swept, err = s.work(ctx)
		err = errors.Join(err, k.ReleaseShard(context.WithoutCancel(ctx), s.lease, swept))
	}
	if errors.Is(err, metadata.ErrShardHeld) {
		r.count(func(rep *lashstore.CollectReport) { rep.ShardsBusyForeign++ })
		return nil
	}
	return err
}

// work sweeps, dooms and deletes. It returns the audit that has now swept the shard.
func (s *shardRun) work(ctx context.Context) (swept string, err error) {
	if s.opts.Audit && s.lease.Audit != s.auditID {
		if err := s.sweep(ctx); err != nil {
			return "", err
		}
	}
	if s.opts.Audit {
		swept = s.auditID
	}
	if err := s.doom(ctx); err != nil {
		return swept, err
	}
	return swept, s.deleteDoomed(ctx)
}

// tick is called between slices: it keeps the lease.
func (s *shardRun) tick(ctx context.Context) error {
	if err := s.run.tick(ctx); err != nil {
		return err
	}
	if s.lease.Token == "" || s.lease.ExpiresAt.Sub(s.now()) > leaseTTL/2 {
		return nil
	}
	return s.collector.opts.Catalog.RenewShard(ctx, &s.lease, leaseTTL)
}
