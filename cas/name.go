package cas

import (
	"strings"

	"github.com/lashstore/lashstore"
)

// MaxKeyBytes bounds a key together with the store's prefix. S3 allows 1,024; the
// rest is left to a prefix that a driver adds.
const MaxKeyBytes = 512

// maxSegmentBytes bounds one part of a key between slashes: what common file
// systems allow for a name.
const maxSegmentBytes = 255

// keyRoot starts every object key, after the store's prefix: the name of the hash.
const keyRoot = "b3/"

// keyBytes is the length of every object key: "b3/hh/" + digest + "." + generation.
const keyBytes = len(keyRoot) + len("hh/") + 2*lashstore.DigestSize + len(".") + generationHexLen

// ObjectName names one object: which content, and which storing of it.
type ObjectName struct {
	Digest     lashstore.Digest
	Generation Generation
}

// Key returns the object's key below the store's prefix.
func (n ObjectName) Key() string {
	digest := n.Digest.Hex()
	return keyRoot + digest[:2] + "/" + digest + "." + n.Generation.String()
}

// String returns the key.
func (n ObjectName) String() string { return n.Key() }

// Validate reports a [*lashstore.InvalidError] for the zero digest and for an
// invalid generation.
func (n ObjectName) Validate() error {
	if n.Digest.IsZero() {
		return lashstore.Invalid("digest", "", "is missing in an object name")
	}
	return n.Generation.Validate()
}

// ParseKey is the strict inverse of [ObjectName.Key]: it accepts exactly the keys
// that Key returns for valid names.
func ParseKey(key string) (ObjectName, error) {
	invalid := func(reason string) (ObjectName, error) {
		return ObjectName{}, lashstore.Invalid("object key", key, "%s", reason)
	}
	if len(key) != keyBytes || !strings.HasPrefix(key, keyRoot) {
		return invalid("is not b3/<hh>/<digest>.<generation>")
	}
	digestHex, generationHex, ok := strings.Cut(key[len(keyRoot)+len("hh/"):], ".")
	if !ok {
		return invalid("has no generation")
	}
	digest, err := lashstore.ParseDigest("blake3:" + digestHex)
	if err != nil {
		return invalid("has no canonical digest")
	}
	generation, err := ParseGeneration(generationHex)
	if err != nil {
		return invalid("has no canonical generation")
	}
	name := ObjectName{Digest: digest, Generation: generation}
	if name.Validate() != nil || name.Key() != key {
		return invalid("is not canonical")
	}
	return name, nil
}

// ValidateKey reports a [*lashstore.InvalidError] unless key is one that a driver
// may be given: parts of lower-case letters, digits, '-', '_' and '.', joined by
// single slashes, none starting with a dot. Such a key is the same on a file
// system that folds case, cannot climb out of a folder, and cannot name what a
// driver keeps for itself in a folder that starts with a dot.
func ValidateKey(key string) error {
	if key == "" || len(key) > MaxKeyBytes {
		return lashstore.Invalid("key", key, "has %d bytes, not 1 to %d", len(key), MaxKeyBytes)
	}
	for segment := range strings.SplitSeq(key, "/") {
		switch {
		case segment == "":
			return lashstore.Invalid("key", key, "has an empty part")
		case segment[0] == '.':
			return lashstore.Invalid("key", key, "has a part that starts with a dot")
		case len(segment) > maxSegmentBytes:
			return lashstore.Invalid("key", key, "has a part of more than %d bytes", maxSegmentBytes)
		}
		for _, c := range []byte(segment) {
			if !isKeyByte(c) {
				return lashstore.Invalid("key", key, "has the byte %#02x, which is not allowed", c)
			}
		}
	}
	return nil
}

func isKeyByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.'
}

// validatePrefix accepts the empty prefix and a valid key followed by a slash that
// leaves room for an object key.
func validatePrefix(prefix string) error {
	if prefix == "" {
		return nil
	}
	dir, ok := strings.CutSuffix(prefix, "/")
	if !ok {
		return lashstore.Invalid("prefix", prefix, "does not end with a slash")
	}
	if len(prefix)+keyBytes > MaxKeyBytes {
		return lashstore.Invalid("prefix", prefix, "is longer than %d bytes", MaxKeyBytes-keyBytes)
	}
	if err := ValidateKey(dir); err != nil {
		return lashstore.Invalid("prefix", prefix, "is not a key and a slash")
	}
	return nil
}
