package cas

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sort"

	"lukechampine.com/blake3"

	"github.com/lashstore/lashstore"
)

// Join returns a reader of the content that m describes. generation tells, for a
// chunk's digest, which object holds it; it is called before Join returns, and a
// chunk it does not know is [lashstore.ErrBlobNotFound]. Nothing is read yet.
//
// Each chunk is verified before any of its bytes are served. Read from start to
// end, the whole content is verified too, before the last chunk is served. A
// reader that started at 0 fetches the next chunk once it is half through the
// current one. After a Seek to another place it fetches only chunks that a Read
// asked for, so that a range costs what it needs. ctx governs the reader until it
// is closed. Close stops what is being fetched and waits for it.
func (s *Store) Join(ctx context.Context, m Manifest, generation func(lashstore.Digest) (Generation, bool),
) (lashstore.BlobReader, error) {
	if err := m.Validate(); err != nil {
		return nil, fmt.Errorf("join content: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("join content %s: %w", m.Digest, err)
	}
	names, starts := make([]ObjectName, len(m.Chunks)), make([]int64, len(m.Chunks))
	var at int64
	for i, c := range m.Chunks {
		g, ok := generation(c.Digest)
		if !ok {
			return nil, fmt.Errorf("join content %s: chunk %d: %w: %s has no object", m.Digest, i,
				lashstore.ErrBlobNotFound, c.Digest)
		}
		names[i], starts[i] = ObjectName{Digest: c.Digest, Generation: g}, at
		at += c.SizeBytes
	}
	ctx, cancel := context.WithCancel(ctx)
	return &joined{
		manifest: m, starts: starts, metrics: s.opts.Metrics, current: -1,
		ended: ctx.Err, cancel: cancel,
		fetch: func(i int, buf []byte) ([]byte, error) { return s.fetchChunk(ctx, m, i, names[i], buf) },
		fetchAhead: func(i int, buf []byte) *readAhead {
			ctx, cancel := context.WithCancel(ctx)
			ahead := &readAhead{index: i, cancel: cancel, result: make(chan fetched, 1)}
			go func() {
				raw, err := s.fetchChunk(ctx, m, i, names[i], buf)
				ahead.result <- fetched{raw: raw, err: err}
			}()
			return ahead
		},
	}, nil
}

// fetchChunk returns the verified content of chunk i.
func (s *Store) fetchChunk(ctx context.Context, m Manifest, i int, name ObjectName, buf []byte) ([]byte, error) {
	raw, err := s.getInto(ctx, name, buf)
	if err == nil && int64(len(raw)) != m.Chunks[i].SizeBytes {
		err = &lashstore.CorruptBlobError{
			Digest: m.Digest, Key: manifestKey,
			Reason: fmt.Sprintf("chunk %d has %d bytes, the manifest says %d", i, len(raw), m.Chunks[i].SizeBytes),
		}
		s.opts.Metrics.countCorrupt(err)
	}
	if err != nil {
		return nil, fmt.Errorf("content %s, chunk %d: %w", m.Digest, i, err)
	}
	return raw, nil
}

// joined reads content chunk by chunk.
type joined struct {
	manifest   Manifest
	starts     []int64 // where each chunk begins
	metrics    *Metrics
	ended      func() error // the context's error
	cancel     context.CancelFunc
	fetch      func(i int, buf []byte) ([]byte, error)
	fetchAhead func(i int, buf []byte) *readAhead

	pos      int64
	expected int64 // where the next Read goes if nobody seeks
	jumped   bool  // the reader does not read from the start on
	current  int   // index of chunk, -1 for none
	chunk    []byte
	spare    []byte     // memory for the next chunk
	ahead    *readAhead // the chunk that is being fetched, if any
	hash     *blake3.Hasher
	hashed   int   // how many chunks, from the first on, are in hash
	damage   error // what was found corrupt stays corrupt
	closed   bool
}

type readAhead struct {
	index  int
	cancel context.CancelFunc
	result chan fetched
}

type fetched struct {
	raw []byte
	err error
}

// Ref names the content.
func (r *joined) Ref() lashstore.BlobRef { return r.manifest.Ref() }

// Read implements [io.Reader]. It returns at most the rest of one chunk.
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
	r.jumped = r.pos != 0 && (r.jumped || r.pos != r.expected)
	// The last chunk that starts at or before pos.
	i := sort.Search(len(r.starts), func(i int) bool { return r.starts[i] > r.pos }) - 1
	if err := r.load(i); err != nil {
		if errors.Is(err, lashstore.ErrCorruptBlob) {
			r.damage = err
		}
		return 0, err
	}
	offset := r.pos - r.starts[i]
	r.startAhead(i, offset+int64(len(p)))
	n := copy(p, r.chunk[offset:])
	r.pos += int64(n)
	r.expected = r.pos
	return n, nil
}

// startAhead begins to fetch the chunk after i, if a Read up to end, counted from
// the start of chunk i, is reason enough.
func (r *joined) startAhead(i int, end int64) {
	enough := r.manifest.Chunks[i].SizeBytes
	if !r.jumped {
		enough /= 2
	}
	if r.ahead != nil || end <= enough || i+1 == len(r.starts) {
		return
	}
	r.ahead = r.fetchAhead(i+1, r.spare)
	r.spare = nil
}

// load makes chunk i the current one, verified.
func (r *joined) load(i int) error {
	if r.current == i {
		return nil
	}
	var got fetched
	if r.ahead != nil && r.ahead.index == i {
		got = <-r.ahead.result
		r.ahead.cancel()
		r.ahead = nil
	} else {
		r.dropAhead()
		got.raw, got.err = r.fetch(i, r.spare)
		r.spare = nil
	}
	if got.err != nil {
		return got.err
	}
	if err := r.hashWhole(i, got.raw); err != nil {
		return err
	}
	r.current, r.chunk, r.spare = i, got.raw, r.chunk
	return nil
}

// dropAhead stops a fetch that nobody needs, and waits for it.
func (r *joined) dropAhead() {
	if r.ahead == nil {
		return
	}
	r.ahead.cancel()
	<-r.ahead.result
	r.ahead = nil
}

// hashWhole adds a chunk to the digest of the whole content if all before it have
// been added, and checks the digest with the last one. The digest of a single
// chunk is the content's and has been checked.
func (r *joined) hashWhole(i int, raw []byte) error {
	if len(r.starts) == 1 {
		return nil
	}
	if i == 0 {
		r.hash, r.hashed = blake3.New(lashstore.DigestSize, nil), 0
	}
	if i != r.hashed {
		return nil
	}
	_, _ = r.hash.Write(raw) // a hash never fails
	if r.hashed++; r.hashed < len(r.starts) {
		return nil
	}
	got, err := lashstore.DigestFromBytes(r.hash.Sum(nil))
	if err == nil && got != r.manifest.Digest {
		err = &lashstore.CorruptBlobError{
			Digest: r.manifest.Digest, Key: manifestKey,
			Reason: "the chunks are whole, but together they have the digest " + got.String(),
		}
		r.metrics.countCorrupt(err)
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
	r.pos = pos
	return pos, nil
}

// Close stops and waits for what is being fetched.
func (r *joined) Close() error {
	if !r.closed {
		r.closed = true
		r.cancel()
		r.dropAhead()
		r.chunk, r.spare = nil, nil
	}
	return nil
}
