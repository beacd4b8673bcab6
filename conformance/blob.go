package conformance

import (
	"bytes"
	"errors"
	"io"
	"testing/iotest"
	"time"

	"github.com/lashstore/lashstore"
)

func blobScenarios() []scenario {
	return []scenario{
		{name: "S102_Profiles", run: s102Profiles},
		{name: "S103_StableKey", run: s103StableKey},
		{name: "S104_PlainBlob", run: s104PlainBlob},
		{name: "X_Blob_RoundTrip", run: xBlobRoundTrip},
		{name: "X_Blob_PutAgain", run: xBlobPutAgain},
		{name: "X_Blob_Expect", run: xBlobExpect},
		{name: "X_Blob_Limits", run: xBlobLimits},
		{name: "X_Blob_BrokenReader", run: xBlobBrokenReader},
		{name: "X_Blob_ConcurrentPuts", run: xBlobConcurrentPuts},
		{name: "X_Blob_TierFails", needs: needFaults, run: xBlobTierFails},
	}
}

func (e *env) put(content []byte, opts lashstore.PutBlobOptions) lashstore.BlobRef {
	e.Helper()
	ref, err := e.store().PutBlob(e.Context(), newReader(content), opts)
	e.must(err)
	equal(e, "reference", ref, refOf(content))
	return ref
}

func (e *env) stat(digest lashstore.Digest) lashstore.BlobInfo {
	e.Helper()
	info, err := e.store().StatBlob(e.Context(), digest)
	e.must(err)
	return info
}

func compressing() lashstore.PutBlobOptions {
	return lashstore.PutBlobOptions{Descriptor: lashstore.Descriptor{Kind: lashstore.KindGeneric, Hints: lashstore.Hints{Compressible: true}}}
}

// A profile that does not do what it says costs time or space. The thresholds
// themselves, to the byte, are tested with the codec in package cas.
func s102Profiles(e *env) {
	for profile, smaller := range map[lashstore.Profile]bool{
		lashstore.ProfileLowLatency: false, lashstore.ProfileBalanced: true, lashstore.ProfileCompact: true,
	} {
		e.reopen(Settings{Profile: profile})
		content := append([]byte(profile), compressible(tierSize)...)
		info := e.stat(e.put(content, compressing()).Digest)
		if (info.StoredBytes < info.SizeBytes) != smaller {
			e.Errorf("profile %s stores %d bytes of text in %d", profile, info.SizeBytes, info.StoredBytes)
		}
		content = append([]byte("plain "+profile), compressible(tierSize)...)
		info = e.stat(e.put(content, lashstore.PutBlobOptions{}).Digest)
		if info.StoredBytes < info.SizeBytes {
			e.Errorf("profile %s compresses without the hint: %d bytes in %d", profile, info.SizeBytes, info.StoredBytes)
		}
	}
}

// A key that depends on how content is stored stores it once for each way (I18).
func s103StableKey(e *env) {
	content := compressible(tierSize)
	for _, profile := range []lashstore.Profile{lashstore.ProfileLowLatency, lashstore.ProfileCompact, lashstore.ProfileBalanced} {
		e.reopen(Settings{Profile: profile})
		for _, kind := range []lashstore.ArtifactKind{lashstore.KindToolState, lashstore.KindGeneric, lashstore.KindAttachment} {
			e.put(content, lashstore.PutBlobOptions{Descriptor: lashstore.StandardDescriptor(kind)})
			info := e.stat(lashstore.DigestOf(content))
			equal(e, "objects", info.Objects, 1)
			equal(e, "size", info.SizeBytes, tierSize)
		}
		if got := e.read(e.store().OpenBlob(e.Context(), lashstore.DigestOf(content))); !bytes.Equal(got, content) {
			e.Errorf("profile %s reads back other content", profile)
		}
	}
}

// Content that looks like the store's own format must come back as it was given, not
// unwrapped (W14).
func s104PlainBlob(e *env) {
	inner := e.random("inner", 1000)
	for name, content := range map[string][]byte{
		"envelope":    append([]byte("\x89LSO\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"), inner...),
		"zstd frame":  append([]byte{0x28, 0xb5, 0x2f, 0xfd, 0x04, 0x00}, inner...),
		"messagepack": append([]byte("\x83\xaadescriptor\x81\xa4kind\xabGenericBlob\xabcompression\xa4None\xa7content"), inner...),
		"empty":       {},
	} {
		ref := e.put(content, compressing())
		if got := e.read(e.store().OpenBlob(e.Context(), ref.Digest)); !bytes.Equal(got, content) {
			e.Errorf("content like a %s reads back as other content", name)
		}
	}
}

