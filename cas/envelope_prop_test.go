package cas_test

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
)

// content draws content that shrinks, or not, or in part.
func content() *rapid.Generator[[]byte] {
	return rapid.Custom(func(t *rapid.T) []byte {
		a := noise(rapid.IntRange(0, 6000).Draw(t, "noise"), rapid.Byte().Draw(t, "seed"))
		return append(a, text(rapid.IntRange(0, 6000).Draw(t, "text"))...)
	})
}

func profile() *rapid.Generator[lashstore.Profile] {
	return rapid.SampledFrom([]lashstore.Profile{
		"", lashstore.ProfileLowLatency, lashstore.ProfileBalanced, lashstore.ProfileCompact,
	})
}

// Every bit of a stored object counts: whichever is inverted, reading fails with
// digest and key, and nothing is served.
func TestAnyBitFlipIsCorrupt(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		raw := content().Draw(rt, "content")
		stored := encode(t, profile().Draw(rt, "profile"), raw, compressible())
		bit := rapid.IntRange(0, 8*len(stored)-1).Draw(rt, "bit")
		stored[bit/8] ^= 1 << (bit % 8)
		got, err := cas.Decode(stored, lashstore.DigestOf(raw), "k")
		wantCorrupt(t, "flipped bit", err, lashstore.DigestOf(raw), "k")
		if got != nil || t.Failed() {
			rt.Fatalf("bit %d of %d bytes: got %d bytes, %v", bit, len(stored), len(got), err)
		}
	})
}

// Whatever is cut off or added is noticed.
func TestAnyCutOrExtensionIsCorrupt(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		raw := content().Draw(rt, "content")
		stored := encode(t, profile().Draw(rt, "profile"), raw, compressible())
		cut := rapid.IntRange(0, len(stored)-1).Draw(rt, "cut")
		extra := rapid.SliceOfN(rapid.Byte(), 1, 100).Draw(rt, "extra")
		for _, damaged := range [][]byte{stored[:cut], append(bytes.Clone(stored), extra...)} {
			if got, err := cas.Decode(damaged, lashstore.DigestOf(raw), "k"); err == nil || got != nil {
				rt.Fatalf("%d bytes instead of %d: got %d bytes, %v", len(damaged), len(stored), len(got), err)
			}
		}
	})
}
