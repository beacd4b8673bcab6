package cas

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/zeebo/blake3"

	"github.com/lashstore/lashstore"
)

// Sizes of objects.
const (
	// HeaderBytes is the length of an envelope's header.
	HeaderBytes = 16
	// MaxObjectBytes bounds the content of one object: the size up to which small
	// chunks may be packed together (design section 5).
	MaxObjectBytes = 16 << 20
	// maxStoredBytes bounds an envelope: content that does not shrink is stored raw.
	maxStoredBytes = HeaderBytes + MaxObjectBytes
)

const (
	envelopeMagic   = "\x89LSO"
	envelopeVersion = 1
	// kindOffset and codecOffset are where kind and codec lie.
	kindOffset  = 5
	codecOffset = 6
	// crcOffset is where the checksum lies; it covers what is before and after it.
	crcOffset = 12
)

// Content must lose at least 1 in minShrink of its size to be stored compressed
// (5 %, design section 5): below that, reading it costs more than it saves.
const minShrink = 20

// Header is what an envelope says about its payload.
type Header struct {
	Kind        lashstore.ArtifactKind
	Codec       Codec
	RawBytes    int64 // of the content
	StoredBytes int64 // of the whole envelope
}

// Encode returns the envelope of raw. Which codec is used depends on the profile,
// the hints and the content, never the digest on it. raw may have up to
// [MaxObjectBytes]; more is a [*lashstore.LimitError].
func (s *Store) Encode(raw []byte, d lashstore.Descriptor) ([]byte, error) {
	kind, err := checkEncode(raw, d)
	if err != nil {
		return nil, err
	}
	packed, ok, err := s.tryCompress(nil, raw, kind, d.Hints)
	if err != nil || ok {
		return packed, err
	}
	stored := make([]byte, HeaderBytes+len(raw))
	copy(stored[HeaderBytes:], raw)
	sealEnvelope(stored, kind, CodecRaw, len(raw))
	return stored, nil
}

// checkEncode validates what is to be encoded and returns its kind's number.
func checkEncode(raw []byte, d lashstore.Descriptor) (kind byte, err error) {
	if err := d.Validate(); err != nil {
		return 0, fmt.Errorf("encode content: %w", err)
	}
	if len(raw) > MaxObjectBytes {
		return 0, &lashstore.LimitError{Limit: "object_bytes", Max: MaxObjectBytes, Got: int64(len(raw))}
	}
	return kindByte(d.Kind), nil
}

// tryCompress writes the zstd envelope of raw over buf and returns it, or reports
// that raw is to be stored as it is. The returned slice has buf's memory, or newer,
// in either case, so that it can be used again.
func (s *Store) tryCompress(buf, raw []byte, kind byte, hints lashstore.Hints) ([]byte, bool, error) {
	size, ok := threshold(s.opts.Profile)
	if !ok || !hints.Compressible || len(raw) < size {
		return buf, false, nil
	}
	var header [HeaderBytes]byte
	packed, err := compress(s.opts.Profile, append(buf[:0], header[:]...), raw)
	if err != nil {
		return buf, false, err
	}
	if saved := len(raw) - (len(packed) - HeaderBytes); saved < 0 || saved*minShrink < len(raw) {
		return packed, false, nil
	}
	sealEnvelope(packed, kind, CodecZstd, len(raw))
	return packed, true, nil
}

// sealEnvelope fills in the header of an envelope whose payload is in place.
func sealEnvelope(stored []byte, kind byte, codec Codec, rawLen int) {
	copy(stored, envelopeMagic)
	stored[4], stored[5], stored[codecOffset], stored[7] = envelopeVersion, kind, byte(codec), 0
	binary.BigEndian.PutUint32(stored[8:], uint32(rawLen)) //nolint:gosec // at most MaxObjectBytes
	binary.BigEndian.PutUint32(stored[crcOffset:], envelopeCRC(stored))
}

func envelopeCRC(stored []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli) // made once by the standard library
	return crc32.Update(crc32.Update(0, table, stored[:crcOffset]), table, stored[HeaderBytes:])
}

