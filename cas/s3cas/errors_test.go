package s3cas_test

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas/s3cas"
)

// The server's code, or its status, decides reason, kind and hint.
func TestErrorCodes(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		status int
		code   string
		reason s3cas.Reason
		kind   error // of a Put
		hint   string
	}{
		{404, "NoSuchBucket", s3cas.ReasonNoBucket, lashstore.ErrStorage, "create the bucket"},
		{403, "AccessDenied", s3cas.ReasonDenied, lashstore.ErrReadOnly, "s3:PutObject"},
		{403, "", s3cas.ReasonDenied, lashstore.ErrReadOnly, "s3:PutObject"},
		{403, "SignatureDoesNotMatch", s3cas.ReasonBadSecret, lashstore.ErrStorage, "AWS_SECRET_ACCESS_KEY"},
		{403, "InvalidAccessKeyId", s3cas.ReasonUnknownKey, lashstore.ErrStorage, "AWS_ACCESS_KEY_ID"},
		{400, "ExpiredToken", s3cas.ReasonExpired, lashstore.ErrStorage, "AWS_SESSION_TOKEN"},
		{301, "PermanentRedirect", s3cas.ReasonRegion, lashstore.ErrStorage, "region"},
		{301, "", s3cas.ReasonRegion, lashstore.ErrStorage, "region"},
		{400, "AuthorizationHeaderMalformed", s3cas.ReasonRegion, lashstore.ErrStorage, "eu-central-1"},
		{507, "XMinioStorageFull", s3cas.ReasonFull, lashstore.ErrDiskFull, "free space"},
		{507, "", s3cas.ReasonFull, lashstore.ErrDiskFull, "free space"},
		{400, "XMinioAdminBucketQuotaExceeded", s3cas.ReasonFull, lashstore.ErrDiskFull, "quota"},
		{503, "SlowDown", s3cas.ReasonThrottled, lashstore.ErrStorage, "fewer requests"},
		{501, "NotImplemented", s3cas.ReasonUnsupported, lashstore.ErrStorage, ""},
		{400, "", s3cas.ReasonNotS3, lashstore.ErrStorage, "https://"},
		{500, "InternalError", s3cas.ReasonOther, lashstore.ErrStorage, ""},
	} {
		name := fmt.Sprintf("%d %s", test.status, test.code)
		step := refuse(test.status, test.code, "words of the server")
		if test.code == "" {
			step = respond(test.status, []byte("Client sent an HTTP request to an HTTPS server.\n"))
		}
		_, d := script(t, s3cas.Options{MaxAttempts: 1}, step)
		e := wantDetails(t, d.Put(t.Context(), "k", nil), test.reason, test.kind)
		if test.hint != "" && !strings.Contains(e.Hint, test.hint) {
			t.Errorf("%s: got hint %q, want one that says %q", name, e.Hint, test.hint)
		}
		if test.code != "" && (e.Code != test.code || e.Status != test.status || e.RequestID != "REQ42" ||
			!strings.Contains(e.Error(), "words of the server") || !strings.Contains(e.Error(), "s3://bucket/some/prefix/k")) {
			t.Errorf("%s: got %+v, want the server's code, message and request id, and the object", name, e)
		}
	}
}

// The hint names the region that the server names.
func TestErrorRegion(t *testing.T) {
	t.Parallel()
	_, d := script(t, s3cas.Options{}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Amz-Bucket-Region", "ap-south-1")
		w.Header().Set("Location", "http://127.0.0.1:1/elsewhere")
		refuse(http.StatusTemporaryRedirect, "TemporaryRedirect", "elsewhere")(w, r)
	})
	e := wantDetails(t, d.Put(t.Context(), "k", nil), s3cas.ReasonRegion, lashstore.ErrStorage)
	if !strings.Contains(e.Hint, "region=ap-south-1") || !strings.Contains(e.Hint, "eu-central-1") {
		t.Errorf("got hint %q, want both regions", e.Hint)
	}
}

// The hint shows both clocks.
func TestErrorClockSkew(t *testing.T) {
	t.Parallel()
	skewed := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", "Mon, 02 Jan 2006 15:04:05 GMT")
		refuse(http.StatusForbidden, "RequestTimeTooSkewed", "too far")(w, r)
	}
	opts := s3cas.Options{MaxAttempts: 1, Now: func() time.Time { return time.Date(2007, 1, 2, 3, 4, 5, 6, time.UTC) }}
	_, d := script(t, opts, skewed)
	e := wantDetails(t, d.Put(t.Context(), "k", nil), s3cas.ReasonClockSkew, lashstore.ErrStorage)
	if !strings.Contains(e.Hint, "2006-01-02T15:04:05Z") || !strings.Contains(e.Hint, "2007-01-02T03:04:05Z") {
		t.Errorf("got hint %q, want both times", e.Hint)
	}
}

// What a server writes into an error is bounded and cannot disturb a terminal.
func TestErrorText(t *testing.T) {
	t.Parallel()
	_, d := script(t, s3cas.Options{}, refuse(http.StatusBadRequest, "Bad\nCode", "a\nb\u0085"+strings.Repeat("x", 10_000)))
	err := d.Put(t.Context(), "k", nil)
	if text := err.Error(); len(text) > 1000 || strings.ContainsAny(text, "\n\x1b") {
		t.Errorf("got %d bytes: %q, want a short line", len(text), text)
	}
}

