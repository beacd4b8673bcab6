package metadata

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/lashstore/lashstore"
)

func sortObjects(objects []Object) []Object {
	slices.SortFunc(objects, func(a, b Object) int { return bytes.Compare(a.Digest.Bytes(), b.Digest.Bytes()) })
	return objects
}

// pages reconciles what a session is said to hold, in pages, and returns all
// differences.
func (b *bundle) pages(t *testing.T, objects []Object, page int, compare func(context.Context, Holder, Holding) (Difference, error)) (all Difference) {
	t.Helper()
	h := SessionHolder(testSession, b.inc)
	var after lashstore.Digest
	for rounds := 0; ; rounds++ {
		if rounds > 10_000 {
			t.Fatal("it does not end")
		}
		rest := objects[sortedAfter(objects, after):]
		held := Holding{After: after, Objects: rest[:min(page, len(rest))], Last: len(rest) < page}
		diff, err := compare(t.Context(), h, held)
		must(t, err)
		all.Surplus = append(all.Surplus, diff.Surplus...)
		all.MissingEdges = append(all.MissingEdges, diff.MissingEdges...)
		all.MissingRows = append(all.MissingRows, diff.MissingRows...)
		all.Other, all.Rows = append(all.Other, diff.Other...), append(all.Rows, diff.Rows...)
		if diff.Done {
			return all
		}
		after = diff.Through
	}
}

func sortedAfter(objects []Object, after lashstore.Digest) int {
	if after.IsZero() {
		return 0
	}
	n, found := slices.BinarySearchFunc(objects, after, func(o Object, d lashstore.Digest) int { return bytes.Compare(o.Digest.Bytes(), d.Bytes()) })
	if found {
		n++
	}
	return n
}

// Whatever the size of the pages, every difference is found once, and after they were
// put right there is none; what others refer to is not touched.
func TestReconcile(t *testing.T) {
	t.Parallel()
	for _, page := range []int{1, 2, 7, 50, 51, 512} {
		b := setup(t)
		ctx := t.Context()
		objects := sortObjects(b.stored(t, numbered(50)...))
		up := b.upload(t, time.Hour, "surplus 0", "content 0")
		surplus := []string{"surplus 0", "surplus 1", "surplus 2"}
		for i := range reconcileSurplus * 2 {
			surplus = append(surplus, "further surplus "+string(rune('a'+i%26))+string(rune('a'+i/26)))
		}
		h := SessionHolder(testSession, b.inc)
		_, err := b.catalog.Reserve(ctx, h, digestsOf(surplus))
		must(t, err)
		must(t, b.catalog.Release(ctx, h, []lashstore.Digest{objects[3].Digest, objects[49].Digest}))
		must(t, b.catalog.write(ctx, "spoil", func(ctx context.Context, c *conn) error {
			for _, i := range []int{0, 20} { // the row and its edge
				if err := c.exec(ctx, `DELETE FROM edge WHERE digest=?`, objects[i].Digest.Bytes()); err != nil {
					return err
				}
				if err := c.exec(ctx, `DELETE FROM blob WHERE digest=?`, objects[i].Digest.Bytes()); err != nil {
					return err
				}
			}
			return c.exec(ctx, `DELETE FROM blob WHERE digest=?`, objects[30].Digest.Bytes()) // the row only
		}))
		held := slices.Clone(objects)
		held[10].Generation++

		for range 2 { // comparing changes nothing
			diff := b.pages(t, held, page, b.catalog.Compare)
			b.difference(t, page, diff, len(surplus), objects)
		}
		b.difference(t, page, b.pages(t, held, page, b.catalog.Reconcile), len(surplus), objects)
		diff := b.pages(t, held, page, b.catalog.Compare)
		same(t, "other objects left", len(diff.Other), 1)
		diff.Other, diff.Rows = nil, nil
		same(t, "differences left", diff.Any(), false)
		same(t, "holders of what an upload holds too", b.holders(t, "surplus 0"), 1)
		same(t, "condemned", b.condemnedAt(t, "surplus 1").IsZero(), false)
		row := b.rowOf(t, objects[20].Digest)
		same(t, "restored", row.Object, objects[20])
		same(t, "restored as present", row.Present && row.Held && !row.Sized, true)
		must(t, b.catalog.ReleaseAll(ctx, up))
	}
}

func (b *bundle) rowOf(t *testing.T, d lashstore.Digest) SweptRow {
	t.Helper()
	rows, err := b.catalog.Rows(t.Context(), everything(), lashstore.Digest{}, nil, 10_000)
	must(t, err)
	i := slices.IndexFunc(rows, func(r SweptRow) bool { return r.Digest == d })
	if i < 0 {
		t.Fatalf("no row of %s", d)
	}
	return rows[i]
}