// Whatever the size, what was put is what is read.
func xBlobRoundTrip(e *env) {
	for _, size := range []int{0, 1, 4095, 4096, 8192, 8193, 64 << 10, 256<<10 - 1, 256 << 10, 256<<10 + 1, 1<<20 + 3} {
		content := e.random("blob", size)
		ref := e.put(content, compressing())
		if got := e.read(e.store().OpenBlob(e.Context(), ref.Digest)); !bytes.Equal(got, content) {
			e.Errorf("a blob of %d bytes reads back as other content", size)
		}
		info := e.stat(ref.Digest)
		equal(e, "described reference", info.BlobRef, ref)
		if info.Holders < 1 || info.Upload == nil {
			e.Errorf("a blob of %d bytes just put has %d holders, upload %v", size, info.Holders, info.Upload)
		}
	}
	content := e.random("positions", 700<<10)
	ref := e.put(content, compressing())
	e.positions(content, func() (lashstore.BlobReader, error) { return e.store().OpenBlob(e.Context(), ref.Digest) })

	e.reopen(Settings{})
	if got := e.read(e.store().OpenBlob(e.Context(), ref.Digest)); !bytes.Equal(got, content) {
		e.Error("a blob reads back as other content after reopening")
	}
	unknown := lashstore.DigestOf([]byte("unknown"))
	for _, digest := range []lashstore.Digest{unknown, {}} {
		_, err := e.store().OpenBlob(e.Context(), digest)
		e.oneOf(err, lashstore.ErrBlobNotFound, lashstore.ErrInvalid)
		_, err = e.store().StatBlob(e.Context(), digest)
		e.oneOf(err, lashstore.ErrBlobNotFound, lashstore.ErrInvalid)
	}
}

// A second put stores nothing twice and renews the protection, or a sweep takes what
// was just put.
func xBlobPutAgain(e *env) {
	for _, size := range []int{tierSize, 1 << 20} {
		content := e.random("again", size)
		ref := e.put(content, lashstore.PutBlobOptions{})
		first := e.stat(ref.Digest)
		equal(e, "uploaded at", first.Upload.UploadedAt, e.Clock.Now())
		equal(e, "protected until", first.Upload.ExpiresAt, e.Clock.Now().Add(lashstore.DefaultUploadTTL))
		e.Clock.Advance(time.Hour)
		e.put(content, lashstore.PutBlobOptions{})
		second := e.stat(ref.Digest)
		equal(e, "protected until, after the second put", second.Upload.ExpiresAt, e.Clock.Now().Add(lashstore.DefaultUploadTTL))
		equal(e, "objects", second.Objects, first.Objects)
		equal(e, "stored bytes", second.StoredBytes, first.StoredBytes)
	}
	e.reopen(Settings{UploadTTL: time.Minute})
	ref := e.put(e.random("short", tierSize), lashstore.PutBlobOptions{})
	equal(e, "protected for a minute", e.stat(ref.Digest).Upload.ExpiresAt, e.Clock.Now().Add(time.Minute))
}

// Content other than announced is damaged on the way and must leave nothing behind.
func xBlobExpect(e *env) {
	content := e.random("content", tierSize)
	ref := e.put(content, lashstore.PutBlobOptions{Expect: lashstore.DigestOf(content)})
	equal(e, "reference", ref, refOf(content))
	for _, size := range []int{10, tierSize, 1 << 20} {
		other := e.random("other", size)
		_, err := e.store().PutBlob(e.Context(), newReader(other), lashstore.PutBlobOptions{Expect: lashstore.DigestOf(content)})
		e.is(err, lashstore.ErrInvalid)
		e.released(other)
	}
}