// No error shows the secret, the signature, or a header of the request, however it is
// printed.
func TestErrorHoldsNoSecrets(t *testing.T) {
	t.Parallel()
	for _, step := range []http.HandlerFunc{refuse(http.StatusForbidden, "SignatureDoesNotMatch", "no"), hangUp} {
		_, d := script(t, s3cas.Options{MaxAttempts: 1}, step)
		err := d.Put(t.Context(), "k", nil)
		for _, text := range []string{fmt.Sprint(err), fmt.Sprintf("%+v", err), fmt.Sprintf("%#v", err)} {
			if strings.Contains(text, testSecret) || strings.Contains(text, "Signature=") || strings.Contains(text, "AWS4-HMAC") {
				t.Errorf("the error shows secrets: %s", text)
			}
		}
	}
}

// brokenChain has no credentials.
type brokenChain struct{}

func (brokenChain) Retrieve(context.Context) (aws.Credentials, error) {
	return aws.Credentials{}, errors.New("no source had any")
}

// Without credentials nothing is sent and nothing repeated.
func TestErrorNoCredentials(t *testing.T) {
	t.Parallel()
	_, d := script(t, s3cas.Options{Credentials: brokenChain{}})
	e := wantDetails(t, d.Put(t.Context(), "k", nil), s3cas.ReasonNoCredentials, lashstore.ErrStorage)
	if !strings.Contains(e.Hint, "AWS_ACCESS_KEY_ID") || !strings.Contains(e.Detail, "no source had any") {
		t.Errorf("got %+v, want what the chain says and what to set", e)
	}
}

// Failures without an answer are told apart, and none of them looks like the end of
// the caller's context.
func TestErrorNoAnswer(t *testing.T) {
	t.Parallel()
	address := nobody(t)
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	for _, test := range []struct {
		endpoint string
		carrier  http.RoundTripper
		reason   s3cas.Reason
		hint     string
	}{
		{"http://" + address, nil, s3cas.ReasonUnreachable, address},
		{strings.Replace(plain.URL, "http://", "https://", 1), nil, s3cas.ReasonTLS, "http://"},
		{"http://server", failing{&net.DNSError{Err: "no such host", Name: "server", IsNotFound: true}}, s3cas.ReasonUnknownHost, "resolved"},
		{"http://server", failing{os.ErrDeadlineExceeded}, s3cas.ReasonTimeout, "in time"},
		{"http://server", failing{context.DeadlineExceeded}, s3cas.ReasonTimeout, "in time"},
	} {
		d := open(t, s3cas.Location{Bucket: "bucket", Endpoint: test.endpoint, Region: "us-east-1"}, s3cas.Options{Transport: test.carrier})
		_, err := d.Stat(t.Context(), "k")
		e := wantDetails(t, err, test.reason, lashstore.ErrStorage)
		if !strings.Contains(e.Hint, test.hint) {
			t.Errorf("%s: got hint %q, want one that says %q", test.reason, e.Hint, test.hint)
		}
		if errors.Is(err, context.DeadlineExceeded) || !lashstore.Retryable(err) {
			t.Errorf("%s: got error %v, want a storage failure", test.reason, err)
		}
	}
}

// nobody returns an address where nobody listens.
func nobody(t *testing.T) string {
	t.Helper()
	closed, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	return closed.Addr().String()
}

// failing is a transport that fails.
type failing struct{ err error }

func (f failing) RoundTrip(*http.Request) (*http.Response, error) { return nil, f.err }

// A server that does not answer in time is tried again, within the bound.
func TestErrorAttemptTimeout(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{}, 10)
	d := serve(t, s3cas.Options{AttemptTimeout: 20 * time.Millisecond, MaxAttempts: 2}, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		<-r.Context().Done()
	}))
	_, err := d.Stat(t.Context(), "k")
	wantError(t, err, s3cas.ReasonTimeout, lashstore.ErrStorage)
	if len(asked) != 2 {
		t.Errorf("asked %d times, want 2", len(asked))
	}
}

// A certificate of an unknown authority is refused once, with advice; AWS_CA_BUNDLE
// makes it known. Spoken to without TLS, such a server is recognised.
func TestErrorTLS(t *testing.T) {
	hashes := make(chan string, 1)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hashes <- r.Header.Get("X-Amz-Content-Sha256")
		ok(w, r)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of the refused handshakes
	handshakes := make(chan net.Conn, 100)
	server.Config.ConnState = func(c net.Conn, state http.ConnState) {
		if state == http.StateNew {
			handshakes <- c
		}
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	loc := s3cas.Location{Bucket: "bucket", Endpoint: server.URL, Region: "us-east-1"}
	e := wantDetails(t, open(t, loc, s3cas.Options{}).Put(t.Context(), "k", nil), s3cas.ReasonTLS, lashstore.ErrStorage)
	if !strings.Contains(e.Hint, "AWS_CA_BUNDLE") {
		t.Errorf("got hint %q, want AWS_CA_BUNDLE", e.Hint)
	}
	if len(handshakes) != 1 {
		t.Errorf("%d connections, want 1: trying again cannot help", len(handshakes))
	}

	bare := loc
	bare.Endpoint = strings.Replace(server.URL, "https://", "http://", 1)
	e = wantDetails(t, open(t, bare, s3cas.Options{}).Put(t.Context(), "k", nil), s3cas.ReasonNotS3, lashstore.ErrStorage)
	if !strings.Contains(e.Hint, "https://") {
		t.Errorf("got hint %q, want https://", e.Hint)
	}

	bundle := filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(bundle, text, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_CA_BUNDLE", bundle)
	if err := open(t, loc, s3cas.Options{}).Put(t.Context(), "k", []byte("x")); err != nil {
		t.Fatalf("Put with AWS_CA_BUNDLE: %v", err)
	}
	// The hash of "x": over TLS the signature covers the body too.
	if got, want := <-hashes, "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"; got != want {
		t.Errorf("X-Amz-Content-Sha256: got %q, want %q", got, want)
	}
}
