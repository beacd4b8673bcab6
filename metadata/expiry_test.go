package metadata

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lashstore/lashstore"
)

// setTTL gives the session a time to live.
func (b *bundle) setTTL(t *testing.T, ttl time.Duration) {
	t.Helper()
	m, err := b.db.Meta(t.Context())
	must(t, err)
	m.TTL = ttl
	must(t, b.db.SetMeta(t.Context(), m))
}

// enqueue queues one batch.
func (b *bundle) enqueue(t *testing.T) lashstore.Batch {
	t.Helper()
	res, err := b.db.Enqueue(t.Context(), lashstore.BatchDraft{
		SlotPolicy: lashstore.SlotExclusive,
		Payloads:   []lashstore.Payload{{Type: lashstore.PayloadTurnInput, Body: []byte(`{}`)}},
	})
	must(t, err)
	return res.Batch
}

// commitEmpty commits a revision without content.
func commitEmpty(ctx context.Context, db *SessionDB, f lashstore.Fence, rev lashstore.Revision) error {
	_, err := db.Commit(ctx, &CommitInput{Commit: &lashstore.Commit{ExpectedRevision: rev, Fence: f, Config: testConfig()}})
	return err
}

// keeps asks for a deletion that must not happen, for the reason that is wanted, and
// checks that nothing changed.
func (b *bundle) keeps(t *testing.T, now time.Time, want Expiry) {
	t.Helper()
	before, err := b.db.Meta(t.Context())
	must(t, err)
	got, err := b.db.MarkExpired(t.Context(), now)
	must(t, err)
	if got != want {
		t.Fatalf("got %s, want %s", got, want)
	}
	after, err := b.open(t).Meta(t.Context())
	must(t, err)
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("%s changed the metadata:\n%s", want, diff)
	}
}

// expire asks for a deletion that must happen, and checks that it did so for
// everybody.
func (b *bundle) expire(t *testing.T, now time.Time) {
	t.Helper()
	other := b.open(t)
	got, err := b.db.MarkExpired(t.Context(), now)
	must(t, err)
	if got != Expired {
		t.Fatalf("got %s, want %s", got, Expired)
	}
	for name, db := range map[string]*SessionDB{"the same": b.db, "another": other} {
		if _, err := db.Meta(t.Context()); !errors.Is(err, lashstore.ErrSessionDeleted) {
			t.Errorf("%s handle reads with %v", name, err)
		}
		_, err := db.ClaimLease(t.Context(), lashstore.Owner{OwnerID: "w", IncarnationID: "1"}, time.Hour)
		if !errors.Is(err, lashstore.ErrSessionDeleted) {
			t.Errorf("%s handle claims with %v", name, err)
		}
		if answer, err := db.MarkExpired(t.Context(), now); !errors.Is(err, lashstore.ErrSessionDeleted) || answer != "" {
			t.Errorf("%s handle expires again with %q, %v", name, answer, err)
		}
		must(t, db.MarkDeleted(t.Context()))
	}
	_, err = OpenSessionDB(t.Context(), b.path, testSession, b.inc, false, b.opts)
	if !errors.Is(err, lashstore.ErrSessionDeleted) {
		t.Errorf("it opens with %v", err)
	}
}

const testTTL = time.Hour

// A session without a time to live must outlast any clock.
func TestMarkExpiredNever(t *testing.T) {
	t.Parallel()
	b := setup(t)
	far := time.UnixMilli(lashstore.MaxTimeMS)
	b.keeps(t, far, ExpiryNotDue)
	b.setTTL(t, testTTL)
	b.setTTL(t, 0)
	b.keeps(t, far, ExpiryNotDue)
}

// Before the first commit the time counts from the creation, and ends with its last
// millisecond, not before.
func TestMarkExpiredUnused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.setTTL(t, testTTL)
	due := b.clock.Now().Add(testTTL)
	b.keeps(t, due.Add(-time.Nanosecond), ExpiryNotDue)
	b.expire(t, due)
}

