package diskcache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
)

const (
	// maxCachedBytes is the offset from which on nothing is cached: far beyond any
	// object (16 MiB), and small enough for block arithmetic never to overflow.
	maxCachedBytes = 1 << 40
	// pauseAfterFailure is how long nothing is stored after a write failed: long enough
	// for a full disk not to cost every read a failing write.
	pauseAfterFailure = 10 * time.Second
)

// Cache is a driver that keeps blocks of another's objects on disk. It may be used by
// several goroutines.
type Cache struct {
	next    cas.Driver
	root    *os.Root
	opts    Options
	metrics *metrics
	reports *reporter
	ledger  *ledger
	buffers sync.Pool // of *[]byte: block files being read
	// write replaces writing to a file, in tests of a failing disk.
	write func(*os.File, []byte) (int, error)

	stop       context.CancelFunc // ends the flights and the evictor
	background sync.WaitGroup
	due        chan struct{} // holds one wish for the evictor to run
	passes     sync.Mutex    // one pass of the evictor at a time

	// mu guards all below, and what flights and key states say that it guards. A key's
	// files lock comes before it.
	mu          sync.Mutex
	closed      bool
	pausedUntil time.Time
	keys        map[keyHash]*keyState
}

var _ cas.Driver = (*Cache)(nil)

// New opens a cache of next's objects in the folder dir, which is made if it is
// missing. What an earlier cache left there is used. The folder is counted in the
// background; until that is done, nothing is stored. Close the cache to stop what it
// does in the background; next stays open.
//
// Errors: [lashstore.ErrInvalid], and for a folder that cannot be used
// [lashstore.ErrDiskFull], [lashstore.ErrReadOnly] and [lashstore.ErrStorage]. Once
// open, a cache never fails an operation for reasons of its own disk.
func New(next cas.Driver, dir string, opts Options) (*Cache, error) {
	if next == nil {
		return nil, fmt.Errorf("open disk cache: %w", lashstore.Invalid("driver", "", "is missing"))
	}
	if dir == "" {
		return nil, fmt.Errorf("open disk cache: %w", lashstore.Invalid("dir", dir, "is missing"))
	}
	if err := opts.Validate(); err != nil {
		return nil, fmt.Errorf("open disk cache in %s: %w", dir, err)
	}
	opts = opts.withDefaults()
	m, err := newMetrics(opts.Metrics)
	if err != nil {
		return nil, fmt.Errorf("open disk cache in %s: %w", dir, err)
	}
	// An absolute name stays right, in logs too, when the process changes folder.
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, openError(dir, err)
	}
	if err := os.MkdirAll(abs, folderMode); err != nil {
		return nil, openError(abs, err)
	}
	root, err := os.OpenRoot(abs)
	if err != nil {
		return nil, openError(abs, err)
	}
	ctx, stop := context.WithCancel(context.Background())
	c := &Cache{
		next: next, root: root, opts: opts, metrics: m, stop: stop,
		reports: &reporter{metrics: m, logger: opts.Logger, now: opts.Now, folder: abs, logged: make(map[failure]time.Time)},
		ledger:  &ledger{max: opts.MaxBytes, gauge: m.size, first: make(chan struct{})},
		due:     make(chan struct{}, 1),
		keys:    make(map[keyHash]*keyState),
	}
	if err := c.prepare(); err != nil {
		stop()
		return nil, errors.Join(openError(abs, err), root.Close())
	}
	c.wakeEvictor()
	c.background.Go(func() { c.evictor(ctx) })
	return c, nil
}

// Close stops requests that fill the cache and the evictor, and waits for them. Later
// calls, and readers that need another block, fail with [lashstore.ErrClosed]; those
// that read straight from the tier go on. The files stay for the next cache. Closing again is harmless.
func (c *Cache) Close() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil
	}
	c.closed = true
	for _, s := range c.keys {
		for _, f := range s.flights {
			f.cancel()
		}
	}
	c.mu.Unlock()
	c.stop()
	c.background.Wait()
	c.ledger.close()
	if err := c.root.Close(); err != nil {
		return &lashstore.StorageError{Op: "close disk cache in", Path: c.root.Name(), Kind: lashstore.ErrStorage, Err: err}
	}
	return nil
}

