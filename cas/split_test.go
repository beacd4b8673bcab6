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

	"github.com/google/go-cmp/cmp"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
)

func discard(context.Context, []cas.Piece) error { return nil }

// Content of every size around the edges is cut, described and put as the
// documentation says.
func TestSplitSizes(t *testing.T) {
	t.Parallel()
	const mib = cas.ChunkSize
	for _, size := range []int{0, 1, 16, 64<<10 - 1, 64 << 10, 64<<10 + 1, mib - 1, mib, mib + 1, 2 * mib, 8 * mib, 8*mib + 1, 17*mib + 5} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			t.Parallel()
			body := append(noise(size/3, 1), text(size-size/3)...)
			s := memStore(t, cas.Options{})
			var windows, next int
			put := func(_ context.Context, pieces []cas.Piece) error {
				windows++
				if len(pieces) == 0 || len(pieces) > 8 {
					t.Errorf("put got %d pieces, want 1 to 8", len(pieces))
				}
				for _, p := range pieces {
					if p.Index != next {
						t.Errorf("put got piece %d, want %d", p.Index, next)
					}
					next++
					raw, err := cas.Decode(p.Stored, p.Digest, "k")
					if err != nil || !bytes.Equal(raw, body[p.Index*mib:min((p.Index+1)*mib, size)]) || p.SizeBytes != int64(len(raw)) {
						t.Errorf("piece %d: %d bytes, %v, want its part of the content", p.Index, len(raw), err)
					}
				}
				return nil
			}
			got, err := s.Split(t.Context(), iotest.HalfReader(bytes.NewReader(body)), compressible(), 0, put)
			if err != nil {
				t.Fatalf("Split: %v", err)
			}
			want := manifestOf(body, mib)
			if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b lashstore.Digest) bool { return a == b })); diff != "" {
				t.Errorf("manifest differs (-want +got):\n%s", diff)
			}
			if wantWindows := (len(want.Chunks) + 7) / 8; windows != wantWindows || next != len(want.Chunks) {
				t.Errorf("put %d windows of %d pieces, want %d of %d", windows, next, wantWindows, len(want.Chunks))
			}
			if err := got.Validate(); err != nil {
				t.Errorf("Validate: %v", err)
			}
		})
	}
}

// Content over the limit is refused by name, whether the limit lies in the first
// window or far behind; content of exactly the limit passes.
func TestSplitLimit(t *testing.T) {
	t.Parallel()
	s := memStore(t, cas.Options{})
	for _, limit := range []int64{1, 1000, cas.ChunkSize, 20*cas.ChunkSize + 1} {
		var limitErr *lashstore.LimitError
		_, err := s.Split(t.Context(), bytes.NewReader(make([]byte, limit+1)), compressible(), limit, discard)
		if !errors.As(err, &limitErr) || limitErr.Limit != "blob_bytes" || limitErr.Max != limit || limitErr.Got <= limit {
			t.Errorf("limit %d: got error %v, want a LimitError for blob_bytes", limit, err)
		}
		if _, err := s.Split(t.Context(), bytes.NewReader(make([]byte, limit)), compressible(), limit, discard); err != nil {
			t.Errorf("content of exactly %d bytes: %v", limit, err)
		}
	}
	if _, err := s.Split(t.Context(), bytes.NewReader(nil), compressible(), -1, discard); !errors.Is(err, lashstore.ErrInvalid) {
		t.Errorf("negative limit: got error %v, want ErrInvalid", err)
	}
	if _, err := s.Split(t.Context(), bytes.NewReader(nil), lashstore.Descriptor{Kind: "x"}, 0, discard); !errors.Is(err, lashstore.ErrInvalid) {
		t.Errorf("unknown kind: got error %v, want ErrInvalid", err)
	}
}

// badReader returns counts that no reader may.
type badReader struct{ n int }

func (r badReader) Read(p []byte) (int, error) { return r.n + min(0, len(p)), nil }