// Inspect checks an envelope's header and checksum, and returns what the header
// says. It neither decompresses nor hashes: only [Decode] proves the content.
// Its error is a text for [lashstore.CorruptBlobError].
func Inspect(stored []byte) (Header, error) {
	fail := func(format string, args ...any) (Header, error) {
		return Header{}, fmt.Errorf(format, args...)
	}
	if len(stored) < HeaderBytes {
		return fail("%d bytes are too few for an envelope", len(stored))
	}
	if string(stored[:4]) != envelopeMagic {
		return fail("not an envelope: it starts with % x", stored[:4])
	}
	if stored[4] != envelopeVersion {
		return fail("envelope version %d is unknown, this program knows %d", stored[4], envelopeVersion)
	}
	kind, ok := kindOf(stored[5])
	if !ok {
		return fail("artifact kind %d is unknown", stored[5])
	}
	codec := Codec(stored[codecOffset])
	if codec != CodecRaw && codec != CodecZstd {
		return fail("codec %d is unknown", stored[codecOffset])
	}
	if stored[7] != 0 {
		return fail("the reserved byte is %d, not 0", stored[7])
	}
	rawLen, payload := int64(binary.BigEndian.Uint32(stored[8:])), int64(len(stored)-HeaderBytes)
	switch {
	case rawLen > MaxObjectBytes:
		return fail("raw length %d is over the limit of %d", rawLen, MaxObjectBytes)
	case codec == CodecRaw && rawLen != payload:
		return fail("raw length %d does not match a payload of %d bytes", rawLen, payload)
	case codec == CodecZstd && payload >= rawLen:
		return fail("a zstd payload of %d bytes for %d bytes of content", payload, rawLen)
	}
	if got, want := envelopeCRC(stored), binary.BigEndian.Uint32(stored[crcOffset:]); got != want {
		return fail("checksum %08x, expected %08x", got, want)
	}
	return Header{Kind: kind, Codec: codec, RawBytes: rawLen, StoredBytes: int64(len(stored))}, nil
}

// Decode returns the content of an envelope after verifying all of it: form,
// checksum, length, and that its digest is want. Any failure is a
// [*lashstore.CorruptBlobError] with want and key. The content may share memory
// with stored. An input of a few bytes makes Decode allocate at most
// [MaxObjectBytes], and only if its checksum is right.
func Decode(stored []byte, want lashstore.Digest, key string) (raw []byte, err error) {
	return decodeInto(nil, stored, want, key)
}

// decodeInto is Decode with a buffer for content that has to be decompressed.
func decodeInto(buf, stored []byte, want lashstore.Digest, key string) ([]byte, error) {
	corrupt := func(reason string) ([]byte, error) {
		return nil, &lashstore.CorruptBlobError{Digest: want, Key: key, Reason: reason}
	}
	header, err := Inspect(stored)
	if err != nil {
		return corrupt(err.Error())
	}
	raw := stored[HeaderBytes:]
	if header.Codec == CodecZstd {
		if raw, err = decompress(buf, raw, int(header.RawBytes)); err != nil {
			return corrupt(err.Error())
		}
	}
	if got := objectDigest(stored[kindOffset], raw); got != want {
		return corrupt("the content has the digest " + got.String())
	}
	return raw, nil
}

// Kinds of objects that are no content but what content is made of. Their payload is
// stored as it is: a segment's chunks are compressed one by one.
const (
	kindSegment  byte = 8
	kindManifest byte = 9
)

// Parts of content have names that no content has: their digests are of another hash
// function, BLAKE3's derive-key mode with these contexts. Otherwise content that
// happens to have the bytes of a segment would share its object, and the envelope of
// content may be compressed, where a segment is read by ranges.
const (
	segmentContext  = "github.com/lashstore/lashstore 2026-11 segment v1"
	manifestContext = "github.com/lashstore/lashstore 2026-11 manifest v1"
)

// objectDigest returns the digest that names an object of a kind.
func objectDigest(kind byte, raw []byte) lashstore.Digest {
	var h *blake3.Hasher
	switch kind {
	case kindSegment:
		h = blake3.NewDeriveKey(segmentContext)
	case kindManifest:
		h = blake3.NewDeriveKey(manifestContext)
	default:
		return lashstore.DigestOf(raw)
	}
	_, _ = h.Write(raw) // a hash never fails
	d, err := lashstore.DigestFromBytes(h.Sum(make([]byte, 0, lashstore.DigestSize)))
	if err != nil {
		panic(err) // the hash has another length than the digest: a wrong build
	}
	return d
}

// kindByte returns the number of a valid kind; the empty kind is generic.
func kindByte(kind lashstore.ArtifactKind) byte {
	switch kind {
	case lashstore.KindToolState:
		return 2
	case lashstore.KindPluginSnapshot:
		return 3
	case lashstore.KindExecutionState:
		return 4
	case lashstore.KindModule:
		return 5
	case lashstore.KindProcessEnv:
		return 6
	case lashstore.KindAttachment:
		return 7
	case lashstore.KindGeneric:
		return 1
	default:
		return 1
	}
}

// kindOf is the inverse of kindByte.
func kindOf(b byte) (lashstore.ArtifactKind, bool) {
	switch b {
	case 1:
		return lashstore.KindGeneric, true
	case 2:
		return lashstore.KindToolState, true
	case 3:
		return lashstore.KindPluginSnapshot, true
	case 4:
		return lashstore.KindExecutionState, true
	case 5:
		return lashstore.KindModule, true
	case 6:
		return lashstore.KindProcessEnv, true
	case 7:
		return lashstore.KindAttachment, true
	case kindSegment:
		return "segment", true
	case kindManifest:
		return "manifest", true
	default:
		return "", false
	}
}
