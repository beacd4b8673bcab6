package metadata

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/lashstore/lashstore"
)

// holding commits content of objects, and returns them in order.
func (b *bundle) holding(t *testing.T, names ...string) []Object {
	t.Helper()
	objects := b.stored(t, names...)
	must(t, b.commitContent(t, b.db, b.lease(t), 0, "content", slices.Clone(objects)))
	return sortObjects(objects)
}

// What a session holds is listed in pages of any size, all of it once.
func TestHeld(t *testing.T) {
	t.Parallel()
	b := setup(t)
	none, err := b.db.Held(t.Context(), lashstore.Digest{}, 1)
	must(t, err)
	same(t, "of a session without anything", len(none.Objects) == 0 && none.Last, true)
	want := b.holding(t, numbered(6)...)
	for limit := 1; limit < 9; limit++ {
		var got []Object
		var after lashstore.Digest
		for {
			h, err := b.db.Held(t.Context(), after, limit)
			must(t, err)
			same(t, "after", h.After, after)
			got = append(got, h.Objects...)
			if h.Last {
				break
			}
			after = h.Objects[len(h.Objects)-1].Digest
		}
		if !slices.Equal(got, want) {
			t.Errorf("in pages of %d: %v, want %v", limit, got, want)
		}
	}
}

// What cannot be trusted of what a session holds is said to be damaged: taken as it is,
// the session would lose what it needs.
func TestHeldDamaged(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]string{
		"generation":        `UPDATE object SET generation=generation+1`,
		"count":             `UPDATE object SET refs=refs+1`,
		"short digest":      `UPDATE object SET digest=x'0102'`,
		"an object less":    `DELETE FROM object`,
		"content's count":   `UPDATE content SET refs=0 WHERE manifest IS NOT NULL`,
		"content's objects": `UPDATE content SET objects=x'00' WHERE manifest IS NOT NULL`,
		"no content":        `DELETE FROM content WHERE manifest IS NOT NULL`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.holding(t, "a")
			must(t, b.db.CheckRoots(t.Context()))
			must(t, b.db.write(t.Context(), "spoil", func(ctx context.Context, c *conn) error { return c.exec(ctx, spoil) }))
			_, err := b.db.Held(t.Context(), lashstore.Digest{}, 10)
			if err == nil {
				err = b.db.CheckRoots(t.Context())
			}
			if !errors.Is(err, lashstore.ErrCorruptRecord) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// A session takes another object only under its lock, only if it is there for it, and
// only if it still has the first.
func TestRebase(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	from := b.holding(t, "a", "b")[0]
	to := Object{Digest: from.Digest, Generation: from.Generation + 1}
	lost := errors.New("not there")
	changed, err := b.db.Rebase(ctx, from, to, func(context.Context) error { return lost })
	if changed || !errors.Is(err, lost) {
		t.Errorf("what is not there: %t, %v", changed, err)
	}
	yes := func(context.Context) error { return nil }
	changed, err = b.db.Rebase(ctx, to, from, yes)
	must(t, err)
	same(t, "changed from what it does not have", changed, false)
	changed, err = b.db.Rebase(ctx, Object{Digest: digestOf("none"), Generation: 1}, to, yes)
	must(t, err)
	same(t, "changed from what it never had", changed, false)
	changed, err = b.db.Rebase(ctx, from, to, yes)
	must(t, err)
	same(t, "changed", changed, true)
	h, err := b.db.Held(ctx, lashstore.Digest{}, 10)
	must(t, err)
	same(t, "objects", len(h.Objects), 2)
	same(t, "object", h.Objects[0], to)
	must(t, b.db.CheckRoots(ctx))
}

// Nothing of the session changes while the catalog is made to agree.
func TestReconcileHoldsTheLock(t *testing.T) {
	t.Parallel()
	b := setup(t)
	objects := b.holding(t, "a")
	opts := b.opts
	opts.BusyTimeout = time.Millisecond
	other, err := OpenSessionDB(t.Context(), b.path, testSession, b.inc, false, opts)
	must(t, err)
	defer func() { must(t, other.Close()) }()
	broken := errors.New("broken")
	err = b.db.Reconcile(t.Context(), lashstore.Digest{}, 10, func(ctx context.Context, h Holding) error {
		if !slices.Equal(h.Objects, objects) || !h.Last {
			t.Errorf("holding %+v", h)
		}
		if err := other.SetMeta(ctx, lashstore.SessionMeta{SessionID: testSession}); !errors.Is(err, lashstore.ErrBusy) {
			t.Errorf("another process writes to the session: %v", err)
		}
		return broken
	})
	if !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	must(t, other.SetMeta(t.Context(), lashstore.SessionMeta{SessionID: testSession}))
}
