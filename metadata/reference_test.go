package metadata

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lashstore/lashstore"
)

func digestOf(s string) lashstore.Digest { return lashstore.DigestOf([]byte(s)) }

// stored reserves digests for the session and marks them present, as a writer does.
func (b *bundle) stored(t *testing.T, names ...string) []Object {
	t.Helper()
	digests := make([]lashstore.Digest, len(names))
	for i, n := range names {
		digests[i] = digestOf(n)
	}
	res, err := b.catalog.Reserve(t.Context(), SessionHolder(testSession, b.inc), digests)
	must(t, err)
	objects := make([]Object, len(res))
	var up []Uploaded
	for i, r := range res {
		objects[i] = r.Object
		up = append(up, Uploaded{Object: r.Object, RawBytes: 1, StoredBytes: 1})
	}
	must(t, b.catalog.MarkPresent(t.Context(), up))
	return objects
}

func (b *bundle) holders(t *testing.T, name string) int {
	t.Helper()
	row, _, err := b.catalog.Blob(t.Context(), digestOf(name))
	must(t, err)
	return row.Holders
}

// commitContent commits a checkpoint whose only component is content made of objects.
func (b *bundle) commitContent(t *testing.T, db *SessionDB, f lashstore.Fence, rev lashstore.Revision, content string, objects []Object) error {
	t.Helper()
	d := digestOf(content)
	c := lashstore.Commit{
		ExpectedRevision: rev, Fence: f, Config: testConfig(),
		Checkpoint: &lashstore.Checkpoint{Components: map[string]lashstore.Component{
			"state": lashstore.Unchanged(lashstore.BlobRef{Digest: d, SizeBytes: 1}),
		}},
	}
	must(t, c.Validate())
	_, err := db.Commit(t.Context(), &CommitInput{
		Commit: &c,
		Fresh:  map[lashstore.Digest]*Content{d: {Size: 1, Manifest: []byte("m"), Objects: objects}},
		Verify: func(ctx context.Context) error {
			return b.catalog.Verify(ctx, SessionHolder(testSession, b.inc), objects)
		},
	})
	return err
}

func (b *bundle) settle(t *testing.T) {
	t.Helper()
	more, err := b.db.Settle(t.Context(), func(ctx context.Context, gone []lashstore.Digest) error {
		return b.catalog.Release(ctx, SessionHolder(testSession, b.inc), gone)
	})
	must(t, err)
	if more {
		t.Error("entries are left")
	}
}

// S97, S98: what a kept revision refers to keeps its edges, what none does loses
// them, and not before the commit that drops it is durable.
func TestEdgesFollowReferences(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.db.opts.Retention.Revisions = 1
	f := b.lease(t)
	must(t, b.commitContent(t, b.db, f, 0, "one", b.stored(t, "a", "shared")))
	must(t, b.commitContent(t, b.db, f, 1, "two", b.stored(t, "b", "shared")))
	if got := b.holders(t, "a"); got != 1 {
		t.Errorf("before settling: %d holders, want 1: edges go after the commit, never with it", got)
	}
	b.settle(t)
	for name, want := range map[string]int{"a": 0, "b": 1, "shared": 1} {
		if got := b.holders(t, name); got != want {
			t.Errorf("%s has %d holders, want %d", name, got, want)
		}
	}
}

// A commit whose reservation was settled away under it must notice, or it would
// refer to what a collector may take.
func TestCommitNoticesLostReservation(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.db.opts.Retention.Revisions = 1
	f := b.lease(t)
	must(t, b.commitContent(t, b.db, f, 0, "one", b.stored(t, "a")))
	must(t, b.commitContent(t, b.db, f, 1, "two", b.stored(t, "b"))) // drops a: it is in the outbox
	objects := b.stored(t, "a")                                      // a new commit reserves it again,
	b.settle(t)                                                      // and a settlement comes in between
	if err := b.commitContent(t, b.db, f, 2, "three", objects); !errors.Is(err, ErrReservationLost) {
		t.Fatalf("got %v, want %v", err, ErrReservationLost)
	}
	head, err := b.db.Head(t.Context())
	must(t, err)
	if head.Revision != 2 {
		t.Errorf("the refused commit moved the head to %d", head.Revision)
	}
	must(t, b.commitContent(t, b.db, f, 2, "three", b.stored(t, "a")))
	b.settle(t)
	if got := b.holders(t, "a"); got != 1 {
		t.Errorf("a has %d holders, want 1", got)
	}
}

