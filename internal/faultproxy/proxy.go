package faultproxy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"
)

// headerTimeout bounds how long a client may take to send a header: far longer than
// any on this machine needs.
const headerTimeout = time.Minute

// Event is a request and what became of it.
type Event struct {
	Request

	Fault Fault // Pass if the chosen fault found nothing to damage
}

// Proxy forwards requests to one server, well or not. It may be used by several
// goroutines.
type Proxy struct {
	target    *url.URL
	address   string
	transport *http.Transport
	handlers  sync.WaitGroup

	mu      sync.Mutex // guards all below
	life    *life      // nil while it is down
	script  Script
	events  []Event
	record  bool
	answers map[string]*answer         // the first of each URL
	kept    int                        // bytes of the answers
	conns   map[net.Conn]struct{}      // of clients, open
	drained map[chan struct{}]struct{} // closed when there are none
}

// life is the time between going up and going down.
type life struct {
	server *http.Server
	served chan error
	ended  context.Context //nolint:containedctx // the life of the server, not of a call
	end    context.CancelFunc
}

// Start begins to listen, on an address of this machine, for requests to the server
// at target, such as "http://127.0.0.1:9000".
func Start(ctx context.Context, target string) (*Proxy, error) {
	u, err := url.Parse(target)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("start a proxy: %q is not the URL of a server", target)
	}
	p := &Proxy{
		target: u, address: "127.0.0.1:0",
		transport: &http.Transport{
			Proxy: nil, DisableCompression: true,
			MaxIdleConnsPerHost: 64, // of all clients of one test
		},
		answers: make(map[string]*answer),
		conns:   make(map[net.Conn]struct{}),
		drained: make(map[chan struct{}]struct{}),
	}
	if err := p.Up(ctx); err != nil {
		return nil, err
	}
	return p, nil
}

// URL returns where the proxy listens. It stays the same when the proxy goes down
// and up again.
func (p *Proxy) URL() string { return "http://" + p.address }

// Up listens again after [Proxy.Down]. It does nothing to a proxy that is up.
func (p *Proxy) Up(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.life != nil {
		return nil
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", p.address)
	if err != nil {
		return fmt.Errorf("start a proxy of %s: %w", p.target.Redacted(), err)
	}
	p.address = listener.Addr().String()
	ended, end := context.WithCancel(context.WithoutCancel(ctx))
	l := &life{served: make(chan error, 1), ended: ended, end: end}
	l.server = &http.Server{
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.serve(l, w, r) }),
		ReadHeaderTimeout: headerTimeout,
		ConnState:         p.note,
	}
	p.life = l
	go func() { l.served <- l.server.Serve(listener) }()
	return nil
}

// Down cuts all connections, of requests that are on their way too, and refuses new
// ones. It returns when no request is being handled any more; so a script must not
// call it, and neither must anything that a request waits for.
func (p *Proxy) Down() error {
	p.mu.Lock()
	l := p.life
	p.life = nil
	p.mu.Unlock()
	if l == nil {
		return nil
	}
	l.end()
	err := l.server.Close()
	if served := <-l.served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	p.handlers.Wait()
	p.transport.CloseIdleConnections()
	if err != nil {
		return fmt.Errorf("stop the proxy of %s: %w", p.target.Redacted(), err)
	}
	return nil
}

// Settle waits until no request is being handled, those behind a [Late] included.
// Meanwhile no client may send any.
func (p *Proxy) Settle() { p.handlers.Wait() }

// Close is [Proxy.Down]; the proxy must not be used again.
func (p *Proxy) Close() error { return p.Down() }

// Follow makes a script choose from the next request on; nil chooses nothing.
func (p *Proxy) Follow(s Script) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.script = s
}

// Heal ends the script.
func (p *Proxy) Heal() { p.Follow(nil) }

// Record makes the proxy remember the first answer of each GET and HEAD from now on,
// for [Stale].
func (p *Proxy) Record() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.record = true
}

// Events returns all requests so far, in order.
func (p *Proxy) Events() []Event {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.events)
}

// Counts returns how many requests met each kind of fault.
func (p *Proxy) Counts() map[Kind]int {
	counts := make(map[Kind]int)
	for _, e := range p.Events() {
		counts[e.Fault.Kind()]++
	}
	return counts
}

// Count returns how many requests there were of the operations.
func (p *Proxy) Count(ops ...Op) int {
	n := 0
	for _, e := range p.Events() {
		if slices.Contains(ops, e.Op) {
			n++
		}
	}
	return n
}

// Keys returns the keys that requests of the operations were about, each once, in
// order.
func (p *Proxy) Keys(ops ...Op) []string {
	keys := make(map[string]struct{})
	for _, e := range p.Events() {
		if slices.Contains(ops, e.Op) {
			keys[e.Key()] = struct{}{}
		}
	}
	return slices.Sorted(maps.Keys(keys))
}

// Drained waits until no client has a connection open.
func (p *Proxy) Drained(ctx context.Context) error {
	p.mu.Lock()
	if len(p.conns) == 0 {
		p.mu.Unlock()
		return nil
	}
	empty := make(chan struct{})
	p.drained[empty] = struct{}{}
	p.mu.Unlock()
	select {
	case <-empty:
		return nil
	case <-ctx.Done():
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.drained, empty)
		return fmt.Errorf("%d connections to the proxy are open: %w", len(p.conns), ctx.Err())
	}
}

// note follows the connections.
func (p *Proxy) note(conn net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		p.mu.Lock()
		defer p.mu.Unlock()
		p.conns[conn] = struct{}{}
	case http.StateClosed:
		p.forget(conn)
	default: // one that is hijacked is forgotten when it was closed
	}
}

func (p *Proxy) forget(conn net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, conn)
	if len(p.conns) > 0 {
		return
	}
	for empty := range p.drained {
		close(empty)
	}
	clear(p.drained)
}
