package integration_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas/s3cas"
	"github.com/lashstore/lashstore/internal/faultproxy"
	"github.com/lashstore/lashstore/internal/testenv"
)

// errReader is why a reader fails.
var errReader = errors.New("the caller's reader failed")

// A caller's reader that fails in the middle fails the upload with its own error, and
// leaves no protection, no upload in parts and nothing that the catalog does not know.
func TestS3ReaderFails(t *testing.T) {
	t.Parallel()
	eachFastS3(t, func(t *testing.T, server testenv.S3Server) {
		t.Helper()
		f, dir := newFaultyS3(t, server), t.TempDir()
		store := f.openStore(dir, f.open(s3cas.Options{SinglePutBytes: 64 << 10}))
		content := noise("reader", 12<<20)
		for _, after := range []int{0, 1, 8<<10 + 1, 300 << 10, 5 << 20, len(content) - 1, len(content)} {
			r := io.MultiReader(bytes.NewReader(content[:after]), &triggerReader{nil, 0, func() error { return errReader }})
			if _, err := store.PutBlob(t.Context(), r, lashstore.PutBlobOptions{}); !errors.Is(err, errReader) {
				t.Errorf("after %d bytes: %v, want the reader's error", after, err)
			}
			if n := holds(t, dir); n != 0 {
				t.Errorf("after %d bytes: %d uploads are protected, want none", after, n)
			}
			if _, err := store.StatBlob(t.Context(), lashstore.DigestOf(content)); !errors.Is(err, lashstore.ErrBlobNotFound) {
				t.Errorf("after %d bytes: %v, want ErrBlobNotFound", after, err)
			}
		}
		ref, err := store.PutBlob(t.Context(), bytes.NewReader(content), lashstore.PutBlobOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := readBlob(t.Context(), store, ref.Digest); err != nil || !bytes.Equal(got, content) {
			t.Errorf("put again: %v", err)
		}
		if err := store.Close(); err != nil {
			t.Error(err)
		}
		f.noUploads(racing) // what was on its way was canceled
		f.whole(dir)
	})
}

// cancelMoment is when a context is canceled: at the n-th request, which the server gets
// at once, later, or not at all.
type cancelMoment struct {
	n    int
	what string
}

var cancelKinds = []string{"before the server acts", "while the server acts", "and the request arrives late"}

// canceledAt runs fn with a context that is canceled at a moment, and reports whether
// there was such a request.
func (f *faultyS3) canceledAt(m cancelMoment, fn func(context.Context) error) (met bool, err error) {
	f.t.Helper()
	ctx, cancel := context.WithCancel(f.t.Context())
	defer cancel()
	gate := faultproxy.NewGate()
	seen := 0
	f.proxy.Follow(func(faultproxy.Request) faultproxy.Fault {
		if seen++; seen != m.n {
			return faultproxy.Pass()
		}
		met = true
		cancel()
		switch m.what {
		case cancelKinds[0]:
			return faultproxy.Hold(gate)
		case cancelKinds[1]:
			return faultproxy.Pass()
		default:
			return faultproxy.Late(gate)
		}
	})
	err = fn(ctx)
	gate.Release()
	f.proxy.Heal() // after which met is not written any more
	return met, err
}

// maxMoments bounds the requests of one operation below.
const maxMoments = 60

// eachMoment cancels an operation at each of its requests, in each way, until it has
// no more requests. The operation gets a number that is another one each time.
func (f *faultyS3) eachMoment(op func(ctx context.Context, number int) error, after func(number int, m cancelMoment, err error)) {
	f.t.Helper()
	number := 0
	for _, what := range cancelKinds {
		for n := 1; ; n++ {
			number++
			m := cancelMoment{n, what}
			met, err := f.canceledAt(m, func(ctx context.Context) error { return op(ctx, number) })
			if !met {
				if err != nil || n == 1 {
					f.t.Errorf("at request %d, which there was not: %v", n, err)
				}
				break
			}
			if err != nil && !errors.Is(err, context.Canceled) {
				f.t.Errorf("%s, request %d: %v, want context.Canceled", what, n, err)
			}
			after(number, m, err)
			if n == maxMoments {
				f.t.Fatalf("more than %d requests", n)
			}
		}
	}
}

// A context that ends in the middle of an upload, at whichever request, leaves no
// protection and no parts; the upload can be made again.
func TestS3CanceledPutBlob(t *testing.T) {
	t.Parallel()
	eachFastS3(t, func(t *testing.T, server testenv.S3Server) {
		t.Helper()
		for name, opts := range map[string]s3cas.Options{"whole": {}, "in parts": {SinglePutBytes: 1}} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				f, dir := newFaultyS3(t, server), t.TempDir()
				d := f.open(opts)
				store := f.openStore(dir, d)
				content := func(number int) []byte { return noise(fmt.Sprint(number), 2<<20+number) }
				before := 0
				f.eachMoment(func(ctx context.Context, number int) error {
					before = holds(t, dir)
					_, err := store.PutBlob(ctx, bytes.NewReader(content(number)), lashstore.PutBlobOptions{})
					return err
				}, func(number int, m cancelMoment, err error) {
					want := before
					if err == nil {
						want++ // the answer was faster
					}
					if n := holds(t, dir); n != want {
						t.Errorf("%s, request %d: %d uploads are protected, want %d", m.what, m.n, n, want)
					}
					ref, err := store.PutBlob(t.Context(), bytes.NewReader(content(number)), lashstore.PutBlobOptions{})
					if err != nil {
						t.Fatalf("%s, request %d, again: %v", m.what, m.n, err)
					}
					if n := holds(t, dir); n <= before {
						t.Errorf("%s, request %d, again: it is not protected", m.what, m.n)
					}
					if got, err := readBlob(t.Context(), store, ref.Digest); err != nil || !bytes.Equal(got, content(number)) {
						t.Errorf("%s, request %d, again: %v", m.what, m.n, err)
					}
				})
				if err := errors.Join(store.Close(), d.Close()); err != nil {
					t.Error(err)
				}
				f.proxy.Settle()
				f.noUploads(racing)
				f.whole(dir)
			})
		}
	})
}

