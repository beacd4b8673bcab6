package cas

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/lashstore/lashstore"
)

// ChunkSize is where content is cut: up to so many bytes are one object. Readers
// go by the manifest and never by this constant, so that another cutter can
// replace this one. 1 MiB keeps an upload's memory and the cost of a range read
// low while a request for each chunk still costs little (5 to 7 ms on loopback).
const ChunkSize = 1 << 20

// Bounds of a manifest.
const (
	// minChunkBytes is the smallest average chunk that a manifest has room for.
	minChunkBytes = 4 << 10
	// MaxChunks bounds the chunks of one manifest.
	MaxChunks = lashstore.MaxBlobBytes / minChunkBytes
)

// Chunk is one piece of content, kept as an object of its own.
type Chunk struct {
	Digest    lashstore.Digest
	SizeBytes int64 // of the uncompressed content
}

// Manifest lists the chunks of one content in order. Content of one chunk has the
// chunk's digest; empty content is one chunk of no bytes.
type Manifest struct {
	Digest    lashstore.Digest // of the whole content
	SizeBytes int64
	Chunks    []Chunk
}

// Binary form of a manifest, version 1; integers are big-endian.
//
//	 0       4     5          8             40           48
//	┌───────┬─────┬──────────┬─────────────┬────────────┬────────────────────┬──────────┐
//	│ magic │ ver │ n chunks │ digest (32) │ size bytes │ n × (digest, size) │ CRC-32C  │
//	└───────┴─────┴──────────┴─────────────┴────────────┴────────────────────┴──────────┘
//	magic     0x89 'L' 'S' 'M'
//	n chunks  24 bits
//	(digest, size)  32 bytes, 32 bits
//	CRC-32C   of everything before it
const (
	manifestMagic       = "\x89LSM"
	manifestVersion     = 1
	manifestHeaderBytes = 4 + 1 + 3 + lashstore.DigestSize + 8
	manifestChunkBytes  = lashstore.DigestSize + 4
	manifestCRCBytes    = 4
)

// manifestKey stands for the object key in a [lashstore.CorruptBlobError].
const manifestKey = "manifest"

// Ref returns the reference to the content.
func (m Manifest) Ref() lashstore.BlobRef {
	return lashstore.BlobRef{Digest: m.Digest, SizeBytes: m.SizeBytes}
}

// Validate reports a [*lashstore.InvalidError] for a manifest that no content has.
func (m Manifest) Validate() error {
	if m.Digest.IsZero() {
		return lashstore.Invalid("manifest", "", "has no digest")
	}
	invalid := func(reason string, args ...any) error {
		return lashstore.Invalid("manifest", m.Digest, reason, args...)
	}
	switch n := len(m.Chunks); {
	case m.SizeBytes < 0 || m.SizeBytes > lashstore.MaxBlobBytes:
		return invalid("says %d bytes, not 0 to %d", m.SizeBytes, int64(lashstore.MaxBlobBytes))
	case n == 0 || n > MaxChunks:
		return invalid("has %d chunks, not 1 to %d", n, MaxChunks)
	case m.SizeBytes == 0 && m.Digest != lashstore.DigestOf(nil):
		return invalid("says 0 bytes, which is not the digest of the empty content")
	case n == 1 && m.Chunks[0].Digest != m.Digest:
		return invalid("has one chunk with the digest %s", m.Chunks[0].Digest)
	}
	var total int64
	for i, c := range m.Chunks {
		switch {
		case c.Digest.IsZero():
			return invalid("has no digest for chunk %d", i)
		case c.SizeBytes < 0 || c.SizeBytes > MaxObjectBytes:
			return invalid("says %d bytes for chunk %d, not 0 to %d", c.SizeBytes, i, MaxObjectBytes)
		case c.SizeBytes == 0 && len(m.Chunks) > 1:
			return invalid("has an empty chunk %d", i)
		}
		total += c.SizeBytes // cannot overflow: MaxChunks × MaxObjectBytes is 2^42
	}
	if total != m.SizeBytes {
		return invalid("has chunks of %d bytes for content of %d", total, m.SizeBytes)
	}
	return nil
}

