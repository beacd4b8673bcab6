package cas_test

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
)

// Chunks of smallManifest.
const (
	rawChunk = iota
	zstdChunk
	deltaChunk
	objectChunk
)

// A manifest that no content has is neither written nor read nor joined, and each lie
// is called what it is.
func TestManifestValidate(t *testing.T) {
	t.Parallel()
	other := digestNumber(99)
	for what, test := range map[string]struct {
		reason string
		change func(m *cas.Manifest)
	}{
		"no digest":   {"has no digest", func(m *cas.Manifest) { m.Digest = lashstore.Digest{} }},
		"no chunks":   {"0 chunks", func(m *cas.Manifest) { m.Chunks = nil }},
		"too many":    {"chunks and", func(m *cas.Manifest) { m.Chunks = make([]cas.Chunk, cas.MaxChunks+1) }},
		"many bases":  {"chunks and", func(m *cas.Manifest) { m.Bases = make([]cas.Chunk, cas.MaxChunks+1) }},
		"too long":    {"has chunks of", func(m *cas.Manifest) { m.SizeBytes++ }},
		"too short":   {"has chunks of", func(m *cas.Manifest) { m.SizeBytes-- }},
		"negative":    {"says -1 bytes", func(m *cas.Manifest) { m.SizeBytes = -1 }},
		"over limit":  {"bytes, not 0 to", func(m *cas.Manifest) { m.SizeBytes = lashstore.MaxBlobBytes + 1 }},
		"2^60 bytes":  {"bytes, not 0 to", func(m *cas.Manifest) { m.SizeBytes = 1 << 60 }},
		"empty chunk": {"has an empty chunk", func(m *cas.Manifest) { m.Chunks[zstdChunk].SizeBytes = 0 }},
		"empty, wrong digest": {"not the digest of the empty content", func(m *cas.Manifest) {
			*m = cas.Manifest{Digest: other, Segments: []cas.Segment{{Digest: other}}, Chunks: []cas.Chunk{{Digest: other, Form: cas.FormObject}}}
		}},
		"overflowing sizes": {"has chunks of", func(m *cas.Manifest) {
			m.Chunks[rawChunk].SizeBytes, m.Chunks[zstdChunk].SizeBytes = math.MaxInt64, math.MaxInt64
		}},
		"negative chunk": {"has chunks of", func(m *cas.Manifest) {
			m.Chunks[rawChunk].SizeBytes, m.Chunks[zstdChunk].SizeBytes = -100, 500
		}},
		"chunk without digest": {"has no digest for chunk", func(m *cas.Manifest) { m.Chunks[rawChunk].Digest = lashstore.Digest{} }},
		"base without digest":  {"has no digest for base", func(m *cas.Manifest) { m.Bases[0].Digest = lashstore.Digest{} }},
		"chunk too large": {"bytes for chunk 1, not 1 to", func(m *cas.Manifest) {
			m.Chunks[zstdChunk].SizeBytes += cas.MaxChunkBytes
			m.SizeBytes += cas.MaxChunkBytes
		}},
		"unknown form": {"in the unknown form", func(m *cas.Manifest) { m.Chunks[rawChunk].Form = 4 }},
		"no segments":  {"0 segments", func(m *cas.Manifest) { m.Segments = nil }},
		"too many segments": {"segments, not 1 to", func(m *cas.Manifest) {
			m.Segments = make([]cas.Segment, cas.MaxSegments+1)
		}},
		"free place at the end": {"free place at the end", func(m *cas.Manifest) { m.Segments = append(m.Segments, cas.Segment{}) }},
		"free place with bytes": {"free place 1 of 5 bytes", func(m *cas.Manifest) { m.Segments[1].PayloadBytes = 5 }},
		"negative segment":      {"bytes for segment 0", func(m *cas.Manifest) { m.Segments[0].PayloadBytes = -1 }},
		"huge segment":          {"bytes for segment 0", func(m *cas.Manifest) { m.Segments[0].PayloadBytes = cas.MaxObjectBytes + 1 }},
		"segment twice":         {"twice", func(m *cas.Manifest) { m.Segments[2].Digest = m.Segments[0].Digest }},
		"segment not needed": {"which it does not need", func(m *cas.Manifest) {
			m.Segments = append(m.Segments, cas.Segment{Digest: other, PayloadBytes: 10})
		}},
		"segment out of range": {"has no segment 4", func(m *cas.Manifest) { m.Chunks[rawChunk].Segment = 4 }},
		"segment negative":     {"has no segment -1", func(m *cas.Manifest) { m.Chunks[rawChunk].Segment = -1 }},
		"chunk in a free place": {"has no segment 1", func(m *cas.Manifest) {
			m.Chunks[rawChunk].Segment = 1
		}},
		"offset negative": {"beyond its segment", func(m *cas.Manifest) { m.Chunks[rawChunk].Offset = -1 }},
		"offset beyond":   {"beyond its segment", func(m *cas.Manifest) { m.Chunks[rawChunk].Offset = 901 }},
		"offset overflow": {"beyond its segment", func(m *cas.Manifest) { m.Chunks[rawChunk].Offset = math.MaxInt64 }},
		"raw of another length": {"stored bytes", func(m *cas.Manifest) {
			m.Chunks[rawChunk].StoredBytes--
		}},
		"zstd that does not shrink": {"stored bytes", func(m *cas.Manifest) { m.Chunks[zstdChunk].StoredBytes = 300 }},
		"zstd of nothing":           {"stored bytes", func(m *cas.Manifest) { m.Chunks[zstdChunk].StoredBytes = 0 }},
		"stored bytes negative":     {"stored bytes", func(m *cas.Manifest) { m.Chunks[zstdChunk].StoredBytes = math.MinInt64 }},
		"object of another segment": {"not the object that it says", func(m *cas.Manifest) {
			m.Chunks[objectChunk].Digest = other
		}},
		"object of another length": {"not the object that it says", func(m *cas.Manifest) {
			m.Chunks[objectChunk].SizeBytes++
			m.SizeBytes++
		}},
		"object with an offset": {"not the object that it says", func(m *cas.Manifest) { m.Chunks[objectChunk].Offset = 1 }},
		"object stored inside":  {"not the object that it says", func(m *cas.Manifest) { m.Chunks[objectChunk].StoredBytes = 1 }},
		"raw with bases": {"bases for chunk 0", func(m *cas.Manifest) {
			m.Chunks[rawChunk].Bases = m.Chunks[deltaChunk].Bases
		}},
		"delta without bases": {"0 bases for chunk 2", func(m *cas.Manifest) { m.Chunks[deltaChunk].Bases = nil }},
		"three bases": {"3 bases for chunk 2", func(m *cas.Manifest) {
			m.Chunks[deltaChunk].Bases = append(m.Chunks[deltaChunk].Bases, cas.Address{Offset: 400})
		}},
		"base missing": {"has no base at 20", func(m *cas.Manifest) { m.Bases = m.Bases[:1] }},
		"base of base missing": {"has no base at 5", func(m *cas.Manifest) {
			m.Bases[1].Bases = []cas.Address{{Segment: 0, Offset: 5}}
		}},
		"base not needed": {"which nothing needs", func(m *cas.Manifest) {
			m.Bases = append(m.Bases, cas.Chunk{Digest: other, SizeBytes: 10, Address: cas.Address{Segment: 2, Offset: 100}, StoredBytes: 10})
		}},
		"bases out of order": {"out of order", func(m *cas.Manifest) { slices.Reverse(m.Bases) }},
		"base twice": {"out of order", func(m *cas.Manifest) {
			m.Bases = slices.Insert(m.Bases, 0, m.Bases[0])
		}},
		"base that needs itself": {"behind itself", func(m *cas.Manifest) {
			m.Bases[1].Bases = []cas.Address{m.Bases[1].Address}
		}},
		"cycle of bases": {"behind itself", func(m *cas.Manifest) {
			m.Bases[0].Form, m.Bases[0].StoredBytes, m.Bases[0].Bases = cas.FormDelta, 30, []cas.Address{m.Bases[1].Address}
		}},
		"overlap": {"overlapping", func(m *cas.Manifest) { m.Chunks[zstdChunk].Offset-- }},
		"overlap of chunk and base": {"overlapping", func(m *cas.Manifest) {
			m.Chunks[zstdChunk].Offset = 399
		}},
		"object and chunk in a segment": {"overlapping", func(m *cas.Manifest) {
			m.Chunks[rawChunk].Segment, m.Chunks[rawChunk].Offset = 3, 10
		}},
		"two pieces at one address": {"two pieces", func(m *cas.Manifest) {
			m.Chunks[zstdChunk].Offset = m.Chunks[rawChunk].Offset
		}},
		"one address, two digests": {"two pieces", func(m *cas.Manifest) {
			m.Chunks = append(m.Chunks, m.Chunks[rawChunk])
			m.Chunks[len(m.Chunks)-1].Digest = other
			m.SizeBytes += 100
		}},
		"one address, other bases": {"two pieces", func(m *cas.Manifest) {
			twin := m.Chunks[deltaChunk]
			twin.Bases = twin.Bases[:1]
			m.Chunks = append(m.Chunks, twin)
			m.SizeBytes += twin.SizeBytes
		}},
	} {
		m := smallManifest()
		test.change(m)
		b, err := m.MarshalBinary()
		if !errors.Is(err, lashstore.ErrInvalid) || !strings.Contains(err.Error(), test.reason) {
			t.Errorf("%s: got %d bytes, %v, want ErrInvalid that says %q", what, len(b), err, test.reason)
		}
		if _, err := memStore(t, cas.Options{}).Join(t.Context(), m, always); !errors.Is(err, lashstore.ErrInvalid) {
			t.Errorf("%s: Join: got error %v, want ErrInvalid", what, err)
		}
	}
}

