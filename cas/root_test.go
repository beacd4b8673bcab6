package cas_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
)

// The root is part of the format: holders have them.
func TestRootGolden(t *testing.T) {
	t.Parallel()
	golden := filepath.Join("testdata", "root_v1.hex")
	single, err := cas.SingleRoot(lashstore.BlobRef{Digest: digestNumber(1), SizeBytes: 5})
	if err != nil {
		t.Fatal(err)
	}
	chain := append([]byte("\x89LSR\x01\x01"), digestNumber(2).Bytes()...)
	got := hex.EncodeToString(single) + "\n" + hex.EncodeToString(chain) + "\n"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("root differs from %s (-want +got):\n%s", golden, diff)
	}
	for i, line := range strings.Fields(string(want)) {
		root, err := hex.DecodeString(line)
		if err != nil {
			t.Fatal(err)
		}
		objects, err := cas.RootObjects(root)
		if err != nil || !slices.Equal(objects, [][]lashstore.Digest{nil, {digestNumber(2)}}[i]) {
			t.Errorf("RootObjects: got %v, %v", objects, err)
		}
	}
}

// chained is a state whose manifest lies in differences: each turn changes little.
type chained struct {
	*catalog
	turns []revision
}

// newChained makes a state of so many turns.
func newChained(tb testing.TB, s *cas.Store, turns int) *chained {
	tb.Helper()
	c := &chained{catalog: newCatalog(s)}
	content := append(noise(900<<10, 1), prose(300<<10, 1)...)
	opts := cas.SplitOptions{Descriptor: compressible()}
	for turn := range turns {
		if turn > 0 {
			content = bytes.Clone(content)
			copy(content[turn*50_021%(len(content)-700):], noise(700, byte(turn)))
		}
		res := c.splitWith(tb, content, opts)
		c.turns = append(c.turns, revision{content: content, res: res})
		opts.Predecessor = &cas.Predecessor{Manifest: c.open(tb, res), Content: content}
	}
	return c
}

func (c *chained) last() revision { return c.turns[len(c.turns)-1] }

// A manifest is stored as what differs from the one before, up to so many in a row,
// and then whole again; every one of them can be read.
func TestChainOfDifferences(t *testing.T) {
	t.Parallel()
	c := newChained(t, memStore(t, cas.Options{}), 2*cas.MaxChain+3)
	for i, turn := range c.turns {
		chain := turn.res.Manifest.Chain()
		if got, want := len(chain), i%cas.MaxChain+1; got != want {
			t.Errorf("turn %d: the manifest lies in %d objects, want %d", i, got, want)
		}
		objects, err := cas.RootObjects(turn.res.Root)
		if err != nil || !slices.Equal(objects, chain) {
			t.Errorf("turn %d: the root names %v, %v, want %v", i, objects, err, chain)
		}
		flat := marshal(t, turn.res.Manifest)
		if size := c.objects[chain[0]]; len(chain) > 1 && size > int64(len(flat))/10 {
			t.Errorf("turn %d: a difference of %d bytes for a manifest of %d", i, size, len(flat))
		}
		c.wantContent(t, fmt.Sprintf("turn %d", i), turn.res, turn.content)
	}
}

// Every bit of a root counts: whatever is inverted, the manifest is corrupt or its
// object unknown, and never another one's.
func TestRootAnyBitFlipIsRefused(t *testing.T) {
	t.Parallel()
	c := newChained(t, memStore(t, cas.Options{}), 3)
	small := c.split(t, []byte("small"))
	for what, res := range map[string]cas.SplitResult{"inline": small, "objects": c.last().res} {
		for bit := range 8 * len(res.Root) {
			damaged := bytes.Clone(res.Root)
			damaged[bit/8] ^= 1 << (bit % 8)
			_, err := c.store.OpenManifest(t.Context(), res.Manifest.Ref(), damaged, always)
			if !errors.Is(err, lashstore.ErrCorruptBlob) && !errors.Is(err, lashstore.ErrBlobNotFound) {
				t.Errorf("%s, bit %d: got error %v, want ErrCorruptBlob or ErrBlobNotFound", what, bit, err)
			}
		}
		for n := range res.Root {
			if _, err := c.store.OpenManifest(t.Context(), res.Manifest.Ref(), res.Root[:n], always); !errors.Is(err, lashstore.ErrCorruptBlob) {
				t.Errorf("%s, cut to %d bytes: got error %v, want ErrCorruptBlob", what, n, err)
			}
		}
	}
}

