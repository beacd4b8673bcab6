package diskcache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/lashstore/lashstore"
)

// reader reads a range of an object block by block. It is used by one goroutine.
type reader struct {
	cache   *Cache
	state   *keyState
	key     string
	ended   func() error // the context's error
	advance func() error // makes more bytes available, or finds the end

	pos, end   int64  // end is math.MaxInt64 for a range to the object's end
	bytes      []byte // of the current block, from pos on
	result     string // how the current block was got
	objectSize int64  // unknownSize until a block tells it
	atEnd      bool
	direct     io.ReadCloser // the rest of the range, from the tier
	file       *[]byte       // memory for block files
	used       bool          // bytes of the object may have been served
	err        error         // what failed once stays failed
	closed     bool

	// Cache.mu guards these, since leaving a flight may end it.
	puts    int
	flight  *flight
	started bool // the flight was begun by this reader
}

// open returns a reader whose first bytes are at hand.
func (c *Cache) open(ctx context.Context, key string, offset, end int64) (io.ReadCloser, error) {
	file, ok := c.buffers.Get().(*[]byte)
	if !ok {
		file = new([]byte)
	}
	r := &reader{
		cache: c, state: c.acquire(c.hashKey(key)), key: key, ended: ctx.Err,
		pos: offset, end: end, objectSize: unknownSize, file: file,
	}
	c.mu.Lock()
	r.puts = r.state.puts
	c.mu.Unlock()
	r.advance = func() error { return r.load(ctx) }
	if err := r.load(ctx); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// Read implements [io.Reader]. It returns at most the rest of one block.
func (r *reader) Read(p []byte) (int, error) {
	switch {
	case r.closed:
		return 0, fmt.Errorf("read %s: %w", r.key, lashstore.ErrClosed)
	case r.err != nil:
		return 0, r.err
	}
	if err := r.ended(); err != nil {
		return 0, r.fail(fmt.Errorf("read %s: %w", r.key, err))
	}
	for {
		switch {
		case len(p) == 0:
			return 0, nil
		case len(r.bytes) > 0:
			n := copy(p, r.bytes)
			r.bytes = r.bytes[n:]
			r.pos += int64(n)
			r.cache.metrics.bytes.WithLabelValues(r.result).Add(float64(n))
			return n, nil
		case r.direct != nil:
			n, err := r.direct.Read(p)
			r.cache.metrics.bytes.WithLabelValues(blockBypass).Add(float64(n))
			return n, err
		case r.atEnd || r.pos >= r.end || r.objectSize != unknownSize && r.pos >= r.objectSize:
			return 0, io.EOF
		}
		if err := r.advance(); err != nil {
			return 0, r.fail(err)
		}
	}
}

// fail keeps the first error, and lets go of what is being fetched.
func (r *reader) fail(err error) error {
	r.err = err
	r.leave()
	return err
}

// Close lets go of all that the reader holds.
func (r *reader) Close() error {
	if r.closed {
		return nil
	}
	r.closed = true
	r.leave()
	r.cache.release(r.state)
	r.cache.buffers.Put(r.file)
	r.file, r.bytes = nil, nil
	if r.direct != nil {
		return r.direct.Close()
	}
	return nil
}

func (r *reader) leave() {
	r.cache.mu.Lock()
	defer r.cache.mu.Unlock()
	r.cache.leaveLocked(r)
}

// load makes the block at pos the current one: from disk, from a flight, or not at
// all, when the rest is read from the tier.
func (r *reader) load(ctx context.Context) error {
	c, number := r.cache, r.pos/r.cache.opts.BlockBytes
	if r.pos >= maxCachedBytes {
		return r.bypass(ctx)
	}
	if r.fromDisk(ctx, number) {
		return nil
	}
	d := c.fetch(ctx, r, number)
	if d.retry {
		if r.fromDisk(ctx, number) {
			return nil
		}
		d.direct = true // evicted at once, or unreadable: better not to try again
	}
	switch {
	case d.err != nil:
		return d.err
	case d.direct:
		return r.bypass(ctx)
	case d.ended:
		r.atEnd = true
		return nil
	}
	result := blockMiss
	if d.shared {
		result = blockShared
	}
	r.use(d.block, result)
	return nil
}

// fromDisk uses the block of that number if it is cached.
func (r *reader) fromDisk(ctx context.Context, number int64) bool {
	b, ok := r.cache.readBlock(ctx, r.state.hash, number, r.file)
	if !ok {
		return false
	}
	r.use(b, r.diskResult(number))
	return true
}

// diskResult says how a block on disk counts: one that this read has fetched ahead is
// no hit.
func (r *reader) diskResult(number int64) string {
	r.cache.mu.Lock()
	defer r.cache.mu.Unlock()
	switch f := r.flight; {
	case f == nil || number < f.from || number >= f.to:
		return blockHit
	case r.started:
		return blockMiss
	default:
		return blockShared
	}
}

// use makes b the current block.
func (r *reader) use(b block, result string) {
	r.used, r.result = true, result
	if b.objectSize != unknownSize {
		r.objectSize = b.objectSize
	}
	start := b.number * r.cache.opts.BlockBytes
	length := int64(len(b.bytes))
	r.bytes = b.bytes[min(r.pos-start, length):min(r.end-start, length)]
	r.atEnd = len(r.bytes) == 0
	r.cache.metrics.blocks.WithLabelValues(result).Inc()
}

// bypass reads the rest of the range from the tier.
func (r *reader) bypass(ctx context.Context) error {
	r.cache.mu.Lock()
	err := r.cache.mayGoOnLocked(r)
	r.cache.leaveLocked(r)
	r.cache.mu.Unlock()
	if err != nil {
		return err
	}
	length := int64(-1)
	if r.end != math.MaxInt64 {
		length = r.end - r.pos
	}
	r.direct, err = r.cache.next.Get(ctx, r.key, r.pos, length)
	if err != nil {
		return fmt.Errorf("get %s past the disk cache: %w", r.key, err)
	}
	r.used = true
	r.cache.metrics.blocks.WithLabelValues(blockBypass).Inc()
	return nil
}