// A context that ends in the middle of a commit leaves it whole or absent; made again
// it is applied or answered as before.
func TestS3CanceledCommit(t *testing.T) {
	t.Parallel()
	eachFastS3(t, func(t *testing.T, server testenv.S3Server) {
		t.Helper()
		for name, opts := range map[string]s3cas.Options{"whole": {}, "in parts": {SinglePutBytes: 1}} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				f, dir := newFaultyS3(t, server), t.TempDir()
				d := f.open(opts)
				store := f.openStore(dir, d)
				e := newEvolving(testenv.Seed(t), 0)
				e.h, e.fence = leaseFor(t, store, e.load)
				rev := lashstore.Revision(0)
				f.eachMoment(func(ctx context.Context, number int) error {
					rev = lashstore.Revision(number)
					_, err := e.commit(ctx, rev)
					return err
				}, func(_ int, m cancelMoment, err error) {
					head, headErr := e.h.Head(t.Context())
					if headErr != nil || head.Revision != rev && (err == nil || head.Revision != rev-1) {
						t.Errorf("%s, request %d: the head is at %d, %v, after revision %d: %v", m.what, m.n, head.Revision, headErr, rev, err)
					}
					res, err := e.commit(t.Context(), rev)
					if err != nil || res.Replayed != (head.Revision == rev) {
						t.Fatalf("%s, request %d, again: replayed %t with the head at %d, %v", m.what, m.n, res.Replayed, head.Revision, err)
					}
					if err := e.check(t.Context(), rev); err != nil {
						t.Errorf("%s, request %d, again: %v", m.what, m.n, err)
					}
				})
				if err := errors.Join(store.Close(), d.Close()); err != nil {
					t.Error(err)
				}
				f.proxy.Settle()
				f.noUploads(racing)
				f.whole(dir)
				f.afterTheStorm(dir, []*evolving{e}, rev)
			})
		}
	})
}

// A context that ends while a blob is read fails the reading, after right bytes only.
// The reader can be closed, and another one reads all.
func TestS3CanceledRead(t *testing.T) {
	t.Parallel()
	eachFastS3(t, func(t *testing.T, server testenv.S3Server) {
		t.Helper()
		f := newFaultyS3(t, server)
		store := f.openStore(t.TempDir(), f.open(s3cas.Options{}))
		content := noise("canceled", 9<<20)
		ref, err := store.PutBlob(t.Context(), bytes.NewReader(content), lashstore.PutBlobOptions{})
		if err != nil {
			t.Fatal(err)
		}
		f.eachMoment(func(ctx context.Context, _ int) error {
			got, err := readBlob(ctx, store, ref.Digest)
			if !bytes.HasPrefix(content, got) || err == nil && len(got) != len(content) {
				t.Errorf("%d other bytes were handed out", len(got))
			}
			return err
		}, func(_ int, m cancelMoment, _ error) {
			if got, err := readBlob(t.Context(), store, ref.Digest); err != nil || !bytes.Equal(got, content) {
				t.Errorf("%s, request %d, again: %v", m.what, m.n, err)
			}
		})
		for _, after := range []int{0, 1, 1 << 20, 5 << 20} {
			ctx, cancel := context.WithCancel(t.Context())
			r, err := store.OpenBlob(ctx, ref.Digest)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadFull(r, make([]byte, after)); err != nil || got != after {
				t.Errorf("read %d of %d bytes: %v", got, after, err)
			}
			cancel()
			rest, err := io.ReadAll(r)
			if !bytes.HasPrefix(content[after:], rest) || err == nil && len(rest) != len(content)-after || err != nil && !errors.Is(err, context.Canceled) {
				t.Errorf("after %d bytes: %d more, %v, want context.Canceled", after, len(rest), err)
			}
			if err := r.Close(); err != nil && !errors.Is(err, context.Canceled) {
				t.Errorf("close: %v", err)
			}
		}
	})
}
