package cas

import (
	"context"
	"fmt"
	"io"
	"sync"

	"lukechampine.com/blake3"

	"github.com/lashstore/lashstore"
)

const (
	// windowPieces is how many chunks are put at once: enough that a commit of some
	// MiB is one round of parallel uploads, at 8 MiB of buffers.
	windowPieces = 8
	// firstReadBytes is how much of a chunk's buffer is made at first. Most content
	// of the tier is little more than the inline limit of 8 KiB.
	firstReadBytes = 64 << 10
	// maxEmptyReads is how many reads in a row may bring nothing, as in package bufio.
	maxEmptyReads = 100
)

// window is up to eight chunks that are read and encoded, and then put.
type window struct {
	buffers  [windowPieces]*chunkBuffer
	pieces   [windowPieces]Piece
	errs     [windowPieces]error
	count    int
	encoding sync.WaitGroup
}

// chunkBuffer is the memory of one chunk.
type chunkBuffer struct {
	// plain has room for a header and then the content, so that content which is
	// stored raw is never copied. A zstd envelope is shorter and takes its place.
	plain []byte
	n     int // length of the content
}

func (b *chunkBuffer) raw() []byte { return b.plain[HeaderBytes : HeaderBytes+b.n] }

// grow makes room for more content: the double, up to one chunk.
func (b *chunkBuffer) grow() {
	size := HeaderBytes + min(max(firstReadBytes, 2*b.n), ChunkSize)
	if cap(b.plain) >= size {
		b.plain = b.plain[:size]
		return
	}
	grown := make([]byte, size)
	copy(grown, b.plain)
	b.plain = grown
}

// buffer returns the window's i-th buffer, empty.
func (s *Store) buffer(w *window, i int) *chunkBuffer {
	if w.buffers[i] == nil {
		b, ok := s.buffers.Get().(*chunkBuffer)
		if !ok {
			b = new(chunkBuffer)
		}
		w.buffers[i] = b
	}
	w.buffers[i].n = 0
	return w.buffers[i]
}

// release gives the window's memory back. Nobody may use its pieces any more.
func (s *Store) release(w *window) {
	for i, b := range w.buffers {
		if b != nil {
			w.buffers[i], w.pieces[i] = nil, Piece{}
			s.buffers.Put(b)
		}
	}
}

// fill reads and encodes the next chunks, up to a window of them. Chunks are
// encoded in other goroutines while the next ones are read; none is left running.
func (sp *splitter) fill(ctx context.Context, w *window) error {
	w.count = 0
	defer w.encoding.Wait()
	for w.count < windowPieces && !sp.ended {
		buf := sp.store.buffer(w, w.count)
		if err := sp.readChunk(ctx, buf); err != nil {
			return err
		}
		index := len(sp.chunks) + w.count
		if buf.n == 0 && index > 0 {
			break // the content ended with the chunk before
		}
		sp.hashWhole(index, buf) // before the buffer is encoded
		w.pieces[w.count] = Piece{Index: index}
		w.count++
		sp.encode(w, w.count-1)
	}
	w.encoding.Wait()
	for i := range w.count {
		if w.errs[i] != nil {
			return fmt.Errorf("encode chunk %d: %w", w.pieces[i].Index, w.errs[i])
		}
		sp.chunks = append(sp.chunks, w.pieces[i].Chunk)
	}
	return nil
}

// hashWhole adds a chunk to the digest of the whole content, unless it is all of it.
func (sp *splitter) hashWhole(index int, buf *chunkBuffer) {
	if index == 0 {
		if sp.ended {
			return
		}
		sp.whole = blake3.New(lashstore.DigestSize, nil)
	}
	_, _ = sp.whole.Write(buf.raw()) // a hash never fails
}

// encode hashes and encodes the window's i-th chunk: at once if it is the last,
// else in another goroutine as soon as one is allowed.
func (sp *splitter) encode(w *window, i int) {
	work := func() {
		w.errs[i] = sp.store.encodePiece(&w.pieces[i], w.buffers[i], sp.kind, sp.hints)
	}
	if sp.ended {
		work()
		return
	}
	sp.slots <- struct{}{}
	w.encoding.Go(func() {
		defer func() { <-sp.slots }()
		work()
	})
}

// encodePiece fills in the digest and the envelope of a chunk. The envelope lies in
// buf, so that memory beyond it is needed only while a chunk is encoded.
func (s *Store) encodePiece(p *Piece, buf *chunkBuffer, kind byte, hints lashstore.Hints) error {
	raw := buf.raw()
	p.Chunk = Chunk{Digest: lashstore.DigestOf(raw), SizeBytes: int64(len(raw))}
	scratch, ok := s.scratch.Get().(*[]byte)
	if !ok {
		scratch = new([]byte)
	}
	defer s.scratch.Put(scratch)
	packed, ok, err := s.tryCompress(*scratch, raw, kind, hints)
	if err != nil {
		return err
	}
	*scratch = packed
	if ok {
		p.Stored = buf.plain[:copy(buf.plain, packed)]
		return nil
	}
	p.Stored = buf.plain[:HeaderBytes+len(raw)]
	sealEnvelope(p.Stored, kind, CodecRaw, len(raw))
	return nil
}

// readChunk reads until buf holds a whole chunk or the content has ended.
func (sp *splitter) readChunk(ctx context.Context, buf *chunkBuffer) error {
	empty := 0
	for buf.n < ChunkSize {
		if ctx.Err() != nil {
			return errStopped
		}
		if HeaderBytes+buf.n >= len(buf.plain) {
			buf.grow()
		}
		room := buf.plain[HeaderBytes+buf.n:]
		n, err := sp.r.Read(room)
		if n < 0 || n > len(room) {
			return fmt.Errorf("read content: the reader returned %d for %d bytes", n, len(room))
		}
		buf.n += n
		sp.total += int64(n)
		if sp.total > sp.limit {
			return &lashstore.LimitError{Limit: "blob_bytes", Max: sp.limit, Got: sp.total}
		}
		if err == io.EOF { // not errors.Is: a wrapped EOF is a transfer that broke
			sp.ended = true
			return nil
		}
		if err != nil {
			return fmt.Errorf("read content at byte %d: %w", sp.total, err)
		}
		if empty++; n > 0 {
			empty = 0
		}
		if empty == maxEmptyReads {
			return fmt.Errorf("read content at byte %d: %w", sp.total, io.ErrNoProgress)
		}
	}
	return nil
}
