package cas_test

import (
	"bytes"
	"errors"
	"io"
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

// Split, put, join and Seek agree with plain bytes, whatever the size and the
// order of reads.
func TestSplitJoinAgreesWithBytes(t *testing.T) {
	t.Parallel()
	largest := append(noise(2*cas.ChunkSize, 3), text(2*cas.ChunkSize)...)
	rapid.Check(t, func(rt *rapid.T) {
		size := rapid.OneOf(
			rapid.IntRange(0, 100),
			rapid.IntRange(cas.ChunkSize-2, cas.ChunkSize+2),
			rapid.IntRange(2*cas.ChunkSize-2, 4*cas.ChunkSize),
		).Draw(rt, "size")
		want := largest[len(largest)-size:]
		c := newCatalog(memStore(t, cas.Options{Profile: profile().Draw(rt, "profile")}))
		hints := lashstore.Hints{Compressible: rapid.Bool().Draw(rt, "compressible")}
		m := c.split(t, want, lashstore.Descriptor{Hints: hints})
		if m.Digest != lashstore.DigestOf(want) || m.SizeBytes != int64(size) {
			rt.Fatalf("manifest %+v, want the digest and size of the content", m.Ref())
		}
		r, err := c.store.Join(t.Context(), m, c.generation)
		if err != nil {
			rt.Fatalf("Join: %v", err)
		}
		model := bytes.NewReader(want)
		for range rapid.IntRange(1, 10).Draw(rt, "operations") {
			if rapid.Bool().Draw(rt, "seek") {
				offset := rapid.Int64Range(-10, int64(size)+10).Draw(rt, "offset")
				whence := rapid.IntRange(0, 2).Draw(rt, "whence")
				at, modelErr := model.Seek(offset, whence)
				got, err := r.Seek(offset, whence)
				if (err == nil) != (modelErr == nil) || err == nil && got != at {
					rt.Fatalf("Seek(%d, %d): got %d, %v, want %d, %v", offset, whence, got, err, at, modelErr)
				}
				continue
			}
			n := rapid.SampledFrom([]int{0, 1, 1000, cas.ChunkSize, 3 * cas.ChunkSize}).Draw(rt, "bytes")
			gotBytes, wantBytes := make([]byte, n), make([]byte, n)
			got, gotErr := io.ReadFull(r, gotBytes)
			exp, expErr := io.ReadFull(model, wantBytes)
			if got != exp || !errors.Is(gotErr, expErr) || !bytes.Equal(gotBytes, wantBytes) {
				rt.Fatalf("read %d bytes: got %d, %v, want %d, %v", n, got, gotErr, exp, expErr)
			}
		}
		if err := r.Close(); err != nil {
			rt.Fatalf("Close: %v", err)
		}
	})
}
