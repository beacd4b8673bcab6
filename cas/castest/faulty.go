package castest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
)

// Method names a method of [cas.Driver].
type Method string

// The methods of a driver.
const (
	Put    Method = "Put"
	Get    Method = "Get"
	Stat   Method = "Stat"
	Delete Method = "Delete"
	List   Method = "List"
)

// ErrInjected is the cause of every failure that a script does not name another
// error for.
var ErrInjected = errors.New("injected failure")

// Fault is what one call does instead of succeeding. Make it with [Pass],
// [FailBefore], [FailAfter], [DiskFull], [ShortRead], [FlipBit] or [Block].
type Fault struct {
	before, after error
	cut           int64 // bytes that a Get leaves out at its end
	flip          bool
	flipBit       int64
	gate          *Gate
}

// Pass lets the call through: a place in a script.
func Pass() Fault { return Fault{} }

// FailBefore fails without having done anything. A nil err is [ErrInjected].
func FailBefore(err error) Fault { return Fault{before: orInjected(err)} }

// FailAfter does what was asked and then fails: the answer got lost. A nil err is
// [ErrInjected].
func FailAfter(err error) Fault { return Fault{after: orInjected(err)} }

// DiskFull fails as a driver without space does, without having done anything.
func DiskFull() Fault {
	return Fault{before: &lashstore.StorageError{Op: "put", Path: "faulty", Kind: lashstore.ErrDiskFull, Err: ErrInjected}}
}

// ShortRead makes a Get end cleanly, but n bytes early.
func ShortRead(n int64) Fault { return Fault{cut: n} }

// FlipBit inverts one bit, counted from the first byte's lowest, of what a Get
// reads or a Put writes; beyond the end it does nothing.
func FlipBit(bit int64) Fault { return Fault{flip: true, flipBit: bit} }

// Block holds the call, before it does anything, until the gate is released or its
// context ends.
func Block(g *Gate) Fault { return Fault{gate: g} }

func orInjected(err error) error {
	if err == nil {
		return ErrInjected
	}
	return err
}

// Gate holds calls that meet a [Block].
type Gate struct {
	arrived  chan struct{}
	released chan struct{}
	arrive   sync.Once
	release  sync.Once
}

// NewGate returns a closed gate.
func NewGate() *Gate { return &Gate{arrived: make(chan struct{}), released: make(chan struct{})} }

// Arrived is closed when the first call has reached the gate.
func (g *Gate) Arrived() <-chan struct{} { return g.arrived }

// Release lets all calls through, those that come later too.
func (g *Gate) Release() { g.release.Do(func() { close(g.released) }) }

// Call is one call that a [Faulty] received.
type Call struct {
	Method Method
	Keys   []string // of List: the prefix
}

// Faulty is a driver that does what another does, except where its script says
// otherwise. It may be used by several goroutines.
type Faulty struct {
	driver cas.Driver

	mu      sync.Mutex // guards all below
	scripts map[Method][]Fault
	always  map[Method]func(keys []string) Fault
	calls   []Call
}

var _ cas.Driver = (*Faulty)(nil)

// NewFaulty wraps driver. Without a script it only counts calls.
func NewFaulty(driver cas.Driver) *Faulty {
	return &Faulty{
		driver:  driver,
		scripts: make(map[Method][]Fault),
		always:  make(map[Method]func([]string) Fault),
	}
}

// Script adds faults for the next calls of m, one each, in order.
func (f *Faulty) Script(m Method, faults ...Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.scripts[m] = append(f.scripts[m], faults...)
}

// Always makes choose decide for each call of m that no script is left for; nil
// ends that.
func (f *Faulty) Always(m Method, choose func(keys []string) Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.always[m] = choose
}

// Heal removes all scripts: the driver works again.
func (f *Faulty) Heal() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.scripts)
	clear(f.always)
}

// Calls returns the calls of m so far, in order.
func (f *Faulty) Calls(m Method) []Call {
	f.mu.Lock()
	defer f.mu.Unlock()
	var calls []Call
	for _, c := range f.calls {
		if c.Method == m {
			calls = append(calls, c)
		}
	}
	return calls
}

// next notes a call and returns its fault.
func (f *Faulty) next(m Method, keys ...string) Fault {
	f.mu.Lock()
	f.calls = append(f.calls, Call{Method: m, Keys: keys})
	if script := f.scripts[m]; len(script) > 0 {
		f.scripts[m] = script[1:]
		f.mu.Unlock()
		return script[0]
	}
	choose := f.always[m]
	f.mu.Unlock()
	if choose == nil {
		return Pass()
	}
	return choose(keys)
}

// enter waits and fails as the fault says, before the call acts.
func (x Fault) enter(ctx context.Context, m Method) error {
	if x.gate != nil {
		x.gate.arrive.Do(func() { close(x.gate.arrived) })
		select {
		case <-x.gate.released:
		case <-ctx.Done():
			return fmt.Errorf("faulty %s: %w", m, ctx.Err())
		}
	}
	if x.before != nil {
		return fmt.Errorf("faulty %s: %w", m, x.before)
	}
	return nil
}

// leave fails as the fault says, after the call has acted.
func (x Fault) leave(m Method, err error) error {
	if err == nil && x.after != nil {
		return fmt.Errorf("faulty %s, after acting: %w", m, x.after)
	}
	return err
}

// Put implements [cas.Driver].
func (f *Faulty) Put(ctx context.Context, key string, body []byte) error {
	fault := f.next(Put, key)
	if err := fault.enter(ctx, Put); err != nil {
		return err
	}
	return fault.leave(Put, f.driver.Put(ctx, key, fault.damage(body)))
}

// Get implements [cas.Driver].
func (f *Faulty) Get(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	fault := f.next(Get, key)
	if err := fault.enter(ctx, Get); err != nil {
		return nil, err
	}
	r, err := f.driver.Get(ctx, key, offset, length)
	if err != nil || fault.after != nil {
		if err == nil {
			err = r.Close()
		}
		return nil, fault.leave(Get, err)
	}
	if fault.cut == 0 && !fault.flip {
		return r, nil
	}
	return fault.damaged(r)
}

// Stat implements [cas.Driver].
func (f *Faulty) Stat(ctx context.Context, key string) (cas.ObjectInfo, error) {
	fault := f.next(Stat, key)
	if err := fault.enter(ctx, Stat); err != nil {
		return cas.ObjectInfo{}, err
	}
	info, err := f.driver.Stat(ctx, key)
	if err := fault.leave(Stat, err); err != nil {
		return cas.ObjectInfo{}, err
	}
	return info, nil
}

// Delete implements [cas.Driver].
func (f *Faulty) Delete(ctx context.Context, keys []string) error {
	fault := f.next(Delete, keys...)
	if err := fault.enter(ctx, Delete); err != nil {
		return err
	}
	return fault.leave(Delete, f.driver.Delete(ctx, keys))
}

// List implements [cas.Driver].
func (f *Faulty) List(ctx context.Context, prefix, after string, limit int) ([]cas.ObjectInfo, error) {
	fault := f.next(List, prefix)
	if err := fault.enter(ctx, List); err != nil {
		return nil, err
	}
	infos, err := f.driver.List(ctx, prefix, after, limit)
	if err := fault.leave(List, err); err != nil {
		return nil, err
	}
	return infos, nil
}
