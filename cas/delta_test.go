package cas_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
)

// turnOf splits content after its predecessor, and returns the stored bytes of what
// is new, the manifest included.
func (c *catalog) turnOf(tb testing.TB, before *revision, content []byte, opts cas.SplitOptions) (revision, int64) {
	tb.Helper()
	if before != nil {
		opts.Predecessor = &cas.Predecessor{Manifest: before.res.Manifest, Content: before.content}
	}
	stored := c.bytes
	res := c.splitWith(tb, content, opts)
	return revision{content: content, res: res}, c.bytes - stored
}

// What a small edit of a large state costs in the store is little more than the edit,
// whether the state compresses, or says that it does not.
func TestSmallEditStoresLittle(t *testing.T) {
	t.Parallel()
	const size, changed = 10 << 20, 1 << 10
	for what, state := range map[string][]byte{"noise": noise(size, 1), "prose": prose(size, 1)} {
		for _, d := range []lashstore.Descriptor{compressible(), {}} {
			for kind, edit := range map[string]func(b []byte) []byte{
				"replaced": func(b []byte) []byte { copy(b[5<<20:], noise(changed, 9)); return b },
				"inserted": func(b []byte) []byte { return slices.Insert(b, 5<<20, noise(changed, 9)...) },
				"removed":  func(b []byte) []byte { return slices.Delete(b, 5<<20, 5<<20+changed) },
				"appended": func(b []byte) []byte { return append(b, noise(changed, 9)...) },
			} {
				c := newCatalog(memStore(t, cas.Options{}))
				first, _ := c.turnOf(t, nil, state, cas.SplitOptions{Descriptor: d})
				content := edit(bytes.Clone(state))
				second, stored := c.turnOf(t, &first, content, cas.SplitOptions{Descriptor: d})
				if limit := int64(4 * changed); stored > limit {
					t.Errorf("%s, hints %+v, 1 KiB %s: %d bytes are stored, want at most %d", what, d.Hints, kind, stored, limit)
				}
				if second.res.DeltaBytes == 0 && second.res.WholeBytes > 2*cas.ChunkAverage {
					t.Errorf("%s, 1 KiB %s: %d bytes are stored whole and none as deltas", what, kind, second.res.WholeBytes)
				}
				c.wantContent(t, what+" "+kind, second.res, content)
			}
		}
	}
}

// Scattered edits, the hard case: 1 % of a state in 100 places costs at most three
// times that, on average of some turns (design, section 11), in two puts.
func TestScatteredEditsStoreLittle(t *testing.T) {
	t.Parallel()
	const size, edits, length, turns = 10 << 20, 100, 1 << 10, 20
	rng := rand.New(rand.NewPCG(1, 2))
	c := newCatalog(memStore(t, cas.Options{}))
	last, _ := c.turnOf(t, nil, noise(size, 1), cas.SplitOptions{Descriptor: compressible()})
	before := c.bytes
	for turn := range turns {
		content := bytes.Clone(last.content)
		for i := range edits {
			copy(content[rng.IntN(size-length):], noise(length, byte(turn*edits+i)))
		}
		puts := c.puts
		last, _ = c.turnOf(t, &last, content, cas.SplitOptions{Descriptor: compressible()})
		if c.puts > puts+2 {
			t.Errorf("turn %d took %d puts, want at most 2", turn, c.puts-puts)
		}
	}
	if got, limit := (c.bytes-before)/turns, int64(3*edits*length); got > limit {
		t.Errorf("a turn stores %d bytes on average, want at most %d", got, limit)
	}
	c.wantContent(t, "the last turn", last.res, last.content)
}

