package cas

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/lashstore/lashstore"
)

const (
	// parallelGets is how many requests one span makes at a time.
	parallelGets = 8
	// maxGap is how many unneeded bytes are read rather than making two requests of
	// one: at 100 MB/s they cost a third of a millisecond, a request costs several.
	maxGap = 32 << 10
)

// fetcher gets chunks of one content.
type fetcher struct {
	store    *Store
	manifest *Manifest
	names    []ObjectName // of the segments
	used     []int64      // of the segments: stored bytes that the content needs
	starts   []int64      // of the chunks

	mu        sync.Mutex
	kept      map[int]*keptSegment // guarded by mu
	keptOrder []int                // guarded by mu: oldest first
	keptTotal int64                // guarded by mu
}

// spanFetch is a run of chunks on its way.
type spanFetch struct {
	from, to int  // chunks
	goesOn   bool // the reader reads on and on
	offset   int64
	length   int64
	cancel   context.CancelFunc
	done     chan struct{} // closed when raw and err are set
	raw      []byte
	err      error
}

func (f *spanFetch) end() int64         { return f.offset + f.length }
func (f *spanFetch) has(pos int64) bool { return pos >= f.offset && pos < f.end() }

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
		s.raw, s.err = f.span(ctx, s)
		if errors.Is(s.err, lashstore.ErrCorruptBlob) && f.forget() {
			s.raw, s.err = f.span(ctx, s)
		}
	}()
	return s
}

// spanMemory returns memory for a span; releaseSpan gives it back.
func (s *Store) spanMemory(length int64) []byte {
	if b, ok := s.spans.Get().(*[]byte); ok && int64(cap(*b)) >= length {
		return (*b)[:0]
	}
	if length > maxSpan/2 {
		return make([]byte, 0, max(length, maxSpan+maxChunkBytes))
	}
	return make([]byte, 0, length)
}

func (s *Store) releaseSpan(f *spanFetch) {
	if f != nil && cap(f.raw) > maxSpan {
		raw := f.raw
		f.raw = nil
		s.spans.Put(&raw)
	}
}

