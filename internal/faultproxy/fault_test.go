package faultproxy_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/lashstore/lashstore/internal/faultproxy"
)

// What each fault shows to the two sides. A fault that does nothing would make every
// test behind it pass.
func TestFaults(t *testing.T) {
	t.Parallel()
	reset := func(a got) bool {
		// The client may have closed its end, having noticed the reset while it was writing.
		return errors.Is(a.err, syscall.ECONNRESET) || errors.Is(a.err, syscall.EPIPE) || errors.Is(a.err, io.EOF) ||
			errors.Is(a.err, net.ErrClosed)
	}
	refused := func(status int, code string) func(got) bool {
		return func(a got) bool {
			return a.err == nil && a.status == status && strings.Contains(string(a.body), "<Code>"+code+"<")
		}
	}
	half := func(a got) bool {
		return errors.Is(a.err, io.ErrUnexpectedEOF) && len(a.body) == len(content)/2 && bytes.HasPrefix(content, a.body)
	}
	whole := func(a got) bool { return a.err == nil && bytes.Equal(a.body, content) }
	for _, test := range []struct {
		fault faultproxy.Fault
		acts  int // how often the server gets the whole request
		shows func(got) bool
	}{
		{faultproxy.Refuse(), 0, reset},
		{faultproxy.ResetBeforeBody(), 0, reset},
		{faultproxy.ResetDuringBody(), 0, reset},
		{faultproxy.ResetAfterBody(), 0, reset},
		{faultproxy.ResetDuringAnswer(), 1, func(a got) bool { return a.err != nil && bytes.HasPrefix(content, a.body) }},
		{faultproxy.SlowDown(), 0, refused(http.StatusServiceUnavailable, "SlowDown")},
		{faultproxy.InternalError(), 0, refused(http.StatusInternalServerError, "InternalError")},
		{faultproxy.RequestTimeout(), 0, refused(http.StatusRequestTimeout, "RequestTimeout")},
		{faultproxy.TooManyRequests(), 0, refused(http.StatusTooManyRequests, "TooManyRequests")},
		{faultproxy.Cut(), 1, half},
		{faultproxy.CutDeclared(5), 1, func(a got) bool { return a.err == nil && bytes.Equal(a.body, content[:len(content)-5]) }},
		{faultproxy.CutDeclared(1 << 40), 1, func(a got) bool { return a.err == nil && len(a.body) == 0 }},
		{faultproxy.WrongLength(7), 1, func(a got) bool { return errors.Is(a.err, io.ErrUnexpectedEOF) && bytes.Equal(a.body, content) }},
		{faultproxy.WrongLength(-7), 1, func(a got) bool { return a.err == nil && bytes.Equal(a.body, content[:len(content)-7]) }},
		{faultproxy.FlipAnswer(9), 1, func(a got) bool { return a.err == nil && a.body[1] == content[1]^2 && len(a.body) == len(content) }},
		{faultproxy.DropAnswer(), 1, reset},
		{faultproxy.Twice(), 2, whole},
		{faultproxy.Stale(), 1, whole},
		{faultproxy.Pass(), 1, whole},
	} {
		for _, method := range []string{http.MethodGet, http.MethodPut} {
			t.Run(method+" "+test.fault.String(), func(t *testing.T) {
				t.Parallel()
				o := newOrigin(t)
				o.proxy.Follow(faultproxy.Once(test.fault))
				var body []byte
				if method == http.MethodPut {
					body = content
				}
				if a := o.do(method, "/bucket/key", body); !test.shows(a) {
					t.Errorf("got status %d, %d bytes, %v", a.status, len(a.body), a.err)
				}
				if n := o.acted(); n != test.acts {
					t.Errorf("the server acted %d times, want %d", n, test.acts)
				}
				if a := o.do(method, "/bucket/key", body); !whole(a) {
					t.Errorf("the next request: status %d, %d bytes, %v", a.status, len(a.body), a.err)
				}
			})
		}
	}
}

// Faults of answers without a body.
func TestFaultsOfHead(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	for _, fault := range []faultproxy.Fault{faultproxy.Cut(), faultproxy.ResetDuringAnswer(), faultproxy.DropAnswer()} {
		o.proxy.Follow(faultproxy.Always(fault))
		if a := o.do(http.MethodHead, "/bucket/key", nil); a.err == nil {
			t.Errorf("%s: no error", fault)
		}
	}
	for _, fault := range []faultproxy.Fault{
		faultproxy.CutDeclared(1), faultproxy.WrongLength(1), faultproxy.FlipAnswer(1), faultproxy.FlipRequest(1), faultproxy.Stale(),
	} {
		o.proxy.Follow(faultproxy.Always(fault))
		if a := o.do(http.MethodHead, "/bucket/key", nil); a.err != nil || a.header.Get("Content-Length") != "65536" {
			t.Errorf("%s: got %+v", fault, a)
		}
	}
	if counts := o.proxy.Counts(); counts[faultproxy.KindPass] != 5 || counts[faultproxy.KindCut] != 1 {
		t.Errorf("counted %v, want that the last five passed", counts)
	}
}

