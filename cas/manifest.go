package cas

import (
	"cmp"
	"slices"

	"github.com/lashstore/lashstore"
)

// Bounds of a manifest.
const (
	// MaxChunks bounds the chunks of one manifest, and the bases: content of
	// [lashstore.MaxBlobBytes] in chunks of 4 KiB, half the average.
	MaxChunks = lashstore.MaxBlobBytes / (4 << 10)
	// MaxSegments bounds the segments of one manifest: content of
	// [lashstore.MaxBlobBytes] in segments of 1 MiB, and those of earlier turns.
	MaxSegments = lashstore.MaxBlobBytes/(1<<20) + 256
	// maxDeltaDepth bounds how many deltas have to be undone to read a chunk. The
	// measurement behind it is in ADR 8.
	maxDeltaDepth = 8
	// maxDeltaBases bounds the chunks that a delta is made against: an edit that
	// moves a cut can merge two chunks into one.
	maxDeltaBases = 2
)

// Form says how a chunk is stored. The numbers are those of the manifest's binary
// form and never change.
type Form byte

// The forms of a chunk.
const (
	FormRaw  Form = 0 // as it is, in a segment
	FormZstd Form = 1 // compressed, in a segment
	// FormDelta is compressed with its bases, one after the other, as the dictionary.
	FormDelta Form = 2
	// FormObject is a chunk that is an object of its own, whose envelope says the rest.
	FormObject Form = 3
)

// Address is where a chunk is stored: a place in a segment's payload.
type Address struct {
	Segment int // index in the manifest's segments
	Offset  int64
}

func (a Address) compare(b Address) int {
	if c := cmp.Compare(a.Segment, b.Segment); c != 0 {
		return c
	}
	return cmp.Compare(a.Offset, b.Offset)
}

// Chunk is one piece of content and where it is stored.
type Chunk struct {
	Digest    lashstore.Digest
	SizeBytes int64 // of the uncompressed content
	Address
	StoredBytes int64 // in the segment; 0 for FormObject
	Form        Form
	Bases       []Address // of FormDelta: what it was made against
}

// Segment is an object that chunks are stored in.
type Segment struct {
	Digest       lashstore.Digest // of the payload; zero for a free place
	PayloadBytes int64
}

// Manifest says how to put one content together: its chunks in order, the segments
// they lie in, and the bases that deltas among them need. A segment keeps its index
// from one manifest to the next, so that manifests of similar content are similar;
// that leaves free places.
type Manifest struct {
	Digest    lashstore.Digest // of the whole content
	SizeBytes int64
	Segments  []Segment
	Chunks    []Chunk
	Bases     []Chunk // ascending by address, none that no delta needs

	// chain are the objects that the manifest itself was read from or stored in: a
	// difference, what it differs from, and so on to a whole one. Empty if it lies
	// with its holder.
	chain []lashstore.Digest
	// flat is the binary form, once it is known; the manifest is valid then, and not
	// to be changed any more.
	flat []byte
}

// Ref returns the reference to the content.
func (m *Manifest) Ref() lashstore.BlobRef {
	return lashstore.BlobRef{Digest: m.Digest, SizeBytes: m.SizeBytes}
}

// Objects returns the objects that the content needs, each once: its segments and
// those of the manifest itself.
func (m *Manifest) Objects() []lashstore.Digest {
	out := make([]lashstore.Digest, 0, len(m.Segments)+len(m.chain))
	for _, s := range m.Segments {
		if !s.Digest.IsZero() {
			out = append(out, s.Digest)
		}
	}
	return append(out, m.chain...)
}

// singleManifest describes content that is one object.
func singleManifest(ref lashstore.BlobRef) *Manifest {
	return &Manifest{
		Digest: ref.Digest, SizeBytes: ref.SizeBytes,
		Segments: []Segment{{Digest: ref.Digest, PayloadBytes: ref.SizeBytes}},
		Chunks:   []Chunk{{Digest: ref.Digest, SizeBytes: ref.SizeBytes, Form: FormObject}},
	}
}

// SingleManifest describes content that is one object, whose digest is the
// content's: all that is not cut.
func SingleManifest(ref lashstore.BlobRef) (*Manifest, error) {
	m := singleManifest(ref)
	return m, m.Validate()
}

// starts returns where each chunk begins in the content.
func (m *Manifest) starts() []int64 {
	starts := make([]int64, len(m.Chunks))
	var at int64
	for i := range m.Chunks {
		starts[i] = at
		at += m.Chunks[i].SizeBytes
	}
	return starts
}

// used returns how many stored bytes of each segment the content needs. What is
// needed twice counts twice.
func (m *Manifest) used() []int64 {
	used := make([]int64, len(m.Segments))
	for _, list := range [][]Chunk{m.Chunks, m.Bases} {
		for i := range list {
			used[list[i].Segment] += list[i].StoredBytes
		}
	}
	return used
}

// base returns the base at an address, or nil.
func (m *Manifest) base(a Address) *Chunk {
	i, ok := slices.BinarySearchFunc(m.Bases, a, func(c Chunk, a Address) int { return c.compare(a) })
	if !ok {
		return nil
	}
	return &m.Bases[i]
}

// Validate reports a [*lashstore.InvalidError] for a manifest that no content has.
func (m *Manifest) Validate() error {
	invalid := func(reason string, args ...any) error {
		return lashstore.Invalid("manifest", m.Digest, reason, args...)
	}
	switch n := len(m.Chunks); {
	case m.Digest.IsZero():
		return lashstore.Invalid("manifest", "", "has no digest")
	case m.SizeBytes < 0 || m.SizeBytes > lashstore.MaxBlobBytes:
		return invalid("says %d bytes, not 0 to %d", m.SizeBytes, int64(lashstore.MaxBlobBytes))
	case n == 0 || n > MaxChunks || len(m.Bases) > MaxChunks:
		return invalid("has %d chunks and %d bases, not 1 to %d", n, len(m.Bases), MaxChunks)
	case m.SizeBytes == 0 && m.Digest != lashstore.DigestOf(nil):
		return invalid("says 0 bytes, which is not the digest of the empty content")
	}
	var total int64
	for i := range m.Chunks {
		if m.Chunks[i].SizeBytes == 0 && len(m.Chunks) > 1 {
			return invalid("has an empty chunk %d", i)
		}
		total += m.Chunks[i].SizeBytes // cannot overflow: each is checked by checkLayout before it matters
		if total < 0 || total > m.SizeBytes {
			break
		}
	}
	if total != m.SizeBytes {
		return invalid("has chunks of %d bytes for content of %d", total, m.SizeBytes)
	}
	return m.checkLayout(invalid)
}
