package cas_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
	"github.com/lashstore/lashstore/cas/castest"
	"github.com/lashstore/lashstore/cas/memcas"
)

// joinSetup is content of five chunks behind a driver that can fail.
type joinSetup struct {
	*catalog
	faulty  *castest.Faulty
	content []byte
	m       cas.Manifest
}

func setupJoin(t *testing.T) *joinSetup {
	t.Helper()
	faulty := castest.NewFaulty(memcas.New())
	s := &joinSetup{
		catalog: newCatalog(newStore(t, faulty, cas.Options{})), faulty: faulty,
		content: noise(4*cas.ChunkSize+1000, 8),
	}
	s.m = s.split(t, s.content, lashstore.Descriptor{})
	return s
}

// gets is how many chunks the driver was asked for.
func (s *joinSetup) gets() int { return len(s.faulty.Calls(castest.Get)) }

// The reader keeps the contract of io.Reader and io.Seeker.
func TestJoinReads(t *testing.T) {
	t.Parallel()
	s := setupJoin(t)
	r := s.join(t, s.m)
	if err := iotest.TestReader(r, s.content); err != nil {
		t.Error(err)
	}
	if r.Ref() != (lashstore.BlobRef{Digest: lashstore.DigestOf(s.content), SizeBytes: int64(len(s.content))}) {
		t.Errorf("Ref: got %+v", r.Ref())
	}
}

// Each chunk is fetched once, and the next while the current one is served.
func TestJoinReadsAheadOneChunk(t *testing.T) {
	t.Parallel()
	s := setupJoin(t)
	r := s.join(t, s.m)
	buf := make([]byte, cas.ChunkSize/2+1)
	if _, err := io.ReadFull(r, buf[:1000]); err != nil {
		t.Fatal(err)
	}
	if got := s.gets(); got != 1 {
		t.Errorf("after the first bytes %d chunks were fetched, want 1", got)
	}
	gate := castest.NewGate()
	s.faulty.Script(castest.Get, castest.Block(gate))
	if _, err := io.ReadFull(r, buf); err != nil {
		t.Fatal(err)
	}
	<-gate.Arrived() // by itself: nobody has asked for the second chunk
	if got := s.gets(); got != 2 {
		t.Errorf("after half a chunk %d chunks were fetched, want 2", got)
	}
	gate.Release()
	rest, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(rest, s.content[1000+len(buf):]) {
		t.Errorf("the rest: %d bytes, %v", len(rest), err)
	}
	if got := s.gets(); got != 5 {
		t.Errorf("in all %d chunks were fetched, want 5", got)
	}
}

// A range read costs the chunks it touches and no more.
func TestJoinRangeTouchesOnlyWhatItNeeds(t *testing.T) {
	t.Parallel()
	const mib = cas.ChunkSize
	for _, test := range []struct{ offset, length, chunks int }{
		{mib, 1, 1},
		{mib, mib, 1},
		{mib - 1, 2, 2},
		{2*mib + 5, mib, 2},
		{3*mib - 1, mib + 2, 3},
		{4 * mib, 1000, 1},
		{0, 100, 1},
	} {
		s := setupJoin(t)
		r := s.join(t, s.m)
		// As net/http does: to the end for the size, to the start, to the range.
		for _, to := range []struct{ offset, whence int }{{0, io.SeekEnd}, {0, io.SeekStart}, {test.offset, io.SeekStart}} {
			if _, err := r.Seek(int64(to.offset), to.whence); err != nil {
				t.Fatal(err)
			}
		}
		var got bytes.Buffer
		if _, err := io.CopyN(&got, r, int64(test.length)); err != nil {
			t.Fatalf("range %d+%d: %v", test.offset, test.length, err)
		}
		if !bytes.Equal(got.Bytes(), s.content[test.offset:test.offset+test.length]) {
			t.Errorf("range %d+%d: wrong bytes", test.offset, test.length)
		}
		if got := s.gets(); got != test.chunks {
			t.Errorf("range %d+%d: %d chunks were fetched, want %d", test.offset, test.length, got, test.chunks)
		}
	}
}

