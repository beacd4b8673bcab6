package s3cas_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas/s3cas"
)

// carrier is a transport without a network, for tests with a fake clock.
type carrier func(*http.Request) (*http.Response, error)

func (c carrier) RoundTrip(r *http.Request) (*http.Response, error) { return c(r) }

// found is an answer with a body.
func found(r *http.Request, body io.ReadCloser, length string) *http.Response {
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Length": {length}, "Etag": {`"one"`}},
		Body: body, Request: r, ContentLength: -1,
	}
}

func onCarrier(t *testing.T, opts s3cas.Options, c carrier) *s3cas.Driver {
	t.Helper()
	opts.Transport = c
	return open(t, s3cas.Location{Bucket: "bucket", Endpoint: "http://server", Region: "us-east-1"}, opts)
}

// No more requests are in flight than the option allows; those that wait give up with
// their context.
func TestConcurrency(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var inFlight atomic.Int32
		answers := make(chan struct{})
		d := onCarrier(t, s3cas.Options{Concurrency: 2}, func(r *http.Request) (*http.Response, error) {
			inFlight.Add(1)
			defer inFlight.Add(-1)
			<-answers
			return found(r, http.NoBody, "0"), nil
		})
		ctx, cancel := context.WithCancel(t.Context())
		results := make(chan error, 6)
		for i := range cap(results) {
			go func() {
				if i < 4 {
					results <- d.Put(t.Context(), "k", nil)
				} else {
					results <- d.Put(ctx, "k", nil)
				}
			}()
			synctest.Wait() // in this order
		}
		if n := inFlight.Load(); n != 2 {
			t.Errorf("%d requests in flight, want 2", n)
		}
		cancel()
		for range 2 {
			if err := <-results; !errors.Is(err, context.Canceled) {
				t.Errorf("waiting Put: got error %v, want context.Canceled", err)
			}
		}
		for range 4 {
			answers <- struct{}{}
		}
		for range 4 {
			if err := <-results; err != nil {
				t.Errorf("Put: %v", err)
			}
		}
	})
}

// Open readers are bounded too, until they are at the end or closed, and they keep no
// Put waiting.
func TestConcurrencyOfReaders(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := onCarrier(t, s3cas.Options{Concurrency: 1}, func(r *http.Request) (*http.Response, error) {
			return found(r, io.NopCloser(bytes.NewReader([]byte("body"))), "4"), nil
		})
		get := func() io.ReadCloser {
			r, err := d.Get(t.Context(), "k", 0, -1)
			if err != nil {
				t.Errorf("Get: %v", err)
			}
			return r
		}
		first := get()
		if err := d.Put(t.Context(), "k", nil); err != nil {
			t.Errorf("Put beside a reader: %v", err)
		}
		readers := make(chan io.ReadCloser)
		go func() { readers <- get() }()
		synctest.Wait()
		select {
		case <-readers:
			t.Error("a second reader was opened beside the first")
		default:
		}
		if err := first.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		second := <-readers
		if body, err := io.ReadAll(second); err != nil || string(body) != "body" {
			t.Errorf("read %q, %v", body, err)
		}
		third := get() // the second is at its end, though not closed
		for _, r := range []io.Closer{second, third} {
			if err := r.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		}
	})
}

// stalling is a body that gives some bytes and then nothing until its request ends.
type stalling struct {
	data  io.Reader
	ended func() <-chan struct{}
	cause func() error
}

func stall(r *http.Request, data []byte) *stalling {
	return &stalling{bytes.NewReader(data), r.Context().Done, r.Context().Err}
}

func (s *stalling) Read(p []byte) (int, error) {
	if n, _ := s.data.Read(p); n > 0 {
		return n, nil
	}
	<-s.ended()
	return 0, s.cause()
}

func (s *stalling) Close() error { return nil }

