package cas

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/zeebo/blake3"

	"github.com/lashstore/lashstore"
)

// NewObject is an object that content needs and that may have to be put.
type NewObject struct {
	Digest   lashstore.Digest
	RawBytes int64  // of its content
	Stored   []byte // the envelope; valid until put returns
	// Describes is, for the object of a manifest, the content that it describes.
	Describes lashstore.Digest
	// Content reports that the object is content itself, not a part of some.
	Content bool
}

// SplitOptions say what is split, and how. The zero value is generic content.
type SplitOptions struct {
	Descriptor lashstore.Descriptor
	// MaxBytes bounds the content; 0 means [lashstore.MaxBlobBytes], which also bounds
	// MaxBytes.
	MaxBytes int64
	// Digest is the content's if the caller has just computed it from the same bytes.
	// It is trusted. Zero means that Split computes it on the way.
	Digest lashstore.Digest
	// Predecessor is content that this resembles, if any.
	Predecessor *Predecessor
}

// SplitResult is content that has been split.
type SplitResult struct {
	Manifest *Manifest
	// Root is what the holder keeps, to find the manifest with.
	Root []byte
	// ReusedBytes, DeltaBytes and WholeBytes say how much of the content was found in
	// the predecessor, stored as deltas, and stored whole.
	ReusedBytes, DeltaBytes, WholeBytes int64
}

// Split reads r to its end and stores its content. Content of up to [SingleBytes]
// becomes one object. Other content is cut into chunks: those that the predecessor
// has are not stored again, those that changed a little are stored as what differs,
// and all new ones are packed in order into segments. put is called with each object
// that is to be in the store afterwards: a small content with one call, a large one
// with one for each segment, up to [parallelPuts] at a time, and last with what is
// left and the manifest.
//
// Reading, hashing, compressing and putting overlap. A slow put slows the reading:
// memory is bounded by some 32 MiB whatever the size. put may be called from other
// goroutines than Split's and several at a time, but not after Split has returned;
// it must not keep the objects.
//
// More content than MaxBytes is a [*lashstore.LimitError] for "blob_bytes", whose
// Got is how much had been read. Errors of r and of put are returned wrapped. After
// an error, objects may have been put. Split waits for a Read or a put that is under
// way, so end those to end Split early.
func (s *Store) Split(ctx context.Context, r io.Reader, opts SplitOptions, put func(context.Context, []NewObject) error,
) (SplitResult, error) {
	kind, err := checkEncode(nil, opts.Descriptor)
	if err != nil {
		return SplitResult{}, err
	}
	if opts.MaxBytes < 0 {
		return SplitResult{}, lashstore.Invalid("max_bytes", opts.MaxBytes, "must not be negative")
	}
	if opts.MaxBytes == 0 || opts.MaxBytes > lashstore.MaxBlobBytes {
		opts.MaxBytes = lashstore.MaxBlobBytes
	}
	before, err := newEarlier(opts.Predecessor)
	if err != nil {
		return SplitResult{}, fmt.Errorf("split content: %w", err)
	}
	sp := &splitter{
		store: s, kind: kind, opts: opts, put: put, before: before,
		r: &contentReader{r: r, done: ctx.Err, limit: opts.MaxBytes},
	}
	sp.memory = s.borrow()
	defer s.giveBack(sp.memory)
	if err := sp.run(ctx); err != nil {
		// What ended the context says why, not what it made fail.
		if cause := ctx.Err(); cause != nil && !errors.Is(err, cause) {
			err = errors.Join(cause, err)
		}
		return SplitResult{}, fmt.Errorf("split content: %w", err)
	}
	return sp.result, nil
}

// splitter is the state of one Split.
type splitter struct {
	store  *Store
	kind   byte
	opts   SplitOptions
	put    func(context.Context, []NewObject) error
	before *earlier
	r      *contentReader
	result SplitResult

	chunks []Chunk // of the manifest; new segments have the numbers of the packer
	fresh  map[lashstore.Digest]int
	pack   *packer
	memory *splitMemory
	misses int // how many deltas in a row were not worth it
	dense  int // how many chunks in a row did not compress
}

