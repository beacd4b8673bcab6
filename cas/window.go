package cas

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"

	"github.com/zeebo/blake3"

	"github.com/lashstore/lashstore"
)

// windowBytes is how much content is hashed and compressed at a time, by several
// processors.
const windowBytes = 2 << 20

// maxEncoders bounds the goroutines that compress one window, and with them memory.
const maxEncoders = 4

// window is part of the content: chunks that are read, and then encoded.
type window struct {
	raw    []byte
	ends   []int // where each chunk ends in raw
	pieces []piece
}

// splitMemory is what one Split uses and the next may use again: some 8 MiB.
type splitMemory struct {
	windows [2]window
	arenas  [maxEncoders][]byte // where the stored forms of a window lie
	cutting []byte
}

func (s *Store) borrow() *splitMemory {
	if m, ok := s.memories.Get().(*splitMemory); ok {
		return m
	}
	return new(splitMemory)
}

// giveBack keeps memory for later, and nothing that it refers to.
func (s *Store) giveBack(m *splitMemory) {
	for i := range m.windows {
		pieces := m.windows[i].pieces
		clear(pieces[:cap(pieces)])
	}
	s.memories.Put(m)
}

// piece is one chunk of a window.
type piece struct {
	raw    []byte
	chunk  Chunk
	stored []byte
	reused *Chunk // the predecessor's
	twin   int    // the equal chunk earlier in the content, or -1
	index  int    // in the window
	base   deltaBase
}

// errStopped ends the reading because the context is done; what ended the context
// says why.
var errStopped = errors.New("stopped")

// windows reads the content, one window ahead of the encoding.
type windows struct {
	ctx    context.Context //nolint:containedctx // of one Split
	cutter *cutter
	whole  *blake3.Hasher // nil if the digest is known
	carry  []byte         // a chunk that did not fit

	full   chan *window
	spare  chan *window
	reader sync.WaitGroup
	err    error // of the reading; set before full is closed
}

func newWindows(ctx context.Context, sp *splitter) (*windows, error) {
	cutter, err := newCutter(sp.r, sp.memory)
	if err != nil {
		return nil, err
	}
	ws := &windows{ctx: ctx, cutter: cutter, full: make(chan *window), spare: make(chan *window, 2)}
	if sp.opts.Digest.IsZero() {
		ws.whole = blake3.New()
	}
	sp.r.done = ws.stopped
	for i := range sp.memory.windows {
		w := &sp.memory.windows[i]
		if w.raw == nil {
			w.raw = make([]byte, 0, windowBytes)
		}
		ws.spare <- w
	}
	ws.reader.Go(ws.read)
	return ws, nil
}

// cutSmall returns the one window of content that is in memory.
func cutSmall(raw []byte, memory *splitMemory) (*window, error) {
	r := &contentReader{r: bytes.NewReader(raw), done: func() error { return nil }, limit: int64(len(raw))}
	cutter, err := newCutter(r, memory)
	if err != nil {
		return nil, err
	}
	w := &window{raw: raw}
	end := 0
	for {
		chunk, err := cutter.next()
		if errors.Is(err, io.EOF) {
			return w, nil
		}
		if err != nil {
			return nil, err
		}
		end += len(chunk)
		w.ends = append(w.ends, end)
	}
}

// stopped ends a read of the content between two calls of its reader.
func (ws *windows) stopped() error {
	if ws.ctx.Err() != nil {
		return errStopped
	}
	return nil
}

// read fills windows until the content ends.
func (ws *windows) read() {
	defer close(ws.full)
	for {
		var w *window
		select {
		case w = <-ws.spare:
		case <-ws.ctx.Done():
			ws.err = errStopped
			return
		}
		ended, err := ws.fill(w)
		if err != nil {
			ws.err = err
			return
		}
		if len(w.ends) > 0 {
			select {
			case ws.full <- w:
			case <-ws.ctx.Done():
				ws.err = errStopped
				return
			}
		}
		if ended {
			return
		}
	}
}

// fill reads the next chunks, up to a window of them.
func (ws *windows) fill(w *window) (ended bool, err error) {
	w.raw, w.ends = append(w.raw[:0], ws.carry...), w.ends[:0]
	if len(ws.carry) > 0 {
		w.ends = append(w.ends, len(w.raw))
		ws.carry = nil
	}
	for !ended {
		chunk, err := ws.cutter.next()
		if err == io.EOF { //nolint:errorlint // a wrapped EOF is a transfer that broke
			ended = true
			break
		}
		if err != nil {
			return false, err
		}
		if len(w.raw)+len(chunk) > windowBytes {
			ws.carry = append([]byte(nil), chunk...)
			break
		}
		w.raw = append(w.raw, chunk...)
		w.ends = append(w.ends, len(w.raw))
	}
	if ws.whole != nil {
		_, _ = ws.whole.Write(w.raw) // a hash never fails
	}
	return ended, nil
}

// next returns the next window, or false when there is none: the end or an error.
func (ws *windows) next(ctx context.Context) (*window, bool) {
	select {
	case w, ok := <-ws.full:
		return w, ok
	case <-ctx.Done():
		return nil, false
	}
}

// free gives a window back, to be filled again.
func (ws *windows) free(w *window) { ws.spare <- w } // has room for all

