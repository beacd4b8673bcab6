package cas

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/lashstore/lashstore"
)

const (
	// segmentBytes is how much is packed into a segment. The design allows
	// [MaxObjectBytes]; a quarter lets large content be put while the rest is still
	// being compressed (ADR 8).
	segmentBytes = 4 << 20
	// parallelPuts is how many segments of one content are put at a time: enough to
	// hide the latency of an object store, few enough to bound memory.
	parallelPuts = 4
)

// packer packs stored chunks into segments and has full ones put.
type packer struct {
	sp    *splitter
	group *errgroup.Group
	ctx   context.Context //nolint:containedctx // the group's: it ends with the first put that fails
	slots chan []byte     // memory of segments that are not in use
	made  int

	current []byte // header and payload of the segment being packed
	sealed  []*Segment
	hashing sync.WaitGroup // of segments that are being sealed
}

func newPacker(ctx context.Context, sp *splitter) *packer {
	p := &packer{sp: sp, slots: make(chan []byte, parallelPuts+1)}
	p.group, p.ctx = errgroup.WithContext(ctx)
	return p
}

// newSegment marks addresses in segments that are being made, until settle gives
// them their index.
const newSegment = 1 << 24

// add packs a chunk and returns where.
func (p *packer) add(ctx context.Context, stored []byte) (Address, error) {
	if p.current != nil && len(p.current)-HeaderBytes+len(stored) > segmentBytes {
		p.ship()
	}
	if p.current == nil {
		if err := p.take(ctx); err != nil {
			return Address{}, err
		}
	}
	at := Address{Segment: newSegment + len(p.sealed), Offset: int64(len(p.current) - HeaderBytes)}
	p.current = append(p.current, stored...)
	return at, nil
}

