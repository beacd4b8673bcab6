package integration_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/local"
)

// fingerprint maps every file and folder below dir to its mode, and files to time and
// digest too.
func fingerprint(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		seen := info.Mode().String()
		if info.Mode().IsRegular() {
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			seen += " " + info.ModTime().UTC().Format(time.RFC3339Nano) + " " + lashstore.DigestOf(content).String()
		}
		all[path] = seen
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// checkReadOnly reads everything through a read-only store and has every write
// refused.
func (s *sample) checkReadOnly(t *testing.T, dir string) {
	t.Helper()
	ctx, opts := t.Context(), s.options()
	opts.ReadOnly = true
	store, err := local.Open(ctx, dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	h, err := store.OpenSession(ctx, s.load.Session, lashstore.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	o := &observer{}
	s.observeStore(ctx, o, store)
	s.observeSession(ctx, o, h)
	s.observeContent(ctx, o, h)
	for _, seen := range o.all {
		if seen.err != nil {
			t.Errorf("%s: %v", seen.call, seen.err)
		} else if err := s.judge(seen); err != nil {
			t.Error(err)
		}
	}
	c := s.load.commit(s.head + 1)
	c.Fence = s.fence
	owner := lashstore.Owner{OwnerID: "reader", IncarnationID: "1"}
	_, commitErr := h.Commit(ctx, c)
	_, leaseErr := h.ClaimLease(ctx, owner, time.Hour)
	_, queueErr := h.Enqueue(ctx, s.load.batch("new"))
	_, claimErr := h.ClaimTurnWork(ctx, lashstore.ClaimRequest{Fence: s.fence, Owner: owner, TTL: time.Hour, MaxBatches: 1})
	_, attachErr := h.PutAttachment(ctx, bytes.NewReader([]byte("x")), lashstore.AttachmentMeta{MediaType: "image/png"})
	_, artifactErr := h.PutArtifact(ctx, s.artifact, lashstore.Descriptor{}, bytes.NewReader([]byte("x")))
	_, hideErr := h.Tombstone(ctx, s.fence, []lashstore.NodeID{"r14-b"})
	_, vacuumErr := h.Vacuum(ctx, s.fence)
	_, blobErr := store.PutBlob(ctx, bytes.NewReader([]byte("x")), lashstore.PutBlobOptions{})
	_, _, createErr := store.CreateSession(ctx, lashstore.CreateSession{Meta: workload{Session: "new"}.meta()})
	for call, err := range map[string]error{
		"commit": commitErr, "claim lease": leaseErr, "enqueue": queueErr, "claim": claimErr, "put attachment": attachErr,
		"put artifact": artifactErr, "tombstone": hideErr, "vacuum": vacuumErr, "put blob": blobErr, "create": createErr,
		"set meta": h.SetMeta(ctx, s.load.meta()), "release": h.ReleaseLease(ctx, s.fence),
		"delete": store.DeleteSession(ctx, s.load.Session), "delete an unknown": store.DeleteSession(ctx, "unknown"),
	} {
		if !errors.Is(err, lashstore.ErrReadOnly) {
			t.Errorf("%s: %v, want ErrReadOnly", call, err)
		}
	}
	if err := store.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

// Who opens a directory to look at it must not change it, though he could: the
// folder may be a backup, or another's.
func TestReadOnlyStoreWritesNothing(t *testing.T) {
	t.Parallel()
	s := newSample(t)
	before := fingerprint(t, s.dir)
	s.checkReadOnly(t, s.dir)
	if err := differ("the directory", before, fingerprint(t, s.dir)); err != nil {
		t.Error(err)
	}
	absent := filepath.Join(t.TempDir(), "absent")
	if _, err := local.Open(t.Context(), absent, local.Options{ReadOnly: true}); err == nil {
		t.Error("an absent directory was opened")
	}
	if _, err := os.Stat(absent); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an absent directory was made: %v", err)
	}
}

// A reader beside a writer must see what is committed, and the writer must not be
// kept from anything.
func TestReadOnlyStoreBesideAWriter(t *testing.T) {
	t.Parallel()
	s := newSample(t)
	writer := open(t, s.dir, s.options())
	h, err := writer.OpenSession(t.Context(), s.load.Session, lashstore.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s.checkReadOnly(t, s.dir)
	opts := s.options()
	opts.ReadOnly = true
	reader := open(t, s.dir, opts)
	r, err := reader.OpenSession(t.Context(), s.load.Session, lashstore.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for rev := s.head + 1; rev < s.head+5; rev++ {
		c := s.load.commit(rev)
		c.Fence, c.Attachments = s.fence, nil
		if _, err := h.Commit(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		snap, err := r.Load(t.Context(), lashstore.LoadOptions{})
		if err != nil || snap.Revision != rev {
			t.Fatalf("the reader is at revision %d, the writer at %d: %v", snap.Revision, rev, err)
		}
	}
}