// What is held again before its outbox entry was settled must keep its edge.
func TestSettleKeepsWhatIsHeldAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.db.opts.Retention.Revisions = 1
	f := b.lease(t)
	must(t, b.commitContent(t, b.db, f, 0, "one", b.stored(t, "a")))
	must(t, b.commitContent(t, b.db, f, 1, "two", b.stored(t, "b")))
	must(t, b.commitContent(t, b.db, f, 2, "one again", b.stored(t, "a")))
	b.settle(t)
	for name, want := range map[string]int{"a": 1, "b": 0} {
		if got := b.holders(t, name); got != want {
			t.Errorf("%s has %d holders, want %d", name, got, want)
		}
	}
}

// Verify must fail if the edge, the row, the generation or the object is not what
// was reserved.
func TestVerify(t *testing.T) {
	t.Parallel()
	b := setup(t)
	h := SessionHolder(testSession, b.inc)
	objects := b.stored(t, "a")
	must(t, b.catalog.Verify(t.Context(), h, objects))
	other := []Object{{Digest: objects[0].Digest, Generation: objects[0].Generation + 1}}
	if err := b.catalog.Verify(t.Context(), h, other); !errors.Is(err, ErrReservationLost) {
		t.Errorf("another generation: %v", err)
	}
	res, err := b.catalog.Reserve(t.Context(), h, []lashstore.Digest{digestOf("not uploaded")})
	must(t, err)
	if err := b.catalog.Verify(t.Context(), h, []Object{res[0].Object}); !errors.Is(err, ErrReservationLost) {
		t.Errorf("not present: %v", err)
	}
	must(t, b.catalog.Release(t.Context(), h, []lashstore.Digest{digestOf("a")}))
	if err := b.catalog.Verify(t.Context(), h, objects); !errors.Is(err, ErrReservationLost) {
		t.Errorf("released: %v", err)
	}
}

// Reserving is idempotent and revives a condemned row under its old generation.
func TestReserve(t *testing.T) {
	t.Parallel()
	b := setup(t)
	h := SessionHolder(testSession, b.inc)
	first, err := b.catalog.Reserve(t.Context(), h, []lashstore.Digest{digestOf("a")})
	must(t, err)
	must(t, b.catalog.write(t.Context(), "condemn", func(ctx context.Context, c *conn) error {
		return c.exec(ctx, `UPDATE blob SET condemned_at_ms=1`)
	}))
	again, err := b.catalog.Reserve(t.Context(), h, []lashstore.Digest{digestOf("a")})
	must(t, err)
	if diff := cmp.Diff(first, again, cmp.Comparer(func(a, b lashstore.Digest) bool { return a == b })); diff != "" {
		t.Errorf("the second reservation differs: %s", diff)
	}
	var condemned int
	must(t, b.catalog.read(t.Context(), "count", func(ctx context.Context, c *conn) error {
		_, err := c.one(ctx, `SELECT count(*) FROM blob WHERE condemned_at_ms IS NOT NULL`, nil, &condemned)
		return err
	}))
	if condemned != 0 || b.holders(t, "a") != 1 {
		t.Errorf("%d condemned rows, %d holders", condemned, b.holders(t, "a"))
	}
}

// A deleted session must not gain references: nobody would ever remove them.
func TestReserveForDeletedSession(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.stored(t, "a")
	must(t, b.catalog.SetState(t.Context(), testSession, b.inc, SessionDeleting))
	must(t, b.catalog.ReleaseAll(t.Context(), SessionHolder(testSession, b.inc)))
	_, err := b.catalog.Reserve(t.Context(), SessionHolder(testSession, b.inc), []lashstore.Digest{digestOf("b")})
	if !errors.Is(err, lashstore.ErrSessionDeleted) {
		t.Errorf("got %v", err)
	}
	if got := b.holders(t, "a"); got != 0 {
		t.Errorf("a has %d holders", got)
	}
}

// What a commit reserved in vain is let go of by the commit itself, and what it holds
// is not, whatever it was told to let go of.
func TestCommitDiscards(t *testing.T) {
	t.Parallel()
	b := setup(t)
	f := b.lease(t)
	objects := b.stored(t, "needed")
	b.stored(t, "in vain")
	d := digestOf("content")
	c := lashstore.Commit{
		Fence: f, Config: testConfig(),
		Checkpoint: &lashstore.Checkpoint{Components: map[string]lashstore.Component{
			"state": lashstore.Unchanged(lashstore.BlobRef{Digest: d, SizeBytes: 1}),
		}},
	}
	_, err := b.db.Commit(t.Context(), &CommitInput{
		Commit:  &c,
		Fresh:   map[lashstore.Digest]*Content{d: {Size: 1, Manifest: []byte("m"), Objects: objects}},
		Discard: []lashstore.Digest{digestOf("in vain"), digestOf("needed")},
	})
	must(t, err)
	b.settle(t)
	if needed, vain := b.holders(t, "needed"), b.holders(t, "in vain"); needed != 1 || vain != 0 {
		t.Errorf("%d holders of what is needed and %d of what is not, want 1 and 0", needed, vain)
	}
}
