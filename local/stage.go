package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
	"github.com/lashstore/lashstore/metadata"
)

// parallelContents is how many contents of one commit or load are on their way at a
// time: enough to hide the latency of an object store, few enough to bound memory.
const parallelContents = 4

// staged is content that is in the tier and that a holder has edges to.
type staged struct {
	ref      lashstore.BlobRef
	manifest *cas.Manifest
	content  metadata.Content
	// reserved are the objects that the holder got edges to, also if staging failed.
	reserved []lashstore.Digest
}

// source is content to be staged.
type source struct {
	r           io.Reader
	descriptor  lashstore.Descriptor
	limit       int64
	digest      lashstore.Digest // if known
	predecessor *cas.Predecessor
	held        []metadata.Object // of the predecessor
}

// stage reads content into the tier: each object is reserved for the holder, what is
// not there yet is uploaded, and marked present. Nothing is referred to before it is
// reserved. If it fails, the result still says what had been reserved.
func (s *Store) stage(ctx context.Context, h metadata.Holder, src source) (staged, error) {
	st := &stager{store: s, holder: h, objects: make(map[lashstore.Digest]metadata.Object)}
	split, err := s.tier.Split(ctx, src.r, cas.SplitOptions{
		Descriptor: src.descriptor, MaxBytes: src.limit, Digest: src.digest, Predecessor: src.predecessor,
	}, st.put)
	out := staged{reserved: slices.Collect(maps.Keys(st.objects))}
	if err != nil {
		return out, err
	}
	out.manifest, out.ref = split.Manifest, split.Manifest.Ref()
	out.content = metadata.Content{Size: out.ref.SizeBytes, Manifest: split.Root}
	for _, o := range src.held {
		if _, fresh := st.objects[o.Digest]; !fresh {
			st.objects[o.Digest] = o
		}
	}
	for _, d := range split.Manifest.Objects() {
		o, ok := st.objects[d]
		if !ok {
			return out, fmt.Errorf("stage %s: %w", out.ref.Digest, &lashstore.UnknownReferenceError{Digest: d})
		}
		out.content.Objects = append(out.content.Objects, o)
	}
	s.metrics.staged(split)
	return out, nil
}

// stager puts the objects of one content.
type stager struct {
	store  *Store
	holder metadata.Holder

	mu      sync.Mutex
	objects map[lashstore.Digest]metadata.Object // reserved; guarded by mu until Split has returned
}

// put stores objects that content needs. It may run several times at once.
func (st *stager) put(ctx context.Context, objects []cas.NewObject) error {
	s := st.store
	digests := make([]lashstore.Digest, 0, len(objects))
	for _, o := range objects {
		if !slices.Contains(digests, o.Digest) {
			digests = append(digests, o.Digest)
		}
	}
	reserved, err := s.catalog.Reserve(ctx, st.holder, digests)
	if err != nil {
		return err
	}
	st.mu.Lock()
	for _, r := range reserved {
		st.objects[r.Digest] = r.Object
	}
	st.mu.Unlock()
	s.step(StepReserved)
	uploaded := make([]metadata.Uploaded, 0, len(reserved))
	var mu sync.Mutex
	group, groupCtx := errgroup.WithContext(ctx)
	for i, r := range reserved {
		if r.Present {
			continue
		}
		o := objects[slices.IndexFunc(objects, func(o cas.NewObject) bool { return o.Digest == digests[i] })]
		group.Go(func() error {
			if err := s.tier.PutObject(groupCtx, objectName(r.Object), o.Stored); err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			uploaded = append(uploaded, metadata.Uploaded{
				Object: r.Object, RawBytes: o.RawBytes, StoredBytes: int64(len(o.Stored)),
				Content: o.Content, Describes: o.Describes,
			})
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
		there, err := s.inTier(ctx, r)
		if err != nil {
			return c, false, err
		}
		found = found && there // else the upload was collected between the two steps
	}
	return c, found, nil
}

// inTier reports whether a reserved object need not be stored. The bytes of an upload
// are not at hand to store them again, so that the tier is asked where the catalog cannot
// be trusted.
func (s *Store) inTier(ctx context.Context, r metadata.Reservation) (bool, error) {
	if !r.Doubtful {
		return r.Present, nil
	}
	_, err := s.tier.StatObject(ctx, objectName(r.Object))
	if errors.Is(err, lashstore.ErrBlobNotFound) {
		return false, nil
	}
	return err == nil, err
}

// joiner is [cas.Store.Join] or JoinWhole.
type joiner func(context.Context, *cas.Manifest, func(lashstore.Digest) (cas.Generation, bool)) (lashstore.BlobReader, error)

// open returns a reader of content.
func (s *Store) open(ctx context.Context, d lashstore.Digest, c metadata.Content) (lashstore.BlobReader, error) {
	r, _, err := s.openManifest(ctx, d, c, s.tier.Join)
	return r, err
}

// openManifest returns a reader of content, and its manifest if it is in the tier,
// whose chunks join puts together.
func (s *Store) openManifest(ctx context.Context, d lashstore.Digest, c metadata.Content, join joiner) (lashstore.BlobReader, *cas.Manifest, error) {
	if c.Manifest == nil {
		r, err := cas.InlineReader(lashstore.BlobRef{Digest: d, SizeBytes: c.Size}, c.Bytes)
		return r, nil, err
	}
	m, generation, err := s.manifest(ctx, d, c)
	if err != nil {
		return nil, nil, err
	}
	r, err := join(ctx, m, generation)
	if err != nil {
		return nil, nil, lost(d, err)
	}
	return &storeReader{BlobReader: r, gone: s.gone}, m, nil
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
	return n, lost(r.Ref().Digest, err)
}

// lost turns the absence of an object into damage: content that is referred to
// and has lost an object is damaged, not absent.
func lost(d lashstore.Digest, err error) error {
	if errors.Is(err, lashstore.ErrBlobNotFound) {
		return &lashstore.CorruptBlobError{Digest: d, Key: "tier", Reason: err.Error()}
	}
	return err
}

// manifest returns the manifest of content in the tier, and which objects it names.
func (s *Store) manifest(ctx context.Context, d lashstore.Digest, c metadata.Content) (*cas.Manifest, func(lashstore.Digest) (cas.Generation, bool), error) {
	generations := make(map[lashstore.Digest]cas.Generation, len(c.Objects))
	for _, o := range c.Objects {
		generations[o.Digest] = cas.Generation(o.Generation)
	}
	generation := func(d lashstore.Digest) (cas.Generation, bool) {
		g, ok := generations[d]
		return g, ok
	}
	m, err := s.tier.OpenManifest(ctx, lashstore.BlobRef{Digest: d, SizeBytes: c.Size}, c.Manifest, generation)
	return m, generation, lost(d, err)
}

// readAll reads content of a known and bounded size. The manifest is that of content
// in the tier.
func (s *Store) readAll(ctx context.Context, d lashstore.Digest, c metadata.Content) (raw []byte, m *cas.Manifest, err error) {
	// A session that is resumed goes by these bytes: they are worth a second look.
	r, m, err := s.openManifest(ctx, d, c, s.tier.JoinWhole)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	raw, err = cas.ReadAll(r, c.Size)
	return raw, m, err
}
