package cas

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/lashstore/lashstore"
)

// A root is what a holder of content keeps beside it: the manifest itself if it is
// small, else the names of the objects that it is in.
//
//	magic   0x89 'L' 'S' 'R'
//	version 1 byte
//	form    1 byte: 0, a manifest follows; 1, digests follow (32 bytes each), of a
//	        difference, of what it differs from, and so on to a whole manifest
const (
	rootMagic       = "\x89LSR"
	rootVersion     = 1
	rootHeaderBytes = len(rootMagic) + 2
	rootInline      = 0
	rootObjects     = 1
	// maxInlineManifest is how large a manifest may be to lie with its holder: 100
	// chunks, or content of 800 KiB. It saves the turn of a small state an object;
	// larger ones would fill the session's database with them.
	maxInlineManifest = 4 << 10
)

// A difference is the content of an object: a manifest, written as what it changes
// in an earlier one. Manifests of successive turns share nearly all bytes, which a
// compressor with the earlier one as its dictionary finds.
//
//	magic   0x89 'L' 'S' 'D'
//	version 1 byte
//	earlier 32 bytes: the object of the manifest that it differs from
//	size    4 bytes, big-endian, of the manifest
//	zstd    its binary form, with the earlier one's as the dictionary
const (
	diffMagic       = "\x89LSD"
	diffVersion     = 1
	diffHeaderBytes = len(diffMagic) + 1 + lashstore.DigestSize + 4
	// maxChain bounds the objects behind one root: reading it may take so many.
	maxChain = 16
)

// inlineRoot returns the root of a manifest that lies with its holder.
func inlineRoot(flat []byte) []byte {
	b := make([]byte, 0, rootHeaderBytes+len(flat))
	b = append(append(b, rootMagic...), rootVersion, rootInline)
	return append(b, flat...)
}

func chainRoot(chain []lashstore.Digest) []byte {
	b := make([]byte, 0, rootHeaderBytes+len(chain)*lashstore.DigestSize)
	b = append(append(b, rootMagic...), rootVersion, rootObjects)
	for _, d := range chain {
		b = append(b, d.Bytes()...)
	}
	return b
}

// SingleRoot returns the root of content that is one object.
func SingleRoot(ref lashstore.BlobRef) ([]byte, error) {
	flat, err := singleManifest(ref).MarshalBinary()
	if err != nil {
		return nil, err
	}
	return inlineRoot(flat), nil
}

// RootObjects returns the objects that the manifest of a root is in, none for one
// that lies in the root itself.
func RootObjects(root []byte) ([]lashstore.Digest, error) {
	_, chain, err := parseRoot(root)
	return chain, err
}

func parseRoot(root []byte) (flat []byte, chain []lashstore.Digest, err error) {
	corrupt := func(reason string, args ...any) error {
		return &lashstore.CorruptBlobError{Key: rootKey, Reason: fmt.Sprintf(reason, args...)}
	}
	if len(root) < rootHeaderBytes || string(root[:len(rootMagic)]) != rootMagic {
		return nil, nil, corrupt("%d bytes that are no root of a manifest", len(root))
	}
	if v := root[len(rootMagic)]; v != rootVersion {
		return nil, nil, corrupt("root version %d is unknown, this program knows %d", v, rootVersion)
	}
	body := root[rootHeaderBytes:]
	switch form := root[rootHeaderBytes-1]; form {
	case rootInline:
		return body, nil, nil
	case rootObjects:
		n := len(body) / lashstore.DigestSize
		if n < 1 || n > maxChain || len(body)%lashstore.DigestSize != 0 {
			return nil, nil, corrupt("%d bytes of object names, not 1 to %d of %d", len(body), maxChain, lashstore.DigestSize)
		}
		for part := range slices.Chunk(body, lashstore.DigestSize) {
			d, err := lashstore.DigestFromBytes(part)
			if err != nil || d.IsZero() || slices.Contains(chain, d) {
				return nil, nil, corrupt("a bad or repeated object name % x", part)
			}
			chain = append(chain, d)
		}
		return nil, chain, nil
	default:
		return nil, nil, corrupt("root form %d is unknown", form)
	}
}

// rootKey stands for the object key in a [lashstore.CorruptBlobError].
const rootKey = "manifest root"

// OpenManifest returns the manifest of content from what its holder keeps.
// generation tells which object holds a digest, as for [Store.Join].
//
// Errors: [lashstore.ErrCorruptBlob] for a root or manifest that is damaged or
// describes other content, [lashstore.ErrBlobNotFound], and those of the driver.
func (s *Store) OpenManifest(ctx context.Context, ref lashstore.BlobRef, root []byte, generation func(lashstore.Digest) (Generation, bool),
) (*Manifest, error) {
	m, err := s.openManifest(ctx, root, generation)
	if err != nil {
		return nil, fmt.Errorf("open the manifest of %s: %w", ref.Digest, err)
	}
	if m.Ref() != ref {
		err := &lashstore.CorruptBlobError{
			Digest: ref.Digest, Key: manifestKey,
			Reason: fmt.Sprintf("it describes %s of %d bytes", m.Digest, m.SizeBytes),
		}
		s.opts.Metrics.countCorrupt(err)
		return nil, err
	}
	return m, nil
}

