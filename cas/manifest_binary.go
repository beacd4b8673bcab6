package cas

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/lashstore/lashstore"
)

// Binary form of a manifest, version 2. Numbers are unsigned varints as in package
// encoding/binary unless a width is given.
//
//	magic      0x89 'L' 'S' 'M'
//	version    1 byte
//	digest     32 bytes, of the content
//	size       of the content
//	counts     of segments, chunks and bases
//	segments   digest (32 bytes, zero for a free place), payload size
//	chunks     digest (32 bytes), size, segment, offset, stored size,
//	           form + 4 × number of bases (1 byte), then segment and offset of each base
//	bases      like chunks
//	CRC-32C    4 bytes, big-endian, of everything before it
//
// A chunk's bytes depend on nothing around it, so that manifests of similar content
// differ little; see root.go.
const (
	manifestMagic   = "\x89LSM"
	manifestVersion = 2
	crcBytes        = 4
	// minSegmentEntry and minChunkEntry are the least bytes of one entry: they bound
	// what a count can make the reader allocate.
	minSegmentEntry = lashstore.DigestSize + 1
	minChunkEntry   = lashstore.DigestSize + 5
	// maxManifestBytes bounds the binary form: 39,000 chunks of 1 GiB need 2 MB.
	maxManifestBytes = MaxObjectBytes
)

// manifestKey stands for the object key in a [lashstore.CorruptBlobError].
const manifestKey = "manifest"

// MarshalBinary returns the one binary form of a valid manifest. The caller must not
// change it.
func (m *Manifest) MarshalBinary() ([]byte, error) {
	if m.flat != nil {
		return m.flat, nil
	}
	if err := m.Validate(); err != nil {
		return nil, fmt.Errorf("marshal manifest: %w", err)
	}
	const entry = minChunkEntry + 8 // what most take
	b := make([]byte, 0, 64+len(m.Segments)*(minSegmentEntry+2)+(len(m.Chunks)+len(m.Bases))*entry)
	b = append(append(b, manifestMagic...), manifestVersion)
	b = append(b, m.Digest.Bytes()...)
	b = appendNumber(b, m.SizeBytes)
	b = appendNumber(b, int64(len(m.Segments)))
	b = appendNumber(b, int64(len(m.Chunks)))
	b = appendNumber(b, int64(len(m.Bases)))
	for _, s := range m.Segments {
		b = appendDigest(b, s.Digest)
		b = appendNumber(b, s.PayloadBytes)
	}
	for _, list := range [][]Chunk{m.Chunks, m.Bases} {
		for i := range list {
			b = appendChunk(b, &list[i])
		}
	}
	if len(b) > maxManifestBytes-crcBytes {
		return nil, fmt.Errorf("marshal manifest of %s: %w", m.Digest,
			&lashstore.LimitError{Limit: "manifest_bytes", Max: maxManifestBytes, Got: int64(len(b))})
	}
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))), nil
}

func appendNumber(b []byte, n int64) []byte {
	return binary.AppendUvarint(b, uint64(n)) //nolint:gosec // validated
}

func appendDigest(b []byte, d lashstore.Digest) []byte { return append(b, d.Bytes()...) }

func appendChunk(b []byte, c *Chunk) []byte {
	b = appendDigest(b, c.Digest)
	b = appendNumber(b, c.SizeBytes)
	b = appendNumber(b, int64(c.Segment))
	b = appendNumber(b, c.Offset)
	b = appendNumber(b, c.StoredBytes)
	b = append(b, byte(c.Form)+4*byte(len(c.Bases))) //nolint:gosec // at most maxDeltaBases
	for _, a := range c.Bases {
		b = appendNumber(b, int64(a.Segment))
		b = appendNumber(b, a.Offset)
	}
	return b
}

// UnmarshalBinary reads what MarshalBinary wrote and accepts nothing else. Its
// error is a [*lashstore.CorruptBlobError] with the key "manifest"; m is then
// unchanged. It needs memory in proportion to len(data), whatever data says.
func (m *Manifest) UnmarshalBinary(data []byte) error {
	parsed, err := parseManifest(data)
	if err == nil {
		err = parsed.Validate()
	}
	if err != nil {
		return &lashstore.CorruptBlobError{Digest: parsed.Digest, Key: manifestKey, Reason: err.Error()}
	}
	*m = parsed
	return nil
}

