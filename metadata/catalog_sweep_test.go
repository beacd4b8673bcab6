package metadata

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lashstore/lashstore"
)

func (b *bundle) row(t *testing.T, name string) SweptRow {
	t.Helper()
	d := digestOf(name)
	rows, err := b.catalog.Rows(t.Context(), everything(), lashstore.Digest{}, nil, 1000)
	must(t, err)
	for _, r := range rows {
		if r.Digest == d {
			return r
		}
	}
	t.Fatalf("no row of %q", name)
	return SweptRow{}
}

// A sweep sees what each row is, and refuses to see one that cannot be trusted.
func TestRows(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	stored := b.stored(t, "stored")[0]
	condemned := b.condemned(t, "condemned")[0]
	res, err := b.catalog.Reserve(ctx, SessionHolder(testSession, b.inc), digestsOf([]string{"reserved"}))
	must(t, err)
	wanted := b.stored(t, "wanted")[0]
	must(t, b.catalog.Want(ctx, []Doomed{{Object: wanted}}))
	for name, want := range map[string]SweptRow{
		"stored":    {Object: stored, Present: true, Sized: true, StoredBytes: 1, Held: true},
		"condemned": {Object: condemned, Present: true, Sized: true, StoredBytes: 1, Condemned: true},
		"reserved":  {Object: res[0].Object, Held: true},
		"wanted":    {Object: wanted, Wanted: true, Sized: true, StoredBytes: 1, Held: true},
	} {
		if diff := cmp.Diff(want, b.row(t, name), cmp.Comparer(func(a, b lashstore.Digest) bool { return a == b })); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	must(t, b.catalog.write(ctx, "spoil", func(ctx context.Context, c *conn) error {
		return c.exec(ctx, `UPDATE blob SET stored_size=2 WHERE digest=?`, digestOf("stored").Bytes())
	}))
	if _, err := b.catalog.Rows(ctx, everything(), lashstore.Digest{}, nil, 1000); !errors.Is(err, lashstore.ErrCorruptRecord) {
		t.Errorf("a row that does not fit its checksum: %v", err)
	}
}

// A range begins after one digest and ends with another.
func TestRowsRange(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	digests := []lashstore.Digest{digestAt(t, 5, 1), digestAt(t, 5, 2), digestAt(t, 5, 3), digestAt(t, 6, 0)}
	_, err := b.catalog.Reserve(ctx, SessionHolder(testSession, b.inc), digests)
	must(t, err)
	for _, r := range []struct {
		shard   Shard
		after   lashstore.Digest
		through *lashstore.Digest
		limit   int
		want    int
	}{
		{Shard{First: 5, Last: 5}, lashstore.Digest{}, nil, 10, 3},
		{Shard{First: 5, Last: 6}, lashstore.Digest{}, nil, 10, 4},
		{Shard{First: 6, Last: 6}, lashstore.Digest{}, nil, 10, 1},
		{Shard{First: 4, Last: 4}, lashstore.Digest{}, nil, 10, 0},
		{Shard{First: 5, Last: 5}, digests[0], nil, 10, 2},
		{Shard{First: 5, Last: 5}, digests[0], &digests[1], 10, 1},
		{Shard{First: 5, Last: 5}, lashstore.Digest{}, &digests[1], 10, 2},
		{Shard{First: 5, Last: 5}, lashstore.Digest{}, nil, 2, 2},
		{Shard{First: 5, Last: 5}, digests[2], nil, 10, 0},
	} {
		rows, err := b.catalog.Rows(ctx, r.shard, r.after, r.through, r.limit)
		must(t, err)
		if len(rows) != r.want {
			t.Errorf("%+v: %d rows, want %d", r, len(rows), r.want)
		}
	}
}

// Only what nothing refers to is condemned, and only once.
func TestCondemn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	b.stored(t, "held")
	b.stored(t, "free")
	b.condemned(t, "condemned")
	at := b.condemnedAt(t, "condemned")
	must(t, b.catalog.write(ctx, "spoil", func(ctx context.Context, c *conn) error {
		return c.exec(ctx, `DELETE FROM edge WHERE digest=?`, digestOf("free").Bytes())
	}))
	b.clock.Advance(time.Hour)
	n, err := b.catalog.Condemn(ctx, digestsOf([]string{"held", "free", "condemned", "unknown"}))
	must(t, err)
	same(t, "condemned", n, 1)
	same(t, "held", b.condemnedAt(t, "held").IsZero(), true)
	same(t, "free", b.condemnedAt(t, "free").Equal(b.clock.Now().Truncate(time.Millisecond)), true)
	same(t, "condemned before", b.condemnedAt(t, "condemned").Equal(at), true)
}

