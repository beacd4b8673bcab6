package cas

import (
	"cmp"
	"context"
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

	// under returns a context for what outlives a span; it ends with the reader's.
	under     func() (context.Context, context.CancelFunc)
	receivers sync.WaitGroup // of segments

	mu   sync.Mutex
	kept []*keptSegment // guarded by mu: oldest first
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
	f.dropKept()
	return true
}

// parts are what a span needs from the store.
type parts struct {
	fetcher *fetcher
	pinFrom int64 // how much of a span a segment must have to be pinned

	mu       sync.Mutex
	stored   map[Address]storedChunk // guarded by mu while fetching
	raw      map[Address][]byte      // bases that are decoded, and objects
	segments []*keptSegment          // guarded by mu while fetching: in use
	large    []*keptSegment          // of these, those that may be pinned
}

// storedChunk is where a chunk's stored bytes are.
type storedChunk struct {
	bytes []byte
	in    *keptSegment // nil if they lie elsewhere
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
	bytes, err := p.fetcher.store.getRange(ctx, p.fetcher.names[segment], from, last.Offset+last.StoredBytes-from)
	if err != nil {
		return err
	}
	p.share(run, bytes, from, nil)
	return nil
}

// share notes where the stored bytes of chunks are.
func (p *parts) share(list []*Chunk, bytes []byte, from int64, in *keptSegment) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range list {
		p.stored[c.Address] = storedChunk{bytes: bytes[c.Offset-from:][:c.StoredBytes:c.StoredBytes], in: in}
	}
}

// decode appends the verified content of a chunk to out.
func (p *parts) decode(out []byte, c *Chunk) ([]byte, error) {
	if raw, ok := p.raw[c.Address]; ok {
		return append(out, raw...), nil
	}
	at, stored := len(out), p.stored[c.Address].bytes
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
	if err != nil {
		return nil, p.corrupt(c, err)
	}
	return out, p.verify(c, out[at:])
}

// verify checks the content of a chunk.
func (p *parts) verify(c *Chunk, content []byte) error {
	if got := lashstore.DigestOf(content); got != c.Digest {
		return p.corrupt(c, fmt.Errorf("the content has the digest %s", got))
	}
	return nil
}

func (p *parts) corrupt(c *Chunk, err error) error {
	return &lashstore.CorruptBlobError{
		Digest: c.Digest, Key: p.fetcher.store.opts.Prefix + p.fetcher.names[c.Segment].Key(),
		Reason: fmt.Sprintf("%d bytes at %d: %v", c.StoredBytes, c.Offset, err),
	}
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

// getRange returns length bytes of a segment's payload. They are not verified: the
// chunks in them are.
func (s *Store) getRange(ctx context.Context, name ObjectName, offset, length int64) ([]byte, error) {
	stored := make([]byte, length)
	return stored, s.receiveRange(ctx, name, offset, stored, func(int64) {})
}

// receiveRange fills stored with a segment's payload from offset on. progress is told
// how much has been received, every now and then and at the end.
func (s *Store) receiveRange(ctx context.Context, name ObjectName, offset int64, stored []byte, progress func(int64)) (err error) {
	done := s.opts.Metrics.start(opGet, s.opts.Now)
	defer func() { done(err) }()
	key, err := s.key(ctx, opGet, name)
	if err != nil {
		return err
	}
	length := int64(len(stored))
	body, err := s.driver.Get(ctx, key, HeaderBytes+offset, length)
	if err != nil {
		return notFound(name, translate(opGet, key, err))
	}
	received := 0
	for err == nil && received < len(stored) {
		var n int
		n, err = io.ReadFull(body, stored[received:min(received+receivedAtATime, len(stored))])
		if received += n; err == nil {
			progress(int64(received))
		}
	}
	if closeErr := body.Close(); err == nil && closeErr != nil {
		err = closeErr
	}
	if err == io.EOF || err == io.ErrUnexpectedEOF { //nolint:errorlint // a wrapped EOF is a transfer that broke
		return &lashstore.CorruptBlobError{
			Digest: name.Digest, Key: key,
			Reason: fmt.Sprintf("the segment ends %d bytes after %d, the manifest needs %d", received, offset, length),
		}
	}
	if err != nil {
		return translate(opGet, key, err)
	}
	s.opts.Metrics.addBytes(opGet, length, length)
	return nil
}