// check refuses a closed cache, a context that is done and a key that is not one.
func (c *Cache) check(ctx context.Context, op, key string) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s %s: %w", op, key, err)
	}
	if err := cas.ValidateKey(key); err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	return c.checkOpen(op)
}

func (c *Cache) checkOpen(op string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return fmt.Errorf("%s: disk cache: %w", op, lashstore.ErrClosed)
	}
	return nil
}

// Put stores body in the tier and drops what is cached of key. Nothing is added to
// the cache: what was just written has been in memory, and is often not read soon.
//
// Errors: those of the tier, [lashstore.ErrInvalid], [lashstore.ErrClosed].
func (c *Cache) Put(ctx context.Context, key string, body []byte) error {
	if err := c.check(ctx, "put", key); err != nil {
		return err
	}
	err := c.next.Put(ctx, key, body)
	// After an error too: the object may have been replaced.
	c.drop(context.WithoutCancel(ctx), key, true)
	return err
}

// Get opens a range of an object. The first block is at hand, or the tier has been
// asked for it, when it returns: absence is found here and not while reading.
//
// Errors: those of the tier, [lashstore.ErrInvalid], [lashstore.ErrClosed]; while
// reading also [ErrReplaced].
func (c *Cache) Get(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	if err := c.check(ctx, "get", key); err != nil {
		return nil, err
	}
	if offset < 0 || length == 0 || length < -1 {
		return nil, fmt.Errorf("get %s: %w", key, lashstore.Invalid("range", fmt.Sprintf("%d+%d", offset, length),
			"is not a range"))
	}
	if offset >= maxCachedBytes {
		c.metrics.blocks.WithLabelValues(blockBypass).Inc()
		return c.next.Get(ctx, key, offset, length)
	}
	end := int64(math.MaxInt64)
	if length > 0 && length < math.MaxInt64-offset {
		end = offset + length
	}
	return c.open(ctx, key, offset, end)
}

// Stat describes an object, as the tier has it: the cache does not know its time.
func (c *Cache) Stat(ctx context.Context, key string) (cas.ObjectInfo, error) {
	if err := c.check(ctx, "stat", key); err != nil {
		return cas.ObjectInfo{}, err
	}
	return c.next.Stat(ctx, key)
}

// Delete removes objects from the tier and drops what is cached of them, also of
// those that the tier failed to delete.
//
// Errors: those of the tier, [lashstore.ErrClosed].
func (c *Cache) Delete(ctx context.Context, keys []string) error {
	if err := c.checkOpen("delete"); err != nil {
		return err
	}
	err := c.next.Delete(ctx, keys)
	for _, key := range keys {
		c.drop(context.WithoutCancel(ctx), key, false)
	}
	return err
}

// List lists the tier's objects; the cache has no part in it.
func (c *Cache) List(ctx context.Context, prefix, after string, limit int) ([]cas.ObjectInfo, error) {
	if err := c.checkOpen("list"); err != nil {
		return nil, err
	}
	return c.next.List(ctx, prefix, after, limit)
}

// Forget drops what is cached of key, also what a request under way would still
// store, so that the next Get asks the tier. Call it when an object that was read
// through the cache does not match its digest, and read once more before calling the
// object corrupt: the damage may lie in an answer that was cached. A key that is not
// cached, or not a key, and a closed cache are left as they are.
func (c *Cache) Forget(key string) {
	if c.checkOpen("forget") == nil {
		c.drop(context.Background(), key, false)
	}
}

// mayStore reports whether blocks are stored at the moment; if the folder has not been
// counted, it sees to it.
func (c *Cache) mayStore() bool {
	now := c.opts.Now()
	c.mu.Lock()
	paused := now.Before(c.pausedUntil)
	c.mu.Unlock()
	if paused {
		return false
	}
	if !c.ledger.ready() {
		c.wakeEvictor()
		return false
	}
	return true
}

// suspend stops storing for a while.
func (c *Cache) suspend() {
	until := c.opts.Now().Add(pauseAfterFailure)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pausedUntil = until
}