// After a commit the time counts from it, whatever was there before.
func TestMarkExpiredCommitted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.setTTL(t, testTTL)
	for rev := range lashstore.Revision(2) {
		b.clock.Advance(testTTL - time.Minute)
		f := b.lease(t)
		must(t, commitEmpty(t.Context(), b.db, f, rev))
		must(t, b.db.ReleaseLease(t.Context(), f))
	}
	due := b.clock.Now().Add(testTTL)
	b.keeps(t, due.Add(-time.Millisecond), ExpiryNotDue)
	b.setTTL(t, testTTL+time.Second)
	b.keeps(t, due, ExpiryNotDue)
	b.setTTL(t, time.Second)
	b.expire(t, due)
}

// Whoever holds the lease is at work, however long ago the last commit was. A lease
// that has expired or was released holds nothing.
func TestMarkExpiredLeased(t *testing.T) {
	t.Parallel()
	for name, release := range map[string]bool{"expired": false, "released": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.setTTL(t, time.Second)
			f := b.lease(t) // for an hour
			end := b.clock.Now().Add(time.Hour)
			b.keeps(t, end.Add(-time.Nanosecond), ExpiryLeased)
			if release {
				must(t, b.db.ReleaseLease(t.Context(), f))
				end = b.clock.Now().Add(time.Second)
			}
			b.expire(t, end)
		})
	}
}

// A batch that is queued was promised to be worked on, also if it is in a claim,
// live or not, or only available later.
func TestMarkExpiredQueued(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.setTTL(t, time.Second)
	batch := b.enqueue(t)
	far := b.clock.Now().Add(1000 * time.Hour)
	b.keeps(t, far, ExpiryQueued)

	f := b.lease(t)
	claimed, err := b.db.ClaimTurnWork(t.Context(), lashstore.ClaimRequest{
		Fence: f, Owner: lashstore.Owner{OwnerID: "w", IncarnationID: "1"}, TTL: time.Minute, MaxBatches: 1,
	})
	must(t, err)
	if claimed.Claim == nil {
		t.Fatalf("claim refused: %s", claimed.Refusal)
	}
	b.keeps(t, b.clock.Now().Add(time.Second), ExpiryLeased)
	b.keeps(t, far, ExpiryQueued)

	must(t, b.db.AbandonClaim(t.Context(), *claimed.Claim))
	must(t, b.db.ReleaseLease(t.Context(), f))
	b.keeps(t, far, ExpiryQueued)
	_, err = b.db.CancelBatch(t.Context(), batch.BatchID)
	must(t, err)
	b.expire(t, far)
}

// So final a step must not rest on a flipped bit.
func TestMarkExpiredDamaged(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]string{
		"time to live": `UPDATE meta SET ttl_ms=1000`,
		"creation":     `UPDATE meta SET created_at_ms=1`,
		"last commit":  `UPDATE revision SET committed_at_ms=1`,
		"lease":        `UPDATE lease SET expires_at_ms=1`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.setTTL(t, testTTL)
			must(t, commitEmpty(t.Context(), b.db, b.lease(t), 0))
			now := b.clock.Now().Add(testTTL - time.Millisecond)
			if name == "lease" {
				must(t, b.db.read(t.Context(), "look", func(ctx context.Context, c *conn) error {
					l, err := b.db.readLease(ctx, c)
					if err == nil && !l.live(now) {
						t.Error("the lease does not matter")
					}
					return err
				}))
				b.setTTL(t, time.Second)
			}
			must(t, b.db.db.write(t.Context(), "damage", func(ctx context.Context, c *conn) error { return c.exec(ctx, damage) }))
			if answer, err := b.db.MarkExpired(t.Context(), now); !errors.Is(err, lashstore.ErrCorruptRecord) {
				t.Errorf("got %q, %v, want %q", answer, err, lashstore.ErrCorruptRecord)
			}
		})
	}
}

