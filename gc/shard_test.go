package gc_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/gc"
	"github.com/lashstore/lashstore/metadata"
)

// shardOf is the shard that has the named content.
func shardOf(name string) int { return int(digestOf(name).Bytes()[0]) / (256 / gc.ShardCount) }

// apart returns the names of two contents in different shards.
func apart(t *testing.T) (a, b string) {
	t.Helper()
	a = "content 0"
	for i := 1; i < 100; i++ {
		if b = fmt.Sprint("content ", i); shardOf(b) != shardOf(a) {
			return a, b
		}
	}
	t.Fatal("no two contents are apart")
	return "", ""
}

// claim takes a shard as another worker would.
func (x *tenant) claim(shard int, ttl time.Duration) (l metadata.ShardLease) {
	x.Helper()
	x.catalog(func(k *metadata.Catalog) {
		var err error
		l, err = k.ClaimShard(x.Context(), shard, "another worker", ttl)
		must(x.T, err)
	})
	return l
}

// A shard that another worker has is left to it, and the report says so. When the
// worker is dead, which shows after its lease is over, it is taken over.
func TestShardHeldByAnother(t *testing.T) {
	t.Parallel()
	x := setup(t)
	a, b := apart(t)
	x.commit("s", a, b)
	x.commit("s", "new")
	x.claim(shardOf(a), gc.LeaseTTL)
	if l := x.status().Leases; len(l) != 1 || l[0].Shard != shardOf(a) || l[0].Worker != "another worker" || !l[0].ExpiresAt.Equal(x.clock.Now().Add(gc.LeaseTTL)) {
		t.Errorf("leases %+v", l)
	}
	report := x.collect(now())
	equal(t, "outcome", report.Outcome, lashstore.CollectIncomplete)
	equal(t, "shards that another has", report.ShardsBusyForeign, 1)
	equal(t, "reason", report.Reason, "1 shards were held by other workers")
	equal(t, "deleted", report.Deleted, 1)
	x.key(a)
	report = x.collect(audit())
	equal(t, "outcome of an audit", report.Outcome, lashstore.CollectIncomplete)
	equal(t, "an audit that has not swept all is over", x.status().AuditRunning, true)

	x.clock.Advance(gc.LeaseTTL - time.Millisecond)
	equal(t, "shards that another has", x.collect(now()).ShardsBusyForeign, 1)
	x.clock.Advance(time.Millisecond)
	equal(t, "leases that are over", len(x.status().Leases), 0)
	report = x.collect(audit())
	equal(t, "shards that another has", report.ShardsBusyForeign, 0)
	equal(t, "shards listed", report.ListRequests, 1)
	equal(t, "deleted when the lease is over", report.Deleted, 1)
	equal(t, "an audit is left unfinished", x.status().AuditRunning, false)
	x.exact()
}

// A lease from a future that cannot be is a clock's mistake, and nobody waits for it.
func TestLeaseFromTheFuture(t *testing.T) {
	t.Parallel()
	x := setup(t)
	x.commit("s", "old")
	x.commit("s", "new")
	x.claim(shardOf("old"), 24*time.Hour)
	equal(t, "deleted", x.collect(now()).Deleted, 1)
	x.exact()
}

// A shard that was taken over while a worker was at it is left to whoever has it now:
// both may do the work, but only one says that it is done.
func TestShardStolen(t *testing.T) {
	t.Parallel()
	for _, step := range []string{gc.StepListed, gc.StepDooming, gc.StepDoomed, gc.StepDeleted} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			x := setup(t)
			x.commit("s", "old")
			x.commit("s", "new")
			stolen := -1
			x.once(step, func() {
				for _, l := range x.status().Leases {
					stolen = l.Shard
				}
				x.clock.Advance(gc.LeaseTTL + time.Minute) // the worker stood still, and its lease ended
				x.claim(stolen, gc.LeaseTTL)
			})
			report := x.collect(audit())
			equal(t, "outcome", report.Outcome, lashstore.CollectIncomplete)
			l := x.status().Leases
			if len(l) != 1 || l[0].Shard != stolen || l[0].Worker != "another worker" {
				t.Errorf("leases %+v: want that of the other worker to be left alone", l)
			}
			equal(t, "an audit that one worker could not finish is over", x.status().AuditRunning, true)
			x.has("s", "new")
			x.clock.Advance(gc.LeaseTTL)
			x.collect(audit())
			equal(t, "an audit is left unfinished", x.status().AuditRunning, false)
			x.exact()
		})
	}
}

// Also where the worker does not look at its lease any more before it is through.
func TestShardStolenUnnoticed(t *testing.T) {
	t.Parallel()
	x := setup(t)
	x.commit("s", "content")
	stolen := -1
	x.once(gc.StepListed, func() {
		stolen = x.status().Leases[0].Shard
		x.change(x.path("catalog.db"), `UPDATE shard SET token='another', worker='another worker' WHERE shard=?`, stolen)
	})
	report := x.collect(audit())
	equal(t, "outcome", report.Outcome, lashstore.CollectIncomplete)
	equal(t, "an audit that was not finished is over", x.status().AuditRunning, true)
	equal(t, "audits", x.status().Totals.Audits, 0)
}

// A worker that takes long keeps its shard, or all that take long would only ever
// repeat each other's work.
func TestLeaseIsKept(t *testing.T) {
	t.Parallel()
	x := setup(t)
	x.commit("s", "old")
	x.commit("s", "new")
	steps := 0
	x.at(gc.StepListed, func() {
		steps++
		x.clock.Advance(gc.LeaseTTL * 3 / 4)
	})
	report := x.collect(audit())
	equal(t, "shards", steps, gc.ShardCount)
	equal(t, "outcome", report.Outcome, lashstore.CollectSwept)
	x.exact()
}

// The mark phase has one worker at a time: a second audit is refused, and does nothing.
func TestMarkedElsewhere(t *testing.T) {
	t.Parallel()
	x := setup(t)
	x.commit("s", "old")
	x.commit("s", "new")
	x.claim(gc.MarkShard, gc.LeaseTTL)
	x.refused(audit(), "another worker is under way")
	equal(t, "deleted by a plain run", x.collect(now()).Deleted, 1)
	x.clock.Advance(gc.LeaseTTL)
	equal(t, "sessions compared when the lease is over", x.collect(audit()).Mark.Sessions, 1)
	x.exact()
}

// Many workers do what one does.
func TestWorkers(t *testing.T) {
	t.Parallel()
	const contents = 60
	x := setup(t)
	names := make([]string, contents)
	for i := range names {
		names[i] = fmt.Sprint("content ", i)
	}
	x.commit("s", names...)
	x.commit("s", names[:10]...)
	opts := audit()
	opts.Workers = lashstore.MaxCollectWorkers
	report := x.collect(opts)
	equal(t, "deleted", report.Deleted, contents-10)
	equal(t, "doomed", report.Doomed, contents-10)
	equal(t, "shards listed", report.ListRequests, gc.ShardCount)
	x.has("s", names[:10]...)
	x.exact()
}