// Damage in any chunk is reported with digest and key before a byte of the chunk
// is served, and again by every later read.
func TestJoinNeverServesDamage(t *testing.T) {
	t.Parallel()
	for what, fault := range map[string]castest.Fault{
		"flipped bit": castest.FlipBit(8*cas.HeaderBytes + 800),
		"short read":  castest.ShortRead(1),
		"empty read":  castest.ShortRead(2 * cas.ChunkSize),
	} {
		for bad := range 5 {
			s := setupJoin(t)
			for range bad {
				s.faulty.Script(castest.Get, castest.Pass())
			}
			s.faulty.Script(castest.Get, fault)
			r := s.join(t, s.m)
			got, err := io.ReadAll(r)
			g, _ := s.generation(s.m.Chunks[bad].Digest)
			name := cas.ObjectName{Digest: s.m.Chunks[bad].Digest, Generation: g}
			wantCorrupt(t, what, err, name.Digest, name.Key())
			if !bytes.Equal(got, s.content[:bad*cas.ChunkSize]) {
				t.Errorf("%s in chunk %d: %d bytes were served, want the %d before it", what, bad, len(got), bad*cas.ChunkSize)
			}
			if n, err := r.Read(make([]byte, 10)); n != 0 || !errors.Is(err, lashstore.ErrCorruptBlob) {
				t.Errorf("%s, next read: got %d, %v, want ErrCorruptBlob", what, n, err)
			}
		}
	}
}

// A failure is not damage: the same reader goes on once the driver works again.
func TestJoinGoesOnAfterFailure(t *testing.T) {
	t.Parallel()
	s := setupJoin(t)
	s.faulty.Script(castest.Get, castest.FailBefore(nil), castest.Pass(), castest.FailBefore(nil))
	r := s.join(t, s.m)
	for range 2 {
		_, err := io.Copy(io.Discard, r)
		if !errors.Is(err, castest.ErrInjected) || !errors.Is(err, lashstore.ErrStorage) || errors.Is(err, lashstore.ErrCorruptBlob) {
			t.Fatalf("got error %v, want a storage error", err)
		}
	}
	if at, err := r.Seek(0, io.SeekCurrent); err != nil || at != cas.ChunkSize {
		t.Errorf("after the failures at %d, %v, want %d", at, err, cas.ChunkSize)
	}
	rest, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(rest, s.content[cas.ChunkSize:]) {
		t.Errorf("the rest: %d bytes, %v", len(rest), err)
	}
}

// Chunks that are whole but not the content's are found out before the last of
// them is served; in a range they cannot be.
func TestJoinVerifiesTheWhole(t *testing.T) {
	t.Parallel()
	s := setupJoin(t)
	s.m.Chunks[1], s.m.Chunks[2] = s.m.Chunks[2], s.m.Chunks[1]
	got, err := io.ReadAll(s.join(t, s.m))
	wantCorrupt(t, "swapped chunks", err, s.m.Digest, "manifest")
	if len(got) != 4*cas.ChunkSize {
		t.Errorf("%d bytes were served, want those before the last chunk", len(got))
	}

	s = setupJoin(t)
	s.m.Chunks[1].SizeBytes, s.m.Chunks[2].SizeBytes = cas.ChunkSize-1, cas.ChunkSize+1
	_, err = io.ReadAll(s.join(t, s.m))
	wantCorrupt(t, "wrong chunk size", err, s.m.Digest, "manifest")
}

