package diskcache

import (
	"context"
	"errors"
	"slices"
	"sync"
)

// ErrReplaced ends a read of an object that was put again meanwhile, with other bytes
// for all the cache can know. Reading once more gives the new object.
var ErrReplaced = errors.New("object was replaced while it was read")

// errDropped says that a block was not stored because its key was dropped.
var errDropped = errors.New("the key was dropped meanwhile")

// keyState is what a cache knows of a key while somebody reads it.
type keyState struct {
	hash keyHash
	// files is held while blocks of the key are moved in or dropped.
	files sync.Mutex

	// Cache.mu guards all below.
	refs    int
	puts    int // how often the key was put since the state was made
	flights []*flight
}

// acquire returns the state of a key; release it.
func (c *Cache) acquire(hash keyHash) *keyState {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, ok := c.keys[hash]
	if !ok {
		s = &keyState{hash: hash}
		c.keys[hash] = s
	}
	s.refs++
	return s
}

func (c *Cache) release(s *keyState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.releaseLocked(s)
}

func (c *Cache) releaseLocked(s *keyState) {
	if s.refs--; s.refs == 0 {
		delete(c.keys, s.hash)
	}
}

// drop removes what is cached of a key. Flights that are under way store nothing
// more, and nobody joins them any more.
func (c *Cache) drop(ctx context.Context, key string, put bool) {
	s := c.acquire(c.hashKey(key))
	defer c.release(s)
	s.files.Lock()
	defer s.files.Unlock()
	c.mu.Lock()
	for _, f := range s.flights {
		f.stale = true
	}
	if put {
		s.puts++
	}
	c.mu.Unlock()
	c.removeBlocks(ctx, s.hash)
}

func (c *Cache) isStale(f *flight) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return f.stale
}

// flightLocked returns the flight that a reader in need of a block should wait for:
// one that will still bring it, and that nobody has dropped.
func (s *keyState) flightLocked(number int64) *flight {
	i := slices.IndexFunc(s.flights, func(f *flight) bool {
		return !f.stale && f.next <= number && number < f.to
	})
	if i < 0 {
		return nil
	}
	return s.flights[i]
}
