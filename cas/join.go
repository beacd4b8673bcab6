package cas

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sort"

	"github.com/zeebo/blake3"

	"github.com/lashstore/lashstore"
)

// How much a reader fetches at a time.
const (
	// firstSpan is what a reader that begins at the start fetches first: little, for
	// those that want only that, and enough for most contents as a whole.
	firstSpan = 256 << 10
	// bulkRead is how much a first Read asks for if it is a copy's: [io.Copy] has a
	// buffer of this size. It is taken to go on to the end.
	bulkRead = 32 << 10
	// maxSpan is what one that reads on and on fetches at a time, spansAhead of them
	// before they are asked for: three segments of content that does not compress.
	maxSpan    = 1 << 20
	spansAhead = 12
)

// Join returns a reader of the content that m describes. generation tells, for a
// digest, which object holds it; it is called before Join returns, and a digest it
// does not know is [lashstore.ErrBlobNotFound]. Nothing is read yet.
//
// Each chunk is verified before any of its bytes are served. The digest of the whole
// is not computed again: which chunks the content has, and in what order, is what the
// manifest says, which has been verified or lies with its holder. [Store.JoinWhole]
// trusts no manifest.
//
// After a Seek, a Read fetches the chunks that it asked for and no more: ranges of
// their segments. A reader that goes on fetches more and more at a time and then,
// several requests in parallel, ahead of what is read; that takes up to 32 MiB. One
// whose first Read asks for 32 KiB or more is taken to go on. ctx governs the reader
// until it is closed. Close stops what is being fetched and waits for it.
func (s *Store) Join(ctx context.Context, m *Manifest, generation func(lashstore.Digest) (Generation, bool),
) (lashstore.BlobReader, error) {
	return s.join(ctx, m, generation, false)
}

// JoinWhole is [Store.Join] with a reader that, read from start to end, verifies the
// digest of the whole content too, before its last bytes are served: a manifest that
// puts the wrong chunks together is a [lashstore.CorruptBlobError]. It is for those
// who check what is stored: it costs a second pass of hashing over all bytes, up to a
// quarter of the throughput.
func (s *Store) JoinWhole(ctx context.Context, m *Manifest, generation func(lashstore.Digest) (Generation, bool),
) (lashstore.BlobReader, error) {
	return s.join(ctx, m, generation, true)
}