// take waits for memory for a segment: that is what slows reading to the speed of
// putting.
func (p *packer) take(ctx context.Context) error {
	select {
	case p.current = <-p.slots:
		return nil
	default:
	}
	if p.made <= parallelPuts {
		p.made++
		p.current = p.sp.store.segment(p.made > 1 || p.sp.before == nil)
		return nil
	}
	select {
	case p.current = <-p.slots:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// segment returns memory for one: enough for a full one, unless little is expected.
func (s *Store) segment(full bool) []byte {
	if b, ok := s.segments.Get().(*[]byte); ok {
		return (*b)[:HeaderBytes]
	}
	if full {
		return make([]byte, HeaderBytes, HeaderBytes+segmentBytes)
	}
	return make([]byte, HeaderBytes, HeaderBytes+64<<10) // it grows
}

// seal ends a segment. Deltas of different chunks, or against different bases, can be
// the same bytes: content that goes back and forth makes the deltas of earlier turns
// again. One address cannot mean both, so that a segment whose bytes the predecessor
// has gets more of them, which no chunk has.
func (p *packer) seal(segment []byte) NewObject {
	digest := objectDigest(kindSegment, segment[HeaderBytes:])
	for p.sp.before.names(digest) {
		segment = append(segment, 0)
		digest = objectDigest(kindSegment, segment[HeaderBytes:])
	}
	payload := segment[HeaderBytes:]
	sealEnvelope(segment, kindSegment, CodecRaw, len(payload))
	return NewObject{Digest: digest, RawBytes: int64(len(payload)), Stored: segment}
}

// names reports whether the predecessor has a segment.
func (e *earlier) names(digest lashstore.Digest) bool {
	return e != nil && slices.ContainsFunc(e.manifest.Segments, func(s Segment) bool { return s.Digest == digest })
}

// ship has the current segment sealed and put.
func (p *packer) ship() {
	segment, info := p.current, new(Segment)
	p.current = nil
	p.sealed = append(p.sealed, info)
	n := len(p.sealed)
	p.hashing.Add(1)
	p.group.Go(func() error {
		o := p.seal(segment)
		*info = Segment{Digest: o.Digest, PayloadBytes: o.RawBytes}
		p.hashing.Done()
		if err := p.sp.put(p.ctx, []NewObject{o}); err != nil {
			return fmt.Errorf("put segment %d: %w", n, err)
		}
		p.slots <- segment[:HeaderBytes] // has room for all
		return nil
	})
}

// rest seals what is left, for the last put.
func (p *packer) rest() (NewObject, bool) {
	if p.current == nil {
		return NewObject{}, false
	}
	o := p.seal(p.current)
	p.sealed = append(p.sealed, &Segment{Digest: o.Digest, PayloadBytes: o.RawBytes})
	return o, true
}

// segments returns all segments, once they are sealed.
func (p *packer) segments() []Segment {
	p.hashing.Wait()
	out := make([]Segment, len(p.sealed))
	for i, s := range p.sealed {
		out[i] = *s
	}
	return out
}

// wait waits for the segments that are being put, and lets go of their memory. The
// last segment must have been put, or never be.
func (p *packer) wait() error {
	err := p.group.Wait()
	close(p.slots)
	for segment := range p.slots {
		p.sp.store.release(segment)
	}
	if p.current != nil {
		p.sp.store.release(p.current)
		p.current = nil
	}
	return err
}

// release keeps the memory of a full segment for later.
func (s *Store) release(segment []byte) {
	if cap(segment) >= HeaderBytes+segmentBytes {
		s.segments.Put(&segment)
	}
}

// settle gives new segments their places in the manifest, and finds the bases that
// its chunks need.
func (sp *splitter) settle(m *Manifest) error {
	var old *Manifest
	if sp.before != nil {
		old = sp.before.manifest
		m.Segments = slices.Clone(old.Segments)
		m.Bases = collectBases(m.Chunks, old)
	}
	m.placeSegments(sp.pack.segments())
	if len(m.Segments) > MaxSegments {
		return &lashstore.LimitError{Limit: "segments", Max: MaxSegments, Got: int64(len(m.Segments))}
	}
	return nil
}

// collectBases returns what the deltas among chunks need: chunks of the earlier
// manifest and its bases.
func collectBases(chunks []Chunk, old *Manifest) []Chunk {
	var byAddress map[Address]*Chunk
	find := func(a Address) *Chunk {
		if b := old.base(a); b != nil {
			return b
		}
		if byAddress == nil {
			byAddress = make(map[Address]*Chunk, len(old.Chunks))
			for i := range old.Chunks {
				byAddress[old.Chunks[i].Address] = &old.Chunks[i]
			}
		}
		return byAddress[a]
	}
	needed := make(map[Address]*Chunk)
	var need func(c *Chunk)
	need = func(c *Chunk) {
		for _, a := range c.Bases {
			if _, known := needed[a]; !known {
				b := find(a)
				needed[a] = b
				need(b)
			}
		}
	}
	for i := range chunks {
		need(&chunks[i])
	}
	if len(needed) == 0 {
		return nil
	}
	bases := make([]Chunk, 0, len(needed))
	for _, b := range needed {
		bases = append(bases, *b)
	}
	slices.SortFunc(bases, func(a, b Chunk) int { return a.compare(b.Address) })
	return bases
}

// placeSegments frees the places of segments that nothing needs any more and gives
// free ones to the new segments, whose chunks still have the packer's numbers.
func (m *Manifest) placeSegments(fresh []Segment) {
	used := make([]bool, len(m.Segments))
	for _, list := range [][]Chunk{m.Chunks, m.Bases} {
		for i := range list {
			if s := list[i].Segment; s < newSegment {
				used[s] = true
			}
		}
	}
	for i := range m.Segments {
		if !used[i] {
			m.Segments[i] = Segment{}
		}
	}
	places := make([]int, len(fresh))
	at := 0
	for n, s := range fresh {
		for at < len(m.Segments) && !m.Segments[at].Digest.IsZero() {
			at++
		}
		if at == len(m.Segments) {
			m.Segments = append(m.Segments, Segment{})
		}
		m.Segments[at], places[n] = s, at
	}
	for i := range m.Chunks {
		if s := m.Chunks[i].Segment; s >= newSegment {
			m.Chunks[i].Segment = places[s-newSegment]
		}
	}
	for n := len(m.Segments); n > 0 && m.Segments[n-1].Digest.IsZero(); n-- {
		m.Segments = m.Segments[:n-1]
	}
}
