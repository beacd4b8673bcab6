package cas_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
	"github.com/lashstore/lashstore/internal/testenv"
)

var allProfiles = []lashstore.Profile{lashstore.ProfileLowLatency, lashstore.ProfileBalanced, lashstore.ProfileCompact}

// Content of every size around the edges is described, put and read back, under every
// profile, alone and after content like it.
func TestSplitSizes(t *testing.T) {
	t.Parallel()
	sizes := []int{0, 1, 16}
	for _, edge := range []int{cas.MinCutBytes, cas.ChunkAverage, cas.MaxChunkBytes, cas.SingleBytes, cas.WindowBytes, cas.SegmentBytes} {
		sizes = append(sizes, edge-1, edge, edge+1)
	}
	sizes = append(sizes, 9<<20)
	largest := append(noise(5<<20, 1), prose(6<<20, 1)...)
	for i, size := range sizes {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			t.Parallel()
			content := largest[(len(largest)-size)/2:][:size]
			for j, profile := range allProfiles {
				c := newCatalog(memStore(t, cas.Options{Profile: profile}))
				opts := cas.SplitOptions{}
				if (i+j)%2 == 0 {
					opts.Descriptor = compressible()
				}
				checkSplit(t, c, "alone", content, opts)
				shifted := largest[(len(largest)-size)/2+size/100:][:size]
				before := c.splitWith(t, shifted, opts)
				opts.Predecessor = &cas.Predecessor{Manifest: before.Manifest}
				checkSplit(t, c, "after a manifest", content, opts)
				opts.Predecessor.Content = shifted
				checkSplit(t, c, "after content", content, opts)
				opts.Digest = lashstore.DigestOf(content)
				checkSplit(t, c, "with a digest", content, opts)
			}
		})
	}
}

// checkSplit splits content and checks all that Split promises of its result.
func checkSplit(t *testing.T, c *catalog, what string, content []byte, opts cas.SplitOptions) cas.SplitResult {
	t.Helper()
	var described []lashstore.Digest
	res, err := c.store.Split(t.Context(), bytes.NewReader(content), opts, func(ctx context.Context, objects []cas.NewObject) error {
		for _, o := range objects {
			raw, err := cas.Decode(o.Stored, o.Digest, "k")
			if err != nil || int64(len(raw)) != o.RawBytes {
				t.Errorf("%s: an object of %d bytes, %v, said to have %d", what, len(raw), err, o.RawBytes)
			}
			if o.Content && o.Digest != lashstore.DigestOf(content) {
				t.Errorf("%s: an object that is said to be the content is not", what)
			}
			if !o.Describes.IsZero() {
				described = append(described, o.Describes)
			}
		}
		return c.put(ctx, objects)
	})
	if err != nil {
		t.Fatalf("%s: Split: %v", what, err)
	}
	m := res.Manifest
	if m.Digest != lashstore.DigestOf(content) || m.SizeBytes != int64(len(content)) {
		t.Errorf("%s: the manifest is of %+v", what, m.Ref())
	}
	again := cas.Manifest{Digest: m.Digest, SizeBytes: m.SizeBytes, Segments: m.Segments, Chunks: m.Chunks, Bases: m.Bases}
	if err := again.Validate(); err != nil {
		t.Errorf("%s: Validate: %v", what, err)
	}
	if sum := res.ReusedBytes + res.DeltaBytes + res.WholeBytes; sum != int64(len(content)) {
		t.Errorf("%s: %d bytes reused, %d as deltas, %d whole, want %d in all", what, res.ReusedBytes, res.DeltaBytes, res.WholeBytes, len(content))
	}
	if inline := len(m.Chain()) == 0; inline != (len(described) == 0) || !inline && (len(described) != 1 || described[0] != m.Digest) {
		t.Errorf("%s: the manifest lies in %d objects, those put describe %v", what, len(m.Chain()), described)
	}
	if opts.Predecessor == nil && (len(content) <= cas.SingleBytes) != (m.Chunks[0].Form == cas.FormObject) {
		t.Errorf("%s: %d bytes in form %d", what, len(content), m.Chunks[0].Form)
	}
	if len(marshal(t, m)) <= cas.MaxInlineManifest != (len(m.Chain()) == 0) {
		t.Errorf("%s: a manifest of %d bytes lies in %d objects", what, len(marshal(t, m)), len(m.Chain()))
	}
	c.wantContent(t, what, res, content)
	return res
}

