package cas

import (
	"bytes"
	"sort"

	"github.com/lashstore/lashstore"
)

// Predecessor is content that new content is expected to resemble: the state of the
// turn before. Its holder must also hold what new content shares with it.
type Predecessor struct {
	Manifest *Manifest
	// Content are its bytes, all of them, or nil; deltas are made against them. They
	// are trusted to be what the manifest says and are not kept.
	Content []byte
	// Aged reports whether a segment would be let go of, sooner or later, if the new
	// content did not need it. Nil means that none would: all history is kept.
	Aged func(segment lashstore.Digest) bool
}

// earlier answers what a splitter asks of a predecessor. Nil stands for none.
type earlier struct {
	manifest *Manifest
	content  []byte
	starts   []int64
	byDigest map[lashstore.Digest]int // first chunk with a digest
	costs    []deltaCost              // of each chunk
	stale    []bool                   // chunks that are to be stored again

	expect int   // the chunk that comes next if nothing was changed
	pos    int64 // where in the predecessor the splitter has come to
}

// deltaCost is what reading and having a chunk costs.
type deltaCost struct {
	depth int   // deltas to undo
	chain int64 // stored bytes of these deltas
	whole int64 // stored bytes of the chunk if it were stored whole, estimated
}

func newEarlier(p *Predecessor) (*earlier, error) {
	if p == nil || p.Manifest == nil {
		return nil, nil //nolint:nilnil // none
	}
	m := p.Manifest
	if m.flat == nil {
		if err := m.Validate(); err != nil {
			return nil, err
		}
	}
	if p.Content != nil && int64(len(p.Content)) != m.SizeBytes {
		return nil, lashstore.Invalid("predecessor", len(p.Content), "has another length than its manifest says")
	}
	e := &earlier{manifest: m, content: p.Content, starts: m.starts(), byDigest: make(map[lashstore.Digest]int, len(m.Chunks))}
	e.costs = make([]deltaCost, len(m.Chunks))
	for i := range m.Chunks {
		c := &m.Chunks[i]
		if _, ok := e.byDigest[c.Digest]; !ok {
			e.byDigest[c.Digest] = i
		}
		e.costs[i] = m.cost(c)
	}
	e.stale = e.findStale(chooseSegments(m, e.costs, p.Aged))
	return e, nil
}

// cost adds up what lies behind a chunk. A valid manifest bounds the recursion.
func (m *Manifest) cost(c *Chunk) deltaCost {
	switch c.Form {
	case FormObject: // what its envelope holds is not known here; half is usual
		return deltaCost{whole: c.SizeBytes/2 + 1}
	case FormDelta:
	default:
		return deltaCost{whole: c.StoredBytes}
	}
	var sum deltaCost
	var raw int64
	for _, a := range c.Bases {
		b := m.base(a)
		cost := m.cost(b)
		sum.depth = max(sum.depth, cost.depth)
		sum.chain += cost.chain
		sum.whole += cost.whole
		raw += b.SizeBytes
	}
	sum.depth++
	sum.chain += c.StoredBytes
	sum.whole = sum.whole * c.SizeBytes / raw // as well compressible as its bases
	return sum
}

// findStale marks the chunks that need one of the segments.
func (e *earlier) findStale(segments map[int]bool) []bool {
	stale := make([]bool, len(e.manifest.Chunks))
	if len(segments) == 0 {
		return stale
	}
	var needs func(c *Chunk) bool
	needs = func(c *Chunk) bool {
		if segments[c.Segment] {
			return true
		}
		for _, a := range c.Bases {
			if needs(e.manifest.base(a)) {
				return true
			}
		}
		return false
	}
	for i := range stale {
		stale[i] = needs(&e.manifest.Chunks[i])
	}
	return stale
}

// same returns the digest of a chunk if the predecessor has the same one ahead bytes
// after where the splitter has come to: comparing is much cheaper than hashing.
func (e *earlier) same(raw []byte, ahead int64) (d lashstore.Digest, ok bool) {
	if e == nil || e.content == nil {
		return d, false
	}
	at := e.pos + ahead
	i := sort.Search(len(e.starts), func(i int) bool { return e.starts[i] >= at })
	if i == len(e.starts) || e.starts[i] != at {
		return d, false
	}
	c := &e.manifest.Chunks[i]
	if c.SizeBytes != int64(len(raw)) || !bytes.Equal(raw, e.content[at:][:len(raw)]) {
		return d, false
	}
	return c.Digest, true
}

// find returns the predecessor's chunk with a digest, and moves on past it. A chunk
// that is to be stored again is passed by and not returned.
func (e *earlier) find(d lashstore.Digest, size int64) (c *Chunk, again bool) {
	if e == nil {
		return nil, false
	}
	i, ok := e.expect, false
	if i < len(e.manifest.Chunks) {
		ok = e.manifest.Chunks[i].Digest == d // of equal chunks, the one in order
	}
	if !ok {
		i, ok = e.byDigest[d]
	}
	if !ok {
		e.pos += size
		return nil, false
	}
	e.expect, e.pos = i+1, e.starts[i]+size
	if e.stale[i] {
		return nil, true
	}
	return &e.manifest.Chunks[i], false
}

// deltaBase is what a chunk's delta can be made against.
type deltaBase struct {
	content      []byte
	chunks       []Address
	whole, chain int64
}

// base returns the part of the predecessor that lies where a changed chunk of the
// given size does, which find has just passed.
func (e *earlier) base(size int64) (b deltaBase, ok bool) {
	if e == nil || e.content == nil || len(e.content) == 0 {
		return b, false
	}
	from := min(e.pos-size, e.manifest.SizeBytes-1)
	to := min(from+size, e.manifest.SizeBytes)
	first := sort.Search(len(e.starts), func(i int) bool { return e.starts[i] > from }) - 1
	last := first
	for last+1 < len(e.starts) && last+1 < first+maxDeltaBases && e.starts[last+1] < to {
		last++
	}
	var raw int64
	for i := first; i <= last; i++ {
		c := &e.manifest.Chunks[i]
		if e.costs[i].depth >= maxDeltaDepth || e.stale[i] || c.SizeBytes > maxDeltaBaseBytes {
			return b, false
		}
		b.chunks = append(b.chunks, c.Address)
		b.chain += e.costs[i].chain
		b.whole += e.costs[i].whole
		raw += c.SizeBytes
	}
	if len(b.chunks) == 2 && b.chunks[0] == b.chunks[1] { // equal chunks
		return b, false
	}
	b.whole = b.whole * size / raw
	b.content = e.content[e.starts[first]:][:raw]
	return b, true
}

// maxDeltaBaseBytes bounds a base, which may be content that is one object: reading
// a chunk must not need much more than the chunk.
const maxDeltaBaseBytes = maxChunkBytes
