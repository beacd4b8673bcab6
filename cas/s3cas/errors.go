package s3cas

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
)

// operation names a request, in metrics and in errors.
type operation string

const (
	opPut      operation = "put_object"
	opGet      operation = "get_object"
	opStat     operation = "head_object"
	opDelete   operation = "delete_object"
	opDeletes  operation = "delete_objects"
	opList     operation = "list_objects"
	opCreate   operation = "create_upload"
	opPart     operation = "upload_part"
	opComplete operation = "complete_upload"
	opAbort    operation = "abort_upload"
	opUploads  operation = "list_uploads"
	opBucket   operation = "head_bucket"
)

func (op operation) text() string { return strings.ReplaceAll(string(op), "_", " ") }

// writes reports whether op changes objects, so that a missing permission means that
// they are read-only.
func (op operation) writes() bool {
	switch op {
	case opPut, opDelete, opDeletes, opCreate, opPart, opComplete, opAbort:
		return true
	default:
		return false
	}
}

// maxDetailBytes bounds how much of a server's text an error repeats.
const maxDetailBytes = 300

// Error says what was asked of the object store, of which object, and what went
// wrong. It never holds credentials, signatures or headers of a request.
type Error struct {
	Op        string // for example "put object"
	Bucket    string
	Key       string // below the bucket; empty for requests about the bucket
	Reason    Reason
	Code      string // the server's error code; empty if it gave none
	Status    int    // the HTTP status; 0 if there was no answer
	RequestID string // the server's name for the request; for its operator
	Detail    string // the server's message, or what happened on the way
	Hint      string // what to do; empty if nothing is known
	// Kind is ErrStorage, ErrDiskFull or ErrReadOnly of package lashstore.
	Kind error
}

func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s://%s/%s: %v", e.Op, scheme, e.Bucket, e.Key, e.Kind)
	for _, part := range []string{e.Code, e.Detail} {
		if part != "" {
			fmt.Fprintf(&b, ": %s", part)
		}
	}
	if e.Status != 0 {
		fmt.Fprintf(&b, " (status %d", e.Status)
		if e.RequestID != "" {
			fmt.Fprintf(&b, ", request %s", e.RequestID)
		}
		b.WriteString(")")
	}
	if e.Hint != "" {
		fmt.Fprintf(&b, "; %s", e.Hint)
	}
	return b.String()
}

// Unwrap returns the kind.
func (e *Error) Unwrap() error { return e.Kind }

// translate gives an error of the SDK operation, object, reason and a kind of the
// contract. It is the only place that knows error codes. Whatever the SDK wraps is
// flattened to text: its errors hold requests with their headers, and its timeouts
// of one attempt look like the end of the caller's context.
func (d *Driver) translate(ctx context.Context, op operation, key string, err error) error {
	if ended := ctx.Err(); ended != nil {
		return fmt.Errorf("%s %s: %w", op.text(), d.loc.uri(key), ended)
	}
	if known, ok := errors.AsType[*Error](err); ok {
		return known
	}
	e := d.newError(op, key, printable(rootText(err)))
	var header http.Header
	if answer, ok := errors.AsType[*smithyhttp.ResponseError](err); ok && answer.Response != nil {
		e.Status = answer.HTTPStatusCode()
		header = answer.Response.Header
	}
	if answer, ok := errors.AsType[*awshttp.ResponseError](err); ok {
		e.RequestID = printable(answer.RequestID)
	}
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		e.Code, e.Detail = printable(api.ErrorCode()), printable(api.ErrorMessage())
		if absent(op, e.Code, e.Status) {
			return fmt.Errorf("%s %s: %w", op.text(), d.loc.uri(key), cas.ErrObjectNotFound)
		}
	}
	e.Reason = reasonOf(op, e.Code, e.Status, err)
	switch {
	case e.Reason == ReasonFull:
		e.Kind = lashstore.ErrDiskFull
	case e.Reason == ReasonDenied && op.writes():
		e.Kind = lashstore.ErrReadOnly
	}
	e.Hint = d.hint(e.Reason, op, header)
	return e
}

// newError begins an error of kind [lashstore.ErrStorage].
func (d *Driver) newError(op operation, key, detail string) *Error {
	e := &Error{
		Op: op.text(), Bucket: d.loc.Bucket, Key: d.loc.object(key), Reason: ReasonOther, Kind: lashstore.ErrStorage, Detail: detail,
	}
	if op == opBucket {
		e.Key = ""
	}
	return e
}

// protocolError reports an answer that breaks the protocol.
func (d *Driver) protocolError(op operation, key, detail string) error {
	e := d.newError(op, key, detail)
	e.Reason, e.Hint = ReasonNotS3, d.endpointName()+" does not keep to the protocol here; it cannot be used"
	return e
}

// absent reports whether an answer says that the object is not there, and not that
// the bucket is not. An answer to HEAD has no body and hence no code of its own.
func absent(op operation, code string, status int) bool {
	switch op {
	case opGet, opDelete:
		return code == "NoSuchKey"
	case opStat:
		return status == http.StatusNotFound && code != "NoSuchBucket"
	default:
		return false
	}
}

// rootText is the text of the error that the SDK's layers wrap.
func rootText(err error) string {
	if op, ok := errors.AsType[*smithy.OperationError](err); ok {
		err = op.Err
	}
	if attempts, ok := errors.AsType[*retry.MaxAttemptsError](err); ok {
		err = attempts.Err
	}
	if answer, ok := errors.AsType[*smithyhttp.ResponseError](err); ok && answer.Err != nil {
		err = answer.Err
	}
	if send, ok := errors.AsType[*smithyhttp.RequestSendError](err); ok {
		err = send.Err
	}
	return err.Error()
}

// printable bounds and cleans a text that came from outside.
func printable(text string) string {
	if len(text) > maxDetailBytes {
		text = text[:maxDetailBytes] + "…"
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
}

// reasonOf finds the reason in code, status or cause, in this order.
func reasonOf(op operation, code string, status int, err error) Reason {
	if reason := reasonOfCode(code); reason != ReasonOther {
		return reason
	}
	if op == opBucket && status == http.StatusNotFound {
		return ReasonNoBucket
	}
	if reason := reasonOfStatus(status); reason != ReasonOther {
		return reason
	}
	if code == "" { // no answer, or one that was not read to its end
		if reason := reasonOfCause(err); reason != ReasonOther || status == 0 || errors.Is(err, io.ErrUnexpectedEOF) {
			return reason
		}
	}
	switch {
	case status >= http.StatusInternalServerError || op == opStat || op == opBucket:
		return ReasonOther
	case code == "" || code == strings.ReplaceAll(http.StatusText(status), " ", ""):
		// The SDK makes a code of the status where the answer has none. S3 always gives
		// one, except to HEAD.
		return ReasonNotS3
	default:
		return ReasonOther
	}
}

// reasonOfCause tells the failures that have no answer apart.
func reasonOfCause(err error) Reason {
	if _, ok := errors.AsType[*credentialsError](err); ok {
		return ReasonNoCredentials
	}
	if isTLS(err) {
		return ReasonTLS
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok && dns.IsNotFound {
		return ReasonUnknownHost
	}
	timeout, ok := errors.AsType[net.Error](err)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		return ReasonUnreachable
	case errors.Is(err, errStalled), errors.Is(err, os.ErrDeadlineExceeded), ok && timeout.Timeout():
		return ReasonTimeout
	default:
		return ReasonOther
	}
}
