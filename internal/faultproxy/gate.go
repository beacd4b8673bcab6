package faultproxy

import "sync"

// Gate holds requests that meet a [Hold] or a [Late].
type Gate struct {
	arrived  chan struct{}
	released chan struct{}
	arrive   sync.Once
	release  sync.Once
}

// NewGate returns a closed gate.
func NewGate() *Gate { return &Gate{arrived: make(chan struct{}), released: make(chan struct{})} }

// Arrived is closed when the first request has reached the gate.
func (g *Gate) Arrived() <-chan struct{} { return g.arrived }

// Release lets all requests through, those that come later too.
func (g *Gate) Release() { g.release.Do(func() { close(g.released) }) }

// wait returns true when the gate is released, and false if one of the others comes
// first.
func (g *Gate) wait(gone, ended <-chan struct{}) bool {
	g.arrive.Do(func() { close(g.arrived) })
	select {
	case <-g.released:
		return true
	case <-gone:
		return false
	case <-ended:
		return false
	}
}
