package faultproxy_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"syscall"
	"testing"

	"github.com/lashstore/lashstore/internal/faultproxy"
)

// A signature covers method, path, query, Host and headers: one that the proxy
// changes makes a good request a bad one.
func TestForwards(t *testing.T) {
	t.Parallel()
	for _, record := range []bool{false, true} {
		o := newOrigin(t)
		if record {
			o.proxy.Record()
		}
		const path = "/bucket/a%20b%2Fc%2B+~/%C3%A4?list-type=2&prefix=x%2Fy&x-id=A"
		req := o.request(t.Context(), http.MethodPut, path, content)
		req.Host = "signed.example:123"
		req.Header.Set("X-Amz-Date", "20260101T000000Z")
		req.Header["User-Agent"] = nil
		answer := o.send(req)
		if answer.err != nil || answer.status != http.StatusOK || !bytes.Equal(answer.body, content) || answer.header.Get("Etag") != `"tag"` {
			t.Fatalf("got %d, %v, %d bytes, %v", answer.status, answer.header, len(answer.body), answer.err)
		}
		server := o.saw()[0]
		if server.method != http.MethodPut || server.uri != path || server.host != "signed.example:123" || !bytes.Equal(server.body, content) {
			t.Errorf("the server saw %s %s for %s with %d bytes", server.method, server.uri, server.host, len(server.body))
		}
		if server.header.Get("X-Amz-Date") != "20260101T000000Z" || server.header.Get("User-Agent") != "" || server.header.Get("Accept-Encoding") != "" {
			t.Errorf("the server saw the header %v", server.header)
		}
		head := o.do(http.MethodHead, "/bucket/key", nil)
		if head.err != nil || head.header.Get("Content-Length") != "65536" || len(head.body) != 0 {
			t.Errorf("HEAD: got %+v", head)
		}
		if deleted := o.do(http.MethodDelete, "/bucket/key", nil); deleted.err != nil || deleted.status != http.StatusNoContent {
			t.Errorf("DELETE: got %+v", deleted)
		}
	}
}

// A proxy that is down must look like a server that is: nobody listens, and what was
// on its way is cut. It comes back where it was.
func TestDownAndUp(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	gate := faultproxy.NewGate()
	o.proxy.Follow(faultproxy.Always(faultproxy.Hold(gate)))
	done := make(chan got, 1)
	go func() { done <- o.send(o.request(t.Context(), http.MethodGet, "/bucket/key", nil)) }()
	await(t, "the request", gate.Arrived())
	if err := o.proxy.Down(); err != nil {
		t.Fatal(err)
	}
	if cut := <-done; cut.err == nil {
		t.Error("a request that was held was answered although the proxy went down")
	}
	if answer := o.do(http.MethodGet, "/bucket/key", nil); !errors.Is(answer.err, syscall.ECONNREFUSED) {
		t.Errorf("while it is down: got %v, want that the connection is refused", answer.err)
	}
	o.proxy.Heal()
	before := o.proxy.URL()
	if err := o.proxy.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	if answer := o.do(http.MethodGet, "/bucket/key", nil); answer.err != nil || o.proxy.URL() != before {
		t.Errorf("after it came up again at %s, was at %s: %v", o.proxy.URL(), before, answer.err)
	}
	if n := o.acted(); n != 1 {
		t.Errorf("%d requests reached the server, want the last one", n)
	}
}

// Connections that a client leaves behind are found, and those that it closed are not.
func TestDrained(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	if answer := o.do(http.MethodGet, "/bucket/key", nil); answer.err != nil {
		t.Fatal(answer.err)
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := o.proxy.Drained(canceled); !errors.Is(err, context.Canceled) {
		t.Errorf("with an idle connection: got %v, want that it is open", err)
	}
	o.client.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := o.proxy.Drained(ctx); err != nil {
		t.Errorf("without a connection: %v", err)
	}
	for _, fault := range []faultproxy.Fault{faultproxy.Refuse(), faultproxy.ResetBeforeBody(), faultproxy.Cut()} {
		o.proxy.Follow(faultproxy.Always(fault))
		if answer := o.do(http.MethodGet, "/bucket/key", nil); answer.err == nil {
			t.Errorf("%s: no error", fault)
		}
		if err := o.proxy.Drained(ctx); err != nil {
			t.Errorf("after %s: %v", fault, err)
		}
	}
}

// A server that cannot be one is refused.
func TestStartRefuses(t *testing.T) {
	t.Parallel()
	for _, target := range []string{"", "127.0.0.1:9000", "ftp://host", "http://", "http://[", "\x00"} {
		if p, err := faultproxy.Start(t.Context(), target); err == nil {
			t.Errorf("%q: started", target)
			_ = p.Close()
		}
	}
}

// A server that is not there looks to the client like one that breaks off.
func TestServerGone(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	p, err := faultproxy.Start(t.Context(), "http://127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	for _, fault := range []faultproxy.Fault{faultproxy.Pass(), faultproxy.Twice(), faultproxy.ResetDuringBody()} {
		p.Follow(faultproxy.Always(fault))
		req := o.request(t.Context(), http.MethodPut, "/bucket/key", content)
		req.URL.Host = p.URL()[len("http://"):]
		if answer := o.send(req); answer.err == nil {
			t.Errorf("%s: got %d, want an error", fault, answer.status)
		}
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}
