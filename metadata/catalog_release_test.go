package metadata

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/lashstore/lashstore"
)

// upload reserves digests for an upload that holds them for a time.
func (b *bundle) upload(t *testing.T, ttl time.Duration, names ...string) Holder {
	t.Helper()
	h, err := NewUploadHolder(b.opts.Rand, b.clock.Now().Add(ttl))
	must(t, err)
	_, err = b.catalog.Reserve(t.Context(), h, digestsOf(names))
	must(t, err)
	return h
}

func digestsOf(names []string) []lashstore.Digest {
	out := make([]lashstore.Digest, len(names))
	for i, n := range names {
		out[i] = digestOf(n)
	}
	return out
}

// numbered returns n names.
func numbered(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprint("content ", i)
	}
	return names
}

// condemnedAt is when a blob was condemned; zero if it was not, or has no row.
func (b *bundle) condemnedAt(t *testing.T, name string) (at time.Time) {
	t.Helper()
	must(t, b.catalog.read(t.Context(), "read", func(ctx context.Context, c *conn) error {
		var ms int64
		_, err := c.one(ctx, `SELECT coalesce(condemned_at_ms,0) FROM blob WHERE digest=?`, []any{digestOf(name).Bytes()}, &ms)
		at = fromMSOrZero(ms)
		return err
	}))
	return at
}

func same[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// everything is a shard of all digests.
func everything() Shard { return Shard{First: 0, Last: 0xff} }

func (b *bundle) counts(t *testing.T) BlobCounts {
	t.Helper()
	n, err := b.catalog.Counts(t.Context())
	must(t, err)
	return n
}

// The last edge condemns, at the time that it went; none before does, and no later
// release counts the time anew.
func TestLastEdgeCondemns(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	b.stored(t, "a")
	up := b.upload(t, time.Hour, "a")
	session := SessionHolder(testSession, b.inc)
	must(t, b.catalog.Release(ctx, session, digestsOf([]string{"a", "never reserved"})))
	same(t, "condemned while an upload holds it", b.condemnedAt(t, "a").IsZero(), true)
	b.clock.Advance(time.Minute)
	at := b.clock.Now()
	must(t, b.catalog.ReleaseAll(ctx, up))
	same(t, "condemned with the last edge", b.condemnedAt(t, "a").Equal(at.Truncate(time.Millisecond)), true)
	b.clock.Advance(time.Minute)
	must(t, b.catalog.Release(ctx, session, digestsOf([]string{"a"})))
	must(t, b.catalog.ReleaseAll(ctx, up))
	same(t, "condemned once more", b.condemnedAt(t, "a").Equal(at.Truncate(time.Millisecond)), true)
	b.stored(t, "a")
	same(t, "condemned when reserved", b.condemnedAt(t, "a").IsZero(), true)
}

// A holder of more edges than one transaction removes is let go of as a whole, and
// only then is it gone: nothing can be left without one who would let go of it.
func TestReleaseAllInSlices(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, releaseSlice - 1, releaseSlice, releaseSlice + 1, 2*releaseSlice + 1} {
		b := setup(t)
		names := numbered(n)
		h := b.upload(t, time.Hour, names...)
		same(t, "uploads", b.counts(t).Uploads, 1)
		must(t, b.catalog.ReleaseAll(t.Context(), h))
		counts := b.counts(t)
		same(t, "uploads", counts.Uploads, 0)
		same(t, "held", counts.Held, 0)
		same(t, "rows", counts.Objects, int64(n))
		must(t, b.catalog.ReleaseAll(t.Context(), h))
	}
}

// Uploads expire at their time, not before; those without anything, too; and a slice
// ends, however many there are.
func TestReleaseExpired(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	b.upload(t, time.Minute, numbered(releaseSlice+10)...)
	for range 5 {
		b.upload(t, time.Minute)
	}
	last := b.upload(t, time.Minute+time.Millisecond, "last")
	must(t, b.catalog.FinishUpload(ctx, last, Upload{Digest: digestOf("last"), Manifest: []byte("m"), ExpiresAt: b.clock.Now().Add(time.Minute + time.Millisecond)}))
	at := b.clock.Now().Add(time.Minute)
	for name, want := range map[time.Time]int64{at.Add(-time.Millisecond): 0, at: 6, at.Add(time.Millisecond): 7} {
		n, err := b.catalog.ExpiredUploads(ctx, name)
		must(t, err)
		same(t, "expired at "+name.String(), n, want)
	}
	finished, more, err := b.catalog.ReleaseExpired(ctx, at.Add(-time.Millisecond))
	must(t, err)
	same(t, "finished early", finished, 0)
	same(t, "more early", more, false)

	var all int64
	rounds := 0
	for more = true; more; rounds++ {
		finished, more, err = b.catalog.ReleaseExpired(ctx, at)
		must(t, err)
		all += finished
	}
	same(t, "finished", all, 6)
	if rounds < 2 {
		t.Errorf("%d transactions for %d edges, of %d at most", rounds, releaseSlice+10, releaseSlice)
	}
	same(t, "uploads left", b.counts(t).Uploads, 1)
	same(t, "held", b.counts(t).Held, 1)
	_, _, err = b.catalog.ReleaseExpired(ctx, at.Add(time.Millisecond))
	must(t, err)
	b.clock.Advance(-time.Hour) // the row must be gone, not only be over
	_, found, err := b.catalog.Upload(ctx, digestOf("last"))
	must(t, err)
	same(t, "the upload's row is left", found, false)
}

// Holders without a session are found on whatever page they are, and others are not.
func TestDeadHolders(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	b.stored(t, "a")
	var want []string
	for i := range 7 {
		id := lashstore.SessionID(fmt.Sprint("session ", i))
		row, _, err := b.catalog.Admit(ctx, lashstore.SessionMeta{SessionID: id}, false)
		must(t, err)
		_, err = b.catalog.Reserve(ctx, SessionHolder(id, row.Incarnation), digestsOf([]string{"a"}))
		must(t, err)
		b.upload(t, time.Hour, "a")
		if i%2 == 0 {
			must(t, b.catalog.SetState(ctx, id, row.Incarnation, SessionDeleting))
		}
		if i%4 == 0 {
			must(t, b.catalog.SetState(ctx, id, row.Incarnation, SessionDeleted))
			want = append(want, string(row.Incarnation))
		}
	}
	for limit := 1; limit < 10; limit++ {
		var got []string
		for after := int64(0); ; {
			dead, next, err := b.catalog.DeadHolders(ctx, after, limit)
			must(t, err)
			for _, h := range dead {
				got = append(got, h.Key())
			}
			if next == 0 {
				break
			}
			if next <= after {
				t.Fatalf("after %d comes %d", after, next)
			}
			after = next
		}
		if !slices.Equal(got, want) {
			t.Errorf("in pages of %d: got %q, want %q", limit, got, want)
		}
	}
}