// A transfer that stands still is broken off after the limit and continued.
func TestStalledBody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		d := onCarrier(t, s3cas.Options{StallTimeout: time.Minute}, func(r *http.Request) (*http.Response, error) {
			calls++
			if calls == 1 {
				return found(r, stall(r, []byte("first ")), "12"), nil
			}
			return found(r, io.NopCloser(bytes.NewReader([]byte("first second"))), "12"), nil // no ranges
		})
		began := time.Now() //nolint:forbidigo // of the fake clock
		got, err := readAll(t, d, "k", 0, -1)
		if err != nil || string(got) != "first second" {
			t.Errorf("got %q, %v, want both parts", got, err)
		}
		//nolint:forbidigo // of the fake clock
		if waited := time.Since(began); waited != time.Minute {
			t.Errorf("waited %s of the fake clock, want a minute", waited)
		}
	})
}

// A transfer that always stands still fails as a timeout of the storage.
func TestStalledForEver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := onCarrier(t, s3cas.Options{MaxAttempts: 2}, func(r *http.Request) (*http.Response, error) {
			return found(r, stall(r, nil), "12"), nil
		})
		_, err := readAll(t, d, "k", 0, -1)
		wantError(t, err, s3cas.ReasonTimeout, lashstore.ErrStorage)
		if _, err := d.List(t.Context(), "", "", 1); err == nil {
			t.Error("List succeeded over an answer that stands still")
		} else {
			wantError(t, err, s3cas.ReasonTimeout, lashstore.ErrStorage)
		}
	})
}

// A slow transfer that goes on is not broken off.
func TestSlowBody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := onCarrier(t, s3cas.Options{StallTimeout: time.Minute}, func(r *http.Request) (*http.Response, error) {
			reader, writer := io.Pipe()
			go func() {
				for range 10 {
					time.Sleep(50 * time.Second) //nolint:forbidigo // of the fake clock
					_, _ = writer.Write([]byte("x"))
				}
				_ = writer.Close()
			}()
			return found(r, reader, "10"), nil
		})
		if got, err := readAll(t, d, "k", 0, -1); err != nil || len(got) != 10 {
			t.Errorf("got %q, %v, want ten bytes", got, err)
		}
	})
}

// The wait between two attempts is the back-off's, and ends with the context.
func TestBackoff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var waits []int
		opts := s3cas.Options{MaxAttempts: 3, Backoff: func(attempt int) time.Duration {
			waits = append(waits, attempt)
			return time.Duration(attempt) * time.Hour
		}}
		d := onCarrier(t, opts, func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusServiceUnavailable, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
		})
		began := time.Now() //nolint:forbidigo // of the fake clock
		wantError(t, d.Put(t.Context(), "k", nil), s3cas.ReasonThrottled, lashstore.ErrStorage)
		//nolint:forbidigo // of the fake clock
		if waited := time.Since(began); waited != 3*time.Hour || len(waits) != 2 {
			t.Errorf("waited %s of the fake clock in %v, want one hour and two", waited, waits)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := d.Put(ctx, "k", nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Put: got error %v, want context.DeadlineExceeded", err)
		}
	})
}

// recordHost notes where a request would have gone.
type recordHost struct{ where *string }

func (r recordHost) RoundTrip(req *http.Request) (*http.Response, error) {
	*r.where = req.URL.Host + req.URL.Path
	return nil, errors.New("no network")
}

// A server that takes no more bytes of a body is given up after the limit.
func TestStalledUpload(t *testing.T) {
	t.Parallel()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	given := make(chan struct{})
	go func() {
		served <- func() error {
			conn, err := listener.Accept()
			if err != nil {
				return err
			}
			_, err = conn.Read(make([]byte, 1)) // and nothing after it
			if err == nil {
				_, err = io.WriteString(conn, "HTTP/1.1 100 Continue\r\n\r\n")
			}
			<-given
			return errors.Join(err, conn.Close())
		}()
	}()
	d := open(t, s3cas.Location{Bucket: "bucket", Endpoint: "http://" + listener.Addr().String()},
		s3cas.Options{StallTimeout: 50 * time.Millisecond, MaxAttempts: 1})
	// More than the buffers between the two sides hold.
	wantError(t, d.Put(t.Context(), "k", make([]byte, 16<<20)), s3cas.ReasonTimeout, lashstore.ErrStorage)
	close(given)
	if err := errors.Join(<-served, listener.Close()); err != nil {
		t.Error(err)
	}
}