// Content beyond where chunks turn coarse: one byte before and after, and further.
func TestSplitLargeSizes(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Log("short: the sizes stop at 1 MiB beyond the edge")
	}
	c := newCatalog(memStore(t, cas.Options{}))
	sizes := []int64{cas.CoarseFrom + 1<<20}
	if !testing.Short() {
		sizes = append(sizes, cas.CoarseFrom-1, cas.CoarseFrom, cas.CoarseFrom+1)
	}
	var before cas.SplitResult
	for i, size := range sizes {
		opts := cas.SplitOptions{}
		if i > 0 {
			opts.Predecessor = &cas.Predecessor{Manifest: before.Manifest}
		}
		res, err := c.store.Split(t.Context(), testenv.NoiseReader(3, size), opts, c.put)
		if err != nil {
			t.Fatalf("Split: %v", err)
		}
		if i == 0 {
			before = res
		} else if res.WholeBytes > 2*cas.MaxChunkBytes {
			t.Errorf("%d bytes: %d were stored again, want those around the end", size, res.WholeBytes)
		}
		if n := int64(len(res.Manifest.Chunks)); n > size/cas.ChunkAverage*3/2 {
			t.Errorf("%d bytes in %d chunks", size, n)
		}
		if err := testenv.EqualReaders(c.join(t, c.open(t, res)), testenv.NoiseReader(3, size)); err != nil {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

// Where content is cut does not depend on how its reader hands it out.
func TestCutsDoNotDependOnTheReader(t *testing.T) {
	t.Parallel()
	s := memStore(t, cas.Options{})
	for what, test := range map[string]struct {
		size int
		wrap func(io.Reader) io.Reader
	}{
		"half":       {5 << 20, iotest.HalfReader},
		"data+error": {5 << 20, iotest.DataErrReader},
		"one byte":   {400 << 10, iotest.OneByteReader},
		"odd pieces": {5 << 20, func(r io.Reader) io.Reader {
			n := 0
			return readerFunc(func(p []byte) (int, error) {
				n = (n*7 + 13) % 9001
				return r.Read(p[:min(len(p), n)]) // now and then nothing
			})
		}},
	} {
		content := prose(test.size, 7)
		want := newCatalog(s).split(t, content)
		got, err := s.Split(t.Context(), test.wrap(bytes.NewReader(content)), cas.SplitOptions{Descriptor: compressible()}, discard)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if diff := cmp.Diff(want.Manifest, got.Manifest, sameManifest); diff != "" {
			t.Errorf("%s: the manifest differs (-want +got):\n%s", what, diff)
		}
	}
}

// Where content is cut depends on the bytes near the cut: what is inserted at the
// start leaves the rest of the chunks as they are.
func TestCutsFollowTheContent(t *testing.T) {
	t.Parallel()
	c := newCatalog(memStore(t, cas.Options{}))
	content := noise(3<<20, 1)
	before := c.split(t, content)
	for _, insert := range []string{"x", strings.Repeat("new ", 5000)} {
		res := c.splitWith(t, append([]byte(insert), content...), cas.SplitOptions{
			Descriptor: compressible(), Predecessor: &cas.Predecessor{Manifest: before.Manifest},
		})
		if least := int64(len(content) - 8*cas.MaxChunkBytes/4); res.ReusedBytes < least {
			t.Errorf("after %d bytes at the start, %d are reused, want at least %d", len(insert), res.ReusedBytes, least)
		}
	}
}

// Content that repeats itself is stored once, and content equal to its predecessor
// not at all.
func TestEqualChunksAreStoredOnce(t *testing.T) {
	t.Parallel()
	for _, profile := range allProfiles {
		c := newCatalog(memStore(t, cas.Options{Profile: profile}))
		zeros := make([]byte, 20<<20)
		res := checkSplit(t, c, "zeros", zeros, cas.SplitOptions{})
		if res.WholeBytes > 3*cas.MaxChunkBytes || c.bytes > 200<<10 {
			t.Errorf("%d bytes of zeros are stored whole, %d in all", res.WholeBytes, c.bytes)
		}
		content := append(noise(1<<20, 1), noise(1<<20, 1)...)
		first := checkSplit(t, c, "twice the same", content, cas.SplitOptions{})
		if first.WholeBytes > 1<<20+4*cas.MaxChunkBytes {
			t.Errorf("twice the same MiB: %d bytes are stored whole", first.WholeBytes)
		}
		stored := len(c.objects)
		for _, pred := range []*cas.Predecessor{{Manifest: first.Manifest}, {Manifest: first.Manifest, Content: content}} {
			same := checkSplit(t, c, "the same again", content, cas.SplitOptions{Predecessor: pred})
			if same.ReusedBytes != int64(len(content)) {
				t.Errorf("the same again: %d of %d bytes are reused", same.ReusedBytes, len(content))
			}
			for _, s := range same.Manifest.Segments {
				if c.objects[s.Digest] == 0 {
					t.Errorf("the same again: a segment of its own")
				}
			}
		}
		if len(c.objects) > stored+2 { // its manifests, as differences
			t.Errorf("the same again: %d more objects", len(c.objects)-stored)
		}
	}
}

// A predecessor may be empty, far smaller or far larger; what does not fit its
// manifest is refused.
func TestOddPredecessors(t *testing.T) {
	t.Parallel()
	c := newCatalog(memStore(t, cas.Options{}))
	contents := [][]byte{nil, []byte("x"), prose(20_000, 1), prose(300_000, 1), prose(3<<20, 1)}
	for _, before := range contents {
		pred := c.split(t, before)
		for _, after := range contents {
			for _, bytes := range [][]byte{nil, before} {
				opts := cas.SplitOptions{Descriptor: compressible(), Predecessor: &cas.Predecessor{Manifest: pred.Manifest, Content: bytes}}
				checkSplit(t, c, fmt.Sprintf("%d bytes after %d", len(after), len(before)), after, opts)
			}
		}
		for _, wrong := range [][]byte{append(slices.Clip(before), 0), make([]byte, len(before)/2)} {
			if len(wrong) == len(before) {
				continue
			}
			opts := cas.SplitOptions{Predecessor: &cas.Predecessor{Manifest: pred.Manifest, Content: wrong}}
			if _, err := c.store.Split(t.Context(), strings.NewReader("x"), opts, c.put); !errors.Is(err, lashstore.ErrInvalid) {
				t.Errorf("%d bytes for a predecessor of %d: got error %v, want ErrInvalid", len(wrong), len(before), err)
			}
		}
	}
	lie := smallManifest()
	lie.Bases = nil
	opts := cas.SplitOptions{Predecessor: &cas.Predecessor{Manifest: lie}}
	if _, err := c.store.Split(t.Context(), strings.NewReader("x"), opts, c.put); !errors.Is(err, lashstore.ErrInvalid) {
		t.Errorf("a predecessor's manifest that lies: got error %v, want ErrInvalid", err)
	}
	checkSplit(t, c, "a predecessor without a manifest", contents[3], cas.SplitOptions{Descriptor: compressible(), Predecessor: new(cas.Predecessor)})
}

// A state that goes back and forth between two contents makes deltas that are equal,
// byte for byte, to those of earlier turns but have other bases.
func TestContentThatGoesBackAndForth(t *testing.T) {
	t.Parallel()
	c := newCatalog(memStore(t, cas.Options{}))
	a := noise(1<<20, 1)
	b := bytes.Clone(a)
	copy(b[500_000:], "busy")
	opts := cas.SplitOptions{Descriptor: compressible()}
	var all []revision
	for turn := range 40 {
		content := [][]byte{a, b}[turn%2]
		res := c.splitWith(t, content, opts)
		all = append(all, revision{content: content, res: res})
		opts.Predecessor = &cas.Predecessor{Manifest: res.Manifest, Content: content}
	}
	for i, rev := range all {
		c.wantContent(t, fmt.Sprintf("turn %d", i), rev.res, rev.content)
	}
}
