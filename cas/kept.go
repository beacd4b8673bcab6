package cas

import (
	"context"
	"errors"
	"slices"
)

const (
	// A segment of which at least 1 in worthWhole is needed is fetched as a whole by a
	// reader that goes on, and kept for its next spans, up to keptBytes. Servers
	// answer one large request much faster than several for parts of an object.
	worthWhole = 2
	keptBytes  = 4 * segmentBytes
)

// keptSegment is a segment that several spans read from.
type keptSegment struct {
	done    chan struct{} // closed when payload and err are set
	payload []byte
	err     error
}

// wanted reports whether so much of a segment is needed that it is worth having all.
func (f *fetcher) wanted(segment int) bool {
	size := f.manifest.Segments[segment].PayloadBytes
	return size <= segmentBytes && f.used[segment]*worthWhole >= size
}

// whole gets a segment as a whole, once for all spans.
func (p *parts) whole(ctx context.Context, segment int, list []*Chunk) error {
	f := p.fetcher
	for {
		kept, mine := f.keep(segment)
		if mine {
			size := f.manifest.Segments[segment].PayloadBytes
			kept.payload, kept.err = f.store.getRange(ctx, f.names[segment], 0, size, f.store.segment(size > segmentBytes/2))
			if kept.err != nil {
				f.drop(segment, kept) // whoever comes next tries again
			}
			close(kept.done)
		}
		select {
		case <-kept.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		switch {
		case kept.err == nil:
			p.share(list, kept.payload, 0)
			return nil
		case mine || ctx.Err() != nil || !errors.Is(kept.err, context.Canceled):
			return kept.err
		}
		// The span that fetched it has ended, this one has not.
	}
}

// keep returns the place of a segment, making room for it; mine tells the caller to
// fetch it.
func (f *fetcher) keep(segment int) (k *keptSegment, mine bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if k := f.kept[segment]; k != nil {
		return k, false
	}
	if f.kept == nil {
		f.kept = make(map[int]*keptSegment)
	}
	k = &keptSegment{done: make(chan struct{})}
	f.kept[segment] = k
	f.keptOrder = append(f.keptOrder, segment)
	f.keptTotal += f.manifest.Segments[segment].PayloadBytes
	for f.keptTotal > keptBytes && len(f.keptOrder) > 1 {
		f.remove(f.keptOrder[0])
	}
	return k, true
}

// drop removes a segment that could not be got.
func (f *fetcher) drop(segment int, k *keptSegment) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.kept[segment] == k {
		f.remove(segment)
	}
}

// remove drops a kept segment; mu is held.
func (f *fetcher) remove(segment int) {
	if f.kept[segment] == nil {
		return
	}
	delete(f.kept, segment)
	f.keptOrder = slices.DeleteFunc(f.keptOrder, func(s int) bool { return s == segment })
	f.keptTotal -= f.manifest.Segments[segment].PayloadBytes
}

// release gives the memory of kept segments back. No span may be on its way.
func (f *fetcher) release() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, k := range f.kept {
		f.store.release(k.payload)
	}
	f.kept, f.keptOrder, f.keptTotal = nil, nil, 0
}
