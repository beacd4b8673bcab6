package cas

import (
	"context"
	"slices"
)

const (
	// A segment of which at least 1 in worthWhole is needed is fetched as a whole by a
	// reader that goes on, and kept for its next spans, up to keptBytes. Servers
	// answer one large request much faster than several for parts of an object.
	worthWhole = 2
	keptBytes  = 4 * segmentBytes
	// receivedAtATime is how much of a segment comes between two looks at whether a
	// span has what it waits for: verifying begins while the rest is on its way.
	receivedAtATime = 256 << 10
)

// keptSegment is a segment that several spans read from, while it is being received.
type keptSegment struct {
	index   int
	payload []byte // of the final length; what lies before received does not change
	cancel  context.CancelFunc

	// Guarded by the fetcher's mu.
	received int64
	grown    chan struct{} // closed when received has grown or err is set
	err      error
	users    int // spans, and whoever receives it
	kept     bool
}

// pinned reports whether a span may refer to the segment's memory.
func (k *keptSegment) pinned(s *spanFetch) bool { return slices.Contains(s.pinned, k) }

// wanted reports whether so much of a segment is needed that it is worth having all.
func (f *fetcher) wanted(segment int) bool {
	size := f.manifest.Segments[segment].PayloadBytes
	return size <= segmentBytes && f.used[segment]*worthWhole >= size
}

// whole gets a segment as a whole, once for all spans, and waits for the chunks of it
// that are needed.
func (p *parts) whole(ctx context.Context, segment int, list []*Chunk) error {
	k := p.fetcher.keep(segment)
	var raw int64
	for _, c := range list {
		if c.Form == FormRaw {
			raw += c.StoredBytes
		}
	}
	p.mu.Lock()
	p.segments = append(p.segments, k)
	if raw >= p.pinFrom {
		p.large = append(p.large, k)
	}
	p.mu.Unlock()
	last := list[len(list)-1]
	if err := p.fetcher.await(ctx, k, last.Offset+last.StoredBytes); err != nil {
		return err
	}
	p.share(list, k.payload, 0, k)
	return nil
}

// await waits until so much of a segment has been received.
func (f *fetcher) await(ctx context.Context, k *keptSegment, length int64) error {
	for {
		f.mu.Lock()
		received, grown, err := k.received, k.grown, k.err
		f.mu.Unlock()
		if received >= length {
			return nil
		}
		if err != nil {
			return err
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// keep returns a segment that is kept, for the caller to use until it lets go; if it
// is not there yet, it is received from now on.
func (f *fetcher) keep(segment int) *keptSegment {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, k := range f.kept {
		if k.index == segment && k.kept {
			k.users++
			return k
		}
	}
	size := f.manifest.Segments[segment].PayloadBytes
	f.makeRoom(size)
	memory := f.store.segment(size > segmentBytes/2)
	if int64(cap(memory)) < size {
		memory = make([]byte, size)
	}
	ctx, cancel := f.under()
	k := &keptSegment{
		index: segment, payload: memory[:size], cancel: cancel,
		grown: make(chan struct{}), users: 2, kept: true,
	}
	f.kept = append(f.kept, k)
	f.receivers.Go(func() { f.receive(ctx, k) })
	return k
}

// makeRoom drops the oldest segments that nobody uses; mu is held.
func (f *fetcher) makeRoom(size int64) {
	for _, k := range slices.Clone(f.kept) {
		if f.keptTotal()+size <= keptBytes {
			return
		}
		if k.users == 0 {
			f.remove(k)
		}
	}
}

// keptTotal is the memory of all segments that are kept or in use; mu is held.
func (f *fetcher) keptTotal() (total int64) {
	for _, k := range f.kept {
		total += int64(len(k.payload))
	}
	return total
}

// receive gets a segment's payload.
func (f *fetcher) receive(ctx context.Context, k *keptSegment) {
	defer k.cancel()
	err := f.store.receiveRange(ctx, f.names[k.index], 0, k.payload, func(received int64) {
		f.mu.Lock()
		defer f.mu.Unlock()
		k.received = received
		close(k.grown)
		k.grown = make(chan struct{})
	})
	f.mu.Lock()
	if err != nil {
		k.err, k.kept = err, false // whoever comes next tries again
		close(k.grown)
	}
	f.mu.Unlock()
	f.letGo([]*keptSegment{k})
}

// letGo ends the use of segments. One that is still being received for nobody is
// given up; one that is not kept any more is dropped.
func (f *fetcher) letGo(segments []*keptSegment) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, k := range segments {
		k.users--
		if k.users == 1 && k.err == nil && k.received < int64(len(k.payload)) {
			k.kept = false
			k.cancel()
		}
		if k.users == 0 && !k.kept {
			f.remove(k)
		}
	}
}

// pin goes on using segments that a span refers to instead of copying from them,
// unless memory is short.
func (f *fetcher) pin(segments []*keptSegment) []*keptSegment {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.keptTotal() > keptBytes {
		return nil
	}
	for _, k := range segments {
		k.users++
	}
	return segments
}

// remove drops a segment that nobody uses; mu is held.
func (f *fetcher) remove(k *keptSegment) {
	f.kept = slices.DeleteFunc(f.kept, func(other *keptSegment) bool { return other == k })
	f.store.release(k.payload)
}

// dropKept forgets all segments. Those in use are dropped when they are let go.
func (f *fetcher) dropKept() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, k := range slices.Clone(f.kept) {
		if k.kept = false; k.users == 0 {
			f.remove(k)
		}
	}
}
