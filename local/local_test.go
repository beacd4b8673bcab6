package local_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas/memcas"
	"github.com/lashstore/lashstore/internal/testenv"
	"github.com/lashstore/lashstore/local"
)

func open(t *testing.T, dir string, opts local.Options) *local.Store {
	t.Helper()
	if opts.Durability == "" {
		opts.Durability = lashstore.DurabilityNormal
	}
	if opts.Driver == nil {
		opts.Driver = memcas.New()
	}
	s, err := local.Open(t.Context(), dir, opts)
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func create(t *testing.T, s *local.Store, id lashstore.SessionID) (lashstore.Session, lashstore.Fence) {
	t.Helper()
	h, _, err := s.CreateSession(t.Context(), lashstore.CreateSession{Meta: lashstore.SessionMeta{SessionID: id}})
	must(t, err)
	l, err := h.ClaimLease(t.Context(), lashstore.Owner{OwnerID: "w", IncarnationID: "1"}, time.Hour)
	must(t, err)
	return h, l.Fence()
}

// state is a commit of one component.
func state(rev lashstore.Revision, f lashstore.Fence, content []byte) lashstore.Commit {
	return lashstore.Commit{
		ExpectedRevision: rev, Fence: f,
		Config:     &lashstore.SessionConfig{ProviderID: "p", Model: lashstore.ModelSpec{ID: "m", Limits: lashstore.ModelLimits{ContextWindowTokens: 1}}},
		Checkpoint: &lashstore.Checkpoint{Components: map[string]lashstore.Component{"state": lashstore.Changed(content)}},
	}
}

func noise(seed uint64, size int) []byte {
	b := make([]byte, size)
	var key [32]byte
	key[0], key[1] = byte(seed), byte(seed>>8)
	_, _ = rand.NewChaCha8(key).Read(b) // never fails
	return b
}

// More sessions than may be open must all keep working, also when all are in use
// at once.
func TestFewOpenSessions(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), local.Options{MaxOpenSessions: 2})
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			id := lashstore.SessionID(fmt.Sprint("session ", i))
			h, f := create(t, s, id)
			for rev := range lashstore.Revision(5) {
				if _, err := h.Commit(t.Context(), state(rev, f, []byte{byte(i), byte(rev)})); err != nil {
					t.Errorf("%s: %v", id, err)
				}
			}
			snap, err := h.Load(t.Context(), lashstore.LoadOptions{})
			if err != nil || !bytes.Equal(snap.Checkpoint.Components["state"].Bytes, []byte{byte(i), 4}) {
				t.Errorf("%s: %v", id, err)
			}
		})
	}
	group.Wait()
}

// What is used after Close must say so and must not hang or crash.
func TestClose(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), local.Options{})
	h, f := create(t, s, "s")
	ref, err := s.PutBlob(t.Context(), bytes.NewReader(noise(1, 3<<20)), lashstore.PutBlobOptions{})
	must(t, err)
	r, err := s.OpenBlob(t.Context(), ref.Digest)
	must(t, err)
	must(t, s.Close())
	must(t, s.Close())
	_, loadErr := h.Load(t.Context(), lashstore.LoadOptions{})
	_, commitErr := h.Commit(t.Context(), state(0, f, nil))
	_, openErr := s.OpenSession(t.Context(), "s", lashstore.OpenOptions{})
	_, readErr := r.Read(make([]byte, 1))
	for name, err := range map[string]error{"load": loadErr, "commit": commitErr, "open": openErr, "read": readErr} {
		if !errors.Is(err, lashstore.ErrClosed) {
			t.Errorf("%s after close: %v", name, err)
		}
	}
	must(t, r.Close())
	must(t, h.Close())
}

