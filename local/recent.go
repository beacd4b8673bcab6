package local

import (
	"container/list"
	"sync"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
)

// recent keeps the bytes of what components were last, so that what follows can be
// stored as the difference. It is bounded by bytes, over all sessions; what is not
// in it is stored without deltas, so that losing an entry costs space and nothing
// else.
type recent struct {
	limit int64

	mu      sync.Mutex
	entries map[recentKey]*list.Element // of *recentState; guarded by mu
	order   *list.List                  // guarded by mu: newest first
	total   int64                       // guarded by mu
}

type recentKey struct {
	incarnation lashstore.Incarnation
	component   string
}

// recentState is the state of a component with the manifest it was stored by.
type recentState struct {
	key      recentKey
	manifest *cas.Manifest
	content  []byte
}

func newRecent(limit int64) *recent {
	return &recent{limit: limit, entries: make(map[recentKey]*list.Element), order: list.New()}
}

// take removes and returns the state of a component if it has the digest. Its memory
// is the caller's until it is given back.
func (r *recent) take(key recentKey, d lashstore.Digest) *recentState {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.entries[key]
	if e == nil {
		return nil
	}
	state := r.remove(e)
	if state.manifest.Digest != d {
		return nil
	}
	return state
}

// give keeps a state, in place of what is kept for its component.
func (r *recent) give(state *recentState) {
	size := int64(cap(state.content))
	if size > r.limit {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := r.entries[state.key]; e != nil {
		r.remove(e)
	}
	for r.total+size > r.limit {
		r.remove(r.order.Back())
	}
	r.total += size
	r.entries[state.key] = r.order.PushFront(state)
}

// keep copies content and keeps it, in the memory of old if that is large enough.
func (r *recent) keep(key recentKey, m *cas.Manifest, content []byte, old *recentState) {
	if int64(len(content)) > r.limit {
		return
	}
	var memory []byte
	if old != nil && cap(old.content) >= len(content) && cap(old.content)/2 <= len(content) {
		memory = old.content[:0]
	} else {
		memory = make([]byte, 0, len(content)+len(content)/8) // states grow
	}
	r.give(&recentState{key: key, manifest: m, content: append(memory, content...)})
}

// has reports whether the state of a component with the digest is kept.
func (r *recent) has(key recentKey, d lashstore.Digest) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.entries[key]
	return e != nil && stateOf(e).manifest.Digest == d
}

// remove drops an entry; mu is held.
func (r *recent) remove(e *list.Element) *recentState {
	state := stateOf(e)
	r.order.Remove(e)
	delete(r.entries, state.key)
	r.total -= int64(cap(state.content))
	return state
}

func stateOf(e *list.Element) *recentState {
	return e.Value.(*recentState) //nolint:forcetypeassert // nothing else is put in the list
}