// A flipped bit of a request reaches the server, and only that.
func TestFlipRequest(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	o.proxy.Follow(faultproxy.Always(faultproxy.FlipRequest(8 * int64(len(content)))))
	if a := o.do(http.MethodPut, "/bucket/key", content); a.err != nil {
		t.Fatal(a.err)
	}
	want := bytes.Clone(content)
	want[0] ^= 1
	if !bytes.Equal(o.saw()[0].body, want) {
		t.Error("the server got other bytes than those with the first bit flipped")
	}
}

// A request is forwarded when the gate opens, and not if its client has left.
func TestHold(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	gate := faultproxy.NewGate()
	o.proxy.Follow(faultproxy.Once(faultproxy.Hold(gate)))
	done := make(chan got, 1)
	go func() { done <- o.send(o.request(t.Context(), http.MethodPut, "/bucket/key", content)) }()
	await(t, "the request", gate.Arrived())
	if n := len(o.saw()); n != 0 {
		t.Errorf("%d requests reached the server before the gate was released", n)
	}
	gate.Release()
	if a := <-done; a.err != nil || o.acted() != 1 {
		t.Errorf("after the release: %v, the server acted %d times", a.err, o.acted())
	}
	closed := faultproxy.NewGate()
	o.proxy.Follow(faultproxy.Once(faultproxy.Hold(closed)))
	ctx, cancel := context.WithCancel(t.Context())
	go func() { done <- o.send(o.request(ctx, http.MethodPut, "/bucket/key", content)) }()
	await(t, "the request", closed.Arrived())
	cancel()
	if a := <-done; !errors.Is(a.err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", a.err)
	}
	if err := o.proxy.Down(); err != nil { // waits for the request
		t.Fatal(err)
	}
	if n := o.acted(); n != 1 {
		t.Errorf("the server acted %d times, want not for a client that left", n)
	}
}

// A late request arrives although its client gave it up.
func TestLate(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	gate := faultproxy.NewGate()
	o.proxy.Follow(faultproxy.Once(faultproxy.Late(gate)))
	if a := o.do(http.MethodPut, "/bucket/key", content); a.err == nil {
		t.Errorf("got %d, want that the connection breaks", a.status)
	}
	await(t, "the request", gate.Arrived())
	if n := len(o.saw()); n != 0 {
		t.Errorf("%d requests reached the server before the gate was released", n)
	}
	gate.Release()
	o.proxy.Settle()
	if s := o.saw(); len(s) != 1 || !bytes.Equal(s[0].body, content) {
		t.Errorf("the server saw %d requests, want the late one", len(s))
	}
	o.proxy.Follow(faultproxy.Once(faultproxy.Late(faultproxy.NewGate())))
	if a := o.do(http.MethodPut, "/bucket/key", content); a.err == nil {
		t.Errorf("got %d, want that the connection breaks", a.status)
	}
	if err := o.proxy.Down(); err != nil { // ends the wait
		t.Fatal(err)
	}
	if n := len(o.saw()); n != 1 {
		t.Errorf("%d requests reached the server, want not the one that was late for ever", n)
	}
}

// A stale answer is the first one of the same URL and range.
func TestStale(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	o.proxy.Record()
	if a := o.do(http.MethodGet, "/bucket/key", nil); a.err != nil {
		t.Fatal(a.err)
	}
	o.mu.Lock()
	o.version = 1
	o.mu.Unlock()
	o.proxy.Follow(faultproxy.Always(faultproxy.Stale()))
	if a := o.do(http.MethodGet, "/bucket/key", nil); a.err != nil || !bytes.Equal(a.body, content) || a.header.Get("Etag") != `"tag"` {
		t.Errorf("got %d bytes, %v, want the old answer", len(a.body), a.err)
	}
	ranged := o.request(t.Context(), http.MethodGet, "/bucket/key", nil)
	ranged.Header.Set("Range", "bytes=0-3")
	for name, a := range map[string]got{
		"another URL": o.do(http.MethodGet, "/bucket/other", nil), "a range": o.send(ranged),
		"another method": o.do(http.MethodPut, "/bucket/key", nil),
	} {
		if a.err != nil || !strings.HasPrefix("changed", string(a.body)) {
			t.Errorf("%s: got %d bytes, %v, want a new answer", name, len(a.body), a.err)
		}
	}
	if counts := o.proxy.Counts(); counts[faultproxy.KindStale] != 1 {
		t.Errorf("counted %v, want one stale answer", counts)
	}
}