// MarshalBinary returns the one binary form of a valid manifest.
func (m Manifest) MarshalBinary() ([]byte, error) {
	if err := m.Validate(); err != nil {
		return nil, fmt.Errorf("marshal manifest: %w", err)
	}
	b := make([]byte, 0, manifestHeaderBytes+len(m.Chunks)*manifestChunkBytes+manifestCRCBytes)
	b = append(b, manifestMagic...)
	// Version in the upper 8 bits, the count, which is at most 2^18, in the lower 24.
	b = binary.BigEndian.AppendUint32(b, manifestVersion<<24|uint32(len(m.Chunks))) //nolint:gosec // validated
	b = append(b, m.Digest.Bytes()...)
	b = binary.BigEndian.AppendUint64(b, uint64(m.SizeBytes)) //nolint:gosec // validated
	for _, c := range m.Chunks {
		b = append(b, c.Digest.Bytes()...)
		b = binary.BigEndian.AppendUint32(b, uint32(c.SizeBytes)) //nolint:gosec // validated
	}
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))), nil
}

// UnmarshalBinary reads what MarshalBinary wrote and accepts nothing else. Its
// error is a [*lashstore.CorruptBlobError] with the key "manifest"; m is then
// unchanged. It needs memory in proportion to len(data), whatever data says.
func (m *Manifest) UnmarshalBinary(data []byte) error {
	corrupt := func(digest lashstore.Digest, reason string, args ...any) error {
		return &lashstore.CorruptBlobError{Digest: digest, Key: manifestKey, Reason: fmt.Sprintf(reason, args...)}
	}
	var none lashstore.Digest
	if len(data) < manifestHeaderBytes+manifestCRCBytes {
		return corrupt(none, "%d bytes are too few for a manifest", len(data))
	}
	if string(data[:4]) != manifestMagic {
		return corrupt(none, "not a manifest: it starts with % x", data[:4])
	}
	versionCount := binary.BigEndian.Uint32(data[4:])
	if v := versionCount >> 24; v != manifestVersion {
		return corrupt(none, "manifest version %d is unknown, this program knows %d", v, manifestVersion)
	}
	count := int64(versionCount & 0xff_ffff)
	if want := manifestHeaderBytes + count*manifestChunkBytes + manifestCRCBytes; int64(len(data)) != want {
		return corrupt(none, "%d bytes for %d chunks, expected %d", len(data), count, want)
	}
	body, sum := data[:len(data)-manifestCRCBytes], binary.BigEndian.Uint32(data[len(data)-manifestCRCBytes:])
	if got := crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)); got != sum {
		return corrupt(none, "checksum %08x, expected %08x", got, sum)
	}
	parsed, err := parseManifest(body, int(count))
	if err != nil {
		return corrupt(parsed.Digest, "%v", err)
	}
	*m = parsed
	return nil
}

// parseManifest reads a body whose length is right for count chunks.
func parseManifest(body []byte, count int) (Manifest, error) {
	digest, err := lashstore.DigestFromBytes(body[8 : 8+lashstore.DigestSize])
	if err != nil {
		return Manifest{}, err
	}
	m := Manifest{
		Digest:    digest,
		SizeBytes: int64(binary.BigEndian.Uint64(body[8+lashstore.DigestSize:])), //nolint:gosec // Validate refuses what is negative
		Chunks:    make([]Chunk, 0, count),
	}
	for rest := body[manifestHeaderBytes:]; len(rest) > 0; rest = rest[manifestChunkBytes:] {
		digest, err := lashstore.DigestFromBytes(rest[:lashstore.DigestSize])
		if err != nil {
			return m, err
		}
		size := binary.BigEndian.Uint32(rest[lashstore.DigestSize:])
		m.Chunks = append(m.Chunks, Chunk{Digest: digest, SizeBytes: int64(size)})
	}
	return m, m.Validate()
}
