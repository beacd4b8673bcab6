package cas

import (
	"context"
	"errors"
	"fmt"
	"io"

	"lukechampine.com/blake3"

	"github.com/lashstore/lashstore"
)

// Piece is one chunk of content on its way to the store.
type Piece struct {
	Chunk
	Index  int    // position in the manifest, from 0
	Stored []byte // the chunk's envelope; valid until put returns
}

// Split reads r to its end, cuts the content into chunks, encodes them and calls
// put with up to eight at a time, in order, never twice at once. Equal chunks of
// one content come as often as they occur. While one window is being put, the next
// is read and encoded, and no more than that, so a slow put slows the reading, and
// memory is bounded by two windows (16 MiB) whatever the size; content of one
// chunk needs no more than itself. put may be called from another goroutine than
// Split's, but not after Split has returned; it must not keep the pieces or what
// they refer to.
//
// maxBytes bounds the content; 0 means [lashstore.MaxBlobBytes], which also bounds
// maxBytes. More content is a [*lashstore.LimitError] for "blob_bytes", whose Got
// is how much had been read. Errors of r and of put are returned wrapped. After an
// error, earlier windows may have been put. Split waits for a Read or a put that
// is under way, so end those to end Split early.
func (s *Store) Split(ctx context.Context, r io.Reader, d lashstore.Descriptor, maxBytes int64,
	put func(ctx context.Context, pieces []Piece) error,
) (Manifest, error) {
	kind, err := checkEncode(nil, d)
	if err != nil {
		return Manifest{}, err
	}
	if maxBytes < 0 {
		return Manifest{}, lashstore.Invalid("max_bytes", maxBytes, "must not be negative")
	}
	if maxBytes == 0 || maxBytes > lashstore.MaxBlobBytes {
		maxBytes = lashstore.MaxBlobBytes
	}
	sp := &splitter{
		store: s, r: r, kind: kind, hints: d.Hints, limit: maxBytes,
		slots: make(chan struct{}, s.opts.Concurrency),
	}
	if err := sp.run(ctx, put); err != nil {
		return Manifest{}, fmt.Errorf("split content: %w", err)
	}
	return sp.finish()
}

// splitter is the state of one Split. Only the goroutine that reads uses it.
type splitter struct {
	store *Store
	r     io.Reader
	kind  byte
	hints lashstore.Hints
	limit int64
	slots chan struct{} // one for each chunk that is being encoded

	total  int64
	ended  bool // r is at its end
	chunks []Chunk
	// whole hashes the content. It is not needed for a single chunk, whose digest is
	// the content's.
	whole *blake3.Hasher
}

// errStopped ends the reading because the context is done; what ended the context
// says why.
var errStopped = errors.New("stopped")

// run reads all windows and has them put. Content of one window is put without
// another goroutine.
func (sp *splitter) run(ctx context.Context, put func(context.Context, []Piece) error) error {
	first := new(window)
	defer sp.store.release(first)
	if err := sp.fill(ctx, first); err != nil {
		return stopCause(ctx, err, nil)
	}
	if sp.ended {
		return putWindow(ctx, first, put)
	}
	second := new(window)
	defer sp.store.release(second)

	outer := ctx
	ctx, cancel := context.WithCancel(outer)
	defer cancel()
	full, free, putDone := make(chan *window), make(chan *window, 2), make(chan error, 1)
	free <- second
	go func() {
		err := putAll(ctx, full, free, put)
		if err != nil {
			cancel() // so that the reading stops
		}
		putDone <- err
	}()
	readErr := sp.feed(ctx, first, full, free)
	if readErr != nil {
		cancel() // so that the putting stops
	}
	close(full)
	return stopCause(outer, readErr, <-putDone)
}

// stopCause chooses which error to report: what went wrong in the reading, unless
// it only stopped because the putting failed or the context was done.
func stopCause(ctx context.Context, readErr, putErr error) error {
	switch {
	case readErr != nil && !errors.Is(readErr, errStopped):
		return readErr
	case putErr != nil:
		return putErr
	case readErr != nil:
		return ctx.Err()
	default:
		return nil
	}
}

// feed passes windows on until the content ends, starting with w.
func (sp *splitter) feed(ctx context.Context, w *window, full chan<- *window, free <-chan *window) error {
	for {
		select {
		case full <- w:
		case <-ctx.Done():
			return errStopped
		}
		if sp.ended {
			return nil
		}
		select {
		case w = <-free:
		case <-ctx.Done():
			return errStopped
		}
		if err := sp.fill(ctx, w); err != nil {
			return err
		}
	}
}

// putAll puts the windows it receives and gives them back.
func putAll(ctx context.Context, full <-chan *window, free chan<- *window,
	put func(context.Context, []Piece) error,
) error {
	for w := range full {
		if err := putWindow(ctx, w, put); err != nil {
			return err
		}
		free <- w // has room for all windows
	}
	return nil
}

func putWindow(ctx context.Context, w *window, put func(context.Context, []Piece) error) error {
	if w.count == 0 { // the content ended with the window before
		return nil
	}
	pieces := w.pieces[:w.count]
	if err := put(ctx, pieces); err != nil {
		return fmt.Errorf("put chunks %d to %d: %w", pieces[0].Index, pieces[w.count-1].Index, err)
	}
	return nil
}

// finish returns the manifest of what was read.
func (sp *splitter) finish() (Manifest, error) {
	m := Manifest{Digest: sp.chunks[0].Digest, SizeBytes: sp.total, Chunks: sp.chunks}
	if len(sp.chunks) == 1 {
		return m, nil
	}
	var err error
	m.Digest, err = lashstore.DigestFromBytes(sp.whole.Sum(nil))
	return m, err
}
