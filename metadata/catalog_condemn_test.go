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

// condemned stores and lets go of blobs.
func (b *bundle) condemned(t *testing.T, names ...string) []Object {
	t.Helper()
	objects := b.stored(t, names...)
	must(t, b.catalog.Release(t.Context(), SessionHolder(testSession, b.inc), digestsOf(names)))
	return objects
}

// digestAt is a digest with a first byte and otherwise that of the second.
func digestAt(t *testing.T, first, rest byte) lashstore.Digest {
	t.Helper()
	d, err := lashstore.DigestFromBytes(append([]byte{first}, bytes.Repeat([]byte{rest}, lashstore.DigestSize-1)...))
	must(t, err)
	return d
}

// Only what was condemned at or before the time goes, in its own shard, with its
// object queued under its own name; what is condemned and held cannot be.
func TestDoom(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	first := b.condemned(t, "first")[0]
	at := b.clock.Now()
	b.clock.Advance(time.Millisecond)
	b.condemned(t, "second")
	b.stored(t, "held")
	doomed, more, err := b.catalog.Doom(ctx, everything(), at.Add(-time.Millisecond))
	must(t, err)
	same(t, "doomed early", len(doomed), 0)
	same(t, "more", more, false)
	byte0 := first.Digest.Bytes()[0]
	for _, other := range []Shard{{First: byte0 + 1, Last: 0xff}, {First: 0, Last: byte0 - 1}} {
		if other.First > other.Last || byte0 == 0 || byte0 == 0xff {
			continue
		}
		doomed, _, err = b.catalog.Doom(ctx, other, at)
		must(t, err)
		same(t, "doomed of another shard", len(doomed), 0)
	}
	doomed, _, err = b.catalog.Doom(ctx, Shard{First: byte0, Last: byte0}, at)
	must(t, err)
	if len(doomed) != 1 || doomed[0].Object != first || doomed[0].StoredBytes != 1 {
		t.Fatalf("doomed %+v, want %+v of one byte", doomed, first)
	}
	_, found, err := b.catalog.Blob(ctx, first.Digest)
	must(t, err)
	same(t, "the row is left", found, false)
	queue, err := b.catalog.Doomed(ctx, everything(), Object{}, 10)
	must(t, err)
	if !slices.Equal(queue, doomed) {
		t.Errorf("queue %+v, want %+v", queue, doomed)
	}
	again := b.stored(t, "first")[0]
	if again.Generation == first.Generation {
		t.Error("a name that was doomed is in use again")
	}
	must(t, b.catalog.Deleted(ctx, doomed))
	queue, err = b.catalog.Doomed(ctx, everything(), Object{}, 10)
	must(t, err)
	same(t, "queue when they are deleted", len(queue), 0)
	must(t, b.catalog.Deleted(ctx, doomed))
}

// A row that is condemned and held, or that cannot be trusted, stops the shard instead
// of going: something is wrong with the catalog.
func TestDoomRefuses(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]string{
		"held":       `UPDATE blob SET condemned_at_ms=1 WHERE digest=?`,
		"generation": `UPDATE blob SET condemned_at_ms=1, generation=generation+1 WHERE digest=?`,
		"size":       `UPDATE blob SET condemned_at_ms=1, stored_size=77 WHERE digest=?`,
		"presence":   `UPDATE blob SET condemned_at_ms=1, present=0 WHERE digest=?`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			objects := b.stored(t, "a")
			if name != "held" {
				must(t, b.catalog.Release(t.Context(), SessionHolder(testSession, b.inc), digestsOf([]string{"a"})))
			}
			must(t, b.catalog.write(t.Context(), "spoil", func(ctx context.Context, c *conn) error {
				return c.exec(ctx, spoil, objects[0].Digest.Bytes())
			}))
			doomed, _, err := b.catalog.Doom(t.Context(), everything(), b.clock.Now())
			if !errors.Is(err, lashstore.ErrCorruptRecord) || len(doomed) != 0 {
				t.Errorf("doomed %v, error %v", doomed, err)
			}
			same(t, "rows", b.counts(t).Objects, 1)
			if due, err := b.catalog.Due(t.Context(), everything(), b.clock.Now()); err != nil || due.Doomed != 0 {
				t.Errorf("due %+v, %v", due, err)
			}
		})
	}
}

