package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
	"github.com/lashstore/lashstore/metadata"
)

// parallelUploads is how many objects of one content are uploaded at a time: enough
// to hide the latency of an object store, few enough to bound memory.
const parallelUploads = 4

// staged is content that is in the tier and that a holder has edges to.
type staged struct {
	manifest cas.Manifest
	content  metadata.Content
}

// stage reads content into the tier: each window of chunks is reserved for the
// holder, what is not there yet is uploaded, and marked present. Nothing is
// referred to before it is reserved. If it fails, the result still says which
// objects had been reserved.
func (s *Store) stage(ctx context.Context, h metadata.Holder, r io.Reader, d lashstore.Descriptor, limit int64) (staged, error) {
	objects := make(map[lashstore.Digest]metadata.Object)
	manifest, err := s.tier.Split(ctx, r, d, limit, func(ctx context.Context, pieces []cas.Piece) error {
		return s.put(ctx, h, pieces, objects)
	})
	out := staged{manifest: manifest, content: metadata.Content{Size: manifest.SizeBytes}}
	for _, o := range objects {
		out.content.Objects = append(out.content.Objects, o)
	}
	if err != nil {
		return out, err
	}
	if out.content.Manifest, err = manifest.MarshalBinary(); err != nil {
		return out, fmt.Errorf("encode the manifest of %s: %w", manifest.Digest, err)
	}
	return out, nil
}

// put stores one window of chunks.
func (s *Store) put(ctx context.Context, h metadata.Holder, pieces []cas.Piece, objects map[lashstore.Digest]metadata.Object) error {
	fresh := make(map[lashstore.Digest]cas.Piece, len(pieces))
	var digests []lashstore.Digest
	for _, p := range pieces {
		if _, seen := objects[p.Digest]; seen {
			continue
		}
		if _, seen := fresh[p.Digest]; !seen {
			fresh[p.Digest] = p
			digests = append(digests, p.Digest)
		}
	}
	if len(digests) == 0 {
		return nil
	}
	reserved, err := s.catalog.Reserve(ctx, h, digests)
	if err != nil {
		return err
	}
	s.step(StepReserved)
	var (
		mu       sync.Mutex
		uploaded []metadata.Uploaded
	)
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(parallelUploads)
	for _, r := range reserved {
		objects[r.Digest] = r.Object
		if r.Present {
			continue
		}
		group.Go(func() error {
			p := fresh[r.Digest]
			if err := s.tier.PutObject(groupCtx, objectName(r.Object), p.Stored); err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			uploaded = append(uploaded, metadata.Uploaded{Object: r.Object, RawBytes: p.SizeBytes, StoredBytes: int64(len(p.Stored))})
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	s.step(StepUploaded)
	return s.catalog.MarkPresent(ctx, uploaded)
}

func objectName(o metadata.Object) cas.ObjectName {
	return cas.ObjectName{Digest: o.Digest, Generation: cas.Generation(o.Generation)}
}

// adopt makes a session a holder of what an upload protects, so that a commit may
// refer to it. Found is false if no upload protects the digest; then c still says
// which objects were reserved, if any.
func (s *Store) adopt(ctx context.Context, h metadata.Holder, d lashstore.Digest) (c metadata.Content, found bool, err error) {
	u, found, err := s.catalog.Upload(ctx, d)
	if err != nil || !found {
		return c, false, err
	}
	digests := make([]lashstore.Digest, len(u.Objects))
	for i, o := range u.Objects {
		digests[i] = o.Digest
	}
	reserved, err := s.catalog.Reserve(ctx, h, digests)
	if err != nil {
		return c, false, err
	}
	c = metadata.Content{Size: u.Size, Manifest: u.Manifest}
	for _, r := range reserved {
		c.Objects = append(c.Objects, r.Object)
		found = found && r.Present // else the upload was collected between the two steps
	}
	return c, found, nil
}

// open returns a reader of content.
func (s *Store) open(ctx context.Context, d lashstore.Digest, c metadata.Content) (lashstore.BlobReader, error) {
	if c.Manifest == nil {
		return cas.InlineReader(lashstore.BlobRef{Digest: d, SizeBytes: c.Size}, c.Bytes)
	}
	var m cas.Manifest
	if err := m.UnmarshalBinary(c.Manifest); err != nil {
		return nil, fmt.Errorf("manifest of %s: %w", d, err)
	}
	if m.Digest != d || m.SizeBytes != c.Size {
		return nil, &lashstore.CorruptBlobError{Digest: d, Key: "manifest", Reason: "it describes other content"}
	}
	generations := make(map[lashstore.Digest]cas.Generation, len(c.Objects))
	for _, o := range c.Objects {
		generations[o.Digest] = cas.Generation(o.Generation)
	}
	r, err := s.tier.Join(ctx, m, func(d lashstore.Digest) (cas.Generation, bool) {
		g, ok := generations[d]
		return g, ok
	})
	if err != nil {
		return nil, err
	}
	return &storeReader{BlobReader: r, gone: s.gone}, nil
}

// storeReader is a reader that ends with its store.
type storeReader struct {
	lashstore.BlobReader
	gone <-chan struct{}
}

func (r *storeReader) Read(p []byte) (int, error) {
	select {
	case <-r.gone:
		return 0, fmt.Errorf("read blob %s: %w", r.Ref().Digest, lashstore.ErrClosed)
	default:
	}
	n, err := r.BlobReader.Read(p)
	if errors.Is(err, lashstore.ErrBlobNotFound) {
		// Content that is referred to and has lost an object is damaged, not absent.
		err = &lashstore.CorruptBlobError{Digest: r.Ref().Digest, Key: "tier", Reason: err.Error()}
	}
	return n, err
}

// readAll reads content of a known and bounded size.
func (s *Store) readAll(ctx context.Context, d lashstore.Digest, c metadata.Content) (raw []byte, err error) {
	r, err := s.open(ctx, d, c)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	return cas.ReadAll(r, c.Size)
}
