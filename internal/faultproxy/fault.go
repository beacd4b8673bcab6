package faultproxy

import (
	"fmt"
	"net/http"
)

// Kind says what a fault does.
type Kind string

// The kinds of faults.
const (
	KindPass              Kind = "pass"
	KindRefuse            Kind = "refuse"
	KindResetBeforeBody   Kind = "reset before the body"
	KindResetDuringBody   Kind = "reset during the body"
	KindResetAfterBody    Kind = "reset after the body"
	KindResetDuringAnswer Kind = "reset during the answer"
	KindStatus            Kind = "status"
	KindCut               Kind = "cut the answer"
	KindCutDeclared       Kind = "cut the answer and say so"
	KindFlipAnswer        Kind = "flip a bit of the answer"
	KindFlipRequest       Kind = "flip a bit of the request"
	KindDropAnswer        Kind = "drop the answer"
	KindTwice             Kind = "send twice"
	KindStale             Kind = "stale answer"
	KindLength            Kind = "wrong length"
	KindHold              Kind = "hold"
	KindLate              Kind = "late"
)

// Fault is what happens to one request. The zero Fault is that of [Pass].
type Fault struct {
	kind   Kind
	status int
	code   string
	bytes  int64 // of the answer to leave out or to lie about
	bit    int64
	gate   *Gate
}

// Kind returns what the fault does.
func (f Fault) Kind() Kind {
	if f.kind == "" {
		return KindPass
	}
	return f.kind
}

// String names the fault, for the names of subtests and for failures.
func (f Fault) String() string {
	switch f.kind {
	case KindStatus:
		return fmt.Sprintf("status %d %s", f.status, f.code)
	case KindLength:
		return fmt.Sprintf("%s %+d", f.kind, f.bytes)
	default:
		return string(f.Kind())
	}
}

// ActsFirst reports whether the server does what it is asked before the fault shows,
// or although the client learns nothing of it.
func (f Fault) ActsFirst() bool {
	switch f.Kind() {
	case KindPass, KindResetDuringAnswer, KindCut, KindCutDeclared, KindFlipAnswer, KindDropAnswer, KindTwice, KindLength, KindHold, KindLate:
		return true
	default:
		return false
	}
}

// Pass forwards the request.
func Pass() Fault { return Fault{} }

// Refuse closes the connection, in the regular way, as soon as the request's header
// has come. For a server that cannot be reached at all there is [Proxy.Down].
func Refuse() Fault { return Fault{kind: KindRefuse} }

// ResetBeforeBody resets the connection when the request's header has come.
func ResetBeforeBody() Fault { return Fault{kind: KindResetBeforeBody} }

// ResetDuringBody forwards half of the request's body and then resets both
// connections. A request without a body is reset before it is forwarded.
func ResetDuringBody() Fault { return Fault{kind: KindResetDuringBody} }

// ResetAfterBody resets the connection when all of the request has come, and
// forwards nothing.
func ResetAfterBody() Fault { return Fault{kind: KindResetAfterBody} }

// ResetDuringAnswer forwards the request, sends half of the answer's body, or half of
// its header if it has no body, and resets the connection.
func ResetDuringAnswer() Fault { return Fault{kind: KindResetDuringAnswer} }

// Status answers with an error of S3, without asking the server.
func Status(status int, code string) Fault {
	return Fault{kind: KindStatus, status: status, code: code}
}

// SlowDown answers as S3 does when it is asked too much.
func SlowDown() Fault { return Status(http.StatusServiceUnavailable, "SlowDown") }

// InternalError answers as S3 does when something broke in it.
func InternalError() Fault { return Status(http.StatusInternalServerError, "InternalError") }

// RequestTimeout answers as S3 does to a client that sends too slowly.
func RequestTimeout() Fault { return Status(http.StatusRequestTimeout, "RequestTimeout") }

// TooManyRequests answers as several other servers do when they are asked too much.
func TooManyRequests() Fault { return Status(http.StatusTooManyRequests, "TooManyRequests") }

// Cut ends the connection in the regular way after half of the answer's body, or half
// of its header if it has no body.
func Cut() Fault { return Fault{kind: KindCut} }

// CutDeclared leaves out the last n bytes of the answer's body and declares a length
// that fits: nothing shows that something is missing.
func CutDeclared(n int64) Fault { return Fault{kind: KindCutDeclared, bytes: n} }

// WrongLength declares a length that is off by delta. If it is too long, the
// connection ends where the body does.
func WrongLength(delta int64) Fault { return Fault{kind: KindLength, bytes: delta} }

// FlipAnswer inverts a bit of the answer's body. Bits are counted from the lowest of
// the first byte, and again from there at the end.
func FlipAnswer(bit int64) Fault { return Fault{kind: KindFlipAnswer, bit: bit} }

// FlipRequest inverts a bit of the request's body, counted as by [FlipAnswer].
func FlipRequest(bit int64) Fault { return Fault{kind: KindFlipRequest, bit: bit} }

// DropAnswer forwards the request and resets the connection instead of answering.
func DropAnswer() Fault { return Fault{kind: KindDropAnswer} }

// Twice forwards the request two times and gives the second answer.
func Twice() Fault { return Fault{kind: KindTwice} }

// Stale gives the first answer that a GET or HEAD of the same URL and range ever got,
// if [Proxy.Record] was on then; else it forwards the request.
func Stale() Fault { return Fault{kind: KindStale} }

// Hold takes the whole request and forwards it when the gate is released. If the
// client leaves before, or the proxy ends, it is not forwarded.
func Hold(g *Gate) Fault { return Fault{kind: KindHold, gate: g} }

// Late takes the whole request, resets the connection, and forwards the request when
// the gate is released: it arrives after its client gave it up and may have sent it
// again. Nobody gets the answer.
func Late(g *Gate) Fault { return Fault{kind: KindLate, gate: g} }
