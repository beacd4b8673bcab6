package s3cas_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"testing"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
	"github.com/lashstore/lashstore/cas/s3cas"
)

// Offset and length become a Range, and none where the whole is wanted.
func TestGetRange(t *testing.T) {
	t.Parallel()
	body := pattern(1000)
	for _, test := range []struct {
		offset, length int64
		header         string
		from, to       int
	}{
		{0, -1, "", 0, 1000},
		{0, math.MaxInt64, "", 0, 1000},
		{0, 10, "bytes=0-9", 0, 10},
		{10, 20, "bytes=10-29", 10, 30},
		{500, -1, "bytes=500-", 500, 1000},
		{10, math.MaxInt64, "bytes=10-", 10, 1000},
		{990, 50, "bytes=990-1039", 990, 1000},
	} {
		step := respond(http.StatusPartialContent, body[test.from:test.to], "Content-Range", contentRange(test.from, test.to, 1000))
		if test.header == "" {
			step = respond(http.StatusOK, body)
		}
		s, d := script(t, s3cas.Options{}, step)
		got, err := readAll(t, d, "k", test.offset, test.length)
		if err != nil || !bytes.Equal(got, body[test.from:test.to]) {
			t.Errorf("range %d+%d: got %d bytes, %v, want those from %d to %d", test.offset, test.length, len(got), err, test.from, test.to)
		}
		request := s.requests()[0]
		if request.header.Get("Range") != test.header {
			t.Errorf("range %d+%d: sent %q, want %q", test.offset, test.length, request.header.Get("Range"), test.header)
		}
		wantPlain(t, request)
	}
}

// A server that sends the whole object, or more than was asked for, is understood.
func TestGetRangeIgnored(t *testing.T) {
	t.Parallel()
	body := pattern(100_000)
	for _, test := range []struct {
		offset, length int64
		want           []byte
	}{
		{0, 10, body[:10]},
		{50_000, 10, body[50_000:50_010]},
		{50_000, -1, body[50_000:]},
		{99_999, 5, body[99_999:]},
		{100_000, -1, nil},
		{math.MaxInt64, -1, nil},
	} {
		_, d := script(t, s3cas.Options{}, respond(http.StatusOK, body))
		got, err := readAll(t, d, "k", test.offset, test.length)
		if err != nil || !bytes.Equal(got, test.want) {
			t.Errorf("range %d+%d: got %d bytes, %v, want %d", test.offset, test.length, len(got), err, len(test.want))
		}
	}
	_, d := script(t, s3cas.Options{}, respond(http.StatusPartialContent, body[10:60], "Content-Range", contentRange(10, 60, len(body))))
	if got, err := readAll(t, d, "k", 10, 20); err != nil || !bytes.Equal(got, body[10:30]) {
		t.Errorf("a longer part than asked for: got %d bytes, %v, want 20", len(got), err)
	}
}

// A part that is not the one that was asked for is an error, never other bytes.
func TestGetWrongRange(t *testing.T) {
	t.Parallel()
	for _, header := range []string{"", "bytes", "bytes 11-20/100", "bytes 10-9/100", "bytes 10-200/100", "bytes x-y/z", "bytes 10-19/*", "bytes -1-5/10"} {
		_, d := script(t, s3cas.Options{}, respond(http.StatusPartialContent, make([]byte, 10), "Content-Range", header))
		_, err := readAll(t, d, "k", 10, 10)
		wantError(t, err, s3cas.ReasonNotS3, lashstore.ErrStorage)
	}
}

// An offset at or behind the end gives no bytes; an absent object is absent, and an
// absent bucket is something else.
func TestGetNothing(t *testing.T) {
	t.Parallel()
	_, d := script(t, s3cas.Options{},
		refuse(http.StatusRequestedRangeNotSatisfiable, "InvalidRange", "beyond"),
		respond(http.StatusOK, nil),
		refuse(http.StatusNotFound, "NoSuchKey", "absent"),
		refuse(http.StatusNotFound, "NoSuchBucket", "absent"),
		respond(http.StatusNotFound, []byte("<html>not found</html>")),
		respond(http.StatusNotFound, nil),
	)
	for _, offset := range []int64{5000, 0} {
		if got, err := readAll(t, d, "k", offset, -1); err != nil || len(got) != 0 {
			t.Errorf("from %d on: got %d bytes, %v, want none", offset, len(got), err)
		}
	}
	if _, err := readAll(t, d, "k", 0, -1); !errors.Is(err, cas.ErrObjectNotFound) {
		t.Errorf("NoSuchKey: got error %v, want ErrObjectNotFound", err)
	}
	_, err := readAll(t, d, "k", 0, -1)
	wantError(t, err, s3cas.ReasonNoBucket, lashstore.ErrStorage)
	for range 2 {
		_, err = readAll(t, d, "k", 0, -1)
		wantError(t, err, s3cas.ReasonNotS3, lashstore.ErrStorage)
	}
}

// A range that no caller may ask for is refused before anything is sent.
func TestGetInvalidRange(t *testing.T) {
	t.Parallel()
	_, d := script(t, s3cas.Options{})
	for _, r := range [][2]int64{{-1, -1}, {0, 0}, {0, -2}} {
		if _, err := d.Get(t.Context(), "k", r[0], r[1]); !errors.Is(err, lashstore.ErrInvalid) {
			t.Errorf("range %d+%d: got error %v, want ErrInvalid", r[0], r[1], err)
		}
	}
}