// seal makes the manifest keep its binary form, which later ones differ from.
func (m *Manifest) seal() (flat []byte, err error) {
	m.flat, err = m.MarshalBinary()
	return m.flat, err
}

func parseManifest(data []byte) (m Manifest, err error) {
	const header = len(manifestMagic) + 1
	if len(data) < header+lashstore.DigestSize+crcBytes {
		return m, fmt.Errorf("%d bytes are too few for a manifest", len(data))
	}
	if string(data[:len(manifestMagic)]) != manifestMagic {
		return m, fmt.Errorf("not a manifest: it starts with % x", data[:len(manifestMagic)])
	}
	if v := data[len(manifestMagic)]; v != manifestVersion {
		return m, fmt.Errorf("manifest version %d is unknown, this program knows %d", v, manifestVersion)
	}
	body, sum := data[:len(data)-crcBytes], binary.BigEndian.Uint32(data[len(data)-crcBytes:])
	if got := crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)); got != sum {
		return m, fmt.Errorf("checksum %08x, expected %08x", got, sum)
	}
	p := &manifestParser{rest: body[header:]}
	m.Digest = p.digest()
	m.SizeBytes = p.number()
	segments, chunks, bases := p.number(), p.number(), p.number()
	if p.err == nil && (segments > int64(len(p.rest)/minSegmentEntry) || chunks > int64(len(p.rest)/minChunkEntry) ||
		bases > int64(len(p.rest)/minChunkEntry)) {
		return m, errors.New("it says more entries than it has room for")
	}
	if p.err != nil {
		return m, p.err
	}
	m.Segments = make([]Segment, segments)
	for i := range m.Segments {
		m.Segments[i] = Segment{Digest: p.digest(), PayloadBytes: p.number()}
	}
	m.Chunks = p.chunks(chunks)
	if bases > 0 {
		m.Bases = p.chunks(bases)
	}
	if p.err == nil && len(p.rest) > 0 {
		p.err = fmt.Errorf("%d bytes follow the last entry", len(p.rest))
	}
	return m, p.err
}

// manifestParser takes values off the front; after the first error it yields zeros.
type manifestParser struct {
	rest []byte
	err  error
}

var errShort = errors.New("it ends in the middle of an entry")

// number reads a varint in its shortest form, as it is written.
func (p *manifestParser) number() int64 {
	n, width := binary.Uvarint(p.rest)
	if p.err != nil || width <= 0 || n > lashstore.MaxBlobBytes || width > 1 && p.rest[width-1] == 0 {
		if p.err == nil {
			p.err = errors.New("it has a number that is cut, too large or padded")
		}
		return 0
	}
	p.rest = p.rest[width:]
	return int64(n)
}

func (p *manifestParser) digest() lashstore.Digest {
	if p.err != nil || len(p.rest) < lashstore.DigestSize {
		p.err = cmpErr(p.err, errShort)
		return lashstore.Digest{}
	}
	d, err := lashstore.DigestFromBytes(p.rest[:lashstore.DigestSize])
	p.err, p.rest = err, p.rest[lashstore.DigestSize:]
	return d
}

// cmpErr returns the first error that is one.
func cmpErr(first, second error) error {
	if first != nil {
		return first
	}
	return second
}

func (p *manifestParser) chunks(n int64) []Chunk {
	if p.err != nil {
		return nil
	}
	list := make([]Chunk, n)
	for i := range list {
		c := &list[i]
		c.Digest = p.digest()
		c.SizeBytes = p.number()
		c.Segment = int(p.number())
		c.Offset = p.number()
		c.StoredBytes = p.number()
		if p.err != nil || len(p.rest) == 0 {
			p.err = cmpErr(p.err, errShort)
			return nil
		}
		form := p.rest[0]
		p.rest = p.rest[1:]
		c.Form = Form(form % 4)
		if count := int(form / 4); count > maxDeltaBases {
			p.err = fmt.Errorf("it says %d bases for a chunk", count)
		} else if count > 0 {
			c.Bases = make([]Address, count)
		}
		for j := range c.Bases {
			c.Bases[j] = Address{Segment: int(p.number()), Offset: p.number()}
		}
	}
	return list
}

// Equal reports whether two manifests describe the same, wherever they lie.
func (m *Manifest) Equal(o *Manifest) bool {
	a, errA := m.MarshalBinary()
	b, errB := o.MarshalBinary()
	return errA == nil && errB == nil && bytes.Equal(a, b)
}