// A settlement between a commit's reservation and its transaction takes away what
// the commit stands on. It must notice and start again, not fail and not go on.
func TestCommitSurvivesSettlementInBetween(t *testing.T) {
	t.Parallel()
	var (
		s     *local.Store
		armed atomic.Bool
		hits  atomic.Int64
	)
	s = open(t, t.TempDir(), local.Options{
		Retention: lashstore.Retention{Revisions: 1},
		Step: func(step string) {
			if step == local.StepStaged && armed.Load() && hits.Add(1) == 1 {
				// A list settles everything that is pending.
				if _, err := s.ListSessions(context.Background(), lashstore.ListSessions{}); err != nil {
					t.Error(err)
				}
			}
		},
	})
	h, f := create(t, s, "s")
	one, two := noise(1, 100_000), noise(2, 100_000)
	commit := func(rev lashstore.Revision, content []byte) {
		t.Helper()
		_, err := h.Commit(t.Context(), state(rev, f, content))
		must(t, err)
	}
	// On a slow machine the background settles before the third commit, which then has
	// nothing to lose: once more.
	rev := lashstore.Revision(0)
	for tries := 0; tries < 20 && hits.Load() != 2; tries++ {
		hits.Store(0)
		commit(rev, one)
		commit(rev+1, two) // lets go of one
		armed.Store(true)
		commit(rev+2, one) // reserves it, has it settled away, reserves it again
		armed.Store(false)
		rev += 3
	}
	if hits.Load() != 2 {
		t.Errorf("the content was staged %d times, want 2", hits.Load())
	}
	_, err := s.ListSessions(t.Context(), lashstore.ListSessions{})
	must(t, err)
	info, err := s.StatBlob(t.Context(), lashstore.DigestOf(one))
	must(t, err)
	if info.Holders != 1 {
		t.Errorf("the content has %d holders, want 1", info.Holders)
	}
}

// The background must settle by itself: nobody may have to call anything.
func TestSettlesInTheBackground(t *testing.T) {
	t.Parallel()
	settled := make(chan struct{}, 16)
	s := open(t, t.TempDir(), local.Options{
		Retention: lashstore.Retention{Revisions: 1},
		Step: func(step string) {
			if step == local.StepSettling {
				settled <- struct{}{}
			}
		},
	})
	h, f := create(t, s, "s")
	for rev := range lashstore.Revision(2) {
		_, err := h.Commit(t.Context(), state(rev, f, noise(uint64(rev), 100_000)))
		must(t, err)
	}
	<-settled
}

// Each call must be counted by name and outcome.
func TestMetrics(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	s := open(t, t.TempDir(), local.Options{Metrics: reg})
	open(t, t.TempDir(), local.Options{Metrics: reg}) // a second store must not be refused
	h, f := create(t, s, "s")
	_, err := h.Commit(t.Context(), state(0, f, noise(1, 100_000)))
	must(t, err)
	if _, err := h.Commit(t.Context(), state(0, f, nil)); !errors.Is(err, lashstore.ErrHeadMoved) {
		t.Errorf("got %v", err)
	}
	families, err := reg.Gather()
	must(t, err)
	got := make(map[string]float64)
	for _, family := range families {
		for _, m := range family.GetMetric() {
			key := family.GetName()
			for _, l := range m.GetLabel() {
				key += " " + l.GetValue()
			}
			got[key] = m.GetCounter().GetValue()
		}
	}
	for _, key := range []string{"lashstore_operations_total ok commit", "lashstore_operations_total head_moved commit", "lashstore_operations_total ok create_session"} {
		if got[key] != 1 {
			t.Errorf("%s is %v, want 1 (have %v)", key, got[key], got)
		}
	}
}