// A transfer that breaks is continued where it was, with the ETag as an alarm.
func TestGetResumes(t *testing.T) {
	t.Parallel()
	body := pattern(300_000)
	const etag = `"one"`
	s, d := script(t, s3cas.Options{},
		breakAfter(http.StatusOK, body, 100_000, "ETag", etag),
		hangUp,
		breakAfter(http.StatusPartialContent, body[100_000:], 50_000, "ETag", etag, "Content-Range", contentRange(100_000, 300_000, 300_000)),
		// This one ignores the range.
		respond(http.StatusOK, body, "ETag", etag),
	)
	got, err := readAll(t, d, "k", 0, -1)
	if err != nil || !bytes.Equal(got, body) {
		t.Fatalf("got %d bytes, %v, want all %d", len(got), err, len(body))
	}
	seen := s.requests()
	for i, want := range []string{"", "bytes=100000-299999", "bytes=100000-299999", "bytes=150000-299999"} {
		if seen[i].header.Get("Range") != want {
			t.Errorf("request %d: Range %q, want %q", i, seen[i].header.Get("Range"), want)
		}
		if match := seen[i].header.Get("If-Match"); i > 0 && match != etag {
			t.Errorf("request %d: If-Match %q, want %q", i, match, etag)
		}
	}
}

// A range is continued within itself.
func TestGetResumesRange(t *testing.T) {
	t.Parallel()
	body := pattern(1000)
	s, d := script(t, s3cas.Options{},
		breakAfter(http.StatusPartialContent, body[100:300], 50, "Content-Range", contentRange(100, 300, 1000)),
		respond(http.StatusPartialContent, body[150:300], "Content-Range", contentRange(150, 300, 1000)),
	)
	got, err := readAll(t, d, "k", 100, 200)
	if err != nil || !bytes.Equal(got, body[100:300]) {
		t.Fatalf("got %d bytes, %v, want 200", len(got), err)
	}
	if got := s.requests()[1].header; got.Get("Range") != "bytes=150-299" || got.Get("If-Match") != "" {
		t.Errorf("continued with Range %q, If-Match %q, want the rest, and no condition without an ETag", got.Get("Range"), got.Get("If-Match"))
	}
}

// An object that became another one while it was read is never mixed with it.
func TestGetReplaced(t *testing.T) {
	t.Parallel()
	body := pattern(300_000)
	for name, second := range map[string]http.HandlerFunc{
		"condition fails":   refuse(http.StatusPreconditionFailed, "PreconditionFailed", "other"),
		"condition ignored": respond(http.StatusPartialContent, body[1000:], "ETag", `"two"`, "Content-Range", contentRange(1000, 300_000, 300_000)),
		"shorter":           refuse(http.StatusRequestedRangeNotSatisfiable, "InvalidRange", "beyond"),
		"shorter, no range": respond(http.StatusOK, body[:2000], "ETag", `"one"`),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, d := script(t, s3cas.Options{}, breakAfter(http.StatusOK, body, 1000, "ETag", `"one"`), second)
			_, err := readAll(t, d, "k", 0, -1)
			wantError(t, err, s3cas.ReasonReplaced, lashstore.ErrStorage)
		})
	}
	_, d := script(t, s3cas.Options{}, breakAfter(http.StatusOK, body, 1000), refuse(http.StatusNotFound, "NoSuchKey", "deleted"))
	if _, err := readAll(t, d, "k", 0, -1); !errors.Is(err, cas.ErrObjectNotFound) {
		t.Errorf("deleted while it was read: got error %v, want ErrObjectNotFound", err)
	}
}

// Continuations are bounded. A connection that ends early is never the end.
func TestGetGivesUp(t *testing.T) {
	t.Parallel()
	body := pattern(1000)
	cut := breakAfter(http.StatusOK, body, 0)
	_, d := script(t, s3cas.Options{MaxAttempts: 2}, times(3, cut)...)
	_, err := readAll(t, d, "k", 0, -1)
	wantError(t, err, s3cas.ReasonOther, lashstore.ErrStorage)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got error %v, want none that io treats as an end", err)
	}
}

// Without a length the end could not be told from a broken connection.
func TestGetWithoutLength(t *testing.T) {
	t.Parallel()
	_, d := script(t, s3cas.Options{}, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush() // chunked from here on
		_, _ = w.Write([]byte("some bytes"))
	})
	_, err := readAll(t, d, "k", 0, -1)
	wantError(t, err, s3cas.ReasonNotS3, lashstore.ErrStorage)
}

// A context that ends while the server sends nothing ends the reading.
func TestGetCanceled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	d := serve(t, s3cas.Options{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1000")
		_, _ = w.Write(make([]byte, 10))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	r, err := d.Get(ctx, "k", 0, -1)
	if err != nil {
		t.Fatalf("Get: %v", err)
	}
	if _, err := io.ReadFull(r, make([]byte, 10)); err != nil {
		t.Fatalf("read what was sent: %v", err)
	}
	go cancel()
	if _, err := r.Read(make([]byte, 10)); !errors.Is(err, context.Canceled) {
		t.Errorf("Read: got error %v, want context.Canceled", err)
	}
	if err := r.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if _, err := r.Read(make([]byte, 10)); !errors.Is(err, context.Canceled) {
		t.Errorf("Read again: got error %v, want the same", err)
	}
}

// A reader that is closed gives no more bytes, and may be closed again.
func TestGetClosed(t *testing.T) {
	t.Parallel()
	_, d := script(t, s3cas.Options{}, respond(http.StatusOK, pattern(1000)))
	r, err := d.Get(t.Context(), "k", 0, -1)
	if err != nil {
		t.Fatalf("Get: %v", err)
	}
	for range 2 {
		if err := r.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	if _, err := r.Read(make([]byte, 1)); !errors.Is(err, lashstore.ErrClosed) {
		t.Errorf("Read after Close: got error %v, want ErrClosed", err)
	}
}
