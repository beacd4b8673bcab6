package cas

import (
	"slices"

	"github.com/lashstore/lashstore"
)

// layout checks that the chunks and bases of a manifest can be where it says.
type layout struct {
	m       *Manifest
	invalid func(reason string, args ...any) error
	needed  []bool // whether a delta refers to the base
	depth   []int  // of each base, 0 while it is not known; 1 is no delta
}

// checkLayout checks segments, pieces and bases.
func (m *Manifest) checkLayout(invalid func(string, ...any) error) error {
	l := &layout{m: m, invalid: invalid, needed: make([]bool, len(m.Bases)), depth: make([]int, len(m.Bases))}
	if err := l.segments(); err != nil {
		return err
	}
	for i := range m.Bases {
		if err := l.piece("base", i, &m.Bases[i]); err != nil {
			return err
		}
		if i > 0 && m.Bases[i-1].compare(m.Bases[i].Address) >= 0 {
			return invalid("has base %d out of order", i)
		}
	}
	for i := range m.Chunks {
		if err := l.piece("chunk", i, &m.Chunks[i]); err != nil {
			return err
		}
	}
	if err := l.deltas(); err != nil {
		return err
	}
	return l.overlaps()
}

func (l *layout) segments() error {
	segments := l.m.Segments
	n := len(segments)
	if n == 0 || n > MaxSegments || segments[n-1].Digest.IsZero() {
		return l.invalid("has %d segments, not 1 to %d, or a free place at the end", n, MaxSegments)
	}
	seen := make(map[lashstore.Digest]struct{}, n)
	for i, s := range segments {
		if s.Digest.IsZero() {
			if s.PayloadBytes != 0 {
				return l.invalid("has a free place %d of %d bytes", i, s.PayloadBytes)
			}
			continue
		}
		if s.PayloadBytes < 0 || s.PayloadBytes > MaxObjectBytes {
			return l.invalid("says %d bytes for segment %d, not 0 to %d", s.PayloadBytes, i, MaxObjectBytes)
		}
		if _, twice := seen[s.Digest]; twice {
			return l.invalid("names the segment %s twice", s.Digest)
		}
		seen[s.Digest] = struct{}{}
	}
	return nil
}

// piece checks one chunk or base for itself.
func (l *layout) piece(what string, i int, c *Chunk) error {
	if c.Digest.IsZero() {
		return l.invalid("has no digest for %s %d", what, i)
	}
	if c.Segment < 0 || c.Segment >= len(l.m.Segments) || l.m.Segments[c.Segment].Digest.IsZero() {
		return l.invalid("has no segment %d for %s %d", c.Segment, what, i)
	}
	if (len(c.Bases) > 0) != (c.Form == FormDelta) || len(c.Bases) > maxDeltaBases {
		return l.invalid("has %d bases for %s %d", len(c.Bases), what, i)
	}
	segment := l.m.Segments[c.Segment]
	if c.Form == FormObject {
		if c.Offset != 0 || c.StoredBytes != 0 || c.SizeBytes != segment.PayloadBytes || c.Digest != segment.Digest {
			return l.invalid("has %s %d, which is not the object that it says", what, i)
		}
		return nil
	}
	switch {
	case c.SizeBytes < 1 || c.SizeBytes > maxChunkBytes:
		return l.invalid("says %d bytes for %s %d, not 1 to %d", c.SizeBytes, what, i, maxChunkBytes)
	case c.Form > FormDelta:
		return l.invalid("has %s %d in the unknown form %d", what, i, c.Form)
	case c.Form == FormRaw && c.StoredBytes != c.SizeBytes,
		c.Form != FormRaw && (c.StoredBytes < 1 || c.StoredBytes >= c.SizeBytes):
		return l.invalid("says %d stored bytes for the %d of %s %d", c.StoredBytes, c.SizeBytes, what, i)
	case c.Offset < 0 || c.Offset > segment.PayloadBytes-c.StoredBytes:
		return l.invalid("has %s %d at %d, beyond its segment of %d bytes", what, i, c.Offset, segment.PayloadBytes)
	}
	return nil
}

// deltas checks that each delta has its bases, that none needs itself, and that
// every base is needed.
func (l *layout) deltas() error {
	for i := range l.m.Bases {
		if _, err := l.depthOf(i, 0); err != nil {
			return err
		}
	}
	for i := range l.m.Chunks {
		for _, a := range l.m.Chunks[i].Bases {
			depth, err := l.find(a, 0)
			if err != nil {
				return err
			}
			if depth > maxDeltaDepth {
				return l.invalid("has chunk %d behind more than %d deltas", i, maxDeltaDepth)
			}
		}
	}
	if i := slices.Index(l.needed, false); i >= 0 {
		return l.invalid("has base %d, which nothing needs", i)
	}
	return nil
}

// find returns the depth of the base at an address.
func (l *layout) find(a Address, level int) (int, error) {
	i, ok := slices.BinarySearchFunc(l.m.Bases, a, func(c Chunk, a Address) int { return c.compare(a) })
	if !ok {
		return 0, l.invalid("has no base at %d in segment %d", a.Offset, a.Segment)
	}
	l.needed[i] = true
	return l.depthOf(i, level)
}

// depthOf returns 1 for a base that is no delta, else one more than its own bases'.
// A base that needs itself is found as one that lies too deep.
func (l *layout) depthOf(i, level int) (int, error) {
	if level > maxDeltaDepth {
		return 0, l.invalid("has base %d behind more than %d deltas, or behind itself", i, maxDeltaDepth)
	}
	if l.depth[i] > 0 {
		return l.depth[i], nil
	}
	depth := 1
	for _, a := range l.m.Bases[i].Bases {
		d, err := l.find(a, level+1)
		if err != nil {
			return 0, err
		}
		depth = max(depth, d+1)
	}
	l.depth[i] = depth
	return depth, nil
}

// overlaps checks that two pieces are the same or apart: bytes that are part of two
// pieces show that one of them lies.
func (l *layout) overlaps() error {
	pieces := make([]*Chunk, 0, len(l.m.Chunks)+len(l.m.Bases))
	used := make([]bool, len(l.m.Segments))
	for _, list := range [][]Chunk{l.m.Chunks, l.m.Bases} {
		for i := range list {
			pieces = append(pieces, &list[i])
			used[list[i].Segment] = true
		}
	}
	slices.SortFunc(pieces, func(a, b *Chunk) int { return a.compare(b.Address) })
	for i := 1; i < len(pieces); i++ {
		a, b := pieces[i-1], pieces[i]
		if a.Address == b.Address {
			if a.Digest != b.Digest || a.SizeBytes != b.SizeBytes || a.StoredBytes != b.StoredBytes || a.Form != b.Form ||
				!slices.Equal(a.Bases, b.Bases) {
				return l.invalid("has two pieces at %d in segment %d", a.Offset, a.Segment)
			}
			continue
		}
		if a.Segment == b.Segment && (a.Form == FormObject || a.Offset+a.StoredBytes > b.Offset) {
			return l.invalid("has overlapping pieces at %d in segment %d", b.Offset, b.Segment)
		}
	}
	for i, s := range l.m.Segments {
		if !used[i] && !s.Digest.IsZero() {
			return l.invalid("names segment %d, which it does not need", i)
		}
	}
	return nil
}
