package cas_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
	"github.com/lashstore/lashstore/cas/castest"
	"github.com/lashstore/lashstore/cas/memcas"
)

// joinSetup is content of several segments behind a driver that can fail.
type joinSetup struct {
	*catalog
	faulty  *castest.Faulty
	content []byte
	m       *cas.Manifest
}

// joinBytes is several segments, and more spans than are fetched ahead.
const joinBytes = 11<<20 + 1000

func setupJoin(t *testing.T) *joinSetup {
	t.Helper()
	faulty := castest.NewFaulty(memcas.New())
	s := &joinSetup{
		catalog: newCatalog(newStore(t, faulty, cas.Options{})), faulty: faulty, content: noise(joinBytes, 8),
	}
	s.m = s.splitWith(t, s.content, cas.SplitOptions{}).Manifest
	return s
}

// gets is how many requests the driver was asked for.
func (s *joinSetup) gets() int { return len(s.faulty.Calls(castest.Get)) }

// The reader keeps the contract of io.Reader and io.Seeker.
func TestJoinReads(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1, 1000, cas.SingleBytes + 1, 2 << 20} {
		c := newCatalog(memStore(t, cas.Options{}))
		content := prose(size, 1)
		m := c.split(t, content).Manifest
		r := c.join(t, m)
		if err := iotest.TestReader(r, content); err != nil {
			t.Errorf("%d bytes: %v", size, err)
		}
		whole, err := c.store.JoinWhole(t.Context(), m, c.generation)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := cas.ReadAll(whole, int64(size)); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%d bytes: JoinWhole: %d bytes, %v", size, len(got), err)
		}
		if err := whole.Close(); err != nil {
			t.Errorf("%d bytes: Close: %v", size, err)
		}
		if r.Ref() != (lashstore.BlobRef{Digest: lashstore.DigestOf(content), SizeBytes: int64(size)}) {
			t.Errorf("%d bytes: Ref: got %+v", size, r.Ref())
		}
	}
}