// A commit that races an expiry either comes first and keeps the session, or fails
// and is lost with it: an acknowledged commit into a deleted session would be gone.
func TestMarkExpiredRacesCommit(t *testing.T) {
	t.Parallel()
	const rounds = 24
	for i := range rounds {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.setTTL(t, testTTL)
			f := b.lease(t) // for an hour as well: both end at due
			due := b.clock.Now().Add(time.Hour)
			b.clock.Set(due.Add(-time.Millisecond)) // the committer is just in time
			collector := b.db                       // whose writer passes from one to the other
			if i%2 == 1 {
				collector = b.open(t) // as another process, by the lock of the file
			}
			var (
				group                sync.WaitGroup
				start                = make(chan struct{})
				answer               Expiry
				commitErr, expireErr error
			)
			group.Go(func() {
				<-start
				commitErr = commitEmpty(t.Context(), b.db, f, 0)
			})
			group.Go(func() {
				<-start
				answer, expireErr = collector.MarkExpired(t.Context(), due)
			})
			close(start)
			group.Wait()
			must(t, expireErr)
			_, err := b.db.Head(t.Context())
			switch {
			case commitErr == nil && answer == ExpiryNotDue && err == nil:
			case errors.Is(commitErr, lashstore.ErrSessionDeleted) && answer == Expired && errors.Is(err, lashstore.ErrSessionDeleted):
			default:
				t.Errorf("commit: %v, expiry: %s, head: %v", commitErr, answer, err)
			}
		})
	}
}

// The same race with its two endings in turn.
func TestMarkExpiredBesideCommit(t *testing.T) {
	t.Parallel()
	for _, commitFirst := range []bool{false, true} {
		t.Run(fmt.Sprint("commit first ", commitFirst), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.setTTL(t, testTTL)
			f := b.lease(t)
			due := b.clock.Now().Add(time.Hour)
			b.clock.Set(due.Add(-time.Millisecond))
			if commitFirst {
				must(t, commitEmpty(t.Context(), b.db, f, 0))
				b.keeps(t, due, ExpiryNotDue)
				return
			}
			b.expire(t, due)
			if err := commitEmpty(t.Context(), b.db, f, 0); !errors.Is(err, lashstore.ErrSessionDeleted) {
				t.Errorf("commit: got %v, want %q", err, lashstore.ErrSessionDeleted)
			}
		})
	}
}

// expiredIDs follows the pages of expired sessions to the end.
func (b *bundle) expiredIDs(t *testing.T, now time.Time, limit int) (ids []lashstore.SessionID) {
	t.Helper()
	var after lashstore.SessionID
	for range 100 {
		rows, err := b.catalog.ExpiredSessions(t.Context(), now, after, limit)
		must(t, err)
		if len(rows) == 0 {
			return ids
		}
		if limit > 0 && len(rows) > limit {
			t.Fatalf("%d rows, the limit is %d", len(rows), limit)
		}
		for _, r := range rows {
			ids = append(ids, r.Meta.SessionID)
			after = r.Meta.SessionID
		}
	}
	t.Fatal("the pages do not end")
	return nil
}

