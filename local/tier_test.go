package local_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
	"github.com/lashstore/lashstore/cas/castest"
	"github.com/lashstore/lashstore/cas/memcas"
	"github.com/lashstore/lashstore/internal/testenv"
	"github.com/lashstore/lashstore/local"
)

// openTier opens a directory with a tier, and closes it again unless it is refused.
func openTier(t *testing.T, dir string, opts local.Options) error {
	t.Helper()
	s, err := local.Open(t.Context(), dir, opts)
	if err != nil {
		return err
	}
	return s.Close()
}

// A directory belongs to the tier that it was first written with: with another its
// catalog would speak of objects that are not there.
func TestDirectoryBelongsToItsTier(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := local.Options{Driver: memcas.New(), TierName: "s3://a/x"}
	if err := openTier(t, dir, first); err != nil {
		t.Fatal(err)
	}
	for name, opts := range map[string]local.Options{
		"another bucket":            {Driver: memcas.New(), TierName: "s3://b/x"},
		"a driver without a name":   {Driver: memcas.New()},
		"the folder":                {},
		"another bucket, read-only": {Driver: memcas.New(), TierName: "s3://b/x", ReadOnly: true},
	} {
		err := openTier(t, dir, opts)
		wrong, ok := errors.AsType[*lashstore.WrongTierError](err)
		if !ok || wrong.Want != "s3://a/x" || wrong.Got == wrong.Want || !errors.Is(err, lashstore.ErrWrongTier) {
			t.Errorf("%s: %v, want a WrongTierError", name, err)
		}
	}
	if err := openTier(t, dir, first); err != nil {
		t.Errorf("opened again: %v", err)
	}
}

// A prefix of a tier belongs to one directory: the collector of another would take
// its objects for garbage.
func TestTierBelongsToOneDirectory(t *testing.T) {
	t.Parallel()
	driver := memcas.New()
	opts := local.Options{Driver: driver, TierName: "s3://a/x"}
	if err := openTier(t, t.TempDir(), opts); err != nil {
		t.Fatal(err)
	}
	second := t.TempDir()
	for range 2 { // not the second time either
		if err := openTier(t, second, opts); !errors.Is(err, lashstore.ErrWrongTier) {
			t.Fatalf("another directory: %v, want ErrWrongTier", err)
		}
	}
	// What was refused has not bound the directory.
	if err := openTier(t, second, local.Options{Driver: memcas.New(), TierName: "s3://b/x"}); err != nil {
		t.Errorf("the refused directory with a tier of its own: %v", err)
	}
	other := opts
	other.Tenant = "another-tenant"
	if err := openTier(t, t.TempDir(), other); err != nil {
		t.Errorf("another tenant has another prefix: %v", err)
	}
}

// An opening that failed half-way is made good by the next.
func TestTierIsClaimedAfterAFailure(t *testing.T) {
	t.Parallel()
	faulty := castest.NewFaulty(memcas.New())
	dir, opts := t.TempDir(), local.Options{Driver: faulty, TierName: "s3://a/x"}
	faulty.Script(castest.List, castest.FailBefore(nil))
	if err := openTier(t, dir, opts); !errors.Is(err, lashstore.ErrStorage) {
		t.Fatalf("the tier fails: %v, want ErrStorage", err)
	}
	faulty.Script(castest.Put, castest.FailAfter(nil))
	if err := openTier(t, dir, opts); !errors.Is(err, lashstore.ErrStorage) {
		t.Fatalf("the answer is lost: %v, want ErrStorage", err)
	}
	if err := openTier(t, dir, opts); err != nil {
		t.Fatal(err)
	}
	before := len(faulty.Calls(castest.List))
	if err := openTier(t, dir, opts); err != nil || len(faulty.Calls(castest.List)) != before {
		t.Errorf("later openings ask the tier: %v", err)
	}
}

// Content that one session stored turn by turn is not stored again by another, and
// the tenant can open it by its digest as long as somebody holds it.
func TestCutContentIsSharedByDigest(t *testing.T) {
	t.Parallel()
	dir, driver := t.TempDir(), &countingDriver{Driver: memcas.New()}
	rng, fill := testenv.Noise(2)
	state := fill(2 << 20)
	s := openStorage(t, dir, driver, lashstore.Retention{})
	s.commit(state)
	state = testenv.StateEdits()[0].Apply(rng, fill, state)
	s.commit(state)
	driver.take()

	other := &storage{t: t, store: s.store}
	var err error
	if other.session, _, err = s.store.CreateSession(t.Context(), lashstore.CreateSession{Meta: lashstore.SessionMeta{SessionID: "other"}}); err != nil {
		t.Fatal(err)
	}
	other.commit(state)
	if puts, size := driver.take(); puts != 0 {
		t.Errorf("%d puts of %d bytes for content that the tenant has", puts, size)
	}
	if err := s.store.DeleteSession(t.Context(), "s"); err != nil {
		t.Fatal(err)
	}
	if got := other.load(); !bytes.Equal(got, state) {
		t.Error("the state is another once the session that stored it is gone")
	}
	digest := lashstore.DigestOf(state)
	r, err := s.store.OpenBlob(t.Context(), digest)
	if err != nil {
		t.Fatal(err)
	}
	got, err := cas.ReadAll(r, lashstore.MaxBlobBytes)
	if err := errors.Join(err, r.Close()); err != nil || !bytes.Equal(got, state) {
		t.Errorf("by digest: %d bytes, %v", len(got), err)
	}
	info, err := s.store.StatBlob(t.Context(), digest)
	if err != nil || info.Objects < 2 || info.StoredBytes < int64(len(state)) || info.Holders != 1 {
		t.Errorf("StatBlob: %+v, %v", info, err)
	}
	s.close()
}

// A segment is no content, whoever knows its digest.
func TestPartsAreNoBlobs(t *testing.T) {
	t.Parallel()
	driver := memcas.New()
	s := openStorage(t, t.TempDir(), driver, lashstore.Retention{})
	_, fill := testenv.Records(3) // of noise, the one segment would be the content
	s.commit(fill(1 << 20))
	var parts int
	infos, err := driver.List(t.Context(), local.DefaultTenant+"/b3/", "", cas.MaxDeleteKeys)
	if err != nil {
		t.Fatal(err)
	}
	for _, info := range infos {
		name, err := cas.ParseKey(info.Key[len(local.DefaultTenant)+1:])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.store.OpenBlob(t.Context(), name.Digest); !errors.Is(err, lashstore.ErrBlobNotFound) {
			t.Errorf("OpenBlob of a part: %v, want ErrBlobNotFound", err)
		}
		if _, err := s.store.StatBlob(t.Context(), name.Digest); !errors.Is(err, lashstore.ErrBlobNotFound) {
			t.Errorf("StatBlob of a part: %v, want ErrBlobNotFound", err)
		}
		parts++
	}
	if parts < 2 {
		t.Errorf("%d parts were put, want a segment and a manifest", parts)
	}
	s.close()
}