// A root that names objects in another order, not all of them, or too many, is
// refused: a difference says what it differs from.
func TestRootOfOtherObjectsIsRefused(t *testing.T) {
	t.Parallel()
	c := newChained(t, memStore(t, cas.Options{}), 4)
	last := c.last().res
	chain := last.Manifest.Chain()
	many := make([]lashstore.Digest, cas.MaxChain+1)
	for i := range many {
		many[i] = digestNumber(i)
	}
	root := func(chain ...lashstore.Digest) []byte {
		b := []byte("\x89LSR\x01\x01")
		for _, d := range chain {
			b = append(b, d.Bytes()...)
		}
		return b
	}
	for what, bad := range map[string][]byte{
		"swapped":       root(chain[0], chain[2], chain[1], chain[3]),
		"reversed":      root(chain[3], chain[2], chain[1], chain[0]),
		"one left out":  root(chain[0], chain[2], chain[3]),
		"no whole one":  root(chain[:3]...),
		"an older one":  root(chain[1:]...),
		"one twice":     root(chain[0], chain[0], chain[1], chain[2], chain[3]),
		"too many":      root(many...),
		"none":          root(),
		"a zero":        root(chain[0], lashstore.Digest{}),
		"a segment":     root(last.Manifest.Segments[0].Digest),
		"half a digest": last.Root[:len(last.Root)-16],
	} {
		_, err := c.store.OpenManifest(t.Context(), last.Manifest.Ref(), bad, c.generation)
		if !errors.Is(err, lashstore.ErrCorruptBlob) {
			t.Errorf("%s: got error %v, want ErrCorruptBlob", what, err)
		}
	}
	if _, err := c.store.OpenManifest(t.Context(), last.Manifest.Ref(), root(chain...), c.generation); err != nil {
		t.Errorf("the right ones: %v", err)
	}
}

// A manifest is only opened for the content that it describes.
func TestOpenManifestOfOtherContent(t *testing.T) {
	t.Parallel()
	c := newCatalog(memStore(t, cas.Options{}))
	res := c.split(t, []byte("one"))
	for _, ref := range []lashstore.BlobRef{
		{Digest: lashstore.DigestOf([]byte("two")), SizeBytes: 3}, {Digest: res.Manifest.Digest, SizeBytes: 4}, {},
	} {
		_, err := c.store.OpenManifest(t.Context(), ref, res.Root, c.generation)
		wantCorrupt(t, "other content", err, ref.Digest, "manifest")
	}
	big := newChained(t, c.store, 2)
	unknown := big.last().res.Manifest.Chain()[1]
	_, err := c.store.OpenManifest(t.Context(), big.last().res.Manifest.Ref(), big.last().res.Root,
		func(d lashstore.Digest) (cas.Generation, bool) { return generation, d != unknown })
	if !errors.Is(err, lashstore.ErrBlobNotFound) || !strings.Contains(err.Error(), unknown.String()) {
		t.Errorf("an object that nobody knows: got error %v, want ErrBlobNotFound with %s", err, unknown)
	}
}

