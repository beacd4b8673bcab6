package faultproxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
)

// maxBuffered bounds what is kept of one body: S3's objects in tests are far smaller.
const maxBuffered = 256 << 20

var (
	errTooLarge = errors.New("body is too large for a fault that has to keep it")
	errHalfway  = errors.New("the rest of the body is left out")
)

// exchange is one request and its answer.
type exchange struct {
	proxy *Proxy
	life  *life
	w     http.ResponseWriter
	r     *http.Request
	index int // of its event
	fault Fault
	// record is whether the answer may have to be given again.
	record bool
}

// serve handles a request.
func (p *Proxy) serve(l *life, w http.ResponseWriter, r *http.Request) {
	x := p.begin(l, w, r)
	if x == nil {
		panic(http.ErrAbortHandler) // it came while the proxy went down
	}
	defer p.handlers.Done()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(l.ended, cancel)()
	x.run(ctx)
}

// begin chooses the request's fault and remembers both.
func (p *Proxy) begin(l *life, w http.ResponseWriter, r *http.Request) *exchange {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.life != l {
		return nil
	}
	p.handlers.Add(1)
	e := Event{Request: Request{
		N: len(p.events) + 1, Op: opOf(r.Method, r.URL), Method: r.Method, Path: r.URL.Path,
		Range: r.Header.Get("Range"), Bytes: r.ContentLength,
	}}
	if p.script != nil {
		e.Fault = p.script(e.Request)
	}
	p.events = append(p.events, e)
	return &exchange{
		proxy: p, life: l, w: w, r: r, index: len(p.events) - 1, fault: e.Fault,
		record: p.record && (r.Method == http.MethodGet || r.Method == http.MethodHead),
	}
}

// passed notes that the fault found nothing to damage.
func (x *exchange) passed() {
	x.proxy.mu.Lock()
	defer x.proxy.mu.Unlock()
	x.proxy.events[x.index].Fault = Pass()
}

// run does what the fault says, up to the answer.
func (x *exchange) run(ctx context.Context) {
	switch x.fault.Kind() {
	case KindRefuse:
		x.hangUp(false)
	case KindResetBeforeBody:
		x.hangUp(true)
	case KindResetDuringBody:
		x.forwardHalf(ctx)
		x.hangUp(true)
	case KindResetAfterBody:
		_, _ = io.Copy(io.Discard, x.r.Body) // the client may be gone
		x.hangUp(true)
	case KindStatus:
		_, _ = io.Copy(io.Discard, x.r.Body) // the client may be gone
		x.send(errorAnswer(x.fault.status, x.fault.code))
	case KindPass:
		if x.record {
			x.exchange(ctx)
		} else {
			x.stream(ctx)
		}
	default:
		x.exchange(ctx)
	}
}

// stream forwards request and answer as they come.
func (x *exchange) stream(ctx context.Context) {
	resp, err := x.roundTrip(ctx, x.r.Body, x.r.ContentLength)
	if err != nil {
		x.hangUp(true)
		return
	}
	copyHeader(x.w.Header(), resp.Header)
	x.w.WriteHeader(resp.StatusCode)
	_, err = io.Copy(x.w, resp.Body)
	if errors.Join(err, resp.Body.Close()) != nil {
		panic(http.ErrAbortHandler) // the client sees that its answer broke off
	}
}

// forwardHalf gives the server a part of the request.
func (x *exchange) forwardHalf(ctx context.Context) {
	if x.r.ContentLength < 2 {
		_, _ = io.Copy(io.Discard, x.r.Body) // the client may be gone
		return
	}
	half := io.MultiReader(io.LimitReader(x.r.Body, x.r.ContentLength/2), failingReader{})
	if resp, err := x.roundTrip(ctx, half, x.r.ContentLength); err == nil {
		_ = resp.Body.Close() // refused before it was read; nobody gets it
	}
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, errHalfway }

