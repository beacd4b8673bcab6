package local

import (
	"cmp"
	"container/list"
	"context"
	"errors"
	"strings"
	"sync"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/metadata"
)

// cacheKey names an open database: read-only handles have one of their own.
type cacheKey struct {
	id          lashstore.SessionID
	incarnation lashstore.Incarnation
	readOnly    bool
}

// compare orders keys, so that what is done for several is done in the same order
// each time.
func (k cacheKey) compare(other cacheKey) int {
	return cmp.Or(strings.Compare(string(k.id), string(other.id)), strings.Compare(string(k.incarnation), string(other.incarnation)))
}

// cacheEntry is an open, or opening, database. All fields but key, ready, db and
// err are guarded by the cache's mutex; db and err are set before ready is closed.
type cacheEntry struct {
	key     cacheKey
	ready   chan struct{}
	db      *metadata.SessionDB
	err     error
	users   int
	dropped bool // no longer in the map; closed by its last user
	place   *list.Element
}

// cache keeps databases open, least recently used ones going first. While more are
// in use at once than it may hold, it holds more, and closes them when they are
// given back.
type cache struct {
	open func(context.Context, cacheKey) (*metadata.SessionDB, error)
	size int
	// closeFailed hears of a database that did not close well when it made room: that
	// is no failure of the call that needed the room, which may have been acknowledged.
	closeFailed func(cacheKey, error)

	mu      sync.Mutex
	entries map[cacheKey]*cacheEntry
	recent  *list.List // of *cacheEntry; the least recently used is at the back
	closed  bool
}

func newCache(size int, open func(context.Context, cacheKey) (*metadata.SessionDB, error), closeFailed func(cacheKey, error)) *cache {
	return &cache{open: open, size: size, closeFailed: closeFailed, entries: make(map[cacheKey]*cacheEntry), recent: list.New()}
}

// acquire returns an open database, opening it if need be; release gives it back.
func (c *cache) acquire(ctx context.Context, key cacheKey) (*cacheEntry, error) {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil, lashstore.ErrClosed
	}
	e, ok := c.entries[key]
	if ok {
		e.users++
		c.recent.MoveToFront(e.place)
		c.mu.Unlock()
		select {
		case <-e.ready:
		case <-ctx.Done():
			c.release(e)
			return nil, ctx.Err()
		}
		if e.err != nil {
			c.release(e)
			return nil, e.err
		}
		return e, nil
	}
	e = &cacheEntry{key: key, ready: make(chan struct{}), users: 1}
	e.place = c.recent.PushFront(e)
	c.entries[key] = e
	victims := c.victimsLocked()
	c.mu.Unlock()
	c.evict(victims)
	// Others wait for this opening too, so one caller's context must not end it.
	e.db, e.err = c.open(context.WithoutCancel(ctx), key)
	close(e.ready)
	if e.err != nil {
		c.drop(e)
		c.release(e)
		return nil, e.err
	}
	return e, nil
}

// release gives a database back.
func (c *cache) release(e *cacheEntry) {
	c.mu.Lock()
	e.users--
	var victims []*cacheEntry
	if e.dropped && e.users == 0 {
		victims = []*cacheEntry{e}
	} else {
		victims = c.victimsLocked()
	}
	c.mu.Unlock()
	c.evict(victims)
}

// evict closes databases that make room.
func (c *cache) evict(victims []*cacheEntry) {
	for _, e := range victims {
		if e.db == nil {
			continue
		}
		if err := e.db.Close(); err != nil {
			c.closeFailed(e.key, err)
		}
	}
}

// victimsLocked takes unused databases out of the cache until it fits.
func (c *cache) victimsLocked() []*cacheEntry {
	var victims []*cacheEntry
	for at := c.recent.Back(); at != nil && len(c.entries) > c.size; {
		e, before := at.Value.(*cacheEntry), at.Prev() //nolint:forcetypeassert // the list holds nothing else
		if e.users == 0 {
			c.dropLocked(e)
			victims = append(victims, e)
		}
		at = before
	}
	return victims
}

func (c *cache) dropLocked(e *cacheEntry) {
	if !e.dropped {
		e.dropped = true
		delete(c.entries, e.key)
		c.recent.Remove(e.place)
	}
}

func (c *cache) drop(e *cacheEntry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dropLocked(e)
}

// forget takes the databases of a session out of the cache; those in use are closed
// by their last user.
func (c *cache) forget(id lashstore.SessionID, inc lashstore.Incarnation) error {
	c.mu.Lock()
	var victims []*cacheEntry
	for _, readOnly := range []bool{false, true} {
		if e, ok := c.entries[cacheKey{id, inc, readOnly}]; ok {
			c.dropLocked(e)
			if e.users == 0 {
				victims = append(victims, e)
			}
		}
	}
	c.mu.Unlock()
	return closeAll(victims)
}

// close closes everything. The caller has made sure that nothing is in use.
func (c *cache) close() error {
	c.mu.Lock()
	c.closed = true
	var victims []*cacheEntry
	for _, e := range c.entries {
		c.dropLocked(e)
		victims = append(victims, e)
	}
	c.mu.Unlock()
	return closeAll(victims)
}

func closeAll(entries []*cacheEntry) error {
	var errs []error
	for _, e := range entries {
		if e.db != nil {
			errs = append(errs, e.db.Close())
		}
	}
	return errors.Join(errs...)
}