// Two stores of different tenants in one directory must not see each other.
func TestTenantsShareADirectory(t *testing.T) {
	t.Parallel()
	dir, driver := t.TempDir(), memcas.New()
	a := open(t, dir, local.Options{Tenant: "tenant-a", Driver: driver})
	b := open(t, dir, local.Options{Tenant: "tenant-b", Driver: driver})
	create(t, a, "s")
	ref, err := a.PutBlob(t.Context(), bytes.NewReader(noise(1, 100_000)), lashstore.PutBlobOptions{})
	must(t, err)
	if _, err := b.OpenSession(t.Context(), "s", lashstore.OpenOptions{}); !errors.Is(err, lashstore.ErrSessionNotFound) {
		t.Errorf("another tenant's session: %v", err)
	}
	if _, err := b.OpenBlob(t.Context(), ref.Digest); !errors.Is(err, lashstore.ErrBlobNotFound) {
		t.Errorf("another tenant's blob: %v", err)
	}
}

// Wrong options must be refused, all of them at once.
func TestOptionsValidate(t *testing.T) {
	t.Parallel()
	_, err := local.Open(t.Context(), t.TempDir(), local.Options{
		Tenant: "../x", Profile: "fast", Durability: "none", UploadTTL: -1, BusyTimeout: -1, SourceKeyRetention: -1,
		MaxOpenSessions: -1, Retention: lashstore.Retention{Revisions: -2},
	})
	for _, field := range []string{"tenant", "profile", "durability", "upload_ttl", "busy_timeout", "source_key_retention", "max_open_sessions", "retention"} {
		if err == nil || !bytes.Contains([]byte(err.Error()), []byte(field)) {
			t.Errorf("%s is not named in: %v", field, err)
		}
	}
	if !errors.Is(err, lashstore.ErrInvalid) {
		t.Errorf("got %v", err)
	}
}

// A directory that cannot be used must be a typed error that names it.
func TestOpenBadDirectory(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, []byte("not a directory"), 0o600))
	for name, opts := range map[string]local.Options{"a file": {}, "missing, read-only": {ReadOnly: true}} {
		dir := file
		if opts.ReadOnly {
			dir = filepath.Join(t.TempDir(), "missing")
		}
		_, err := local.Open(t.Context(), dir, opts)
		if !errors.Is(err, lashstore.ErrStorage) || !bytes.Contains([]byte(err.Error()), []byte(dir)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// 100 MiB must pass through in bounded memory, in and out, and be found again as an
// artifact and as a component.
func TestLargeContentInBoundedMemory(t *testing.T) { //nolint:paralleltest // it measures the memory of the process
	const size = 100 << 20
	dir := t.TempDir()
	s, err := local.Open(t.Context(), dir, local.Options{Durability: lashstore.DurabilityNormal})
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	h, f := create(t, s, "s")
	peak := new(testenv.HeapPeak)
	source := func() io.Reader { return peak.Reader(testenv.NoiseReader(7, size)) }
	peak.Start()
	ref, err := s.PutBlob(t.Context(), source(), lashstore.PutBlobOptions{Descriptor: lashstore.StandardDescriptor(lashstore.KindToolState)})
	must(t, err)
	c := state(0, f, nil)
	c.Checkpoint.Components = map[string]lashstore.Component{"state": lashstore.Unchanged(ref)}
	_, err = h.Commit(t.Context(), c)
	must(t, err)
	name := lashstore.ArtifactName{Namespace: "module", Name: "large"}
	_, err = h.PutArtifact(t.Context(), name, lashstore.Descriptor{}, source())
	must(t, err)
	for _, open := range []func() (lashstore.BlobReader, error){
		func() (lashstore.BlobReader, error) { return h.OpenContent(t.Context(), ref.Digest) },
		func() (lashstore.BlobReader, error) {
			_, r, err := h.OpenArtifact(t.Context(), name)
			return r, err
		},
	} {
		r, err := open()
		must(t, err)
		must(t, testenv.EqualReaders(peak.Reader(r), testenv.NoiseReader(7, size)))
		must(t, r.Close())
	}
	// Two windows of 8 MiB each way, the encoders, and the rest of the process.
	if got := peak.Bytes(); got > 80<<20 {
		t.Errorf("the heap grew by %d MiB", got>>20)
	}
}