func (s *Store) openManifest(ctx context.Context, root []byte, generation func(lashstore.Digest) (Generation, bool)) (*Manifest, error) {
	flat, chain, err := parseRoot(root)
	if err != nil {
		return nil, err
	}
	if chain != nil {
		if flat, err = s.readChain(ctx, chain, generation); err != nil {
			return nil, err
		}
	}
	m := new(Manifest)
	if err := m.UnmarshalBinary(flat); err != nil {
		return nil, err
	}
	m.chain, m.flat = chain, flat
	return m, nil
}

// readChain returns the manifest behind a chain of differences.
func (s *Store) readChain(ctx context.Context, chain []lashstore.Digest, generation func(lashstore.Digest) (Generation, bool)) ([]byte, error) {
	parts := make([][]byte, len(chain))
	group, ctx := errgroup.WithContext(ctx)
	for i, d := range chain {
		g, ok := generation(d)
		if !ok {
			return nil, fmt.Errorf("%w: manifest %s has no object", lashstore.ErrBlobNotFound, d)
		}
		group.Go(func() (err error) {
			parts[i], err = s.GetObject(ctx, ObjectName{Digest: d, Generation: g})
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	flat := parts[len(parts)-1]
	for i, part := range slices.Backward(parts[:len(parts)-1]) {
		var err error
		if flat, err = applyDiff(part, flat, chain[i+1]); err != nil {
			err = &lashstore.CorruptBlobError{Digest: chain[i], Key: manifestKey, Reason: err.Error()}
			s.opts.Metrics.countCorrupt(err)
			return nil, err
		}
	}
	return flat, nil
}

// makeDiff returns the content of an object that says flat, given an earlier one.
func makeDiff(flat, earlier []byte, earlierObject lashstore.Digest) ([]byte, error) {
	b := make([]byte, 0, diffHeaderBytes+len(flat)/4)
	b = append(append(b, diffMagic...), diffVersion)
	b = append(b, earlierObject.Bytes()...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(flat))) //nolint:gosec // at most maxManifestBytes
	return compressDelta(b, flat, earlier)
}

// applyDiff returns what a difference says.
func applyDiff(diff, earlier []byte, earlierObject lashstore.Digest) ([]byte, error) {
	if len(diff) < diffHeaderBytes || string(diff[:len(diffMagic)]) != diffMagic {
		return nil, fmt.Errorf("%d bytes that are no difference of manifests", len(diff))
	}
	if v := diff[len(diffMagic)]; v != diffVersion {
		return nil, fmt.Errorf("difference version %d is unknown, this program knows %d", v, diffVersion)
	}
	at := len(diffMagic) + 1
	if d, err := lashstore.DigestFromBytes(diff[at : at+lashstore.DigestSize]); err != nil || d != earlierObject {
		return nil, fmt.Errorf("it differs from %s, not from %s", d, earlierObject)
	}
	size := binary.BigEndian.Uint32(diff[at+lashstore.DigestSize:])
	if size > maxManifestBytes {
		return nil, fmt.Errorf("it says %d bytes, the limit is %d", size, maxManifestBytes)
	}
	return decompressDelta(nil, diff[diffHeaderBytes:], earlier, int(size))
}

// FindManifest reads the manifest of content from an object that holds it, and
// returns it with a root for a new holder. generation tells, and may look up, which
// object holds a digest.
//
// Errors: as for [Store.OpenManifest].
func (s *Store) FindManifest(ctx context.Context, content, object lashstore.Digest,
	generation func(lashstore.Digest) (Generation, bool, error),
) (*Manifest, []byte, error) {
	fail := func(err error) (*Manifest, []byte, error) {
		return nil, nil, fmt.Errorf("find the manifest of %s: %w", content, err)
	}
	known := make(map[lashstore.Digest]Generation)
	var chain []lashstore.Digest
	for next := object; !next.IsZero(); {
		if len(chain) == maxChain {
			return fail(&lashstore.CorruptBlobError{Digest: next, Key: manifestKey, Reason: "too many differences in a row"})
		}
		g, ok, err := generation(next)
		if err == nil && !ok {
			err = fmt.Errorf("%w: manifest %s has no object", lashstore.ErrBlobNotFound, next)
		}
		if err != nil {
			return fail(err)
		}
		raw, err := s.GetObject(ctx, ObjectName{Digest: next, Generation: g})
		if err != nil {
			return fail(err)
		}
		known[next] = g
		chain = append(chain, next)
		earlier, err := diffFrom(raw)
		if err != nil {
			return fail(&lashstore.CorruptBlobError{Digest: next, Key: manifestKey, Reason: err.Error()})
		}
		next = earlier
	}
	root := chainRoot(chain)
	m, err := s.openManifest(ctx, root, func(d lashstore.Digest) (Generation, bool) {
		g, ok := known[d]
		return g, ok
	})
	if err == nil && m.Digest != content {
		err = &lashstore.CorruptBlobError{Digest: content, Key: manifestKey, Reason: "it describes " + m.Digest.String()}
	}
	if err != nil {
		return fail(err)
	}
	return m, root, nil
}

// diffFrom returns what a difference differs from, or nothing for a whole manifest.
func diffFrom(raw []byte) (lashstore.Digest, error) {
	if len(raw) < diffHeaderBytes || string(raw[:len(diffMagic)]) != diffMagic {
		return lashstore.Digest{}, nil
	}
	at := len(diffMagic) + 1
	return lashstore.DigestFromBytes(raw[at : at+lashstore.DigestSize])
}