// exchange forwards a request that is kept whole, and answers it.
func (x *exchange) exchange(ctx context.Context) {
	body, err := readAll(x.r.Body)
	if err != nil {
		x.hangUp(true)
		return
	}
	switch x.fault.Kind() {
	case KindHold:
		if !x.fault.gate.wait(ctx.Done(), nil) {
			x.hangUp(true)
			return
		}
	case KindLate:
		x.hangUp(true)
		if x.fault.gate.wait(nil, x.life.ended.Done()) {
			_, _ = x.ask(x.life.ended, body) // nobody gets the answer
		}
		return
	case KindFlipRequest:
		if len(body) == 0 {
			x.passed()
		} else {
			flip(body, x.fault.bit)
		}
	case KindStale:
		if a := x.proxy.recall(x.r); a != nil {
			x.send(a)
			return
		}
		x.passed()
	case KindTwice:
		if _, err := x.ask(ctx, body); err != nil {
			x.hangUp(true)
			return
		}
	default:
	}
	a, err := x.ask(ctx, body)
	if err != nil {
		x.hangUp(true)
		return
	}
	if x.record {
		x.proxy.remember(x.r, a)
	}
	x.deliver(a)
}

// ask forwards a request and takes the whole answer.
func (x *exchange) ask(ctx context.Context, body []byte) (*answer, error) {
	resp, err := x.roundTrip(ctx, bytes.NewReader(body), int64(len(body)))
	if err != nil {
		return nil, err
	}
	a := &answer{status: resp.StatusCode, header: make(http.Header)}
	copyHeader(a.header, resp.Header)
	a.body, err = readAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	return a, nil
}

// roundTrip sends the request to the server as the client sent it, but for the body.
func (x *exchange) roundTrip(ctx context.Context, body io.Reader, length int64) (*http.Response, error) {
	out := x.r.Clone(ctx)
	out.RequestURI = ""
	out.URL.Scheme, out.URL.Host = x.proxy.target.Scheme, x.proxy.target.Host
	for _, name := range hopHeaders() {
		out.Header.Del(name)
	}
	if _, ok := out.Header["User-Agent"]; !ok {
		out.Header["User-Agent"] = nil // none is added
	}
	out.Body, out.ContentLength, out.TransferEncoding = io.NopCloser(body), length, nil
	if length == 0 {
		out.Body = http.NoBody
	}
	resp, err := x.proxy.transport.RoundTrip(out)
	if err != nil {
		return nil, fmt.Errorf("forward a request: %w", err)
	}
	return resp, nil
}

// hopHeaders are about one connection (RFC 9110, section 7.6.1), and Expect, which
// this proxy has answered.
func hopHeaders() []string {
	return []string{"Connection", "Proxy-Connection", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Expect"}
}

// copyHeader copies what is about the answer.
func copyHeader(to, from http.Header) {
	for name, values := range from {
		if !slices.Contains(hopHeaders(), name) {
			to[name] = slices.Clone(values)
		}
	}
	if _, ok := from["Content-Type"]; !ok {
		to["Content-Type"] = nil // none is guessed
	}
}

// readAll reads a body that has to be kept.
func readAll(body io.Reader) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(body, maxBuffered+1))
	if err != nil {
		return nil, err
	}
	if len(raw) > maxBuffered {
		return nil, errTooLarge
	}
	return raw, nil
}

// hangUp ends the client's connection, by a reset or in the regular way.
func (x *exchange) hangUp(reset bool) { x.raw(nil, reset) }

// raw writes bytes to the client's connection and ends it. The client may be gone, or
// the proxy may end, so errors mean nothing.
func (x *exchange) raw(wire []byte, reset bool) {
	conn, _, err := http.NewResponseController(x.w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer x.proxy.forget(conn)
	defer context.AfterFunc(x.life.ended, func() { _ = conn.Close() })()
	_, _ = conn.Write(wire)
	if tcp, ok := conn.(*net.TCPConn); ok && reset {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}
