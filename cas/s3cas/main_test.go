package s3cas_test

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"go.uber.org/goleak"

	"github.com/lashstore/lashstore/cas/s3cas"
)

// TestMain keeps the profiles and settings of whoever runs the tests out of them.
func TestMain(m *testing.M) {
	for name, value := range map[string]string{
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_EC2_METADATA_DISABLED": "true",
	} {
		if err := os.Setenv(name, value); err != nil {
			panic(err)
		}
	}
	for _, name := range []string{
		"AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_CA_BUNDLE",
		"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
		"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy",
	} {
		if err := os.Unsetenv(name); err != nil {
			panic(err)
		}
	}
	goleak.VerifyTestMain(m)
}

const (
	testKeyID  = "AKIDTESTKEY12345"
	testSecret = "a-secret-that-must-show-nowhere"
)

// request is what a server saw.
type request struct {
	method, path, query string
	header              http.Header
	body                []byte
}

// scripted answers requests with one step after the other, and fails the test when
// there are more requests than steps, or fewer.
type scripted struct {
	t *testing.T

	mu    sync.Mutex // guards what follows
	steps []http.HandlerFunc
	seen  []request
}

func (s *scripted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		s.t.Errorf("read the body of %s %s: %v", r.Method, r.URL, err)
	}
	s.mu.Lock()
	s.seen = append(s.seen, request{r.Method, r.URL.Path, r.URL.RawQuery, r.Header.Clone(), body})
	if len(s.steps) == 0 {
		s.mu.Unlock()
		s.t.Errorf("unexpected request %s %s", r.Method, r.URL)
		w.WriteHeader(http.StatusTeapot)
		return
	}
	step := s.steps[0]
	s.steps = s.steps[1:]
	s.mu.Unlock()
	r.Body = io.NopCloser(bytes.NewReader(body))
	step(w, r)
}

// requests returns what was asked so far.
func (s *scripted) requests() []request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen
}

// script opens a driver on a server that answers as steps say.
func script(t *testing.T, opts s3cas.Options, steps ...http.HandlerFunc) (*scripted, *s3cas.Driver) {
	t.Helper()
	s := &scripted{t: t, steps: steps}
	d := serve(t, opts, s)
	t.Cleanup(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.steps) != 0 {
			t.Errorf("%d expected requests were not made", len(s.steps))
		}
	})
	return s, d
}

// serve opens a driver on a server.
func serve(t *testing.T, opts s3cas.Options, handler http.Handler) *s3cas.Driver {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return open(t, s3cas.Location{Bucket: "bucket", Prefix: "some/prefix", Endpoint: server.URL, Region: "eu-central-1"}, opts)
}

// open opens a driver that repeats at once, three attempts in all.
func open(t *testing.T, loc s3cas.Location, opts s3cas.Options) *s3cas.Driver {
	t.Helper()
	if opts.Credentials == nil {
		opts.Credentials = credentials.NewStaticCredentialsProvider(testKeyID, testSecret, "")
	}
	if opts.MaxAttempts == 0 {
		opts.MaxAttempts = 3
	}
	if opts.Backoff == nil {
		opts.Backoff = func(int) time.Duration { return 0 }
	}
	d, err := s3cas.Open(t.Context(), loc, opts)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return d
}

// times repeats a step.
func times(n int, step http.HandlerFunc) []http.HandlerFunc {
	steps := make([]http.HandlerFunc, n)
	for i := range steps {
		steps[i] = step
	}
	return steps
}

// refuse answers with an error as S3 writes it.
func refuse(status int, code, message string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/xml")
		w.Header().Set("X-Amz-Request-Id", "REQ42")
		w.WriteHeader(status)
		answer(w, struct {
			XMLName xml.Name `xml:"Error"`
			Code    string
			Message string
		}{Code: code, Message: message})
	}
}

// respond answers with headers, in pairs of name and value, and a body.
func respond(status int, body []byte, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		w.WriteHeader(status)
		_, _ = w.Write(body) // a client that went away is the test's doing
	}
}

// breakAfter promises a body and breaks the connection after n bytes of it.
func breakAfter(status int, body []byte, n int, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		w.WriteHeader(status)
		_, _ = w.Write(body[:n])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
}

// hangUp closes the connection without an answer.
func hangUp(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

// ok answers with nothing.
func ok(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("ETag", `"etag"`)
	w.WriteHeader(http.StatusOK)
}

// answer writes v as XML.
func answer(w io.Writer, v any) {
	text, err := xml.Marshal(v)
	if err != nil {
		panic(err)
	}
	_, _ = w.Write(append([]byte(xml.Header), text...))
}

// respondXML answers with v.
func respondXML(v any) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/xml")
		answer(w, v)
	}
}

// contentRange is the header of a part of size bytes.
func contentRange(from, to, size int) string { return fmt.Sprintf("bytes %d-%d/%d", from, to-1, size) }

// pattern returns n bytes that differ from their neighbours.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	return b
}

// readAll reads a range of an object.
func readAll(t *testing.T, d *s3cas.Driver, key string, offset, length int64) ([]byte, error) {
	t.Helper()
	r, err := d.Get(t.Context(), key, offset, length)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(r)
	if err := r.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	return body, err
}
