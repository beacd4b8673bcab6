package local_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/local"
)

// Nothing is deleted while the catalog is not known to be the newest, and sessions go on
// as ever: also with what was uploaded before.
func TestStaleCatalogServes(t *testing.T) {
	t.Parallel()
	ctx, dir := t.Context(), t.TempDir()
	open := func() *local.Store {
		t.Helper()
		s, err := local.Open(ctx, dir, local.Options{})
		must(t, err)
		return s
	}
	before, after := bytes.Repeat([]byte("before"), 20_000), bytes.Repeat([]byte("after"), 20_000)
	put := func(h lashstore.Session, content []byte) lashstore.Digest {
		t.Helper()
		ref, err := h.PutAttachment(ctx, bytes.NewReader(content), lashstore.AttachmentMeta{MediaType: "image/png"})
		must(t, err)
		return ref.ID
	}
	s := open()
	h, _, err := s.CreateSession(ctx, lashstore.CreateSession{Meta: lashstore.SessionMeta{SessionID: "s"}})
	must(t, err)
	early := put(h, before)
	must(t, s.Close())
	must(t, os.Remove(filepath.Join(dir, "tenants", local.DefaultTenant, "catalog.seq")))

	s = open()
	st, err := s.CollectionStatus(ctx)
	must(t, err)
	if st.Stopped == "" {
		t.Fatal("a missing file was not noticed")
	}
	h, err = s.OpenSession(ctx, "s", lashstore.OpenOptions{})
	must(t, err)
	lease, err := h.ClaimLease(ctx, lashstore.Owner{OwnerID: "o", IncarnationID: "i"}, time.Hour)
	must(t, err)
	c := state(0, lease.Fence(), []byte("state"))
	c.Attachments = []lashstore.Digest{early, put(h, after)}
	_, err = h.Commit(ctx, c)
	must(t, err)
	for digest, content := range map[lashstore.Digest][]byte{early: before, lashstore.DigestOf(after): after} {
		_, r, err := h.OpenAttachment(ctx, digest)
		must(t, err)
		var got bytes.Buffer
		_, err = got.ReadFrom(r)
		must(t, err)
		must(t, r.Close())
		if !bytes.Equal(got.Bytes(), content) {
			t.Errorf("attachment %s reads back as other content", digest)
		}
	}
	report, err := s.Collect(ctx, lashstore.CollectOptions{Audit: true})
	must(t, err)
	if report.Outcome != lashstore.CollectNothing {
		t.Errorf("an audit ended as %s: %s", report.Outcome, report.Reason)
	}
	must(t, s.Close())
}
