package cas_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
	"github.com/lashstore/lashstore/internal/testenv"
)

// watched is a catalog that notices a put after Split has returned.
type watched struct {
	*catalog
	t        *testing.T
	returned atomic.Bool
	calls    atomic.Int64
	before   func(ctx context.Context, call int64) error // nil: nothing
}

func (w *watched) put(ctx context.Context, objects []cas.NewObject) error {
	if w.returned.Load() {
		w.t.Error("put was called after Split had returned")
	}
	n := w.calls.Add(1)
	if w.before != nil {
		if err := w.before(ctx, n); err != nil {
			return err
		}
	}
	err := w.catalog.put(ctx, objects)
	if w.returned.Load() {
		w.t.Error("Split returned while a put was under way")
	}
	return err
}

// split splits r and wants it to fail.
func (w *watched) split(ctx context.Context, r io.Reader, opts cas.SplitOptions) error {
	w.t.Helper()
	res, err := w.store.Split(ctx, r, opts, w.put)
	w.returned.Store(true)
	if err == nil || res.Manifest != nil || res.Root != nil {
		w.t.Errorf("Split: got %+v, %v, want an error and nothing else", res, err)
	}
	return err
}

// Content over the limit is refused by name, wherever the limit lies; content of
// exactly the limit passes.
func TestSplitLimit(t *testing.T) {
	t.Parallel()
	s := memStore(t, cas.Options{})
	for _, limit := range []int64{1, 1000, cas.SingleBytes, cas.WindowBytes, 5<<20 + 1} {
		content := noise(int(limit)+1, 1)
		for _, size := range []int64{limit + 1, limit} {
			opts := cas.SplitOptions{Descriptor: compressible(), MaxBytes: limit}
			_, err := s.Split(t.Context(), bytes.NewReader(content[:size]), opts, discard)
			var limitErr *lashstore.LimitError
			switch {
			case size == limit && err != nil:
				t.Errorf("content of exactly %d bytes: %v", limit, err)
			case size > limit && (!errors.As(err, &limitErr) || limitErr.Limit != "blob_bytes" || limitErr.Max != limit || limitErr.Got <= limit):
				t.Errorf("limit %d: got error %v, want a LimitError for blob_bytes", limit, err)
			}
		}
	}
	for what, opts := range map[string]cas.SplitOptions{
		"negative limit": {MaxBytes: -1}, "unknown kind": {Descriptor: lashstore.Descriptor{Kind: "x"}},
	} {
		if _, err := s.Split(t.Context(), bytes.NewReader(nil), opts, discard); !errors.Is(err, lashstore.ErrInvalid) {
			t.Errorf("%s: got error %v, want ErrInvalid", what, err)
		}
	}
}

// badReader returns counts that no reader may.
type badReader struct{ n int }

func (r badReader) Read(p []byte) (int, error) { return r.n + min(0, len(p)), nil }

// A transfer that breaks must not be stored as if it had ended, also when its error
// wraps io.EOF or is the ErrUnexpectedEOF that io.ReadFull would hide.
func TestSplitReaderFails(t *testing.T) {
	t.Parallel()
	broken := errors.New("connection reset")
	for _, before := range []int{0, 10, cas.SingleBytes, cas.SingleBytes + 1, cas.WindowBytes + 3, 12 << 20} {
		content := noise(before, 1)
		for _, cause := range []error{broken, io.ErrUnexpectedEOF, fmt.Errorf("read tcp: %w", io.EOF), context.Canceled} {
			for what, r := range map[string]io.Reader{
				"after":    io.MultiReader(bytes.NewReader(content), iotest.ErrReader(cause)),
				"together": &lastBytes{r: bytes.NewReader(content), left: before, err: cause},
			} {
				w := &watched{catalog: newCatalog(memStore(t, cas.Options{})), t: t}
				if err := w.split(t.Context(), r, cas.SplitOptions{}); !errors.Is(err, cause) {
					t.Errorf("%s %d bytes: got error %v, want %v", what, before, err, cause)
				}
			}
		}
		for what, bad := range map[string]io.Reader{"nothing": badReader{0}, "negative": badReader{-1}, "too many": badReader{1 << 40}} {
			w := &watched{catalog: newCatalog(memStore(t, cas.Options{})), t: t}
			err := w.split(t.Context(), io.MultiReader(bytes.NewReader(content), bad), cas.SplitOptions{})
			if errors.Is(err, io.ErrNoProgress) != (what == "nothing") {
				t.Errorf("a reader that returns %s: got error %v", what, err)
			}
		}
	}
}

// lastBytes returns an error together with the last bytes.
type lastBytes struct {
	r    io.Reader
	left int
	err  error
}

func (l *lastBytes) Read(p []byte) (int, error) {
	n, _ := l.r.Read(p)
	if l.left -= n; l.left == 0 {
		return n, l.err
	}
	return n, nil
}

// A reader may return nothing now and then.
func TestSplitEmptyReads(t *testing.T) {
	t.Parallel()
	content := noise(3<<20, 1)
	for _, empty := range []int{1, 99} {
		r, n := bytes.NewReader(content), 0
		c := newCatalog(memStore(t, cas.Options{}))
		res, err := c.store.Split(t.Context(), readerFunc(func(p []byte) (int, error) {
			if n++; n%(empty+1) != 0 {
				return 0, nil
			}
			return r.Read(p)
		}), cas.SplitOptions{}, c.put)
		if err != nil {
			t.Fatalf("%d empty reads in a row: %v", empty, err)
		}
		c.wantContent(t, "empty reads", res, content)
	}
}

