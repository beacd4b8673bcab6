package diskcache

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/lashstore/lashstore"
)

const (
	// maxRunBytes bounds one request of the tier: twice the largest object, so that
	// none is cut, and a reader that stops in a huge one does not fill the disk.
	maxRunBytes = 32 << 20
	// firstReceiveBytes is how much of a block's buffer is made at first: most objects
	// are small.
	firstReceiveBytes = 32 << 10
	// peekBytes is the least that bufio buffers: it is only there to look whether the
	// object goes on.
	peekBytes = 16
	// maxEmptyReads is how many reads in a row may bring nothing, as in package bufio.
	maxEmptyReads = 100
)

// flight is one request of the tier, for the blocks from up to, not including, to. It
// runs for all readers that wait for one of them, not for the one that began it.
type flight struct {
	state *keyState
	key   string
	from  int64
	want  int64 // where the run ends unless a block that is there ends it sooner

	// Cache.mu guards all below.
	to       int64 // from+1 until the flight has looked at what is cached
	next     int64 // the block that comes next; those before were delivered
	stale    bool  // nobody may join, and nothing more is stored
	interest int   // readers that have not gone beyond the run
	waiters  []waiter
	cancel   context.CancelFunc
}

// waiter is a reader that waits for a block.
type waiter struct {
	number int64
	result chan delivery // has room for the one delivery
}

// delivery is what became of a block that a reader waited for: the block itself, or
// one of the others.
type delivery struct {
	block  block
	shared bool // somebody else's request brought it

	ended  bool // the object ends before the block
	retry  bool // the block is on disk, or was
	direct bool // the flight ended early: read the tier
	err    error
}

// fetch returns block number by way of a flight: one that is under way, or a new one.
func (c *Cache) fetch(ctx context.Context, r *reader, number int64) delivery {
	storing := c.mayStore()
	c.mu.Lock()
	if err := c.mayGoOnLocked(r); err != nil {
		c.mu.Unlock()
		return delivery{err: err}
	}
	if f := r.flight; f != nil && f.from <= number && number < f.next {
		c.mu.Unlock() // it came by while the reader looked at the disk, or long ago
		return delivery{retry: true}
	}
	f := r.state.flightLocked(number)
	started := f == nil
	if started {
		if !storing {
			c.mu.Unlock()
			return delivery{direct: true}
		}
		f = c.startLocked(ctx, r, number)
	}
	c.joinLocked(r, f, started)
	shared := !r.started
	result := make(chan delivery, 1)
	f.waiters = append(f.waiters, waiter{number: number, result: result})
	c.mu.Unlock()

	select {
	case d := <-result:
		d.shared = shared
		return d
	case <-ctx.Done():
		c.mu.Lock()
		defer c.mu.Unlock()
		f.waiters = slices.DeleteFunc(f.waiters, func(w waiter) bool { return w.result == result })
		return delivery{err: fmt.Errorf("get %s: %w", r.key, ctx.Err())}
	}
}

// mayGoOnLocked refuses a reader of a closed cache, and one that would mix two objects.
func (c *Cache) mayGoOnLocked(r *reader) error {
	if c.closed {
		return fmt.Errorf("get %s: disk cache: %w", r.key, lashstore.ErrClosed)
	}
	if r.puts != r.state.puts {
		if r.used {
			return fmt.Errorf("get %s from byte %d: %w", r.key, r.pos, ErrReplaced)
		}
		r.puts = r.state.puts
	}
	return nil
}

// startLocked begins a flight that brings block number and what r needs after it. The
// values of ctx go with it, its end does not.
func (c *Cache) startLocked(ctx context.Context, r *reader, number int64) *flight {
	want := number + max(1, maxRunBytes/c.opts.BlockBytes)
	if last := (r.end - 1) / c.opts.BlockBytes; last < want {
		want = last + 1
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	f := &flight{
		state: r.state, key: r.key, from: number, want: want,
		to: number + 1, next: number, cancel: cancel,
	}
	r.state.refs++
	r.state.flights = append(r.state.flights, f)
	c.background.Go(func() {
		defer cancel()
		c.land(f, c.fly(ctx, f))
	})
	return f
}

// joinLocked makes f the flight that r has an interest in.
func (c *Cache) joinLocked(r *reader, f *flight, started bool) {
	if r.flight == f {
		return
	}
	f.interest++
	c.leaveLocked(r)
	r.flight, r.started = f, started
}

// leaveLocked ends the interest of r; a flight that interests nobody is stopped.
func (c *Cache) leaveLocked(r *reader) {
	f := r.flight
	if f == nil {
		return
	}
	r.flight = nil
	if f.interest--; f.interest == 0 {
		f.stale = true
		f.cancel()
	}
}

// land ends a flight; those who still wait get last.
func (c *Cache) land(f *flight, last delivery) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := f.state
	s.flights = slices.DeleteFunc(s.flights, func(g *flight) bool { return g == f })
	for _, w := range f.waiters {
		w.result <- last
	}
	f.waiters = nil
	c.releaseLocked(s)
}

