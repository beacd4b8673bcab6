package cas

import (
	"context"
	"errors"
	"fmt"
	"sort"

	"github.com/lashstore/lashstore"
)

// worthPinning: a span refers to the memory of a segment that has at least 1 in
// worthPinning of it. Otherwise a few chunks would keep all of a segment.
const worthPinning = 4

// spanFetch is a run of chunks on its way.
type spanFetch struct {
	from, to int  // chunks
	goesOn   bool // the reader reads on and on
	offset   int64
	length   int64
	cancel   context.CancelFunc
	done     chan struct{} // closed when all below is set
	pieces   []spanPiece   // the content, in order
	raw      []byte        // memory of what was decoded
	pinned   []*keptSegment
	err      error
}

// spanPiece is content that lies in one piece: in the span's memory, or in a segment.
type spanPiece struct {
	end   int64 // in the content
	bytes []byte
}

func (f *spanFetch) end() int64         { return f.offset + f.length }
func (f *spanFetch) has(pos int64) bool { return pos >= f.offset && pos < f.end() }

// read copies content from pos on.
func (f *spanFetch) read(p []byte, pos int64) (n int) {
	i := sort.Search(len(f.pieces), func(i int) bool { return f.pieces[i].end > pos })
	for ; i < len(f.pieces) && n < len(p); i++ {
		piece := &f.pieces[i]
		n += copy(p[n:], piece.bytes[int64(len(piece.bytes))-(piece.end-pos-int64(n)):])
	}
	return n
}

// add adds verified content: memory, from at on, is the last of it. A piece that goes
// on where the one before ends in the same memory becomes part of that.
func (f *spanFetch) add(memory []byte, at int) {
	size := int64(len(memory) - at)
	end := f.offset + size
	if last := len(f.pieces) - 1; last >= 0 {
		end = f.pieces[last].end + size
		if before := f.pieces[last].bytes; at >= len(before) && &memory[at-1] == &before[len(before)-1] {
			f.pieces[last] = spanPiece{end: end, bytes: memory[at-len(before) : len(memory) : len(memory)]}
			return
		}
	}
	f.pieces = append(f.pieces, spanPiece{end: end, bytes: memory[at:len(memory):len(memory)]})
}

// start begins to fetch the chunks from to to.
func (f *fetcher) start(ctx context.Context, from, to int, goesOn bool) *spanFetch {
	ctx, cancel := context.WithCancel(ctx)
	s := &spanFetch{from: from, to: to, goesOn: goesOn, offset: f.starts[from], cancel: cancel, done: make(chan struct{})}
	for i := from; i < to; i++ {
		s.length += f.manifest.Chunks[i].SizeBytes
	}
	go func() {
		defer close(s.done)
		defer cancel()
		s.err = f.span(ctx, s)
		if errors.Is(s.err, lashstore.ErrCorruptBlob) && f.forget() {
			f.release(s)
			s.err = f.span(ctx, s)
		}
	}()
	return s
}

// span makes the verified content of chunks the span's.
func (f *fetcher) span(ctx context.Context, s *spanFetch) error {
	chunks := f.manifest.Chunks[s.from:s.to]
	parts := &parts{
		fetcher: f, pinFrom: s.length / worthPinning,
		stored: make(map[Address]storedChunk, len(chunks)), raw: make(map[Address][]byte),
	}
	defer func() { f.letGo(parts.segments) }()
	if err := parts.fetch(ctx, chunks, s.goesOn || s.length == f.manifest.SizeBytes); err != nil {
		return err
	}
	s.pinned = f.pin(parts.large)
	for i := range chunks {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := parts.serve(s, &chunks[i]); err != nil {
			return fmt.Errorf("chunk %d: %w", s.from+i, err)
		}
	}
	return nil
}

// serve adds the verified content of a chunk to a span. One that is stored as it is
// stays where it is if its segment is pinned.
func (p *parts) serve(s *spanFetch, c *Chunk) error {
	if stored := p.stored[c.Address]; c.Form == FormRaw && stored.in != nil && stored.in.pinned(s) {
		at := int(c.Offset)
		if err := p.verify(c, stored.bytes); err != nil {
			return err
		}
		s.add(stored.in.payload[:at+len(stored.bytes)], at)
		return nil
	}
	if s.raw == nil {
		s.raw = p.fetcher.store.spanMemory(s.length)
	}
	at := len(s.raw)
	raw, err := p.decode(s.raw, c)
	if err != nil {
		return err
	}
	s.raw = raw
	s.add(raw, at)
	return nil
}

// release gives back what a span holds.
func (f *fetcher) release(s *spanFetch) {
	if s == nil {
		return
	}
	f.letGo(s.pinned)
	if cap(s.raw) > maxSpan {
		raw := s.raw
		f.store.spans.Put(&raw)
	}
	s.pinned, s.pieces, s.raw = nil, nil, nil
}

// spanMemory returns memory for a span; release gives it back.
func (s *Store) spanMemory(length int64) []byte {
	if b, ok := s.spans.Get().(*[]byte); ok && int64(cap(*b)) >= length {
		return (*b)[:0]
	}
	if length > maxSpan/2 {
		return make([]byte, 0, max(length, maxSpan+maxChunkBytes))
	}
	return make([]byte, 0, length)
}