// endless never ends and counts what was read.
type endless struct {
	r    io.Reader
	read atomic.Int64
}

func newEndless() *endless { return &endless{r: testenv.NoiseReader(1, 1<<62)} }

func (r *endless) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	r.read.Add(int64(n))
	return n, err
}

// ahead is how much may be read before the first put ends: what is in segments, in
// windows and in the cutter.
const ahead = (cas.ParallelPuts+1)*cas.SegmentBytes + 5*cas.WindowBytes

// A put that fails ends the reading soon, and its error is the one that counts.
func TestSplitPutFails(t *testing.T) {
	t.Parallel()
	broken := errors.New("no space")
	for failing := range int64(6) {
		r := newEndless()
		w := &watched{catalog: newCatalog(memStore(t, cas.Options{})), t: t}
		w.before = func(_ context.Context, call int64) error {
			if call > failing {
				return broken
			}
			return nil
		}
		if err := w.split(t.Context(), r, cas.SplitOptions{}); !errors.Is(err, broken) {
			t.Errorf("put %d fails: got error %v, want its error", failing, err)
		}
		if got, most := r.read.Load(), failing*cas.SegmentBytes+ahead; got > most {
			t.Errorf("put %d fails: %d bytes were read, want at most %d", failing, got, most)
		}
	}
	// The last put, after the content has ended, and the only one.
	for _, size := range []int{0, 1000, 1 << 20, 9 << 20} {
		content := noise(size, 1)
		whole := newCatalog(memStore(t, cas.Options{}))
		whole.splitWith(t, content, cas.SplitOptions{})
		w := &watched{catalog: newCatalog(memStore(t, cas.Options{})), t: t}
		w.before = func(_ context.Context, call int64) error {
			if call == int64(whole.puts) {
				return broken
			}
			return nil
		}
		if err := w.split(t.Context(), bytes.NewReader(content), cas.SplitOptions{}); !errors.Is(err, broken) {
			t.Errorf("%d bytes, the last put fails: got error %v, want its error", size, err)
		}
	}
}

// While puts block, reading stops where memory would grow; then the context ends all.
func TestSplitBackPressure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		r := newEndless()
		w := &watched{catalog: newCatalog(memStore(t, cas.Options{})), t: t}
		w.before = func(ctx context.Context, _ int64) error {
			<-ctx.Done()
			return ctx.Err()
		}
		ended := make(chan error)
		go func() { ended <- w.split(ctx, r, cas.SplitOptions{}) }()
		synctest.Wait() // everything waits for the puts
		if got := w.calls.Load(); got < 1 || got > cas.ParallelPuts+1 {
			t.Errorf("%d puts are under way, want 1 to %d", got, cas.ParallelPuts+1)
		}
		if got := r.read.Load(); got > ahead {
			t.Errorf("%d bytes were read while nothing was put, want at most %d", got, ahead)
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("got error %v, want context.Canceled", err)
		}
	})
}

// Whenever the context ends, in a read or in a put, so does Split, with its error.
func TestSplitCanceled(t *testing.T) {
	t.Parallel()
	cause := errors.New("the client went away")
	for _, after := range []int64{0, 1, 2, 3, 5, 8, 13, 40, 100, 200} {
		ctx, cancel := context.WithCancelCause(t.Context())
		w := &watched{catalog: newCatalog(memStore(t, cas.Options{})), t: t}
		r, reads := newEndless(), int64(0)
		err := w.split(ctx, readerFunc(func(p []byte) (int, error) {
			if reads++; reads > after {
				cancel(cause)
			}
			return r.Read(p)
		}), cas.SplitOptions{Descriptor: compressible()})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("canceled in read %d: got error %v, want context.Canceled", after, err)
		}
		cancel(nil)
	}
	for call := range int64(6) {
		ctx, cancel := context.WithCancel(t.Context())
		w := &watched{catalog: newCatalog(memStore(t, cas.Options{})), t: t}
		w.before = func(ctx context.Context, n int64) error {
			if n > call {
				cancel()
				return ctx.Err()
			}
			return nil
		}
		if err := w.split(ctx, newEndless(), cas.SplitOptions{}); !errors.Is(err, context.Canceled) {
			t.Errorf("canceled in put %d: got error %v, want context.Canceled", call, err)
		}
		cancel()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	w := &watched{catalog: newCatalog(memStore(t, cas.Options{})), t: t}
	if err := w.split(ctx, bytes.NewReader(nil), cas.SplitOptions{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("too late: got error %v, want context.DeadlineExceeded", err)
	}
}

// Buffers are used again by other splits; none may be handed out twice.
func TestSplitConcurrently(t *testing.T) {
	t.Parallel()
	s := memStore(t, cas.Options{Concurrency: 2})
	for i := range 6 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			c := newCatalog(s)
			content := append(noise(5<<20+i, byte(i)), prose(5<<20, uint64(i))...)
			res := c.split(t, content)
			for turn := range 5 {
				before := content
				content = bytes.Clone(content)
				copy(content[turn<<20:], noise(2000, byte(turn)))
				opts := cas.SplitOptions{Descriptor: compressible(), Predecessor: &cas.Predecessor{Manifest: res.Manifest, Content: before}}
				next := c.splitWith(t, content, opts)
				c.wantContent(t, fmt.Sprintf("content %d, turn %d", i, turn), res, before)
				res = next
			}
			c.wantContent(t, fmt.Sprintf("content %d", i), res, content)
		})
	}
}
