package faultproxy

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
)

// maxKept bounds the memory of answers for [Stale].
const maxKept = 64 << 20

// answer is a whole answer.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// errorAnswer is an error as S3 sends it (Amazon S3 API, "Error responses").
func errorAnswer(status int, code string) *answer {
	body := fmt.Appendf(nil, `<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>%s</Code><Message>injected</Message><RequestId>faultproxy</RequestId></Error>`, code)
	return &answer{status: status, header: http.Header{"Content-Type": {"application/xml"}}, body: body}
}

// remember keeps the first answer of a URL and range.
func (p *Proxy) remember(r *http.Request, a *answer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	id := identity(r)
	if _, ok := p.answers[id]; ok || p.kept+len(a.body) > maxKept {
		return
	}
	p.answers[id] = a
	p.kept += len(a.body)
}

// recall returns what was remembered, or nil.
func (p *Proxy) recall(r *http.Request) *answer {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.answers[identity(r)]
}

func identity(r *http.Request) string {
	return r.Method + " " + r.URL.RequestURI() + " " + r.Header.Get("Range")
}

// flip inverts one bit of a body that is not empty.
func flip(body []byte, bit int64) {
	at := bit % (8 * int64(len(body)))
	body[at/8] ^= 1 << (at % 8)
}

// deliver answers the client, as well as the fault lets it.
func (x *exchange) deliver(a *answer) {
	carries := x.r.Method != http.MethodHead && len(a.body) > 0
	switch x.fault.Kind() {
	case KindDropAnswer:
		x.hangUp(true)
	case KindResetDuringAnswer, KindCut:
		wire := x.wire(a, len(a.body))
		end := len(wire) / 2 // of the header
		if carries {
			end = len(wire) - len(a.body) + len(a.body)/2
		}
		x.raw(wire[:end], x.fault.kind == KindResetDuringAnswer)
	case KindCutDeclared:
		if !carries {
			x.passed()
			x.send(a)
			return
		}
		short := *a
		short.body = a.body[:int64(len(a.body))-min(x.fault.bytes, int64(len(a.body)))]
		x.send(&short)
	case KindLength:
		declared := int64(len(a.body)) + x.fault.bytes
		if x.r.Method == http.MethodHead || declared < 0 || a.status == http.StatusNoContent {
			x.passed()
			x.send(a)
			return
		}
		x.raw(x.wire(a, int(declared)), false)
	case KindFlipAnswer:
		if !carries {
			x.passed()
			x.send(a)
			return
		}
		damaged := *a
		damaged.body = bytes.Clone(a.body)
		flip(damaged.body, x.fault.bit)
		x.send(&damaged)
	default:
		x.send(a)
	}
}

// send answers the client with what a is.
func (x *exchange) send(a *answer) {
	copyHeader(x.w.Header(), a.header)
	if x.r.Method != http.MethodHead && a.status != http.StatusNoContent {
		x.w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
	}
	x.w.WriteHeader(a.status)
	_, err := x.w.Write(a.body) //nolint:gosec // the server's answer to a test
	if err != nil && x.r.Method != http.MethodHead && len(a.body) > 0 {
		panic(http.ErrAbortHandler) // the client is gone
	}
}

// wire is an answer as it is sent, with the length that is declared.
func (x *exchange) wire(a *answer, declared int) []byte {
	header := a.header.Clone()
	if x.r.Method != http.MethodHead && a.status != http.StatusNoContent {
		header.Set("Content-Length", strconv.Itoa(declared))
	}
	header.Set("Connection", "close")
	var b bytes.Buffer
	_, _ = fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\n", a.status, http.StatusText(a.status))
	_ = header.Write(&b) // a buffer takes all
	b.WriteString("\r\n")
	b.Write(a.body)
	return b.Bytes()
}