// Nothing is fetched before it is read, and Join knows at once what it does not have.
func TestJoinRefuses(t *testing.T) {
	t.Parallel()
	s := setupJoin(t)
	unknown := s.m.Segments[1].Digest
	_, err := s.store.Join(t.Context(), s.m, func(d lashstore.Digest) (cas.Generation, bool) { return 1, d != unknown })
	if !errors.Is(err, lashstore.ErrBlobNotFound) || !bytes.Contains([]byte(err.Error()), []byte(unknown.String())) {
		t.Errorf("an unknown segment: got error %v, want ErrBlobNotFound with %s", err, unknown)
	}
	if _, err := s.store.Join(t.Context(), new(cas.Manifest), s.generation); !errors.Is(err, lashstore.ErrInvalid) {
		t.Errorf("an empty manifest: got error %v, want ErrInvalid", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.store.Join(ctx, s.m, s.generation); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: got error %v, want context.Canceled", err)
	}
	s.join(t, s.m)
	if got := s.gets(); got != 0 {
		t.Errorf("%d requests for a reader that has not read, want none", got)
	}
}

// A failure is not damage: the same reader goes on where it was once the driver works
// again.
func TestJoinGoesOnAfterFailure(t *testing.T) {
	t.Parallel()
	s := setupJoin(t)
	r := s.join(t, s.m)
	var got bytes.Buffer
	for failures := range 12 {
		var calls atomic.Int64
		s.faulty.Always(castest.Get, func([]string) castest.Fault {
			if calls.Add(1) > int64(failures%4) {
				return castest.FailBefore(nil)
			}
			return castest.Pass()
		})
		_, err := io.Copy(&got, r)
		if err == nil {
			break // it has read all, ahead of the failures
		}
		if !errors.Is(err, castest.ErrInjected) || !errors.Is(err, lashstore.ErrStorage) || errors.Is(err, lashstore.ErrCorruptBlob) {
			t.Fatalf("got error %v, want a storage error", err)
		}
		if at, err := r.Seek(0, io.SeekCurrent); err != nil || at != int64(got.Len()) {
			t.Errorf("after the failure at %d, %v, want %d", at, err, got.Len())
		}
	}
	s.faulty.Heal()
	if _, err := io.Copy(&got, r); err != nil || !bytes.Equal(got.Bytes(), s.content) {
		t.Errorf("in all %d bytes, %v", got.Len(), err)
	}
}

// Damage on the way is reported before a byte of the span is served, and again by
// every later read. Damage that no span has met may pass unseen: a bit that no chunk
// has, and a transfer that ends early after the spans that waited had their part, since
// the next one makes the request again.
func TestJoinNeverServesDamage(t *testing.T) {
	t.Parallel()
	s := setupJoin(t)
	for bad := range 4 {
		for what, fault := range map[string]castest.Fault{
			"flipped bit": castest.FlipBit(8 * 1000), "short read": castest.ShortRead(1), "empty read": castest.ShortRead(1 << 40),
		} {
			s.faulty.Heal()
			for range bad {
				s.faulty.Script(castest.Get, castest.Pass())
			}
			s.faulty.Script(castest.Get, fault)
			r := s.join(t, s.m)
			got, err := io.ReadAll(r)
			if !bytes.Equal(got, s.content[:len(got)]) {
				t.Errorf("%s in request %d: damaged bytes were served", what, bad)
			}
			if unseen := bad > 0 && err == nil && len(got) == joinBytes; !unseen {
				if !errors.Is(err, lashstore.ErrCorruptBlob) {
					t.Errorf("%s in request %d: got error %v, want ErrCorruptBlob", what, bad, err)
				}
				if n, err := r.Read(make([]byte, 10)); n != 0 || !errors.Is(err, lashstore.ErrCorruptBlob) {
					t.Errorf("%s, next read: got %d, %v, want ErrCorruptBlob", what, n, err)
				}
			}
			if err := r.Close(); err != nil { // what it reads ahead must not meet the next fault
				t.Errorf("Close: %v", err)
			}
		}
	}
}

// Close ends and waits for what is being fetched; goleak finds it if not.
func TestJoinCloseStopsFetching(t *testing.T) {
	t.Parallel()
	for passing := range 3 {
		s := setupJoin(t)
		gate := s.blockAfter(passing)
		r := s.join(t, s.m)
		ended := make(chan error)
		go func() {
			_, err := io.Copy(io.Discard, r)
			ended <- err
		}()
		<-gate.Arrived()
		gate.Release()
		if err := <-ended; err != nil {
			t.Errorf("released: %v", err)
		}
		for range 2 {
			if err := r.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		}
		if _, err := r.Read(make([]byte, 1)); !errors.Is(err, lashstore.ErrClosed) {
			t.Errorf("Read after Close: got error %v, want ErrClosed", err)
		}
		if _, err := r.Seek(0, io.SeekStart); !errors.Is(err, lashstore.ErrClosed) {
			t.Errorf("Seek after Close: got error %v, want ErrClosed", err)
		}
	}
}

// blockAfter makes all requests hang but the first n, and returns the gate.
func (s *joinSetup) blockAfter(n int) *castest.Gate {
	var calls atomic.Int64
	gate := castest.NewGate()
	s.faulty.Always(castest.Get, func([]string) castest.Fault {
		if calls.Add(1) > int64(n) {
			return castest.Block(gate)
		}
		return castest.Pass()
	})
	return gate
}

// Close ends a read-ahead that hangs, and so does a seek away from it.
func TestJoinEndsAReadAheadThatHangs(t *testing.T) {
	t.Parallel()
	for _, seek := range []bool{false, true} {
		s := setupJoin(t)
		first, gate := keyOf(s.m.Segments[0].Digest), castest.NewGate()
		s.faulty.Always(castest.Get, func(keys []string) castest.Fault {
			if keys[0] != first {
				return castest.Block(gate)
			}
			return castest.Pass()
		})
		r := s.join(t, s.m)
		if _, err := io.CopyN(io.Discard, r, 1<<20); err != nil {
			t.Fatal(err)
		}
		<-gate.Arrived() // by itself: nobody has asked for the second segment
		if !seek {
			if err := r.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
			continue
		}
		s.faulty.Heal() // for what comes after; what hangs goes on hanging
		if _, err := r.Seek(-1000, io.SeekEnd); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(got, s.content[len(s.content)-1000:]) {
			t.Errorf("the end: %d bytes, %v", len(got), err)
		}
	}
}

// The context governs the reader: a read that hangs ends with it, and so do later
// reads of bytes that are already there.
func TestJoinContextGoverns(t *testing.T) {
	t.Parallel()
	for passing := range 3 {
		s := setupJoin(t)
		ctx, cancel := context.WithCancel(t.Context())
		gate := s.blockAfter(passing)
		r, err := s.store.Join(ctx, s.m, s.generation)
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error)
		go func() {
			_, err := io.Copy(io.Discard, r)
			ended <- err
		}()
		<-gate.Arrived()
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("after cancel: got error %v, want context.Canceled", err)
		}
		if _, err := r.Seek(0, io.SeekStart); err != nil {
			t.Errorf("Seek: %v", err)
		}
		if _, err := r.Read(make([]byte, 1)); !errors.Is(err, context.Canceled) {
			t.Errorf("a later read: got error %v, want context.Canceled", err)
		}
		if err := r.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
}

