package testenv

import (
	"sync"
	"time"
)

// Clock is a clock that stands still until a test moves it, forwards or backwards.
// Its methods may be called by several goroutines.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// Start is where every [Clock] starts. It has milliseconds, so that a store that
// cuts them off is noticed.
func Start() time.Time { return time.Date(2026, time.March, 1, 12, 0, 0, 7_000_000, time.UTC) }

// NewClock returns a clock at [Start].
func NewClock() *Clock { return &Clock{now: Start()} }

// Now returns the time, for Options.Now.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the clock by d, which may be negative.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// Set moves the clock to t.
func (c *Clock) Set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = t
}
