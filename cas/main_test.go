package cas_test

import (
	"bytes"
	"context"
	"errors"
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

// text returns n bytes that compress well.
func text(n int) []byte { return bytes.Repeat([]byte("lashstore keeps what agents say; "), n/33+1)[:n] }

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

// catalog remembers under which generation content was put.
type catalog struct {
	store *cas.Store

	mu   sync.Mutex // guards gens
	gens map[lashstore.Digest]cas.Generation
}

func newCatalog(s *cas.Store) *catalog {
	return &catalog{store: s, gens: make(map[lashstore.Digest]cas.Generation)}
}

// put stores pieces that are not there yet.
func (c *catalog) put(ctx context.Context, pieces []cas.Piece) error {
	for _, p := range pieces {
		if _, ok := c.generation(p.Digest); ok {
			continue
		}
		g, err := cas.NewGeneration(nil)
		if err != nil {
			return err
		}
		if err := c.store.PutObject(ctx, cas.ObjectName{Digest: p.Digest, Generation: g}, p.Stored); err != nil {
			return err
		}
		c.mu.Lock()
		c.gens[p.Digest] = g
		c.mu.Unlock()
	}
	return nil
}

func (c *catalog) generation(d lashstore.Digest) (cas.Generation, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	g, ok := c.gens[d]
	return g, ok
}

// split splits content into the catalog's store.
func (c *catalog) split(tb testing.TB, content []byte, d lashstore.Descriptor) cas.Manifest {
	tb.Helper()
	m, err := c.store.Split(tb.Context(), bytes.NewReader(content), d, 0, c.put)
	if err != nil {
		tb.Fatalf("Split: %v", err)
	}
	return m
}

// join opens a manifest; the test closes the reader.
func (c *catalog) join(tb testing.TB, m cas.Manifest) lashstore.BlobReader {
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