// More than a slice takes several transactions, and all of it goes once.
func TestDoomInSlices(t *testing.T) {
	t.Parallel()
	for _, n := range []int{doomSlice - 1, doomSlice, doomSlice + 1, 2*doomSlice + 1} {
		b := setup(t)
		b.condemned(t, numbered(n)...)
		seen := map[Object]bool{}
		rounds := 0
		for more := true; more; rounds++ {
			var doomed []Doomed
			var err error
			doomed, more, err = b.catalog.Doom(t.Context(), everything(), b.clock.Now())
			must(t, err)
			if len(doomed) > doomSlice {
				t.Errorf("%d rows in a transaction", len(doomed))
			}
			for _, d := range doomed {
				seen[d.Object] = true
			}
		}
		same(t, "doomed", len(seen), n)
		same(t, "transactions", rounds, n/doomSlice+1)
		same(t, "rows", b.counts(t).Objects, 0)
	}
}

// Shards meet without a gap and without overlap, at the least and greatest digests.
func TestShardBounds(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	var digests []lashstore.Digest
	for _, first := range []byte{0, 1, 0x0f, 0x10, 0x7f, 0x80, 0xef, 0xf0, 0xff} {
		digests = append(digests, digestAt(t, first, 1), digestAt(t, first, 0xff))
	}
	h := SessionHolder(testSession, b.inc)
	_, err := b.catalog.Reserve(ctx, h, digests)
	must(t, err)
	must(t, b.catalog.Release(ctx, h, digests))
	total := int64(0)
	var rows, doomed int
	for n := range 16 {
		s := Shard{First: byte(n * 16), Last: byte(n*16 + 15)}
		due, err := b.catalog.Due(ctx, s, b.clock.Now())
		must(t, err)
		total += due.Rows
		var after lashstore.Digest
		for {
			page, err := b.catalog.Rows(ctx, s, after, nil, 1)
			must(t, err)
			if len(page) == 0 {
				break
			}
			rows++
			if after = page[0].Digest; after.Bytes()[0] < s.First || after.Bytes()[0] > s.Last {
				t.Errorf("shard %+v has %s", s, after)
			}
		}
		gone, _, err := b.catalog.Doom(ctx, s, b.clock.Now())
		must(t, err)
		same(t, "doomed in a shard", int64(len(gone)), due.Rows)
		var from Object
		for {
			page, err := b.catalog.Doomed(ctx, s, from, 1)
			must(t, err)
			if len(page) == 0 {
				break
			}
			doomed++
			from = page[0].Object
		}
	}
	same(t, "due", total, int64(len(digests)))
	same(t, "rows", rows, len(digests))
	same(t, "doomed", doomed, len(digests))
}

// What is due is told from what waits, by number and size, and from what is doomed.
func TestDue(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	old := b.clock.Now()
	b.condemned(t, "a", "b")
	b.clock.Advance(time.Hour)
	b.condemned(t, "c")
	b.stored(t, "held")
	due, err := b.catalog.Due(ctx, everything(), old)
	must(t, err)
	want := Due{Rows: 2, Bytes: 2, Waiting: 1, WaitingBytes: 1, Oldest: due.Oldest}
	same(t, "due", due, want)
	same(t, "oldest", due.Oldest.Equal(old.Truncate(time.Millisecond)), true)
	same(t, "any", due.Any(), true)
	_, _, err = b.catalog.Doom(ctx, everything(), old)
	must(t, err)
	due, err = b.catalog.Due(ctx, everything(), old)
	must(t, err)
	same(t, "due", due, Due{Waiting: 1, WaitingBytes: 1, Doomed: 2, DoomedBytes: 2, Oldest: due.Oldest})
	same(t, "any", due.Any(), true)
	same(t, "any, of what waits", Due{Waiting: 1, WaitingBytes: 1}.Any(), false)
}

// Of objects of one digest each is listed, and deleted, by itself.
func TestDoomedGenerations(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	d := digestOf("a")
	var objects []Doomed
	for _, generation := range []uint64{1, 2, 1<<63 - 1} {
		objects = append(objects, Doomed{Object: Object{Digest: d, Generation: generation}, StoredBytes: 3})
	}
	doomed, err := b.catalog.DoomUnknown(ctx, objects)
	must(t, err)
	same(t, "doomed", len(doomed), 3)
	doomed, err = b.catalog.DoomUnknown(ctx, objects[:1])
	must(t, err)
	same(t, "doomed again", len(doomed), 1)
	for limit := 1; limit < 5; limit++ {
		var got []Doomed
		var after Object
		for {
			page, err := b.catalog.Doomed(ctx, everything(), after, limit)
			must(t, err)
			if got = append(got, page...); len(page) < limit {
				break
			}
			after = page[len(page)-1].Object
		}
		if !slices.Equal(got, objects) {
			t.Errorf("in pages of %d: %+v", limit, got)
		}
	}
	must(t, b.catalog.Deleted(ctx, objects[1:2]))
	left, err := b.catalog.Doomed(ctx, everything(), Object{}, 10)
	must(t, err)
	if !slices.Equal(left, []Doomed{objects[0], objects[2]}) {
		t.Errorf("left %+v", left)
	}
}