func (s *Store) join(ctx context.Context, m *Manifest, generation func(lashstore.Digest) (Generation, bool), whole bool,
) (lashstore.BlobReader, error) {
	if err := m.Validate(); err != nil {
		return nil, fmt.Errorf("join content: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("join content %s: %w", m.Digest, err)
	}
	f := &fetcher{store: s, manifest: m, names: make([]ObjectName, len(m.Segments)), used: m.used(), starts: m.starts()}
	for i, segment := range m.Segments {
		if segment.Digest.IsZero() {
			continue
		}
		g, ok := generation(segment.Digest)
		if !ok {
			return nil, fmt.Errorf("join content %s: segment %d: %w: %s has no object", m.Digest, i,
				lashstore.ErrBlobNotFound, segment.Digest)
		}
		f.names[i] = ObjectName{Digest: segment.Digest, Generation: g}
	}
	ctx, cancel := context.WithCancel(ctx)
	f.under = func() (context.Context, context.CancelFunc) { return context.WithCancel(ctx) }
	return &joined{
		fetcher: f, manifest: m, metrics: s.opts.Metrics, whole: whole, span: firstSpan, cancel: cancel, ended: ctx.Err,
		start: func(from, to int, goesOn bool) *spanFetch { return f.start(ctx, from, to, goesOn) },
	}, nil
}

// joined reads content span by span. A span is a run of chunks.
type joined struct {
	fetcher  *fetcher
	manifest *Manifest
	metrics  *Metrics
	whole    bool         // verify the digest of the whole, too
	ended    func() error // the context's error
	cancel   context.CancelFunc
	start    func(from, to int, goesOn bool) *spanFetch

	pos    int64
	span   int64        // how much to fetch next, if the reader goes on
	ahead  []*spanFetch // being fetched: first what comes next
	now    *spanFetch   // what is read at present, done
	hash   *blake3.Hasher
	hashed int   // how many chunks, from the first on, are in hash
	damage error // what was found corrupt stays corrupt
	closed bool
}

// Ref names the content.
func (r *joined) Ref() lashstore.BlobRef { return r.manifest.Ref() }

// Read implements [io.Reader]. It returns at most the rest of one span.
func (r *joined) Read(p []byte) (int, error) {
	switch {
	case r.closed:
		return 0, fmt.Errorf("read content %s: %w", r.manifest.Digest, lashstore.ErrClosed)
	case r.damage != nil:
		return 0, r.damage
	case len(p) == 0:
		return 0, nil
	case r.pos >= r.manifest.SizeBytes:
		return 0, io.EOF
	}
	if err := r.ended(); err != nil {
		return 0, fmt.Errorf("read content %s: %w", r.manifest.Digest, err)
	}
	if r.now == nil || !r.now.has(r.pos) {
		if err := r.load(int64(len(p))); err != nil {
			if errors.Is(err, lashstore.ErrCorruptBlob) {
				r.damage = err
				r.metrics.countCorrupt(err)
			}
			return 0, fmt.Errorf("read content %s: %w", r.manifest.Digest, err)
		}
	}
	n := r.now.read(p, r.pos)
	r.pos += int64(n)
	return n, nil
}

// load makes the span at pos the current one, verified. want is how much the caller
// asks for.
func (r *joined) load(want int64) error {
	switch {
	case len(r.ahead) > 0 && r.ahead[0].offset != r.pos || r.now != nil && r.now.end() != r.pos:
		r.drop() // the reader jumped
		r.span = 0
	case r.now == nil && len(r.ahead) == 0 && r.pos == 0 && r.span == firstSpan && want >= bulkRead:
		r.span = maxSpan
	case r.now != nil && r.now.offset == 0:
		r.span = maxSpan // it wants more than the start
	case r.now != nil:
		r.span = min(2*r.span, maxSpan)
	}
	if len(r.ahead) == 0 {
		r.ahead = append(r.ahead, r.begin(r.pos, max(want, r.span)))
	}
	next := r.ahead[0]
	r.span = max(r.span, min(next.length, maxSpan/2))
	for r.span == maxSpan && len(r.ahead) < spansAhead {
		last := r.ahead[len(r.ahead)-1]
		if last.end() == r.manifest.SizeBytes {
			break
		}
		r.ahead = append(r.ahead, r.begin(last.end(), r.span))
	}
	<-next.done
	r.ahead = r.ahead[1:]
	r.fetcher.release(r.now)
	r.now = nil
	if next.err == nil {
		next.err = r.hashWhole(next)
	}
	if next.err != nil {
		r.fetcher.release(next)
		return next.err
	}
	r.now = next
	return nil
}

// begin begins to fetch a span: the chunks that have the given bytes, up to maxSpan.
func (r *joined) begin(offset, want int64) *spanFetch {
	starts := r.fetcher.starts
	// The last chunk that starts at or before offset.
	from := sort.Search(len(starts), func(i int) bool { return starts[i] > offset }) - 1
	end := min(offset+min(want, maxSpan), r.manifest.SizeBytes)
	to := max(from+1, sort.Search(len(starts), func(i int) bool { return starts[i] >= end }))
	return r.start(from, to, r.span >= maxSpan/2)
}

// drop stops fetches that nobody needs, and waits for them.
func (r *joined) drop() {
	for _, f := range r.ahead {
		f.cancel()
	}
	for _, f := range r.ahead {
		<-f.done
		r.fetcher.release(f)
	}
	r.fetcher.release(r.now)
	r.ahead, r.now = nil, nil
}

// hashWhole adds a span to the digest of the whole content if all before it has
// been added, and checks the digest with the last one. The digest of a single chunk
// is the content's and has been checked.
func (r *joined) hashWhole(f *spanFetch) error {
	if !r.whole || len(r.manifest.Chunks) == 1 {
		return nil
	}
	if f.from == 0 {
		r.hash, r.hashed = blake3.New(), 0
	}
	if f.from != r.hashed || r.hash == nil {
		return nil
	}
	for i := range f.pieces {
		_, _ = r.hash.Write(f.pieces[i].bytes) // a hash never fails
	}
	if r.hashed = f.to; r.hashed < len(r.manifest.Chunks) {
		return nil
	}
	got, err := lashstore.DigestFromBytes(r.hash.Sum(nil))
	r.hash = nil
	if err == nil && got != r.manifest.Digest {
		err = &lashstore.CorruptBlobError{
			Digest: r.manifest.Digest, Key: manifestKey,
			Reason: "the chunks are whole, but together they have the digest " + got.String(),
		}
	}
	return err
}

// Seek implements [io.Seeker]. A position beyond the end reads as the end.
func (r *joined) Seek(offset int64, whence int) (int64, error) {
	if r.closed {
		return 0, fmt.Errorf("seek in content %s: %w", r.manifest.Digest, lashstore.ErrClosed)
	}
	pos, err := seekPosition(offset, whence, r.pos, r.manifest.SizeBytes)
	if err != nil {
		return 0, fmt.Errorf("seek in content %s: %w", r.manifest.Digest, err)
	}
	if r.now == nil && len(r.ahead) == 0 && pos != r.pos {
		r.span = 0 // nothing was read yet: a range
	}
	r.pos = pos
	return pos, nil
}

// Close stops and waits for what is being fetched.
func (r *joined) Close() error {
	if !r.closed {
		r.closed = true
		r.cancel()
		r.drop()
		r.fetcher.receivers.Wait()
		r.fetcher.dropKept()
	}
	return nil
}