// A put without limits fills the disk.
func xBlobLimits(e *env) {
	for _, size := range []int{100, tierSize, 1 << 20} {
		content := e.random("content", size)
		limit := int64(size)
		_, err := e.store().PutBlob(e.Context(), newReader(content), lashstore.PutBlobOptions{MaxBytes: limit - 1})
		e.is(err, lashstore.ErrLimitExceeded)
		equal(e, "limit", as[*lashstore.LimitError](e, err).Max, limit-1)
		e.released(content)
		e.put(content, lashstore.PutBlobOptions{MaxBytes: limit})
	}
	for name, opts := range map[string]lashstore.PutBlobOptions{
		"kind":     {Descriptor: lashstore.Descriptor{Kind: "other"}},
		"negative": {MaxBytes: -1},
		"too many": {MaxBytes: lashstore.MaxBlobBytes + 1},
	} {
		_, err := e.store().PutBlob(e.Context(), newReader([]byte(name)), opts)
		e.is(err, lashstore.ErrInvalid)
	}
}

// A source that fails must fail the put, with its error.
func xBlobBrokenReader(e *env) {
	broken := errors.New("connection lost")
	content := e.random("content", 1<<20)
	for _, n := range []int{0, 1, tierSize, len(content)} {
		_, err := e.store().PutBlob(e.Context(), io.MultiReader(bytes.NewReader(content[:n]), iotest.ErrReader(broken)), lashstore.PutBlobOptions{})
		e.is(err, broken)
		e.released(content[:n])
	}
	ref, err := e.store().PutBlob(e.Context(), iotest.OneByteReader(bytes.NewReader(content[:5000])), lashstore.PutBlobOptions{})
	e.must(err)
	equal(e, "reference of what a slow source gave", ref, refOf(content[:5000]))
}

// Writers of the same content at once, in two processes, must both succeed (W28).
func xBlobConcurrentPuts(e *env) {
	stores := []lashstore.Store{e.store(), e.second(Settings{})}
	shared := e.random("shared", 400<<10)
	for _, err := range race(6, func(i int) error {
		ref, err := stores[i%2].PutBlob(e.Context(), newReader(shared), lashstore.PutBlobOptions{})
		if err == nil && ref != refOf(shared) {
			return errors.New("another reference")
		}
		return err
	}) {
		e.must(err)
	}
	for _, st := range stores {
		if got := e.read(st.OpenBlob(e.Context(), lashstore.DigestOf(shared))); !bytes.Equal(got, shared) {
			e.Error("the shared blob reads back as other content")
		}
	}
}

// When the object store fails, commits must fail cleanly or be whole, and work again
// afterwards (G2).
func xBlobTierFails(e *env) {
	s := e.create("root")
	e.commit(s, lashstore.Commit{Checkpoint: checkpoint(0, map[string][]byte{"k": e.random("old", tierSize)})})
	c := e.prepare(s, lashstore.Commit{
		TurnID: "turn", Graph: appendNodes(node("n", "")),
		Checkpoint: checkpoint(1, map[string][]byte{"k": e.random("new", tierSize)}),
	})
	down := errors.New("object store is down")
	e.Faults.FailBlobs(down)
	before := e.head(s)
	_, err := s.Commit(e.Context(), c)
	e.is(err, lashstore.ErrStorage)
	equal(e, "head after the failed commit", e.head(s), before)
	_, err = e.store().PutBlob(e.Context(), newReader(e.random("blob", 1<<20)), lashstore.PutBlobOptions{})
	e.is(err, lashstore.ErrStorage)
	_, err = s.PutAttachment(e.Context(), newReader(e.random("attachment", tierSize)), png())
	e.is(err, lashstore.ErrStorage)
	// What needs no tier goes on.
	small := lashstore.Commit{Graph: appendNodes(node("small", ""))}
	small.Fence = c.Fence
	e.commit(s, small)

	e.Faults.FailBlobs(nil)
	c.ExpectedRevision = e.head(s).Revision
	res := e.apply(s, c)
	equal(e, "replayed", res.Replayed, false)
	equal(e, "reference", res.Components["k"], refOf(c.Checkpoint.Components["k"].Bytes))
	if got := e.hydrated(e.load(s, lashstore.LoadOptions{}), "k"); got != string(e.random("new", tierSize)) {
		e.Error("the component that was committed after the failure differs")
	}
	e.put(e.random("blob", 1<<20), lashstore.PutBlobOptions{})
}
