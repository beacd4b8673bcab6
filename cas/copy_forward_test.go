package cas_test

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
)

func aged(lashstore.Digest) bool { return true }

// scatter returns a copy of content with 1 KiB changed in so many places.
func scatter(rng *rand.Rand, content []byte, edits int) []byte {
	content = bytes.Clone(content)
	for range edits {
		copy(content[rng.IntN(len(content)-1024):], noise(1024, byte(rng.IntN(256))))
	}
	return content
}

// After many turns a state lies in many segments of which little is used. Once no
// history needs them, a few turns bring the space down to that of the state.
func TestCopyForwardBoundsSpace(t *testing.T) {
	t.Parallel()
	const size, turns, few = 2 << 20, 100, 4
	rng := rand.New(rand.NewPCG(3, 4))
	c := newCatalog(memStore(t, cas.Options{}))
	last, _ := c.turnOf(t, nil, noise(size, 1), cas.SplitOptions{})
	for turn := range turns + few {
		opts := cas.SplitOptions{Predecessor: &cas.Predecessor{Manifest: last.res.Manifest, Content: last.content}}
		if turn >= turns {
			opts.Predecessor.Aged = aged
		}
		content := scatter(rng, last.content, 20)
		last = revision{content: content, res: c.splitWith(t, content, opts)}
	}
	if held := c.held(last.res.Manifest); held > size*3/2 {
		t.Errorf("after %d turns %d bytes are held for a state of %d, want at most 1.5 times that", turns+few, held, size)
	}
	c.wantContent(t, "the last turn", last.res, last.content)
}

// With all history kept, nothing is stored again that the predecessor has, whatever
// its segments look like.
func TestNoCopyForwardWithHistory(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(5, 6))
	c := newCatalog(memStore(t, cas.Options{}))
	last, _ := c.turnOf(t, nil, noise(2<<20, 1), cas.SplitOptions{})
	for turn := range 40 {
		content := scatter(rng, last.content, 10)
		known := make(map[lashstore.Digest]bool)
		for _, chunk := range last.res.Manifest.Chunks {
			known[chunk.Digest] = true
		}
		next, _ := c.turnOf(t, &last, content, cas.SplitOptions{})
		var reused int64
		for _, chunk := range next.res.Manifest.Chunks {
			if known[chunk.Digest] {
				reused += chunk.SizeBytes
			}
		}
		if next.res.ReusedBytes != reused {
			t.Errorf("turn %d: %d bytes are reused, want the %d that the predecessor has", turn, next.res.ReusedBytes, reused)
		}
		last = next
	}
}

// Many small turns, kept or not, leave a read with a bounded number of segments.
func TestSegmentsAreBounded(t *testing.T) {
	t.Parallel()
	const turns = 400
	for what, age := range map[string]func(lashstore.Digest) bool{"history kept": nil, "no history": aged} {
		rng := rand.New(rand.NewPCG(7, 8))
		c := newCatalog(memStore(t, cas.Options{}))
		last, _ := c.turnOf(t, nil, noise(400<<10, 1), cas.SplitOptions{})
		most := 0
		for turn := range turns {
			content := append(scatter(rng, last.content, 1), noise(100, byte(turn))...)
			res := c.splitWith(t, content, cas.SplitOptions{
				Predecessor: &cas.Predecessor{Manifest: last.res.Manifest, Content: last.content, Aged: age},
			})
			last = revision{content: content, res: res}
			most = max(most, len(res.Manifest.Objects())-len(res.Manifest.Chain()))
			wantOnlyNeeded(t, res.Manifest)
		}
		if limit := cas.MaxUsedSegments + 2; most > limit {
			t.Errorf("%s: up to %d segments in %d turns, want at most %d", what, most, turns, limit)
		}
		c.wantContent(t, what, last.res, last.content)
	}
}

// wantOnlyNeeded checks that a manifest names no segment that nothing lies in.
func wantOnlyNeeded(t *testing.T, m *cas.Manifest) {
	t.Helper()
	used := make([]bool, len(m.Segments))
	for _, chunk := range slices.Concat(m.Chunks, m.Bases) {
		used[chunk.Segment] = true
	}
	for i, segment := range m.Segments {
		if used[i] == segment.Digest.IsZero() {
			t.Errorf("segment %d: used is %t, its digest %s", i, used[i], segment.Digest)
		}
	}
}

// What is stored again is let go of: no chunk of the new content, nor a base of one,
// lies in a segment that was given up.
func TestCopyForwardLetsGo(t *testing.T) {
	t.Parallel()
	c := newCatalog(memStore(t, cas.Options{}))
	state := noise(2<<20, 1)
	first, _ := c.turnOf(t, nil, state, cas.SplitOptions{})
	// All but 100 KiB is replaced, so that little of the first segment is used.
	content := append(noise(2<<20, 2), state[1<<20:][:100<<10]...)
	second, _ := c.turnOf(t, &first, content, cas.SplitOptions{})
	old := first.res.Manifest.Segments[0].Digest
	if !slices.Contains(second.res.Manifest.Objects(), old) {
		t.Fatal("the first segment is not used any more: this test tests nothing")
	}
	for _, changed := range []bool{false, true} {
		third := bytes.Clone(content)
		if changed {
			copy(third[2<<20+50<<10:], "changed") // would be a delta against what is given up
		}
		opts := cas.SplitOptions{Predecessor: &cas.Predecessor{
			Manifest: second.res.Manifest, Content: content, Aged: func(d lashstore.Digest) bool { return d == old },
		}}
		res := c.splitWith(t, third, opts)
		if slices.Contains(res.Manifest.Objects(), old) {
			t.Errorf("changed %t: the old segment is still needed", changed)
		}
		if res.WholeBytes > 150<<10 {
			t.Errorf("changed %t: %d bytes are stored whole, want the 100 KiB of the old segment", changed, res.WholeBytes)
		}
		c.wantContent(t, "third", res, third)
	}
}
