package cas_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
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