func (sp *splitter) run(ctx context.Context) error {
	head, ended, err := sp.r.head(SingleBytes)
	switch {
	case err != nil:
		return err
	case !ended:
		sp.r.unread(head)
		return sp.cut(ctx)
	case sp.before == nil || len(head) <= minCutBytes:
		return sp.single(ctx, head)
	default:
		return sp.small(ctx, head)
	}
}

// small stores content that might be one object: it is cut only if at least half of
// it is like its predecessor. One object compresses better, and the tenant finds it
// by its digest.
func (sp *splitter) small(ctx context.Context, raw []byte) error {
	w, err := cutSmall(raw, sp.memory)
	if err != nil {
		return err
	}
	sp.fresh = make(map[lashstore.Digest]int)
	if err := sp.compare(ctx, w); err != nil {
		return err
	}
	if hopeful, err := sp.probe(w); err != nil {
		return err
	} else if !hopeful {
		return sp.single(ctx, raw)
	}
	if err := sp.encode(ctx, w); err != nil {
		return err
	}
	var alike int64
	for i := range w.pieces {
		if p := &w.pieces[i]; p.reused != nil || p.twin >= 0 || p.chunk.Form == FormDelta {
			alike += p.chunk.SizeBytes
		}
	}
	if alike*2 < int64(len(raw)) {
		return sp.single(ctx, raw)
	}
	if sp.opts.Digest.IsZero() {
		sp.opts.Digest = lashstore.DigestOf(raw)
	}
	sp.pack = newPacker(ctx, sp)
	if err := sp.packWindow(ctx, w); err != nil {
		return err
	}
	if err := sp.finish(ctx, nil); err != nil {
		return err
	}
	return sp.pack.wait()
}

// single stores content as one object.
func (sp *splitter) single(ctx context.Context, raw []byte) error {
	stored, err := sp.store.Encode(raw, sp.opts.Descriptor)
	if err != nil {
		return err
	}
	digest := sp.opts.Digest
	if digest.IsZero() {
		digest = lashstore.DigestOf(raw)
	}
	m := singleManifest(lashstore.BlobRef{Digest: digest, SizeBytes: int64(len(raw))})
	flat, err := m.seal()
	if err != nil {
		return err
	}
	if err := sp.put(ctx, []NewObject{{Digest: digest, RawBytes: int64(len(raw)), Stored: stored, Content: true}}); err != nil {
		return fmt.Errorf("put the content: %w", err)
	}
	sp.result = SplitResult{Manifest: m, Root: inlineRoot(flat), WholeBytes: int64(len(raw))}
	return nil
}

// probe reports whether anything of small content is like the predecessor: whether a
// chunk is there, or one of three changed ones would do as a delta. If not, encoding
// all of them would be in vain.
func (sp *splitter) probe(w *window) (hopeful bool, err error) {
	for i := range w.pieces {
		if w.pieces[i].reused != nil {
			return true, nil
		}
	}
	e := chunkEncoder{store: sp.store}
	for _, i := range []int{0, len(w.pieces) / 2, len(w.pieces) - 1} {
		p := &w.pieces[i]
		if p.base.content == nil {
			continue
		}
		out, form, err := e.encode(sp.memory.arenas[0][:0], p.raw, p.base.content, p.base.whole, p.base.chain)
		if err != nil {
			return false, err
		}
		sp.memory.arenas[0] = out
		if form == FormDelta {
			return true, nil
		}
	}
	return false, nil
}

// cut stores content as chunks. Reading, encoding and putting end together: the
// first that fails stops the others.
func (sp *splitter) cut(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	sp.pack = newPacker(ctx, sp)
	ctx = sp.pack.ctx
	sp.fresh = make(map[lashstore.Digest]int)
	windows, err := newWindows(ctx, sp)
	if err != nil {
		return err
	}
	err = sp.consume(ctx, windows)
	if err != nil {
		cancel()
	}
	readErr := windows.close()
	if err == nil && readErr == nil {
		err = sp.finish(ctx, windows.whole)
	}
	if err != nil || readErr != nil {
		cancel()
	}
	return firstCause(readErr, sp.pack.wait(), err)
}

