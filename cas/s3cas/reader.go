package s3cas

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"

	"github.com/lashstore/lashstore"
)

// reader reads a range of an object and continues a transfer that breaks.
type reader struct {
	// What needs the context that Get was given.
	fetch func(offset, end int64, etag string) (answer, error)
	pause func(attempt int, cause error) error
	ended func() error // the context's error, translated
	fail  func(error) error
	// replaced is the error of an object that is another one by now.
	replaced func() error

	received func(int)
	attempts int // how many continuations are left
	broken   int // how many there were

	body     io.ReadCloser // nil between two transfers and at the end
	pos, end int64         // next byte, and where the range or the object ends
	etag     string
	err      error // sticky

	release sync.Once
	done    func()
}

func (d *Driver) newReader(ctx context.Context, key string, offset, length int64) *reader {
	end := int64(math.MaxInt64)
	if length > 0 && length < math.MaxInt64-offset {
		end = offset + length
	}
	return &reader{
		fetch: func(offset, end int64, etag string) (answer, error) { return d.fetch(ctx, key, offset, end, etag) },
		pause: func(attempt int, cause error) error { return d.pause(ctx, attempt, cause) },
		ended: func() error {
			if err := ctx.Err(); err != nil {
				return d.translate(ctx, opGet, key, err)
			}
			return nil
		},
		fail:     func(err error) error { return d.translate(ctx, opGet, key, err) },
		replaced: func() error { return d.replaced(key) },
		received: d.metrics.addReceived,
		attempts: d.opts.MaxAttempts,
		pos:      offset, end: end,
		done: d.readers.release,
	}
}

// start opens the first transfer, which tells where the object ends.
func (r *reader) start() error {
	a, err := r.fetch(r.pos, r.end, "")
	if err != nil {
		return err
	}
	r.end = max(r.pos, min(r.end, a.objectBytes))
	r.etag = a.etag
	r.body = a.body
	if r.pos == r.end {
		return r.stop()
	}
	return nil
}

// Read implements [io.Reader]. It ends with [io.EOF] only when every byte of the range
// that the object has was handed out.
func (r *reader) Read(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	if r.err = r.ended(); r.err != nil {
		return 0, r.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	for r.pos < r.end {
		if r.body == nil {
			if r.err = r.resume(); r.err != nil {
				return 0, r.err
			}
		}
		n, err := r.body.Read(p[:min(int64(len(p)), r.end-r.pos)])
		r.pos += int64(n)
		r.received(n)
		if err != nil && r.pos < r.end {
			r.err = r.breakOff(err)
		}
		if n > 0 || err == nil || r.err != nil {
			return n, r.finish()
		}
	}
	if r.err = r.stop(); r.err == nil {
		r.err = io.EOF
	}
	return 0, r.err
}

// finish frees what is held as soon as the last byte was read.
func (r *reader) finish() error {
	if r.pos == r.end && r.err == nil {
		r.err = r.stop()
	}
	return r.err
}

// breakOff ends a transfer before its end: to be continued, or for good.
func (r *reader) breakOff(cause error) error {
	closing := r.body.Close()
	r.body = nil
	if err := r.ended(); err != nil {
		return err
	}
	if errors.Is(cause, io.EOF) {
		cause = io.ErrUnexpectedEOF
	}
	r.broken++
	if r.broken > r.attempts {
		return r.fail(fmt.Errorf("transfer broke %d times, the last time %d bytes before the end: %w",
			r.broken, r.end-r.pos, errors.Join(cause, closing)))
	}
	if err := r.pause(r.broken, cause); err != nil {
		return r.fail(err)
	}
	return nil
}

// resume opens the next transfer.
func (r *reader) resume() error {
	a, err := r.fetch(r.pos, r.end, r.etag)
	if err != nil {
		return err
	}
	if a.body == nil || a.objectBytes < r.end {
		if a.body != nil {
			err = a.body.Close()
		}
		return errors.Join(r.replaced(), err)
	}
	r.body = a.body
	return nil
}

// Close implements [io.Closer]. It ends the transfer and frees its connection.
func (r *reader) Close() error {
	if r.err == nil {
		r.err = fmt.Errorf("read after close: %w", lashstore.ErrClosed)
	}
	return r.stop()
}

// stop closes the body and frees the slot, once.
func (r *reader) stop() error {
	var err error
	if r.body != nil {
		err = r.body.Close()
		r.body = nil
	}
	r.release.Do(r.done)
	if err != nil {
		return r.fail(err)
	}
	return nil
}