// fly fetches, stores and delivers the blocks of a run. What it returns is for those
// who wait for a block that it did not reach.
func (c *Cache) fly(ctx context.Context, f *flight) delivery {
	to, cached := c.plan(ctx, f)
	if cached {
		return delivery{retry: true}
	}
	size := c.opts.BlockBytes
	body, err := c.next.Get(ctx, f.key, f.from*size, (to-f.from)*size)
	if err != nil {
		return delivery{err: c.flightError(f, err)}
	}
	defer func() { _ = body.Close() }() // what was read is whole, or its error is known
	in := bufio.NewReaderSize(body, peekBytes)
	for number := f.from; number < to; number++ {
		file, ended, err := receive(in, size, number+1 == to)
		if err != nil {
			return delivery{err: c.flightError(f, err)}
		}
		b := block{number: number, objectSize: unknownSize, bytes: file[headerBytes:]}
		if len(b.bytes) == 0 && number > 0 {
			return delivery{ended: true}
		}
		if ended {
			b.objectSize = number*size + int64(len(b.bytes))
		}
		c.metrics.fetched.Add(float64(len(b.bytes)))
		// Stored first: whoever has read a block finds it, and a drop that follows does.
		stored := c.storeBlock(ctx, f, number, b.objectSize, file)
		c.deliver(f, b)
		if ended {
			return delivery{ended: true}
		}
		if stored != nil {
			return delivery{direct: true}
		}
	}
	return delivery{direct: true}
}

// plan finds out where the run ends: before the next block that is cached or that
// another flight brings. cached reports that the first block is there after all.
func (c *Cache) plan(ctx context.Context, f *flight) (to int64, cached bool) {
	there, err := c.cachedBlocks(ctx, f.state.hash, f.from, f.want)
	if err != nil && ctx.Err() == nil {
		c.reports.report(ctx, failRead, err)
	}
	if _, ok := there[f.from]; ok {
		return f.from, true
	}
	to = f.want
	for number := range there {
		to = min(to, number)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, g := range f.state.flights {
		if g.from > f.from && !g.stale {
			to = min(to, g.from)
		}
	}
	f.to = to
	return to, false
}

// deliver hands a block to those who wait for it.
func (c *Cache) deliver(f *flight, b block) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f.next = b.number + 1
	f.waiters = slices.DeleteFunc(f.waiters, func(w waiter) bool {
		if w.number == b.number {
			w.result <- delivery{block: b}
		}
		return w.number == b.number
	})
}

// flightError says why a flight failed. Its own context ends only when nobody waits,
// or when the cache is closed.
func (c *Cache) flightError(f *flight, err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed && errors.Is(err, context.Canceled) {
		return fmt.Errorf("get %s: disk cache: %w", f.key, lashstore.ErrClosed)
	}
	return fmt.Errorf("get %s to fill the disk cache: %w", f.key, err)
}

// receive reads the next block, behind room for a header. ended reports that the
// object ends with it; after the last block that was asked for nobody can tell, unless
// it is short.
func receive(in *bufio.Reader, blockBytes int64, last bool) (file []byte, ended bool, err error) {
	limit := headerBytes + int(blockBytes)
	file = make([]byte, headerBytes, min(limit, headerBytes+firstReceiveBytes))
	for empty := 0; len(file) < limit; {
		if len(file) == cap(file) {
			file = append(make([]byte, 0, limit), file...)
		}
		n, err := in.Read(file[len(file):cap(file)])
		file = file[:len(file)+n]
		if err == io.EOF { // not errors.Is: a wrapped EOF is a transfer that broke
			return file, true, nil
		}
		if err != nil {
			return nil, false, err
		}
		if empty++; n > 0 {
			empty = 0
		}
		if empty == maxEmptyReads {
			return nil, false, io.ErrNoProgress
		}
	}
	if last {
		return file, false, nil
	}
	_, err = in.Peek(1)
	if err == io.EOF { // as above
		return file, true, nil
	}
	return file, false, err
}
