package testenv

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strconv"
)

// Sizes of the states that the storage budget speaks of (design section 11).
const (
	StateBytes        = 10 << 20
	StateChangedBytes = 100 << 10 // 1 % a turn
)

// StateEdit is a way in which a state changes by 1 % in a turn.
type StateEdit struct {
	Name string
	// Apply returns the changed state, which may have the memory of the old one. fill
	// returns n new bytes.
	Apply func(rng *rand.Rand, fill func(n int) []byte, state []byte) []byte
}

// StateEdits are the three ways of the storage budget.
func StateEdits() []StateEdit {
	return []StateEdit{
		{"scattered", func(rng *rand.Rand, fill func(int) []byte, state []byte) []byte {
			const edits = 100
			for range edits {
				copy(state[rng.IntN(len(state)-StateChangedBytes/edits):], fill(StateChangedBytes/edits))
			}
			return state
		}},
		{"appended", func(_ *rand.Rand, fill func(int) []byte, state []byte) []byte {
			return append(state, fill(StateChangedBytes)...)
		}},
		{"inserted", func(_ *rand.Rand, fill func(int) []byte, state []byte) []byte {
			half := len(state) / 2
			return append(state[:half:half], append(fill(StateChangedBytes), state[half:]...)...)
		}},
	}
}

// Noise returns a source of bytes that do not compress, the same for the same seed.
func Noise(seed uint64) (*rand.Rand, func(n int) []byte) {
	var key [32]byte
	binary.BigEndian.PutUint64(key[:], seed)
	src := rand.NewChaCha8(key)
	return rand.New(src), func(n int) []byte { //nolint:gosec // repeatable on purpose
		b := make([]byte, n)
		_, _ = src.Read(b) // never fails
		return b
	}
}

// Records returns a source of bytes as tools' states have them: JSON objects of a
// small vocabulary, one a line.
func Records(seed uint64) (*rand.Rand, func(n int) []byte) {
	rng, noise := Noise(seed)
	words := make([]string, 2000)
	for i := range words {
		word := make([]byte, 2+rng.IntN(9))
		for j, b := range noise(len(word)) {
			word[j] = 'a' + b%26
		}
		words[i] = string(word)
	}
	pick := func() string { return words[rng.IntN(len(words))] }
	return rng, func(n int) []byte {
		b := make([]byte, 0, n+128)
		for len(b) < n {
			b = append(b, `{"id":`...)
			b = strconv.AppendInt(b, rng.Int64N(1e6), 10)
			b = fmt.Appendf(b, `,"name":%q,"value":"%s %s %s","n":%d}`, pick(), pick(), pick(), pick(), rng.IntN(100))
			b = append(b, '\n')
		}
		return b[:n]
	}
}