// close waits for the reading to end and returns its error. Only if the context is
// done may windows be left.
func (ws *windows) close() error {
	ws.reader.Wait()
	return ws.err
}

// compare hashes the window's chunks and finds them in the predecessor.
func (sp *splitter) compare(ctx context.Context, w *window) error {
	w.pieces = w.pieces[:0]
	at := 0
	for _, end := range w.ends {
		p := piece{raw: w.raw[at:end], twin: -1, index: len(w.pieces)}
		p.chunk.SizeBytes = int64(end - at)
		p.chunk.Digest, _ = sp.before.same(p.raw, int64(at))
		w.pieces = append(w.pieces, p)
		at = end
	}
	err := sp.parallel(ctx, w, func(_ int, p *piece) error {
		if p.chunk.Digest.IsZero() {
			p.chunk.Digest = lashstore.DigestOf(p.raw)
		}
		return nil
	})
	if err != nil {
		return err
	}
	sp.match(w)
	return nil
}

// encode encodes those of the window's chunks that are new.
func (sp *splitter) encode(ctx context.Context, w *window) error {
	compressible := sp.compressible()
	probeOnly := sp.dense >= maxMisses
	for i := range sp.memory.arenas {
		sp.memory.arenas[i] = sp.memory.arenas[i][:0]
	}
	err := sp.parallel(ctx, w, func(worker int, p *piece) error {
		if p.reused != nil || p.twin >= 0 {
			return nil
		}
		e := chunkEncoder{store: sp.store, compress: compressible && (!probeOnly || p.index%probeEvery == 0)}
		arena := sp.memory.arenas[worker]
		if cap(arena)-len(arena) < 2*len(p.raw)+64 {
			arena = make([]byte, 0, max(windowBytes/maxEncoders, 4*maxChunkBytes))
		}
		from := len(arena)
		var err error
		arena, p.chunk.Form, err = e.encode(arena, p.raw, p.base.content, p.base.whole, p.base.chain)
		if err != nil {
			return err
		}
		if p.chunk.Form == FormDelta {
			p.chunk.Bases = p.base.chunks
		}
		p.stored = arena[from:len(arena):len(arena)]
		if p.chunk.Form == FormRaw {
			p.stored = p.raw
		}
		sp.memory.arenas[worker] = arena
		return nil
	})
	if err != nil {
		return err
	}
	sp.countMisses(w)
	return nil
}

// compressible reports whether chunks are compressed: not those that say they are
// compressed already, and nothing where latency counts most.
func (sp *splitter) compressible() bool {
	_, ok := threshold(sp.store.opts.Profile)
	return ok && sp.opts.Descriptor.Hints.Compressible
}

// Deltas, and compressing, are given up for a while after maxMisses in a row were not
// worth it, but for one in probeEvery: content that was replaced has nothing to gain
// from deltas, nor what is compressed already from being compressed.
const (
	maxMisses  = 32
	probeEvery = 16
)

// match finds each chunk of the window in the content so far and the predecessor.
func (sp *splitter) match(w *window) {
	_, deltas := threshold(sp.store.opts.Profile) // not where latency counts most
	for i := range w.pieces {
		p := &w.pieces[i]
		n := len(sp.chunks) + i
		reused, again := sp.before.find(p.chunk.Digest, p.chunk.SizeBytes)
		if twin, ok := sp.fresh[p.chunk.Digest]; ok {
			p.twin = twin
			continue
		}
		if reused != nil {
			p.reused = reused
			continue
		}
		sp.fresh[p.chunk.Digest] = n
		if again || !deltas || sp.misses >= maxMisses && n%probeEvery != 0 {
			continue
		}
		if base, ok := sp.before.base(p.chunk.SizeBytes); ok {
			p.base = base
		}
	}
}

// countMisses keeps count of deltas that were tried in vain, and of chunks that did
// not compress.
func (sp *splitter) countMisses(w *window) {
	for i := range w.pieces {
		p := &w.pieces[i]
		switch {
		case p.base.content == nil:
		case p.chunk.Form == FormDelta:
			sp.misses = 0
		default:
			sp.misses++
		}
		switch {
		case p.reused != nil || p.twin >= 0 || p.chunk.Form == FormDelta:
		case p.chunk.Form == FormZstd:
			sp.dense = 0
		default:
			sp.dense++
		}
	}
}

// parallel does work for each piece, by several goroutines if there are many.
func (sp *splitter) parallel(ctx context.Context, w *window, work func(worker int, p *piece) error) error {
	workers := min(sp.store.opts.Concurrency, maxEncoders, 1+len(w.pieces)/16)
	var (
		next  atomic.Int64
		group sync.WaitGroup
		errs  [maxEncoders]error
	)
	run := func(worker int) {
		for ctx.Err() == nil {
			i := int(next.Add(1)) - 1
			if i >= len(w.pieces) {
				return
			}
			if errs[worker] = work(worker, &w.pieces[i]); errs[worker] != nil {
				return
			}
		}
	}
	for worker := 1; worker < workers; worker++ {
		group.Go(func() { run(worker) })
	}
	run(0)
	group.Wait()
	return errors.Join(append(errs[:], ctx.Err())...)
}
