package lashstore

import (
	"encoding/hex"
	"strings"

	"github.com/zeebo/blake3"
)

// DigestSize is the length of a digest in bytes.
const DigestSize = 32

const digestPrefix = "blake3:"

// Digest identifies content: the BLAKE3-256 hash of its uncompressed bytes. Its
// text form is "blake3:" and 64 lower-case hexadecimal digits. The zero Digest
// means "none" and is no content's digest in practice. Digests compare with ==.
type Digest struct{ sum [DigestSize]byte }

// DigestOf returns the digest of content.
func DigestOf(content []byte) Digest { return Digest{sum: blake3.Sum256(content)} }

// DigestFromBytes returns the digest whose raw form is b, which must have
// [DigestSize] bytes.
func DigestFromBytes(b []byte) (Digest, error) {
	if len(b) != DigestSize {
		return Digest{}, Invalid("digest", hex.EncodeToString(b), "has %d bytes, not %d", len(b), DigestSize)
	}
	return Digest{sum: [DigestSize]byte(b)}, nil
}

// ParseDigest reads the text form. Only the canonical form is accepted, so that
// equal text and equal digest are the same thing.
func ParseDigest(s string) (Digest, error) {
	body, ok := strings.CutPrefix(s, digestPrefix)
	if !ok || len(body) != 2*DigestSize || strings.ToLower(body) != body {
		return Digest{}, Invalid("digest", s, `is not "blake3:" and 64 lower-case hexadecimal digits`)
	}
	raw, err := hex.DecodeString(body)
	if err != nil {
		return Digest{}, Invalid("digest", s, "is not hexadecimal")
	}
	return DigestFromBytes(raw)
}

// IsZero reports whether d is the zero Digest.
func (d Digest) IsZero() bool { return d == Digest{} }

// Bytes returns a copy of the raw digest.
func (d Digest) Bytes() []byte { return append([]byte(nil), d.sum[:]...) }

// Hex returns the 64 hexadecimal digits without the prefix.
func (d Digest) Hex() string { return hex.EncodeToString(d.sum[:]) }

// String returns the text form, or "" for the zero Digest.
func (d Digest) String() string {
	if d.IsZero() {
		return ""
	}
	return digestPrefix + d.Hex()
}

// MarshalText returns the text form.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads the text form; the empty text gives the zero Digest.
func (d *Digest) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*d = Digest{}
		return nil
	}
	parsed, err := ParseDigest(string(text))
	if err != nil {
		return err
	}
	*d = parsed
	return nil
}