// A transfer that breaks must not be stored as if it had ended, also when its
// error wraps io.EOF or is the ErrUnexpectedEOF that io.ReadFull would hide.
func TestSplitReaderFails(t *testing.T) {
	t.Parallel()
	s := memStore(t, cas.Options{})
	broken := errors.New("connection reset")
	for _, before := range []int{0, 10, cas.ChunkSize, 9*cas.ChunkSize + 3, 30 * cas.ChunkSize} {
		for _, cause := range []error{broken, io.ErrUnexpectedEOF, fmt.Errorf("read tcp: %w", io.EOF), context.Canceled} {
			r := io.MultiReader(bytes.NewReader(make([]byte, before)), iotest.ErrReader(cause))
			if m, err := s.Split(t.Context(), r, lashstore.Descriptor{}, 0, discard); !errors.Is(err, cause) {
				t.Errorf("after %d bytes: got %+v, %v, want %v", before, m.Ref(), err, cause)
			}
		}
	}
	if _, err := s.Split(t.Context(), badReader{0}, lashstore.Descriptor{}, 0, discard); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("a reader that reads nothing: got error %v, want ErrNoProgress", err)
	}
	for _, n := range []int{-1, 1 << 40} {
		if _, err := s.Split(t.Context(), badReader{n}, lashstore.Descriptor{}, 0, discard); err == nil {
			t.Errorf("a reader that returns %d: want an error", n)
		}
	}
}

// endless never ends and counts what was read.
type endless struct{ read atomic.Int64 }

func (r *endless) Read(p []byte) (int, error) {
	r.read.Add(int64(len(p)))
	return len(p), nil
}

// A put that fails ends the reading soon, and its error is the one that counts.
func TestSplitPutFails(t *testing.T) {
	t.Parallel()
	s := memStore(t, cas.Options{})
	broken := errors.New("no space")
	for _, failing := range []int{0, 1, 2} {
		r, windows := new(endless), 0
		_, err := s.Split(t.Context(), r, compressible(), 0, func(context.Context, []cas.Piece) error {
			if windows++; windows > failing {
				return broken
			}
			return nil
		})
		if !errors.Is(err, broken) {
			t.Errorf("put %d fails: got error %v, want its error", failing, err)
		}
		if got, most := r.read.Load(), int64(failing+2)*8*cas.ChunkSize; got > most {
			t.Errorf("put %d fails: %d bytes were read, want at most %d", failing, got, most)
		}
	}
	_, err := s.Split(t.Context(), bytes.NewReader(nil), compressible(), 0, func(context.Context, []cas.Piece) error { return broken })
	if !errors.Is(err, broken) {
		t.Errorf("the only put fails: got error %v, want its error", err)
	}
}

// While a put blocks, exactly one window more is read, so that a slow store slows
// the reader and memory stays bounded. Then the context ends all of it.
func TestSplitBackPressure(t *testing.T) {
	t.Parallel()
	s := memStore(t, cas.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r := new(endless)
	const twoWindows = 2 * 8 * cas.ChunkSize
	reached := make(chan struct{})
	observed := readerFunc(func(p []byte) (int, error) {
		n, err := r.Read(p)
		if r.read.Load() == twoWindows {
			close(reached)
		}
		return n, err
	})
	var puts int
	_, err := s.Split(ctx, observed, compressible(), 0, func(ctx context.Context, _ []cas.Piece) error {
		puts++
		<-reached // the next window is read although this one is not put yet
		cancel()
		<-ctx.Done()
		return ctx.Err()
	})
	if !errors.Is(err, context.Canceled) || puts != 1 {
		t.Errorf("got error %v after %d puts, want context.Canceled after 1", err, puts)
	}
	if got := r.read.Load(); got != twoWindows {
		t.Errorf("%d bytes were read while the first window was put, want %d", got, twoWindows)
	}
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// The context ends the reading between two reads, and its error is passed on.
func TestSplitCanceled(t *testing.T) {
	t.Parallel()
	s := memStore(t, cas.Options{})
	for _, after := range []int64{0, 100, 3 * cas.ChunkSize, 20 * cas.ChunkSize} {
		ctx, cancel := context.WithCancel(t.Context())
		var read int64
		r := readerFunc(func(p []byte) (int, error) {
			if read += int64(len(p)); read > after {
				cancel()
			}
			return len(p), nil
		})
		if _, err := s.Split(ctx, r, compressible(), 0, discard); !errors.Is(err, context.Canceled) {
			t.Errorf("canceled after %d bytes: got error %v, want context.Canceled", after, err)
		}
		cancel()
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
			body := append(noise(5*cas.ChunkSize+i, byte(i)), text(5*cas.ChunkSize)...)
			m := c.split(t, body, compressible())
			got, err := cas.ReadAll(c.join(t, m), lashstore.MaxBlobBytes)
			if err != nil || !bytes.Equal(got, body) {
				t.Errorf("content %d: got %d bytes, %v", i, len(got), err)
			}
		})
	}
}
