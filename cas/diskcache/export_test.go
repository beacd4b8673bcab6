package diskcache

import (
	"context"
	"os"
	"path/filepath"
)

// HeaderBytes is the length of a block file's header.
const HeaderBytes = headerBytes

// PauseAfterFailure and LogEvery are the times that tests move the clock by.
const (
	PauseAfterFailure = pauseAfterFailure
	LogEvery          = logEvery
	TouchEvery        = touchEvery
	StaleAfter        = staleAfter
)

// CostOf is what a file counts as.
func CostOf(fileBytes int64) int64 { return costOf(fileBytes) }

// Counted is closed when the folder has been counted once.
func (c *Cache) Counted() <-chan struct{} { return c.ledger.first }

// Pass counts the folder and evicts, once those passes are done that run already.
func (c *Cache) Pass(ctx context.Context) (found int64, evicted int, err error) {
	stats, err := c.pass(ctx)
	return stats.foundBytes, stats.evicted, err
}

// Booked is what the cache believes to have on disk.
func (c *Cache) Booked() int64 {
	c.ledger.mu.Lock()
	defer c.ledger.mu.Unlock()
	return c.ledger.total
}

// BlockPath is where a block lies.
func (c *Cache) BlockPath(key string, number int64) string {
	return filepath.Join(c.root.Name(), filepath.FromSlash(fileOf(c.hashKey(key), number)))
}

// SetWrite replaces writing to block files; call it before the cache is used.
func (c *Cache) SetWrite(write func(*os.File, []byte) (int, error)) { c.write = write }

// States is how many keys the cache keeps a state of.
func (c *Cache) States() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.keys)
}

// Waiting is how many readers wait for a flight of key.
func (c *Cache) Waiting(key string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, ok := c.keys[c.hashKey(key)]
	if !ok {
		return 0
	}
	n := 0
	for _, f := range s.flights {
		n += len(f.waiters)
	}
	return n
}

// Seal returns a block file.
func Seal(hash [32]byte, number, objectSize int64, content []byte) []byte {
	file := append(make([]byte, headerBytes), content...)
	sealBlock(file, hash, number, objectSize)
	return file
}

// Open checks a block file and returns what it holds.
func Open(file []byte, hash [32]byte, number, blockBytes int64) (content []byte, objectSize int64, err error) {
	b, err := openBlock(file, hash, number, blockBytes)
	return b.bytes, b.objectSize, err
}