// difference checks what TestReconcile has made.
func (b *bundle) difference(t *testing.T, page int, diff Difference, surplus int, objects []Object) {
	t.Helper()
	if len(diff.Surplus) != surplus || !slices.Contains(diff.Surplus, digestOf("surplus 0")) {
		t.Errorf("in pages of %d: %d surplus, want %d", page, len(diff.Surplus), surplus)
	}
	if !slices.Equal(diff.MissingEdges, []Object{objects[3], objects[49]}) {
		t.Errorf("in pages of %d: missing edges %v", page, diff.MissingEdges)
	}
	if !slices.Equal(diff.MissingRows, []Object{objects[0], objects[20], objects[30]}) {
		t.Errorf("in pages of %d: missing rows %v", page, diff.MissingRows)
	}
	if len(diff.Other) != 1 || diff.Other[0].Generation != objects[10].Generation+1 || len(diff.Rows) != 1 || diff.Rows[0] != objects[10] {
		t.Errorf("in pages of %d: other %v, rows %v", page, diff.Other, diff.Rows)
	}
}

// Adding an edge clears a condemnation, or what was put right would be deleted.
func TestReconcileClearsCondemnation(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.condemned(t, "a")[0]
	diff, err := b.catalog.Reconcile(t.Context(), SessionHolder(testSession, b.inc), Holding{Objects: []Object{o}, Last: true})
	must(t, err)
	same(t, "missing edges", len(diff.MissingEdges), 1)
	same(t, "condemned", b.condemnedAt(t, "a").IsZero(), true)
	same(t, "holders", b.holders(t, "a"), 1)
}

// A row that is restored is not deleted by a deletion that was decided without it.
func TestReconcileTakesOutOfQueue(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	o := b.condemned(t, "a")[0]
	_, _, err := b.catalog.Doom(ctx, everything(), b.clock.Now())
	must(t, err)
	_, err = b.catalog.Reconcile(ctx, SessionHolder(testSession, b.inc), Holding{Objects: []Object{o}, Last: true})
	must(t, err)
	queue, err := b.catalog.Doomed(ctx, everything(), Object{}, 10)
	must(t, err)
	same(t, "doomed", len(queue), 0)
	must(t, b.catalog.Verify(ctx, SessionHolder(testSession, b.inc), []Object{o}))
}

// A session that was deleted gains no edges by being compared.
func TestReconcileDeletedSession(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	o := b.stored(t, "a")[0]
	must(t, b.catalog.SetState(ctx, testSession, b.inc, SessionDeleting))
	must(t, b.catalog.ReleaseAll(ctx, SessionHolder(testSession, b.inc)))
	_, err := b.catalog.Reconcile(ctx, SessionHolder(testSession, b.inc), Holding{Objects: []Object{o}, Last: true})
	if !errors.Is(err, lashstore.ErrSessionDeleted) {
		t.Errorf("got %v", err)
	}
	same(t, "holders", b.holders(t, "a"), 0)
}

// Which object a row names changes only if it is still the one that was looked at, and
// says the same of whether that one is there.
func TestRegenerate(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	h := SessionHolder(testSession, b.inc)
	o := b.stored(t, "a")[0]
	other := Object{Digest: o.Digest, Generation: o.Generation + 1}
	for name, call := range map[string]struct {
		from    Object
		present bool
	}{"another object": {other, true}, "no longer absent": {o, false}, "no row": {Object{Digest: digestOf("none"), Generation: 1}, true}} {
		changed, err := b.catalog.Regenerate(ctx, call.from, call.present, other)
		must(t, err)
		same(t, name, changed, false)
	}
	must(t, b.catalog.Verify(ctx, h, []Object{o}))
	changed, err := b.catalog.Regenerate(ctx, o, true, other)
	must(t, err)
	same(t, "changed", changed, true)
	must(t, b.catalog.Verify(ctx, h, []Object{other}))
	if err := b.catalog.Verify(ctx, h, []Object{o}); !errors.Is(err, ErrReservationLost) {
		t.Errorf("a commit of what is no longer named: %v", err)
	}
	must(t, b.catalog.MarkPresent(ctx, []Uploaded{{Object: o, RawBytes: 99, StoredBytes: 99}})) // too late
	same(t, "size", b.rowOf(t, o.Digest).Sized, false)
}

func TestHolders(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	b.stored(t, "a")
	b.upload(t, time.Hour, "a")
	for _, id := range []lashstore.SessionID{"z", "c", "d"} {
		row, _, err := b.catalog.Admit(ctx, lashstore.SessionMeta{SessionID: id}, false)
		must(t, err)
		_, err = b.catalog.Reserve(ctx, SessionHolder(id, row.Incarnation), digestsOf([]string{"a"}))
		must(t, err)
	}
	sessions, all, err := b.catalog.Holders(ctx, digestOf("a"), 3)
	must(t, err)
	if all != 5 || !slices.Equal(sessions, []lashstore.SessionID{"c", "d", "s"}) {
		t.Errorf("%q of %d", sessions, all)
	}
	sessions, all, err = b.catalog.Holders(ctx, digestOf("none"), 3)
	must(t, err)
	same(t, "holders of nothing", len(sessions)+int(all), 0)
}
