package cas_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
	"github.com/lashstore/lashstore/cas/memcas"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// compressible is a descriptor whose content may be compressed.
func compressible() lashstore.Descriptor {
	return lashstore.StandardDescriptor(lashstore.KindToolState)
}

func newStore(tb testing.TB, d cas.Driver, opts cas.Options) *cas.Store {
	tb.Helper()
	s, err := cas.New(d, opts)
	if err != nil {
		tb.Fatalf("New: %v", err)
	}
	return s
}

func memStore(tb testing.TB, opts cas.Options) *cas.Store {
	tb.Helper()
	return newStore(tb, memcas.New(), opts)
}

// noise returns n bytes that do not compress, the same for the same n and seed.
func noise(n int, seed byte) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}

// text returns n bytes that compress well and repeat themselves.
func text(n int) []byte { return bytes.Repeat([]byte("lashstore keeps what agents say; "), n/33+1)[:n] }

// words is what prose is made of.
var words = [...]string{
	"agent", "answer", "blob", "call", "chunk", "commit", "content", "error", "head", "lease", "message", "model",
	"node", "plan", "process", "prompt", "queue", "reply", "result", "session", "state", "store", "tool", "turn",
	"user", "value", "wait", "{\"role\":", "\"text\":", "},", "true", "null",
}

// proseReader yields text that compresses to about a third and never repeats itself.
type proseReader struct {
	rng  *rand.PCG
	rest []byte
}

func (r *proseReader) Read(p []byte) (int, error) {
	for n := 0; ; {
		if len(r.rest) == 0 {
			r.rest = r.rest[:0]
			for bits := r.rng.Uint64(); bits != 0; bits >>= 5 {
				r.rest = append(append(r.rest, words[bits&31]...), ' ')
			}
		}
		c := copy(p[n:], r.rest)
		n, r.rest = n+c, r.rest[c:]
		if n == len(p) {
			return n, nil
		}
	}
}

// proseStream yields size bytes of prose, the same for the same seed.
func proseStream(size int64, seed uint64) io.Reader {
	return io.LimitReader(&proseReader{rng: rand.NewPCG(seed, 0)}, size)
}

// prose returns n bytes of it.
func prose(n int, seed uint64) []byte {
	b := make([]byte, n)
	_, _ = io.ReadFull(proseStream(int64(n), seed), b)
	return b
}

// nameOf returns a name for content in the given generation.
func nameOf(content []byte, g cas.Generation) cas.ObjectName {
	return cas.ObjectName{Digest: lashstore.DigestOf(content), Generation: g}
}

// wantCorrupt checks that err is a CorruptBlobError with all its parts.
func wantCorrupt(tb testing.TB, what string, err error, digest lashstore.Digest, key string) {
	tb.Helper()
	var corrupt *lashstore.CorruptBlobError
	if !errors.As(err, &corrupt) {
		tb.Errorf("%s: got error %v, want a CorruptBlobError", what, err)
		return
	}
	if corrupt.Digest != digest || corrupt.Key != key || corrupt.Reason == "" {
		tb.Errorf("%s: got %+v, want digest %s, key %s and a reason", what, corrupt, digest, key)
	}
}

// generation is that of every object a catalog puts.
const generation cas.Generation = 1

// catalog remembers what was put.
type catalog struct {
	store *cas.Store

	mu      sync.Mutex // guards all below
	objects map[lashstore.Digest]int64
	order   []lashstore.Digest
	puts    int   // calls
	bytes   int64 // stored in all, equal objects each time
}

func newCatalog(s *cas.Store) *catalog {
	return &catalog{store: s, objects: make(map[lashstore.Digest]int64)}
}

// put stores objects.
func (c *catalog) put(ctx context.Context, objects []cas.NewObject) error {
	for _, o := range objects {
		if err := c.store.PutObject(ctx, cas.ObjectName{Digest: o.Digest, Generation: generation}, o.Stored); err != nil {
			return err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.puts++
	for _, o := range objects {
		if _, ok := c.objects[o.Digest]; !ok {
			c.order = append(c.order, o.Digest)
		}
		c.objects[o.Digest] = int64(len(o.Stored))
		c.bytes += int64(len(o.Stored))
	}
	return nil
}

// generation tells under which generation a digest was put.
func (c *catalog) generation(d lashstore.Digest) (cas.Generation, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.objects[d]
	return generation, ok
}

// held adds up the stored bytes of what a manifest needs.
func (c *catalog) held(m *cas.Manifest) (sum int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range m.Objects() {
		sum += c.objects[d]
	}
	return sum
}

// splitWith splits content into the catalog's store.
func (c *catalog) splitWith(tb testing.TB, content []byte, opts cas.SplitOptions) cas.SplitResult {
	tb.Helper()
	res, err := c.store.Split(tb.Context(), bytes.NewReader(content), opts, c.put)
	if err != nil {
		tb.Fatalf("Split of %d bytes: %v", len(content), err)
	}
	return res
}

// split is splitWith for content that may be compressed and has no predecessor.
func (c *catalog) split(tb testing.TB, content []byte) cas.SplitResult {
	tb.Helper()
	return c.splitWith(tb, content, cas.SplitOptions{Descriptor: compressible()})
}

// open returns the manifest behind a root.
func (c *catalog) open(tb testing.TB, res cas.SplitResult) *cas.Manifest {
	tb.Helper()
	m, err := c.store.OpenManifest(tb.Context(), res.Manifest.Ref(), res.Root, c.generation)
	if err != nil {
		tb.Fatalf("OpenManifest: %v", err)
	}
	return m
}

// join opens a manifest for reading; the test closes the reader.
func (c *catalog) join(tb testing.TB, m *cas.Manifest) lashstore.BlobReader {
	tb.Helper()
	r, err := c.store.Join(tb.Context(), m, c.generation)
	if err != nil {
		tb.Fatalf("Join: %v", err)
	}
	tb.Cleanup(func() {
		if err := r.Close(); err != nil {
			tb.Errorf("Close: %v", err)
		}
	})
	return r
}

// wantContent checks that what was split reads back, from the root on.
func (c *catalog) wantContent(tb testing.TB, what string, res cas.SplitResult, want []byte) {
	tb.Helper()
	m := c.open(tb, res)
	if !m.Equal(res.Manifest) {
		tb.Errorf("%s: the manifest of the root is not the one that Split returned", what)
	}
	r, err := c.store.Join(tb.Context(), m, c.generation)
	if err != nil {
		tb.Fatalf("%s: Join: %v", what, err)
	}
	got, err := cas.ReadAll(r, lashstore.MaxBlobBytes)
	if err != nil || !bytes.Equal(got, want) {
		tb.Errorf("%s: read %d bytes, %v, want the %d of the content", what, len(got), err, len(want))
	}
	if err := r.Close(); err != nil {
		tb.Errorf("%s: Close: %v", what, err)
	}
}