// A difference, applied to what it was not made from, or changed, is refused or
// gives bytes that are no manifest.
func TestDifferenceRefuses(t *testing.T) {
	t.Parallel()
	c := newChained(t, memStore(t, cas.Options{}), 3)
	var flat [3][]byte
	for i := range flat {
		flat[i] = marshal(t, c.turns[i].res.Manifest)
	}
	object := digestNumber(1)
	diff, err := cas.MakeDiff(flat[1], flat[0], object)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := cas.ApplyDiff(diff, flat[0], object); err != nil || !bytes.Equal(got, flat[1]) {
		t.Fatalf("ApplyDiff: %d bytes, %v, want the manifest", len(got), err)
	}
	if _, err := cas.ApplyDiff(diff, flat[0], digestNumber(2)); err == nil {
		t.Error("applied to another object: want an error")
	}
	if got, err := cas.ApplyDiff(diff, flat[2], object); err == nil {
		wantManifestRefused(t, "applied to other bytes", got)
	}
	const sizeAt = 4 + 1 + lashstore.DigestSize
	for what, size := range map[string]uint32{
		"zero": 0, "one less": uint32(len(flat[1]) - 1), "one more": uint32(len(flat[1]) + 1),
		"the limit": cas.MaxManifestBytes, "over the limit": cas.MaxManifestBytes + 1, "huge": 1<<32 - 1,
	} {
		bad := bytes.Clone(diff)
		binary.BigEndian.PutUint32(bad[sizeAt:], size)
		if got, err := cas.ApplyDiff(bad, flat[0], object); err == nil {
			t.Errorf("a size that is %s: got %d bytes, want an error", what, len(got))
		}
	}
	for n := range diff {
		if got, err := cas.ApplyDiff(diff[:n], flat[0], object); err == nil {
			t.Errorf("cut to %d bytes: got %d bytes, want an error", n, len(got))
		}
	}
	for bit := range 8 * len(diff) {
		bad := bytes.Clone(diff)
		bad[bit/8] ^= 1 << (bit % 8)
		if got, err := cas.ApplyDiff(bad, flat[0], object); err == nil && !bytes.Equal(got, flat[1]) {
			wantManifestRefused(t, "flipped bit", got)
		}
	}
}

// A manifest is found from any object that holds it, with a root that opens it.
func TestFindManifest(t *testing.T) {
	t.Parallel()
	c := newChained(t, memStore(t, cas.Options{}), 4)
	find := func(d lashstore.Digest) (cas.Generation, bool, error) {
		g, ok := c.generation(d)
		return g, ok, nil
	}
	for i, turn := range c.turns {
		m := turn.res.Manifest
		found, root, err := c.store.FindManifest(t.Context(), m.Digest, m.Chain()[0], find)
		if err != nil || !found.Equal(m) || !bytes.Equal(root, turn.res.Root) {
			t.Errorf("turn %d: got root %x, %v, want %x", i, root, err, turn.res.Root)
		}
	}
	last := c.last().res.Manifest
	_, _, err := c.store.FindManifest(t.Context(), last.Digest, last.Chain()[1], find)
	if !errors.Is(err, lashstore.ErrCorruptBlob) {
		t.Errorf("another content's object: got error %v, want ErrCorruptBlob", err)
	}
	_, _, err = c.store.FindManifest(t.Context(), last.Digest, last.Segments[0].Digest, find)
	if !errors.Is(err, lashstore.ErrCorruptBlob) {
		t.Errorf("a segment: got error %v, want ErrCorruptBlob", err)
	}
	broken := errors.New("catalog is busy")
	for what, test := range map[string]struct {
		want error
		find func(lashstore.Digest) (cas.Generation, bool, error)
	}{
		"unknown": {lashstore.ErrBlobNotFound, func(d lashstore.Digest) (cas.Generation, bool, error) {
			return generation, d != last.Chain()[3], nil
		}},
		"absent": {lashstore.ErrBlobNotFound, func(lashstore.Digest) (cas.Generation, bool, error) { return 77, true, nil }},
		"failed": {broken, func(lashstore.Digest) (cas.Generation, bool, error) { return 0, false, broken }},
	} {
		if _, _, err := c.store.FindManifest(t.Context(), last.Digest, last.Chain()[0], test.find); !errors.Is(err, test.want) {
			t.Errorf("%s: got error %v, want %v", what, err, test.want)
		}
	}
}

