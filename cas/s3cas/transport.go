package s3cas

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	// dialTimeout and handshakeTimeout allow for a lost packet or two on the way
	// around the world; a server that does not answer by then is tried again.
	dialTimeout      = 10 * time.Second
	handshakeTimeout = 10 * time.Second
	// idleTimeout is below the minute after which common load balancers drop a
	// connection without a word.
	idleTimeout = 45 * time.Second
	// bufferBytes makes few system calls of a body of megabytes.
	bufferBytes = 64 << 10
)

// errStalled: a transfer made no progress for [Options.StallTimeout].
var errStalled = errors.New("transfer stalled")

// newTransport sets the time limits that the SDK leaves to its caller: there is none
// per attempt in it, and a context bounds all attempts together.
func newTransport(t *http.Transport, opts Options) *http.Transport {
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAlive: idleTimeout}
	t.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dialer.DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &watchedConn{Conn: conn, stall: opts.StallTimeout}, nil
	}
	// One connection per transfer: HTTP/2 would put all of them on one.
	t.ForceAttemptHTTP2 = false
	t.TLSHandshakeTimeout = handshakeTimeout
	t.ResponseHeaderTimeout = opts.AttemptTimeout
	t.IdleConnTimeout = idleTimeout
	// Requests and open readers.
	t.MaxIdleConnsPerHost = 2 * opts.Concurrency
	t.MaxIdleConns = t.MaxIdleConnsPerHost
	t.WriteBufferSize, t.ReadBufferSize = bufferBytes, bufferBytes
	// Objects are compressed already, and a length must mean what it says.
	t.DisableCompression = true
	return t
}

// watchedConn ends a connection that takes no bytes: the transport has no time limit
// for sending. Waiting for bytes is watched above, since an idle connection waits too.
type watchedConn struct {
	net.Conn
	stall time.Duration
}

// Write implements [net.Conn].
func (c *watchedConn) Write(p []byte) (int, error) {
	//nolint:forbidigo // deadlines of connections are in the real time
	if err := c.SetWriteDeadline(time.Now().Add(c.stall)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// watchedTransport ends answers whose body stands still: those of the SDK's own
// reading, such as lists, as well as objects.
type watchedTransport struct {
	next  http.RoundTripper
	stall time.Duration
}

// RoundTrip implements [http.RoundTripper].
func (t *watchedTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	resp, err := t.next.RoundTrip(req.WithContext(ctx))
	if err != nil {
		cancel(nil)
		return nil, err
	}
	resp.Body = &watchedBody{
		body: resp.Body, stall: t.stall, cancel: cancel,
		cause: func() error { return context.Cause(ctx) },
	}
	return resp, nil
}

// watchedBody is the body of an answer.
type watchedBody struct {
	body   io.ReadCloser
	stall  time.Duration
	cancel context.CancelCauseFunc
	cause  func() error

	closing sync.Once
	err     error // of closing
}

func (b *watchedBody) Read(p []byte) (int, error) {
	timer := time.AfterFunc(b.stall, func() { b.cancel(errStalled) })
	n, err := b.body.Read(p)
	timer.Stop()
	if err != nil && !errors.Is(err, io.EOF) && errors.Is(b.cause(), errStalled) {
		err = errStalled
	}
	return n, err
}

func (b *watchedBody) Close() error {
	b.closing.Do(func() {
		b.err = b.body.Close()
		b.cancel(nil)
	})
	return b.err
}
