package faultproxy_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/lashstore/lashstore/internal/faultproxy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits before it gives up: far longer than anything on
// this machine takes.
const patience = 60 * time.Second

// seen is a request as the server saw it.
type seen struct {
	method, uri, host string
	header            http.Header
	body              []byte
	whole             bool
}

// origin is a server behind a proxy, and a client in front of it.
type origin struct {
	t      *testing.T
	proxy  *faultproxy.Proxy
	client *http.Client

	mu       sync.Mutex // guards what follows
	requests []seen
	version  int // the answer's body changes with it
}

// content is the body of each answer.
var content = bytes.Repeat([]byte("0123456789abcdef"), 4096)

func newOrigin(t *testing.T) *origin {
	t.Helper()
	o := &origin{t: t}
	server := httptest.NewServer(o)
	p, err := faultproxy.Start(t.Context(), server.URL)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DisableCompression: true}
	o.proxy, o.client = p, &http.Client{Transport: transport}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		server.Close()
	})
	return o
}

// ServeHTTP answers with content and says what came.
func (o *origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	o.mu.Lock()
	o.requests = append(o.requests, seen{r.Method, r.RequestURI, r.Host, r.Header.Clone(), body, err == nil})
	answer := content
	if o.version > 0 {
		answer = []byte("changed")
	}
	o.mu.Unlock()
	w.Header().Set("Etag", `"tag"`)
	w.Header().Set("X-Amz-Request-Id", "one")
	if r.Method == http.MethodDelete {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(answer))
}

// saw returns the requests that reached the server.
func (o *origin) saw() []seen {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.requests)
}

// acted counts the requests that reached the server whole.
func (o *origin) acted() int {
	n := 0
	for _, s := range o.saw() {
		if s.whole {
			n++
		}
	}
	return n
}

// request makes a request with a body, or without if it is nil.
func (o *origin) request(ctx context.Context, method, path string, body []byte) *http.Request {
	o.t.Helper()
	req, err := http.NewRequestWithContext(ctx, method, o.proxy.URL()+path, bytes.NewReader(body))
	if err != nil {
		o.t.Fatal(err)
	}
	req.GetBody = nil // what breaks must not be sent again unasked
	return req
}

// got is an answer as the client got it.
type got struct {
	status int
	header http.Header
	body   []byte
	err    error // of the request, or of reading the answer
}

func (o *origin) send(req *http.Request) got {
	resp, err := o.client.Do(req)
	if err != nil {
		return got{err: err}
	}
	body, err := io.ReadAll(resp.Body)
	return got{resp.StatusCode, resp.Header, body, errors.Join(err, resp.Body.Close())}
}

func (o *origin) do(method, path string, body []byte) got {
	o.t.Helper()
	return o.send(o.request(o.t.Context(), method, path, body))
}

// await waits for an event.
func await(t *testing.T, what string, event <-chan struct{}) {
	t.Helper()
	select {
	case <-event:
	case <-time.After(patience):
		t.Fatalf("waited %s for %s", patience, what)
	}
}