// What cannot be opened says so at once, by name.
func TestJoinRefuses(t *testing.T) {
	t.Parallel()
	s := setupJoin(t)
	unknown := s.m.Chunks[3].Digest
	_, err := s.store.Join(t.Context(), s.m, func(d lashstore.Digest) (cas.Generation, bool) { return 1, d != unknown })
	if !errors.Is(err, lashstore.ErrBlobNotFound) || !bytes.Contains([]byte(err.Error()), []byte(unknown.String())) {
		t.Errorf("unknown chunk: got error %v, want ErrBlobNotFound with %s", err, unknown)
	}
	if _, err := s.store.Join(t.Context(), cas.Manifest{}, s.generation); !errors.Is(err, lashstore.ErrInvalid) {
		t.Errorf("empty manifest: got error %v, want ErrInvalid", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.store.Join(ctx, s.m, s.generation); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: got error %v, want context.Canceled", err)
	}
	wrong := s.join(t, s.m)
	if err := s.store.DeleteObjects(t.Context(), names(s)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(wrong); !errors.Is(err, lashstore.ErrBlobNotFound) {
		t.Errorf("deleted chunks: got error %v, want ErrBlobNotFound", err)
	}
}

// names lists the objects of the content.
func names(s *joinSetup) []cas.ObjectName {
	var all []cas.ObjectName
	for _, c := range s.m.Chunks {
		g, _ := s.generation(c.Digest)
		all = append(all, cas.ObjectName{Digest: c.Digest, Generation: g})
	}
	return all
}

// Close and the context end a read-ahead that hangs; goleak finds it if not.
func TestJoinCloseStopsTheReadAhead(t *testing.T) {
	t.Parallel()
	s := setupJoin(t)
	gate := castest.NewGate()
	s.faulty.Script(castest.Get, castest.Pass(), castest.Block(gate))
	r := s.join(t, s.m)
	if _, err := io.ReadFull(r, make([]byte, cas.ChunkSize)); err != nil {
		t.Fatal(err)
	}
	<-gate.Arrived()
	for range 2 {
		if err := r.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	if _, err := r.Read(make([]byte, 1)); !errors.Is(err, lashstore.ErrClosed) {
		t.Errorf("Read after Close: got error %v, want ErrClosed", err)
	}
	if _, err := r.Seek(0, io.SeekStart); !errors.Is(err, lashstore.ErrClosed) {
		t.Errorf("Seek after Close: got error %v, want ErrClosed", err)
	}
}

// The context governs the reader: a read that hangs ends with it, and so do later
// reads of bytes that are already there.
func TestJoinContextGoverns(t *testing.T) {
	t.Parallel()
	s := setupJoin(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	gate := castest.NewGate()
	s.faulty.Script(castest.Get, castest.Pass(), castest.Block(gate))
	r, err := s.store.Join(ctx, s.m, s.generation)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(r, make([]byte, cas.ChunkSize)); err != nil {
		t.Fatal(err)
	}
	<-gate.Arrived()
	cancel()
	if _, err := io.ReadAll(r); !errors.Is(err, context.Canceled) {
		t.Errorf("after cancel: got error %v, want context.Canceled", err)
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		t.Errorf("Seek: %v", err)
	}
	if _, err := r.Read(make([]byte, 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("a later read: got error %v, want context.Canceled", err)
	}
	if err := r.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// A seek away from a chunk that is being fetched drops it and reads on elsewhere.
func TestJoinSeekDropsTheReadAhead(t *testing.T) {
	t.Parallel()
	s := setupJoin(t)
	gate := castest.NewGate()
	s.faulty.Script(castest.Get, castest.Pass(), castest.Block(gate))
	r := s.join(t, s.m)
	if _, err := io.ReadFull(r, make([]byte, cas.ChunkSize)); err != nil {
		t.Fatal(err)
	}
	<-gate.Arrived()
	if _, err := r.Seek(-1000, io.SeekEnd); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(got, s.content[len(s.content)-1000:]) {
		t.Errorf("the end: %d bytes, %v", len(got), err)
	}
}

func TestInlineReader(t *testing.T) {
	t.Parallel()
	body := []byte("a small value")
	ref := lashstore.BlobRef{Digest: lashstore.DigestOf(body), SizeBytes: int64(len(body))}
	r, err := cas.InlineReader(ref, body)
	if err != nil {
		t.Fatal(err)
	}
	if err := iotest.TestReader(r, body); err != nil {
		t.Error(err)
	}
	if r.Ref() != ref {
		t.Errorf("Ref: got %+v, want %+v", r.Ref(), ref)
	}
	if err := r.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if _, err := r.Read(make([]byte, 1)); !errors.Is(err, lashstore.ErrClosed) {
		t.Errorf("Read after Close: got error %v, want ErrClosed", err)
	}
	_, err = cas.InlineReader(ref, []byte("a small Value"))
	wantCorrupt(t, "other bytes", err, ref.Digest, "inline")
	_, err = cas.InlineReader(ref, body[1:])
	wantCorrupt(t, "fewer bytes", err, ref.Digest, "inline")
}

func TestReadAll(t *testing.T) {
	t.Parallel()
	s := setupJoin(t)
	r := s.join(t, s.m)
	var limit *lashstore.LimitError
	if _, err := cas.ReadAll(r, 1000); !errors.As(err, &limit) || limit.Max != 1000 || limit.Got != s.m.SizeBytes {
		t.Errorf("over the limit: got error %v, want a LimitError", err)
	}
	if got := s.gets(); got != 0 {
		t.Errorf("%d chunks were fetched for content over the limit, want 0", got)
	}
	if _, err := r.Seek(-100, io.SeekEnd); err != nil {
		t.Fatal(err)
	}
	if got, err := cas.ReadAll(r, s.m.SizeBytes); err != nil || !bytes.Equal(got, s.content[len(s.content)-100:]) {
		t.Errorf("the rest: %d bytes, %v", len(got), err)
	}
	if got, err := cas.ReadAll(r, s.m.SizeBytes); err != nil || len(got) != 0 {
		t.Errorf("at the end: %d bytes, %v, want none", len(got), err)
	}
}