// An object that a row names is not unknown, whatever a list said; one of another
// generation is.
func TestDoomUnknown(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.stored(t, "a")[0]
	other := Object{Digest: o.Digest, Generation: o.Generation + 1}
	none := Object{Digest: digestOf("none"), Generation: 1}
	doomed, err := b.catalog.DoomUnknown(t.Context(), []Doomed{{Object: o}, {Object: other, StoredBytes: 2}, {Object: none, StoredBytes: 3}})
	must(t, err)
	if diff := cmp.Diff([]Doomed{{Object: other, StoredBytes: 2}, {Object: none, StoredBytes: 3}}, doomed,
		cmp.Comparer(func(a, b lashstore.Digest) bool { return a == b })); diff != "" {
		t.Errorf("doomed (-want +got):\n%s", diff)
	}
	same(t, "row of the object that is known", b.row(t, "a").Object, o)
}

// Sizes are learnt for rows that were restored without, and for no other.
func TestLearn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	known := b.stored(t, "known")[0]
	restored := Object{Digest: digestOf("restored"), Generation: 7}
	must(t, b.catalog.write(ctx, "restore", func(ctx context.Context, c *conn) error { return b.catalog.restoreRow(ctx, c, restored) }))
	res, err := b.catalog.Reserve(ctx, SessionHolder(testSession, b.inc), digestsOf([]string{"reserved"}))
	must(t, err)
	same(t, "sized before", b.row(t, "restored").Sized, false)
	other := restored
	other.Generation++
	must(t, b.catalog.Learn(ctx, []Doomed{{Object: other, StoredBytes: 9}}))
	same(t, "sized by another object", b.row(t, "restored").Sized, false)
	must(t, b.catalog.Learn(ctx, []Doomed{
		{Object: known, StoredBytes: 9}, {Object: restored, StoredBytes: 9}, {Object: res[0].Object, StoredBytes: 9}, {Object: Object{Digest: digestOf("none")}},
	}))
	same(t, "size of the known", b.row(t, "known").StoredBytes, 1)
	same(t, "size of the restored", b.row(t, "restored").StoredBytes, 9)
	same(t, "reserved is sized", b.row(t, "reserved").Sized, false)
	must(t, b.catalog.Learn(ctx, nil))
}

// What is wanted is held as before, is not for use until it has been stored, and is
// then as it was.
func TestWant(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	h := SessionHolder(testSession, b.inc)
	o := b.stored(t, "a")[0]
	other := o
	other.Generation++
	must(t, b.catalog.Want(ctx, []Doomed{{Object: other}, {Object: Object{Digest: digestOf("none"), Generation: 1}}}))
	same(t, "present when another object is wanted", b.row(t, "a").Present, true)
	must(t, b.catalog.Want(ctx, []Doomed{{Object: o}}))
	must(t, b.catalog.Want(ctx, []Doomed{{Object: o}}))
	row := b.row(t, "a")
	same(t, "present", row.Present, false)
	same(t, "wanted", row.Wanted, true)
	same(t, "held", row.Held, true)
	if err := b.catalog.Verify(ctx, h, []Object{o}); !errors.Is(err, ErrReservationLost) {
		t.Errorf("a commit of what is missing: %v", err)
	}
	res, err := b.catalog.Reserve(ctx, h, digestsOf([]string{"a"}))
	must(t, err)
	same(t, "reserved under its name", res[0], Reservation{Object: o})
	must(t, b.catalog.MarkPresent(ctx, []Uploaded{{Object: o, RawBytes: 1, StoredBytes: 1}}))
	row = b.row(t, "a")
	same(t, "present when stored again", row.Present && !row.Wanted, true)
	must(t, b.catalog.Verify(ctx, h, []Object{o}))

	restored := Object{Digest: digestOf("restored"), Generation: 7}
	must(t, b.catalog.write(ctx, "restore", func(ctx context.Context, c *conn) error { return b.catalog.restoreRow(ctx, c, restored) }))
	must(t, b.catalog.Want(ctx, []Doomed{{Object: restored}}))
	same(t, "a restored row is wanted", b.row(t, "restored").Wanted, true)
}

func TestCounts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	same(t, "of nothing", b.counts(t), BlobCounts{})
	b.stored(t, "a", "b")
	b.condemned(t, "c")
	b.upload(t, time.Hour, "b", "d")
	same(t, "counts", b.counts(t), BlobCounts{Objects: 4, StoredBytes: 3, Held: 3, Holders: 2, Uploads: 1})
}