// slowDriver answers each request after another while of a clock that tests move, so
// that answers come in another order than the requests.
type slowDriver struct {
	cas.Driver

	mu  sync.Mutex // guards rng
	rng *rand.Rand
}

func (d *slowDriver) Get(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	d.mu.Lock()
	wait := time.Duration(d.rng.Int64N(int64(time.Second)))
	d.mu.Unlock()
	select {
	case <-time.After(wait):
		return d.Driver.Get(ctx, key, offset, length)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Requests are made in parallel and answered in any order; the bytes come in theirs.
func TestJoinKeepsOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for seed := range uint64(5) {
			c := newCatalog(newStore(t, &slowDriver{Driver: memcas.New(), rng: rand.New(rand.NewPCG(seed, 0))}, cas.Options{}))
			content := noise(joinBytes, byte(seed))
			r, err := c.store.Join(t.Context(), c.splitWith(t, content, cas.SplitOptions{}).Manifest, c.generation)
			if err != nil {
				t.Fatal(err)
			}
			got, err := cas.ReadAll(r, joinBytes)
			if err != nil || !bytes.Equal(got, content) {
				t.Errorf("seed %d: %d bytes, %v", seed, len(got), err)
			}
			if err := r.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		}
	})
}

func TestInlineReader(t *testing.T) {
	t.Parallel()
	body := []byte("a small value")
	ref := lashstore.BlobRef{Digest: lashstore.DigestOf(body), SizeBytes: int64(len(body))}
	r, err := cas.InlineReader(ref, body)
	if err != nil {
		t.Fatal(err)
	}
	if err := iotest.TestReader(r, body); err != nil {
		t.Error(err)
	}
	if r.Ref() != ref {
		t.Errorf("Ref: got %+v, want %+v", r.Ref(), ref)
	}
	if err := r.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if _, err := r.Read(make([]byte, 1)); !errors.Is(err, lashstore.ErrClosed) {
		t.Errorf("Read after Close: got error %v, want ErrClosed", err)
	}
	_, err = cas.InlineReader(ref, []byte("a small Value"))
	wantCorrupt(t, "other bytes", err, ref.Digest, "inline")
	_, err = cas.InlineReader(ref, body[1:])
	wantCorrupt(t, "fewer bytes", err, ref.Digest, "inline")
}

func TestReadAll(t *testing.T) {
	t.Parallel()
	s := setupJoin(t)
	r := s.join(t, s.m)
	var limit *lashstore.LimitError
	if _, err := cas.ReadAll(r, 1000); !errors.As(err, &limit) || limit.Max != 1000 || limit.Got != s.m.SizeBytes {
		t.Errorf("over the limit: got error %v, want a LimitError", err)
	}
	if got := s.gets(); got != 0 {
		t.Errorf("%d requests for content over the limit, want 0", got)
	}
	if _, err := r.Seek(-100, io.SeekEnd); err != nil {
		t.Fatal(err)
	}
	if got, err := cas.ReadAll(r, s.m.SizeBytes); err != nil || !bytes.Equal(got, s.content[len(s.content)-100:]) {
		t.Errorf("the rest: %d bytes, %v", len(got), err)
	}
	if got, err := cas.ReadAll(r, s.m.SizeBytes); err != nil || len(got) != 0 {
		t.Errorf("at the end: %d bytes, %v, want none", len(got), err)
	}
}
