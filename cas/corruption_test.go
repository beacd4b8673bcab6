package cas_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
	"github.com/lashstore/lashstore/cas/memcas"
)

// damaged is a state of some turns in a driver whose objects can be changed behind
// the store's back.
type damaged struct {
	*chained
	driver *memcas.Driver
}

func newDamaged(t *testing.T) *damaged {
	t.Helper()
	driver := memcas.New()
	return &damaged{chained: newChained(t, newStore(t, driver, cas.Options{}), 6), driver: driver}
}

func keyOf(d lashstore.Digest) string {
	return cas.ObjectName{Digest: d, Generation: generation}.Key()
}

// stored returns the bytes of an object.
func (d *damaged) stored(t *testing.T, digest lashstore.Digest) []byte {
	t.Helper()
	body, err := d.driver.Get(t.Context(), keyOf(digest), 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(body)
	if err = errors.Join(err, body.Close()); err != nil {
		t.Fatal(err)
	}
	return b
}

// with runs f while an object has other bytes.
func (d *damaged) with(t *testing.T, digest lashstore.Digest, body []byte, f func()) {
	t.Helper()
	good := d.stored(t, digest)
	for _, b := range [][]byte{body, good} {
		if err := d.driver.Put(t.Context(), keyOf(digest), b); err != nil {
			t.Fatal(err)
		}
		if f != nil {
			f()
			f = nil
		}
	}
}

// read reads the last turn from its root on.
func (d *damaged) read(ctx context.Context) ([]byte, error) {
	last := d.last().res
	m, err := d.store.OpenManifest(ctx, last.Manifest.Ref(), last.Root, d.generation)
	if err != nil {
		return nil, err
	}
	r, err := d.store.Join(ctx, m, d.generation)
	if err != nil {
		return nil, err
	}
	got, err := cas.ReadAll(r, lashstore.MaxBlobBytes)
	return got, errors.Join(err, r.Close())
}

// covered returns for each byte of a segment's object the digest of the chunk that it
// is part of; zero for the envelope's header, which a reader of ranges does not read,
// and for what the content does not need.
func covered(m *cas.Manifest, segment int) []lashstore.Digest {
	bytes := make([]lashstore.Digest, cas.HeaderBytes+m.Segments[segment].PayloadBytes)
	for _, list := range [][]cas.Chunk{m.Chunks, m.Bases} {
		for _, c := range list {
			if c.Segment == segment {
				for i := range c.StoredBytes {
					bytes[cas.HeaderBytes+c.Offset+i] = c.Digest
				}
			}
		}
	}
	return bytes
}

// positions picks bytes of an object of n bytes: all of a small one, else the first
// and last ones and about a hundred between.
func positions(n int) []int {
	var at []int
	for i := 0; i < n; i++ {
		if i > 40 && i < n-40 {
			i += n / 100
		}
		at = append(at, min(i, n-1))
	}
	return at
}

// Whichever byte of a segment is changed, reading the content fails with the chunk's
// digest and the segment's key; bytes that it does not need do not matter.
func TestAnyChangedByteOfASegmentIsFound(t *testing.T) {
	t.Parallel()
	d := newDamaged(t)
	last := d.last()
	m := last.res.Manifest
	if len(m.Segments) < 6 || len(m.Bases) == 0 {
		t.Fatalf("%d segments and %d bases: too few for this test", len(m.Segments), len(m.Bases))
	}
	for i, segment := range m.Segments {
		owner, good := covered(m, i), d.stored(t, segment.Digest)
		for _, at := range positions(len(good)) {
			bad := bytes.Clone(good)
			bad[at] ^= byte(1 + at%255)
			d.with(t, segment.Digest, bad, func() {
				got, err := d.read(t.Context())
				switch {
				case !owner[at].IsZero():
					wantCorrupt(t, "changed byte", err, owner[at], keyOf(segment.Digest))
				case err != nil || !bytes.Equal(got, last.content):
					t.Errorf("byte %d of segment %d is not needed, but: %d bytes, %v", at, i, len(got), err)
				}
			})
		}
	}
	if got, err := d.read(t.Context()); err != nil || !bytes.Equal(got, last.content) {
		t.Errorf("healed: %d bytes, %v", len(got), err)
	}
}

// Whichever byte of a manifest's object is changed, and of an object that is content,
// it is corrupt.
func TestAnyChangedByteOfAnObjectIsFound(t *testing.T) {
	t.Parallel()
	d := newDamaged(t)
	chain := d.last().res.Manifest.Chain()
	if len(chain) < 2 {
		t.Fatalf("the manifest lies in %d objects, want differences", len(chain))
	}
	for _, object := range chain {
		good := d.stored(t, object)
		for _, at := range positions(len(good)) {
			bad := bytes.Clone(good)
			bad[at] ^= byte(1 + at%255)
			d.with(t, object, bad, func() {
				_, err := d.read(t.Context())
				wantCorrupt(t, "changed byte of a manifest", err, object, keyOf(object))
			})
		}
	}
	content := prose(5000, 1)
	single := d.split(t, content)
	digest := lashstore.DigestOf(content)
	good := d.stored(t, digest)
	for at := range good {
		bad := bytes.Clone(good)
		bad[at]++
		d.with(t, digest, bad, func() {
			got, err := cas.ReadAll(d.join(t, single.Manifest), lashstore.MaxBlobBytes)
			wantCorrupt(t, "changed byte of content", err, digest, keyOf(digest))
			if len(got) > 0 {
				t.Errorf("%d bytes were served with the error", len(got))
			}
		})
	}
}

// An object that is cut, too long, empty or another one is damage; one that is gone
// is absent. Both name digest and key.
func TestWrongObjectsAreFound(t *testing.T) {
	t.Parallel()
	d := newDamaged(t)
	m := d.last().res.Manifest
	for i, segment := range m.Segments {
		good := d.stored(t, segment.Digest)
		other := d.stored(t, m.Segments[(i+1)%len(m.Segments)].Digest)
		for what, bad := range map[string][]byte{
			"cut in half": good[:len(good)/2], "without its last byte": good[:len(good)-1], "a header alone": good[:cas.HeaderBytes],
			"empty": nil, "another segment": other,
		} {
			d.with(t, segment.Digest, bad, func() {
				_, err := d.read(t.Context())
				var corrupt *lashstore.CorruptBlobError
				if !errors.As(err, &corrupt) || corrupt.Key != keyOf(segment.Digest) || corrupt.Digest.IsZero() {
					t.Errorf("%s: got error %v, want a CorruptBlobError with the key of the segment", what, err)
				}
			})
		}
	}
	for _, digest := range m.Objects() {
		good := d.stored(t, digest)
		if err := d.driver.Delete(t.Context(), []string{keyOf(digest)}); err != nil {
			t.Fatal(err)
		}
		_, err := d.read(t.Context())
		if !errors.Is(err, lashstore.ErrBlobNotFound) || errors.Is(err, lashstore.ErrCorruptBlob) ||
			!strings.Contains(err.Error(), digest.String()) || !strings.Contains(err.Error(), keyOf(digest)) {
			t.Errorf("an object that is gone: got error %v, want ErrBlobNotFound with digest and key", err)
		}
		if err := d.driver.Put(t.Context(), keyOf(digest), good); err != nil {
			t.Fatal(err)
		}
	}
}

// Chunks that are whole but in another order are found before the last of them is
// served, by those who do not trust the manifest.
func TestJoinWholeVerifiesTheWhole(t *testing.T) {
	t.Parallel()
	d := newDamaged(t)
	m := d.last().res.Manifest
	swapped := &cas.Manifest{Digest: m.Digest, SizeBytes: m.SizeBytes, Segments: m.Segments, Bases: m.Bases}
	swapped.Chunks = append(swapped.Chunks, m.Chunks...)
	swapped.Chunks[1], swapped.Chunks[2] = swapped.Chunks[2], swapped.Chunks[1]
	r, err := d.store.JoinWhole(t.Context(), swapped, d.generation)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	wantCorrupt(t, "swapped chunks", err, m.Digest, "manifest")
	if int64(len(got)) >= m.SizeBytes {
		t.Errorf("%d bytes were served, want fewer than the content has", len(got))
	}
	if err := r.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// What is stored is the same for the same content: a put that is repeated is
// harmless.
func TestSplitIsRepeatable(t *testing.T) {
	t.Parallel()
	content := append(noise(5<<20, 1), prose(5<<20, 1)...)
	var want []lashstore.Digest
	for range 3 {
		c := newCatalog(memStore(t, cas.Options{Concurrency: 3}))
		res := c.split(t, content)
		if want == nil {
			want = res.Manifest.Objects()
		}
		if diff := cmp.Diff(want, res.Manifest.Objects(), sameManifest); diff != "" {
			t.Errorf("objects differ (-want +got):\n%s", diff)
		}
	}
}