// However often the same place is edited, a chunk never lies behind more deltas than
// may be, nor behind deltas that add up to much more than it does whole.
func TestDeltaDepthIsBounded(t *testing.T) {
	t.Parallel()
	c := newCatalog(memStore(t, cas.Options{}))
	last, _ := c.turnOf(t, nil, noise(300<<10, 1), cas.SplitOptions{})
	deepest := 0
	for turn := range 4 * cas.MaxDeltaDepth {
		content := bytes.Clone(last.content)
		copy(content[100_000:], fmt.Sprint("turn ", turn))
		last, _ = c.turnOf(t, &last, content, cas.SplitOptions{})
		depth := slices.Max(last.res.Manifest.Depths())
		deepest = max(deepest, depth)
		if depth > cas.MaxDeltaDepth {
			t.Fatalf("turn %d: a chunk lies behind %d deltas, want at most %d", turn, depth, cas.MaxDeltaDepth)
		}
		c.wantContent(t, fmt.Sprintf("turn %d", turn), last.res, content)
	}
	if deepest != cas.MaxDeltaDepth {
		t.Errorf("a chunk that is edited again and again lies behind %d deltas at most, want %d", deepest, cas.MaxDeltaDepth)
	}
	// Half of a chunk replaced at a time: the chain would soon cost more than it saves.
	for turn := range 2 * cas.MaxDeltaDepth {
		content := bytes.Clone(last.content)
		copy(content[50_000:], noise(3000, byte(turn+50)))
		last, _ = c.turnOf(t, &last, content, cas.SplitOptions{})
		m := last.res.Manifest
		for i, chunk := range m.Chunks {
			if chain := chainBytes(m, chunk); chain > chunk.SizeBytes*cas.MaxDeltaShare/100 {
				t.Errorf("turn %d: the deltas of chunk %d add up to %d bytes, too much for its %d", turn, i, chain, chunk.SizeBytes)
			}
		}
	}
}

// chainBytes adds up the deltas behind a chunk.
func chainBytes(m *cas.Manifest, c cas.Chunk) int64 {
	if c.Form != cas.FormDelta {
		return 0
	}
	sum := c.StoredBytes
	for _, a := range c.Bases {
		for _, b := range m.Bases {
			if b.Address == a {
				sum += chainBytes(m, b)
			}
		}
	}
	return sum
}

// forms counts the chunks of a manifest by their form.
func forms(m *cas.Manifest) map[cas.Form]int {
	count := make(map[cas.Form]int)
	for _, c := range m.Chunks {
		count[c.Form]++
	}
	return count
}

// Deltas need the predecessor's bytes, and are not made where latency counts most.
func TestNoDeltas(t *testing.T) {
	t.Parallel()
	state := prose(1<<20, 1)
	content := bytes.Clone(state)
	copy(content[500_000:], "changed")
	for what, test := range map[string]struct {
		profile lashstore.Profile
		content []byte
		want    bool
	}{
		"with content":           {lashstore.ProfileBalanced, state, true},
		"with content, compact":  {lashstore.ProfileCompact, state, true},
		"without content":        {lashstore.ProfileBalanced, nil, false},
		"where latency counts":   {lashstore.ProfileLowLatency, state, false},
		"latency, no content":    {lashstore.ProfileLowLatency, nil, false},
		"without content, again": {lashstore.ProfileCompact, nil, false},
	} {
		c := newCatalog(memStore(t, cas.Options{Profile: test.profile}))
		first := c.split(t, state)
		res := c.splitWith(t, content, cas.SplitOptions{
			Descriptor: compressible(), Predecessor: &cas.Predecessor{Manifest: first.Manifest, Content: test.content},
		})
		if got := forms(res.Manifest)[cas.FormDelta] > 0; got != test.want || (res.DeltaBytes > 0) != test.want {
			t.Errorf("%s: deltas of %d bytes, want any: %t", what, res.DeltaBytes, test.want)
		}
		if zstd := forms(res.Manifest)[cas.FormZstd] > 0; zstd != (test.profile != lashstore.ProfileLowLatency) {
			t.Errorf("%s: chunks that are compressed: %t", what, zstd)
		}
		c.wantContent(t, what, res, content)
	}
}

// Small content is cut only for the sake of what its predecessor has.
func TestSmallContentIsCutForItsPredecessor(t *testing.T) {
	t.Parallel()
	state := noise(100<<10, 1)
	c := newCatalog(memStore(t, cas.Options{}))
	first, _ := c.turnOf(t, nil, state, cas.SplitOptions{Descriptor: compressible()})
	if forms(first.res.Manifest)[cas.FormObject] != 1 {
		t.Fatal("without a predecessor: want one object")
	}
	changed := bytes.Clone(state)
	copy(changed[50_000:], "changed")
	like, stored := c.turnOf(t, &first, changed, cas.SplitOptions{Descriptor: compressible()})
	if stored > 2<<10 {
		t.Errorf("a few bytes changed in 100 KiB: %d bytes are stored, want at most 2 KiB", stored)
	}
	c.wantContent(t, "changed", like.res, changed)
	unlike, _ := c.turnOf(t, &like, noise(100<<10, 2), cas.SplitOptions{Descriptor: compressible()})
	if forms(unlike.res.Manifest)[cas.FormObject] != 1 || len(unlike.res.Manifest.Objects()) != 1 {
		t.Errorf("unlike its predecessor: %v, want one object", forms(unlike.res.Manifest))
	}
}