// Differences in a row, more than any writer makes, are not followed without end.
func TestFindManifestOfTooManyDifferences(t *testing.T) {
	t.Parallel()
	c := newCatalog(memStore(t, cas.Options{}))
	flat := marshal(t, smallManifest())
	body := flat
	var object lashstore.Digest
	for range cas.MaxChain + 1 {
		object = lashstore.DigestOf(body)
		stored := forge(9, 0, 0, uint32(len(body)), body)
		if err := c.put(t.Context(), []cas.NewObject{{Digest: object, Stored: stored}}); err != nil {
			t.Fatal(err)
		}
		var err error
		if body, err = cas.MakeDiff(flat, flat, object); err != nil {
			t.Fatal(err)
		}
	}
	_, _, err := c.store.FindManifest(t.Context(), smallManifest().Digest, object,
		func(lashstore.Digest) (cas.Generation, bool, error) { return generation, true, nil })
	if !errors.Is(err, lashstore.ErrCorruptBlob) {
		t.Errorf("got error %v, want ErrCorruptBlob", err)
	}
}

func FuzzRoot(f *testing.F) {
	single, err := cas.SingleRoot(lashstore.BlobRef{Digest: digestNumber(1), SizeBytes: 5})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(single)
	f.Add(append([]byte("\x89LSR\x01\x00"), marshal(f, smallManifest())...))
	f.Add(append([]byte("\x89LSR\x01\x01"), digestNumber(2).Bytes()...))
	store := memStore(f, cas.Options{})
	f.Fuzz(func(t *testing.T, root []byte) {
		objects, err := cas.RootObjects(root)
		if err != nil && !errors.Is(err, lashstore.ErrCorruptBlob) {
			t.Errorf("RootObjects: got error %v, want ErrCorruptBlob", err)
		}
		if len(objects) > cas.MaxChain {
			t.Errorf("RootObjects: %d objects, want at most %d", len(objects), cas.MaxChain)
		}
		ref := lashstore.BlobRef{Digest: digestNumber(1), SizeBytes: 5}
		m, openErr := store.OpenManifest(t.Context(), ref, root, always)
		switch {
		case openErr == nil && (len(objects) > 0 || err != nil || m.Ref() != ref):
			t.Errorf("OpenManifest: got %+v, of objects that are not there", m)
		case openErr != nil && !errors.Is(openErr, lashstore.ErrCorruptBlob) && !errors.Is(openErr, lashstore.ErrBlobNotFound):
			t.Errorf("OpenManifest: got error %v, want ErrCorruptBlob or ErrBlobNotFound", openErr)
		}
	})
}

// A difference comes from the store: whatever it says, no more is made of it than a
// manifest may have.
func FuzzDifference(f *testing.F) {
	earlier, object := marshal(f, smallManifest()), digestNumber(1)
	other := smallManifest()
	other.Chunks[0].Digest = digestNumber(50)
	diff, err := cas.MakeDiff(marshal(f, other), earlier, object)
	if err != nil {
		f.Fatal(err)
	}
	const header = 4 + 1 + lashstore.DigestSize + 4
	f.Add(diff, uint32(0))
	f.Add(diff[header:], uint32(len(earlier)))
	f.Fuzz(func(t *testing.T, diff []byte, size uint32) {
		// As it is, and behind a header that is right.
		headed := append([]byte("\x89LSD\x01"), object.Bytes()...)
		headed = append(binary.BigEndian.AppendUint32(headed, size), diff...)
		for _, d := range [][]byte{diff, headed} {
			got, err := cas.ApplyDiff(d, earlier, object)
			if err == nil && (len(got) > cas.MaxManifestBytes || uint32(len(got)) != binary.BigEndian.Uint32(d[header-4:])) {
				t.Errorf("got %d bytes, the difference says %d", len(got), binary.BigEndian.Uint32(d[header-4:]))
			}
		}
	})
}
