package local

import (
	"sync"
	"time"
)

// clock is the store's notion of now: it follows a clock but never steps back, so
// that a lease that has expired stays expired and no lease is prolonged.
type clock struct {
	source func() time.Time

	mu   sync.Mutex
	last time.Time // guarded by mu
}

func (c *clock) now() time.Time {
	t := c.source()
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.After(c.last) {
		c.last = t
	}
	return c.last
}
