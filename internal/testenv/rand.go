package testenv

import (
	"encoding/binary"
	"math/rand/v2"
	"sync"
	"testing"
)

// Rand is a source of bytes that a seed determines, for Options.Rand. It may be
// read by several goroutines.
type Rand struct {
	mu  sync.Mutex
	src *rand.ChaCha8
}

// NewRand returns a source with the test's [Seed]: a test that runs alone sees the
// same bytes as in the whole run.
func NewRand(tb testing.TB) *Rand {
	tb.Helper()
	return NewSeededRand(Seed(tb))
}

// NewSeededRand returns the source of a seed.
func NewSeededRand(seed uint64) *Rand {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	return &Rand{src: rand.NewChaCha8(key)}
}

// Read fills p.
func (r *Rand) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.src.Read(p)
}
