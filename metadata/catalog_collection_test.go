package metadata

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lashstore/lashstore"
)

// What collections remember comes back as it was, and a change that fails changes
// nothing.
func TestCollectionState(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	state, err := b.catalog.Collection(ctx)
	must(t, err)
	same(t, "before the first", state, CollectionState{})
	at := b.clock.Now().Truncate(time.Millisecond).UTC()
	want := CollectionState{
		Clock: at, RanAt: at.Add(1 * time.Second), AuditedAt: at.Add(2 * time.Second), Stopped: "why", Stale: true,
		Audit: "id", AuditAt: at.Add(3 * time.Second), Phase: AuditSweep, MarkAfter: "session", Runs: 1, Audits: 2, Deleted: 3, DeletedBytes: 4,
	}
	must(t, b.catalog.UpdateCollection(ctx, func(s *CollectionState) error { *s = want; return nil }))
	broken := errors.New("broken")
	err = b.catalog.UpdateCollection(ctx, func(s *CollectionState) error { *s = CollectionState{}; return broken })
	if !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	got, err := b.catalog.Collection(ctx)
	must(t, err)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("state (-want +got):\n%s", diff)
	}
	must(t, b.catalog.Stop(ctx, "another reason"))
	got, err = b.catalog.Collection(ctx)
	must(t, err)
	want.Stopped, want.Audit, want.Phase, want.MarkAfter = "another reason", "", AuditNone, ""
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("state when stopped (-want +got):\n%s", diff)
	}
	for _, spoil := range []string{`stopped=''`, `stale=0`, `audit_phase=9`, `clock_ms=clock_ms+1`, `mark_after='z'`} {
		err := b.catalog.write(ctx, "spoil", func(ctx context.Context, c *conn) error {
			if err := c.exec(ctx, `UPDATE collection SET `+spoil); err != nil {
				return err
			}
			if _, err := b.catalog.readCollection(ctx, c); !errors.Is(err, lashstore.ErrCorruptRecord) {
				t.Errorf("%s: %v", spoil, err)
			}
			return broken // undone
		})
		if !errors.Is(err, broken) {
			t.Errorf("%s: %v", spoil, err)
		}
	}
}

// A shard has one worker at a time; what another took over cannot be kept, and is not
// given back by who had it.
func TestShardLeases(t *testing.T) {
	t.Parallel()
	const ttl = time.Minute
	b := setup(t)
	ctx := t.Context()
	first, err := b.catalog.ClaimShard(ctx, 3, "first", ttl)
	must(t, err)
	_, err = b.catalog.ClaimShard(ctx, 3, "second", ttl)
	held(t, err)
	other, err := b.catalog.ClaimShard(ctx, 4, "second", ttl)
	must(t, err)
	if other.Token == first.Token || first.Token == "" {
		t.Errorf("tokens %q and %q", first.Token, other.Token)
	}
	b.clock.Advance(ttl - time.Millisecond)
	must(t, b.catalog.RenewShard(ctx, &first, ttl))
	same(t, "expiry when renewed", first.ExpiresAt.Equal(b.clock.Now().Add(ttl)), true)
	b.clock.Advance(ttl - time.Millisecond)
	_, err = b.catalog.ClaimShard(ctx, 3, "second", ttl)
	held(t, err)
	b.clock.Advance(time.Millisecond)
	second, err := b.catalog.ClaimShard(ctx, 3, "second", ttl)
	must(t, err)
	held(t, b.catalog.RenewShard(ctx, &first, ttl))
	must(t, b.catalog.ReleaseShard(ctx, first, "audit of the first"))
	must(t, b.catalog.RenewShard(ctx, &second, ttl))
	must(t, b.catalog.ReleaseShard(ctx, second, "audit"))
	held(t, b.catalog.RenewShard(ctx, &second, ttl))

	third, err := b.catalog.ClaimShard(ctx, 3, "third", ttl)
	must(t, err)
	same(t, "audit that swept it", third.Audit, "audit")
	must(t, b.catalog.ReleaseShard(ctx, third, ""))
	list, err := b.catalog.Shards(ctx)
	must(t, err)
	if len(list) != 2 || list[0] != (ShardLease{Shard: 3, Audit: "audit"}) || list[1].Shard != 4 || list[1].Worker != "second" {
		t.Errorf("shards %+v", list)
	}

	// A lease from a future that cannot be is taken.
	_, err = b.catalog.ClaimShard(ctx, 5, "lost in time", 2*ttl)
	must(t, err)
	_, err = b.catalog.ClaimShard(ctx, 5, "third", ttl)
	must(t, err)
}

func held(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, ErrShardHeld) {
		t.Errorf("got %v, want %v", err, ErrShardHeld)
	}
}

// All that is condemned in a shard is kept, a slice at a time, but for what was never
// stored.
func TestKeep(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	names := numbered(doomSlice + 3)
	b.condemned(t, names...)
	b.stored(t, "held")
	session := SessionHolder(testSession, b.inc)
	_, err := b.catalog.Reserve(ctx, session, digestsOf([]string{"never stored"}))
	must(t, err)
	must(t, b.catalog.Release(ctx, session, digestsOf([]string{"never stored"})))
	h, err := NewUploadHolder(b.opts.Rand, b.clock.Now().Add(time.Hour))
	must(t, err)
	var all, rounds int
	for after := (lashstore.Digest{}); ; rounds++ {
		kept, next, err := b.catalog.Keep(ctx, h, everything(), after)
		must(t, err)
		all += len(kept)
		if after = next; next.IsZero() {
			break
		}
	}
	same(t, "kept", all, len(names))
	same(t, "further slices", rounds, 1)
	for _, n := range names {
		if at := b.condemnedAt(t, n); !at.IsZero() {
			t.Fatalf("%s is condemned since %s", n, at)
		}
	}
	same(t, "condemned, what was never stored", b.condemnedAt(t, "never stored").IsZero(), false)
	same(t, "holders of what was held", b.holders(t, "held"), 1)
	b.clock.Advance(time.Hour)
	for more := true; more; {
		_, more, err = b.catalog.ReleaseExpired(ctx, b.clock.Now())
		must(t, err)
	}
	due, err := b.catalog.Due(ctx, everything(), b.clock.Now())
	must(t, err)
	same(t, "condemned when it is over", due.Rows, int64(len(names)+1))
}