// always knows every object.
func always(lashstore.Digest) (cas.Generation, bool) { return generation, true }

// chainOfBases is one chunk behind n deltas.
func chainOfBases(n int) *cas.Manifest {
	m := &cas.Manifest{Digest: digestNumber(0), SizeBytes: 100, Segments: []cas.Segment{{Digest: digestNumber(1), PayloadBytes: 1000}}}
	for i := range n {
		b := cas.Chunk{Digest: digestNumber(i + 2), SizeBytes: 100, Address: cas.Address{Offset: int64(10 * i)}, StoredBytes: 10, Form: cas.FormDelta}
		if i == n-1 { // the last, at the highest address, is whole
			b.StoredBytes, b.Form = 100, cas.FormRaw
		} else {
			b.Bases = []cas.Address{{Offset: int64(10 * (i + 1))}}
		}
		m.Bases = append(m.Bases, b)
	}
	m.Chunks = []cas.Chunk{{
		Digest: digestNumber(0), SizeBytes: 100, Address: cas.Address{Offset: 900}, StoredBytes: 10, Form: cas.FormDelta, Bases: []cas.Address{{}},
	}}
	return m
}

// To read a chunk takes at most so many deltas, however the bases are ordered.
func TestManifestDepthIsBounded(t *testing.T) {
	t.Parallel()
	for n := 1; n <= cas.MaxDeltaDepth; n++ {
		if err := chainOfBases(n).Validate(); err != nil {
			t.Errorf("%d deltas: %v", n, err)
		}
	}
	for n := cas.MaxDeltaDepth + 1; n < 20; n++ {
		if err := chainOfBases(n).Validate(); !errors.Is(err, lashstore.ErrInvalid) {
			t.Errorf("%d deltas: got error %v, want ErrInvalid", n, err)
		}
	}
}

// What looks odd but can be is accepted: equal chunks, empty content, gaps.
func TestManifestValidateAccepts(t *testing.T) {
	t.Parallel()
	twins := smallManifest()
	twins.Chunks = append(twins.Chunks, twins.Chunks...)
	twins.SizeBytes *= 2
	baseIsChunk := smallManifest()
	baseIsChunk.Chunks = append(baseIsChunk.Chunks, baseIsChunk.Bases[0])
	baseIsChunk.SizeBytes += baseIsChunk.Bases[0].SizeBytes
	for what, m := range map[string]*cas.Manifest{"small": smallManifest(), "twins": twins, "a base that is a chunk": baseIsChunk} {
		if err := m.Validate(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := cas.SingleManifest(lashstore.BlobRef{Digest: lashstore.DigestOf(nil)}); err != nil {
		t.Errorf("the empty content: %v", err)
	}
	if _, err := cas.SingleManifest(lashstore.BlobRef{Digest: digestNumber(1), SizeBytes: cas.MaxObjectBytes + 1}); !errors.Is(err, lashstore.ErrInvalid) {
		t.Errorf("one object over the limit: got error %v, want ErrInvalid", err)
	}
}
