package s3cas_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
	"github.com/lashstore/lashstore/cas/s3cas"
)

// A Put is one signed request; the signature covers the body, and there is no
// checksum that a server might not know.
func TestPutRequest(t *testing.T) {
	t.Parallel()
	s, d := script(t, s3cas.Options{}, ok)
	body := pattern(5000)
	if err := d.Put(t.Context(), "b3/00/k", body); err != nil {
		t.Fatalf("Put: %v", err)
	}
	got := s.requests()[0]
	if got.method != http.MethodPut || got.path != "/bucket/some/prefix/b3/00/k" || !bytes.Equal(got.body, body) {
		t.Errorf("got %s %s with %d bytes, want PUT below bucket and prefix with the body", got.method, got.path, len(got.body))
	}
	sum := sha256.Sum256(body)
	if want := hex.EncodeToString(sum[:]); got.header.Get("X-Amz-Content-Sha256") != want {
		t.Errorf("X-Amz-Content-Sha256: got %q, want the hash of the body %q", got.header.Get("X-Amz-Content-Sha256"), want)
	}
	wantPlain(t, got)
	if auth := got.header.Get("Authorization"); !strings.Contains(auth, testKeyID+"/") || !strings.Contains(auth, "/eu-central-1/s3/") {
		t.Errorf("Authorization: got %q, want one of the key and the region", auth)
	}
}

// wantPlain checks that a request has neither checksums nor chunked encoding nor
// conditions.
func wantPlain(t *testing.T, got request) {
	t.Helper()
	for name := range got.header {
		lower := strings.ToLower(name)
		if strings.HasPrefix(lower, "x-amz-checksum") || strings.HasPrefix(lower, "x-amz-sdk-checksum") ||
			lower == "x-amz-trailer" || lower == "content-encoding" || strings.HasPrefix(lower, "if-") {
			t.Errorf("%s %s: header %s: %q is sent, want none such", got.method, got.path, name, got.header.Get(name))
		}
	}
}

// What may help to repeat is repeated, with the same body.
func TestPutRetries(t *testing.T) {
	t.Parallel()
	for name, step := range map[string]http.HandlerFunc{
		"500":          refuse(http.StatusInternalServerError, "InternalError", "try again"),
		"SlowDown":     refuse(http.StatusServiceUnavailable, "SlowDown", "slower"),
		"503 bare":     respond(http.StatusServiceUnavailable, nil),
		"408":          refuse(http.StatusRequestTimeout, "RequestTimeout", "too slow"),
		"409":          refuse(http.StatusConflict, "OperationAborted", "somebody else"),
		"429":          refuse(http.StatusTooManyRequests, "TooManyRequests", "slower"),
		"hung up":      hangUp,
		"cut error":    breakAfter(http.StatusInternalServerError, []byte("<Error><Code>x</Code></Error>"), 5),
		"502 as html":  respond(http.StatusBadGateway, []byte("<html>bad</html>")),
		"bare timeout": respond(http.StatusGatewayTimeout, nil),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, d := script(t, s3cas.Options{}, step, step, ok)
			if err := d.Put(t.Context(), "k", []byte("body")); err != nil {
				t.Fatalf("Put: %v, want success at the third attempt", err)
			}
			for i, got := range s.requests() {
				if string(got.body) != "body" {
					t.Errorf("attempt %d: got body %q, want the whole", i+1, got.body)
				}
			}
		})
	}
}

// Attempts are bounded, and their number is the option's.
func TestPutGivesUp(t *testing.T) {
	t.Parallel()
	slow := refuse(http.StatusServiceUnavailable, "SlowDown", "slower")
	_, d := script(t, s3cas.Options{MaxAttempts: 4}, times(4, slow)...)
	err := d.Put(t.Context(), "k", nil)
	if e := wantDetails(t, err, s3cas.ReasonThrottled, lashstore.ErrStorage); e.Hint == "" {
		t.Errorf("no hint in %v", err)
	}
	if !lashstore.Retryable(err) {
		t.Errorf("%v is not retryable, want that the caller may try again later", err)
	}
}

// The SDK would ration the repetitions of a busy server's requests: after a hundred
// or so there would be none left for the next request.
func TestRetriesAreNotRationed(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	d := serve(t, s3cas.Options{}, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	const puts = 100
	for range puts {
		wantError(t, d.Put(t.Context(), "k", nil), s3cas.ReasonThrottled, lashstore.ErrStorage)
	}
	if n := asked.Load(); n != 3*puts {
		t.Errorf("%d attempts, want three for each of %d requests", n, puts)
	}
}

// What cannot help to repeat is sent once.
func TestPutDoesNotRetry(t *testing.T) {
	t.Parallel()
	for code, status := range map[string]int{
		"AccessDenied": http.StatusForbidden, "NoSuchBucket": http.StatusNotFound, "InvalidArgument": http.StatusBadRequest,
		"XMinioStorageFull": http.StatusInsufficientStorage, "QuotaExceeded": http.StatusServiceUnavailable,
	} {
		_, d := script(t, s3cas.Options{}, refuse(status, code, "no"))
		if err := d.Put(t.Context(), "k", nil); err == nil {
			t.Errorf("%s: Put succeeded", code)
		}
	}
}

// A read-only driver sends nothing.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	_, d := script(t, s3cas.Options{ReadOnly: true})
	if err := d.Put(t.Context(), "k", nil); !errors.Is(err, lashstore.ErrReadOnly) {
		t.Errorf("Put: got error %v, want ErrReadOnly", err)
	}
	if err := d.Delete(t.Context(), []string{"k"}); !errors.Is(err, lashstore.ErrReadOnly) {
		t.Errorf("Delete: got error %v, want ErrReadOnly", err)
	}
}

// wantError checks that err is an *Error of the reason and the kind.
func wantError(t *testing.T, err error, reason s3cas.Reason, kind error) {
	t.Helper()
	if e, ok := errors.AsType[*s3cas.Error](err); !ok || e.Reason != reason || !errors.Is(err, kind) || errors.Is(err, cas.ErrObjectNotFound) {
		t.Errorf("got error %v, want an Error with reason %q and kind %q", err, reason, kind)
	}
}

// wantDetails checks the same and returns the error, or an empty one.
func wantDetails(t *testing.T, err error, reason s3cas.Reason, kind error) s3cas.Error {
	t.Helper()
	wantError(t, err, reason, kind)
	if e, ok := errors.AsType[*s3cas.Error](err); ok {
		return *e
	}
	return s3cas.Error{Kind: kind}
}
