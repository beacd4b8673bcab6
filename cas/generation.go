package cas

import (
	crand "crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"

	"github.com/lashstore/lashstore"
)

// Generation tells apart the times that the same content was stored. It is random
// and never 0; it is at most [math.MaxInt64], since databases keep it as a signed
// integer. Its text form is 16 lower-case hexadecimal digits.
type Generation uint64

// generationHexLen is the length of the text form: 64 bits, 4 a digit.
const generationHexLen = 16

// NewGeneration draws a generation from rand; nil means crypto/rand.
func NewGeneration(rand io.Reader) (Generation, error) {
	if rand == nil {
		rand = crand.Reader
	}
	// One draw in 2^63 is zero. A source that repeats it is broken, so the loop ends.
	for range 4 {
		var b [8]byte
		if _, err := io.ReadFull(rand, b[:]); err != nil {
			return 0, fmt.Errorf("draw a generation: %w", err)
		}
		if g := Generation(binary.BigEndian.Uint64(b[:]) & math.MaxInt64); g != 0 {
			return g, nil
		}
	}
	return 0, errors.New("draw a generation: the random source yields only zeros")
}

// String returns the text form.
func (g Generation) String() string { return fmt.Sprintf("%016x", uint64(g)) }

// Validate reports a [*lashstore.InvalidError] for 0 and for what is too large.
func (g Generation) Validate() error {
	if g == 0 || g > math.MaxInt64 {
		return lashstore.Invalid("generation", g, "is not in 1 to 2^63-1")
	}
	return nil
}

// ParseGeneration reads the text form, and only that: equal text and equal
// generation are the same thing.
func ParseGeneration(s string) (Generation, error) {
	if len(s) != generationHexLen {
		return 0, lashstore.Invalid("generation", s, "is not %d hexadecimal digits", generationHexLen)
	}
	for _, c := range []byte(s) {
		if !isLowerHex(c) {
			return 0, lashstore.Invalid("generation", s, "is not lower-case hexadecimal")
		}
	}
	n, err := strconv.ParseUint(s, 16, 64)
	if err != nil {
		return 0, lashstore.Invalid("generation", s, "is not hexadecimal")
	}
	g := Generation(n)
	if err := g.Validate(); err != nil {
		return 0, err
	}
	return g, nil
}

func isLowerHex(c byte) bool { return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' }