// firstCause returns the first error that is not the echo of another: of work that
// was told to stop.
func firstCause(errs ...error) error {
	for _, err := range errs {
		if err != nil && !errors.Is(err, errStopped) && !errors.Is(err, context.Canceled) {
			return err
		}
	}
	return errors.Join(errs...)
}

// consume encodes and packs window after window.
func (sp *splitter) consume(ctx context.Context, windows *windows) error {
	for {
		w, ok := windows.next(ctx)
		if !ok {
			return nil
		}
		if err := sp.compare(ctx, w); err != nil {
			return err
		}
		if err := sp.encode(ctx, w); err != nil {
			return err
		}
		if err := sp.packWindow(ctx, w); err != nil {
			return err
		}
		windows.free(w)
	}
}

// packWindow adds a window's chunks to the manifest and what is new to segments.
func (sp *splitter) packWindow(ctx context.Context, w *window) error {
	for i := range w.pieces {
		p := &w.pieces[i]
		if p.twin >= 0 {
			sp.chunks = append(sp.chunks, sp.chunks[p.twin])
			sp.result.ReusedBytes += p.chunk.SizeBytes
			continue
		}
		if p.reused != nil {
			sp.chunks = append(sp.chunks, *p.reused)
			sp.result.ReusedBytes += p.chunk.SizeBytes
			continue
		}
		if p.chunk.Form == FormDelta {
			sp.result.DeltaBytes += p.chunk.SizeBytes
		} else {
			sp.result.WholeBytes += p.chunk.SizeBytes
		}
		var err error
		if p.chunk.Address, err = sp.pack.add(ctx, p.stored); err != nil {
			return err
		}
		p.chunk.StoredBytes = int64(len(p.stored))
		sp.chunks = append(sp.chunks, p.chunk)
	}
	return nil
}

// finish puts what is left together with the manifest.
func (sp *splitter) finish(ctx context.Context, whole *blake3.Hasher) error {
	m := &Manifest{Digest: sp.opts.Digest, SizeBytes: sp.r.total, Chunks: sp.chunks}
	if m.Digest.IsZero() {
		var err error
		if m.Digest, err = lashstore.DigestFromBytes(whole.Sum(nil)); err != nil {
			return err
		}
	}
	var last []NewObject
	if o, ok := sp.pack.rest(); ok {
		last = append(last, o)
	}
	if err := sp.settle(m); err != nil {
		return err
	}
	flat, err := m.seal()
	if err != nil {
		return err
	}
	root, object, err := sp.root(m, flat)
	if err != nil {
		return err
	}
	if object != nil {
		last = append(last, *object)
	}
	if len(last) > 0 {
		if err := sp.put(ctx, last); err != nil {
			return fmt.Errorf("put the last segment and the manifest: %w", err)
		}
	}
	sp.result.Manifest, sp.result.Root = m, root
	return nil
}

// root returns the root of the manifest and, unless it lies in there, its object.
func (sp *splitter) root(m *Manifest, flat []byte) ([]byte, *NewObject, error) {
	if len(flat) <= maxInlineManifest {
		return inlineRoot(flat), nil, nil
	}
	body := flat
	m.chain = []lashstore.Digest{{}}
	if sp.before != nil {
		if chain := sp.before.manifest.chain; len(chain) > 0 && len(chain) < maxChain {
			old, err := sp.before.manifest.MarshalBinary()
			if err != nil {
				return nil, nil, err
			}
			diff, err := makeDiff(flat, old, chain[0])
			if err != nil {
				return nil, nil, err
			}
			if len(diff) < len(flat)/2 {
				body, m.chain = diff, append(m.chain, chain...)
			}
		}
	}
	digest := objectDigest(kindManifest, body)
	m.chain[0] = digest
	stored := make([]byte, HeaderBytes+len(body))
	copy(stored[HeaderBytes:], body)
	sealEnvelope(stored, kindManifest, CodecRaw, len(body))
	return chainRoot(m.chain), &NewObject{Digest: digest, RawBytes: int64(len(body)), Stored: stored, Describes: m.Digest}, nil
}
