package gc

import (
	"context"
	"fmt"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/metadata"
)

// Status says what waits for collection: see [lashstore.Collector].
func (c *Collector) Status(ctx context.Context) (st lashstore.CollectionStatus, err error) {
	k := c.opts.Catalog
	state, err := k.Collection(ctx)
	if err != nil {
		return st, fmt.Errorf("collection status: %w", err)
	}
	counts, err := k.Counts(ctx)
	if err != nil {
		return st, fmt.Errorf("collection status: %w", err)
	}
	leases, err := k.Shards(ctx)
	if err != nil {
		return st, fmt.Errorf("collection status: %w", err)
	}
	st = lashstore.CollectionStatus{
		Stopped: state.Stopped, RanAt: state.RanAt, AuditedAt: state.AuditedAt, AuditRunning: state.Audit != "",
		Objects: counts.Objects, ObjectBytes: counts.StoredBytes, Uploads: counts.Uploads,
		Totals: lashstore.CollectTotals{Runs: state.Runs, Audits: state.Audits, Deleted: state.Deleted, DeletedBytes: state.DeletedBytes},
	}
	for n := range shardCount {
		due, err := k.Due(ctx, shardAt(n), c.opts.Now())
		if err != nil {
			return st, fmt.Errorf("collection status: %w", err)
		}
		st.Condemned += due.Rows + due.Waiting
		st.CondemnedBytes += due.Bytes + due.WaitingBytes
		st.Doomed += due.Doomed
		st.DoomedBytes += due.DoomedBytes
		if !due.Oldest.IsZero() && (st.CondemnedSince.IsZero() || due.Oldest.Before(st.CondemnedSince)) {
			st.CondemnedSince = due.Oldest
		}
	}
	for _, l := range leases {
		if l.Token != "" && l.ExpiresAt.After(c.opts.Now()) {
			st.Leases = append(st.Leases, lashstore.ShardLease{Shard: l.Shard, Worker: l.Worker, ExpiresAt: l.ExpiresAt})
		}
	}
	return st, nil
}

// KeepAll makes a holder hold all that is condemned.
func (c *Collector) KeepAll(ctx context.Context, h metadata.Holder) (objects, bytes int64, err error) {
	for n := range shardCount {
		var after lashstore.Digest
		for {
			kept, next, err := c.opts.Catalog.Keep(ctx, h, shardAt(n), after)
			if err != nil {
				return objects, bytes, fmt.Errorf("keep what is condemned: %w", err)
			}
			objects += int64(len(kept))
			for _, d := range kept {
				bytes += d.StoredBytes
			}
			if next.IsZero() {
				break
			}
			after = next
		}
	}
	return objects, bytes, nil
}