// A page that skipped a session would keep it for ever; one that names a session
// too early, or a deleted one, makes work in vain.
func TestExpiredSessions(t *testing.T) {
	t.Parallel()
	b := setup(t) // has a live session without a time to live
	now := b.clock.Now()
	rows := map[lashstore.SessionID]SessionRow{}
	for i, id := range []lashstore.SessionID{"e", "a", "c", "b", "f", "d"} {
		row, _, err := b.catalog.Admit(t.Context(), lashstore.SessionMeta{SessionID: id, TTL: time.Duration(i+1) * time.Hour}, false)
		must(t, err)
		if want := now.Add(row.Meta.TTL); row.Meta.TTL != time.Duration(i+1)*time.Hour || !row.ExpiresAt.Equal(want) {
			t.Errorf("%s: time to live %s, expires at %s, want %s", id, row.Meta.TTL, row.ExpiresAt, want)
		}
		rows[id] = row
	}
	for _, id := range []lashstore.SessionID{"a", "b", "c", "f"} {
		must(t, b.catalog.SetState(t.Context(), id, rows[id].Incarnation, SessionLive))
	}
	must(t, b.catalog.SetState(t.Context(), "c", rows["c"].Incarnation, SessionDeleting))
	must(t, b.catalog.SetState(t.Context(), "f", rows["f"].Incarnation, SessionDeleted))

	for _, tt := range []struct {
		after time.Duration
		want  []lashstore.SessionID
	}{
		{time.Hour - time.Millisecond, nil},
		{time.Hour, []lashstore.SessionID{"e"}},
		{2 * time.Hour, []lashstore.SessionID{"a", "e"}},
		{1000 * time.Hour, []lashstore.SessionID{"a", "b", "d", "e"}},
	} {
		for _, limit := range []int{0, 1, 2, 3, lashstore.MaxListLimit} {
			if diff := cmp.Diff(tt.want, b.expiredIDs(t, now.Add(tt.after), limit)); diff != "" {
				t.Errorf("after %s, %d to a page (-want +got):\n%s", tt.after, limit, diff)
			}
		}
	}
	for _, limit := range []int{-1, lashstore.MaxListLimit + 1} {
		if _, err := b.catalog.ExpiredSessions(t.Context(), now, "", limit); !errors.Is(err, lashstore.ErrInvalid) {
			t.Errorf("limit %d: got %v, want %q", limit, err, lashstore.ErrInvalid)
		}
	}
}

// The catalog's expiry must follow the session, or a session is never proposed.
func TestExpiryInCatalogFollowsSummary(t *testing.T) {
	t.Parallel()
	b := setup(t)
	refresh := func() {
		t.Helper()
		sum, _, err := b.db.Summary(t.Context())
		must(t, err)
		must(t, b.catalog.Refresh(t.Context(), []lashstore.SessionSummary{sum}))
	}
	check := func(when string, want time.Time) {
		t.Helper()
		row, _, err := b.catalog.Session(t.Context(), testSession)
		must(t, err)
		if !row.ExpiresAt.Equal(want) {
			t.Errorf("%s: expires at %s, want %s", when, row.ExpiresAt, want)
		}
		due := 0
		if !want.IsZero() {
			due = 1
		}
		far := b.clock.Now().AddDate(1, 0, 0)
		if got := b.expiredIDs(t, far, 10); len(got) != due {
			t.Errorf("%s: %d sessions are due within a year, want %d", when, len(got), due)
		}
	}
	check("at first", time.Time{})
	b.setTTL(t, testTTL)
	refresh()
	check("with a time to live", b.clock.Now().Add(testTTL))
	b.clock.Advance(time.Minute)
	must(t, commitEmpty(t.Context(), b.db, b.lease(t), 0))
	refresh()
	check("after a commit", b.clock.Now().Add(testTTL))
	b.setTTL(t, 0)
	refresh()
	check("without one again", time.Time{})
}

// A flipped bit in the catalog must not propose a session as if nothing were wrong.
func TestExpiryInCatalogIsChecked(t *testing.T) {
	t.Parallel()
	b := setup(t)
	must(t, b.catalog.write(t.Context(), "damage", func(ctx context.Context, c *conn) error {
		return c.exec(ctx, `UPDATE session SET expires_at_ms=1`)
	}))
	if _, err := b.catalog.ExpiredSessions(t.Context(), b.clock.Now(), "", 0); !errors.Is(err, lashstore.ErrCorruptRecord) {
		t.Errorf("expired sessions: got %v, want %q", err, lashstore.ErrCorruptRecord)
	}
	if _, _, err := b.catalog.Session(t.Context(), testSession); !errors.Is(err, lashstore.ErrCorruptRecord) {
		t.Errorf("the session: got %v, want %q", err, lashstore.ErrCorruptRecord)
	}
}