// forget drops what is remembered of the content's objects, here and in the driver,
// and reports whether it may be worth reading them again.
func (f *fetcher) forget() bool {
	var names []ObjectName
	for _, name := range f.names {
		if !name.Digest.IsZero() {
			names = append(names, name)
		}
	}
	if !f.store.forget(names...) {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.kept, f.keptOrder, f.keptTotal = nil, nil, 0
	return true
}

// span returns the verified content of chunks.
func (f *fetcher) span(ctx context.Context, s *spanFetch) ([]byte, error) {
	chunks := f.manifest.Chunks[s.from:s.to]
	parts := &parts{fetcher: f, stored: make(map[Address][]byte), raw: make(map[Address][]byte)}
	if err := parts.fetch(ctx, chunks, s.goesOn || s.length == f.manifest.SizeBytes); err != nil {
		return nil, err
	}
	raw := f.store.spanMemory(s.length)
	for i := range chunks {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		var err error
		if raw, err = parts.decode(raw, &chunks[i]); err != nil {
			return nil, fmt.Errorf("chunk %d: %w", s.from+i, err)
		}
	}
	return raw, nil
}

// parts are what a span needs from the store.
type parts struct {
	fetcher *fetcher

	mu     sync.Mutex
	stored map[Address][]byte // guarded by mu while fetching
	raw    map[Address][]byte // bases that are decoded, and objects
}

// fetch gets the stored bytes of chunks and of all that they are made against.
func (p *parts) fetch(ctx context.Context, chunks []Chunk, sequential bool) error {
	needed := make(map[Address]*Chunk, len(chunks))
	var need func(c *Chunk)
	need = func(c *Chunk) {
		if _, known := needed[c.Address]; known {
			return
		}
		needed[c.Address] = c
		for _, a := range c.Bases {
			need(p.fetcher.manifest.base(a))
		}
	}
	for i := range chunks {
		need(&chunks[i])
	}
	bySegment := make(map[int][]*Chunk)
	for _, c := range needed {
		bySegment[c.Segment] = append(bySegment[c.Segment], c)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallelGets)
	for segment, list := range bySegment {
		slices.SortFunc(list, func(a, b *Chunk) int { return cmp.Compare(a.Offset, b.Offset) })
		switch {
		case list[0].Form == FormObject:
			group.Go(func() error { return p.object(ctx, list[0]) })
		case sequential && p.fetcher.wanted(segment):
			group.Go(func() error { return p.whole(ctx, segment, list) })
		default:
			for _, run := range runs(list) {
				group.Go(func() error { return p.ranged(ctx, segment, run) })
			}
		}
	}
	return group.Wait()
}

// runs parts a segment's chunks, in order, where the gaps are not worth reading.
func runs(list []*Chunk) [][]*Chunk {
	var out [][]*Chunk
	begin := 0
	for i := 1; i <= len(list); i++ {
		if i == len(list) || list[i].Offset-(list[i-1].Offset+list[i-1].StoredBytes) > maxGap {
			out = append(out, list[begin:i])
			begin = i
		}
	}
	return out
}

// object gets a chunk that is an object of its own.
func (p *parts) object(ctx context.Context, c *Chunk) error {
	raw, err := p.fetcher.store.GetObject(ctx, p.fetcher.names[c.Segment])
	if err == nil && int64(len(raw)) != c.SizeBytes {
		err = &lashstore.CorruptBlobError{
			Digest: c.Digest, Key: manifestKey,
			Reason: fmt.Sprintf("the object has %d bytes, the manifest says %d", len(raw), c.SizeBytes),
		}
	}
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.raw[c.Address] = raw
	return nil
}

// ranged gets a run of chunks with one request.
func (p *parts) ranged(ctx context.Context, segment int, run []*Chunk) error {
	last := run[len(run)-1]
	from := run[0].Offset
	bytes, err := p.fetcher.store.getRange(ctx, p.fetcher.names[segment], from, last.Offset+last.StoredBytes-from, nil)
	if err != nil {
		return err
	}
	p.share(run, bytes, from)
	return nil
}

// share notes where the stored bytes of chunks are.
func (p *parts) share(list []*Chunk, bytes []byte, from int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range list {
		p.stored[c.Address] = bytes[c.Offset-from:][:c.StoredBytes:c.StoredBytes]
	}
}

// decode appends the verified content of a chunk to out.
func (p *parts) decode(out []byte, c *Chunk) ([]byte, error) {
	if raw, ok := p.raw[c.Address]; ok {
		return append(out, raw...), nil
	}
	at, stored := len(out), p.stored[c.Address]
	var err error
	switch c.Form {
	case FormRaw:
		out = append(out, stored...)
	case FormZstd:
		out, err = appendDecoded(out, int(c.SizeBytes), func(buf []byte) ([]byte, error) {
			return decompress(buf, stored, int(c.SizeBytes))
		})
	case FormDelta:
		var base []byte
		if base, err = p.base(c); err != nil {
			return nil, err
		}
		out, err = appendDecoded(out, int(c.SizeBytes), func(buf []byte) ([]byte, error) {
			return decompressDelta(buf, stored, base, int(c.SizeBytes))
		})
	default:
		err = fmt.Errorf("form %d is unknown", c.Form)
	}
	if err == nil {
		if got := lashstore.DigestOf(out[at:]); got != c.Digest {
			err = fmt.Errorf("the content has the digest %s", got)
		}
	}
	if err != nil {
		return nil, &lashstore.CorruptBlobError{
			Digest: c.Digest, Key: p.fetcher.store.opts.Prefix + p.fetcher.names[c.Segment].Key(),
			Reason: fmt.Sprintf("%d bytes at %d: %v", c.StoredBytes, c.Offset, err),
		}
	}
	return out, nil
}

// appendDecoded appends what decode makes in the free memory behind out.
func appendDecoded(out []byte, size int, decode func(buf []byte) ([]byte, error)) ([]byte, error) {
	out = slices.Grow(out, size)
	raw, err := decode(out[len(out) : len(out) : len(out)+size])
	if err != nil {
		return out, err
	}
	return append(out, raw...), nil // in place, unless the decoder took other memory
}

// base returns what a delta was made against.
func (p *parts) base(c *Chunk) ([]byte, error) {
	var all []byte
	for _, a := range c.Bases {
		raw, ok := p.raw[a]
		if !ok {
			var err error
			if raw, err = p.decode(nil, p.fetcher.manifest.base(a)); err != nil {
				return nil, err
			}
			p.raw[a] = raw
		}
		if len(c.Bases) == 1 {
			return raw, nil
		}
		all = append(all, raw...)
	}
	return all, nil
}

// getRange returns length bytes of a segment's payload, in the memory of stored where
// that is enough. They are not verified: the chunks in them are.
func (s *Store) getRange(ctx context.Context, name ObjectName, offset, length int64, stored []byte) (_ []byte, err error) {
	done := s.opts.Metrics.start(opGet, s.opts.Now)
	defer func() { done(err) }()
	key, err := s.key(ctx, opGet, name)
	if err != nil {
		return nil, err
	}
	body, err := s.driver.Get(ctx, key, HeaderBytes+offset, length)
	if err != nil {
		return nil, notFound(name, translate(opGet, key, err))
	}
	if int64(cap(stored)) < length {
		stored = make([]byte, length)
	}
	stored = stored[:length]
	n, err := io.ReadFull(body, stored)
	if closeErr := body.Close(); err == nil && closeErr != nil {
		err = closeErr
	}
	if err == io.EOF || err == io.ErrUnexpectedEOF { //nolint:errorlint // a wrapped EOF is a transfer that broke
		return nil, &lashstore.CorruptBlobError{
			Digest: name.Digest, Key: key,
			Reason: fmt.Sprintf("the segment ends %d bytes after %d, the manifest needs %d", n, offset, length),
		}
	}
	if err != nil {
		return nil, translate(opGet, key, err)
	}
	s.opts.Metrics.addBytes(opGet, length, length)
	return stored, nil
}
