package local_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas/castest"
	"github.com/lashstore/lashstore/cas/memcas"
	"github.com/lashstore/lashstore/gc"
	"github.com/lashstore/lashstore/internal/testenv"
	"github.com/lashstore/lashstore/local"
)

// collecting is a store that keeps one revision, with a clock that stands still.
func collecting(t *testing.T, dir string, clock *testenv.Clock, opts local.Options) *local.Store {
	t.Helper()
	opts.Retention.Revisions = 1
	opts.Now, opts.Elapsed = clock.Now, func() time.Duration { return clock.Now().Sub(testenv.Start()) }
	return open(t, dir, opts)
}

// letGo commits content and other content in its place, and settles.
func letGo(t *testing.T, s *local.Store, id lashstore.SessionID, gone, kept []byte) {
	t.Helper()
	h, f := create(t, s, id)
	for rev, content := range [][]byte{gone, kept} {
		_, err := h.Commit(t.Context(), state(lashstore.Revision(rev), f, content))
		must(t, err)
	}
	_, err := s.ListSessions(t.Context(), lashstore.ListSessions{})
	must(t, err)
}

func atOnce() lashstore.CollectOptions { return lashstore.CollectOptions{Grace: new(time.Duration)} }

func readBlob(t *testing.T, s *local.Store, content []byte) error {
	t.Helper()
	r, err := s.OpenBlob(t.Context(), lashstore.DigestOf(content))
	if err != nil {
		return err
	}
	got, err := io.ReadAll(r)
	if err == nil && !bytes.Equal(got, content) {
		t.Error("the blob reads back as other content")
	}
	return errors.Join(err, r.Close())
}

// The store's own grace period counts where a collection names none; the default where
// neither does; a zero that was given is not taken for none.
func TestGraceOption(t *testing.T) {
	t.Parallel()
	zero, hour := time.Duration(0), time.Hour
	for _, c := range []struct{ store, call, want *time.Duration }{
		{nil, nil, nil}, {&hour, nil, &hour}, {&hour, &zero, &zero}, {&zero, nil, &zero}, {&zero, &hour, &hour},
	} {
		s := open(t, t.TempDir(), local.Options{Grace: c.store})
		report, err := s.Collect(t.Context(), lashstore.CollectOptions{Grace: c.call, DryRun: true})
		must(t, err)
		want := lashstore.DefaultGrace
		if c.want != nil {
			want = *c.want
		}
		if report.Grace != want {
			t.Errorf("grace %s, want %s", report.Grace, want)
		}
	}
}

// Options that would delete at a time that nobody meant are refused at once, all of
// them.
func TestCollectOptionsOfStore(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string]local.Options{
		"grace":            {Grace: new(-time.Hour)},
		"collect_every":    {CollectEvery: -1},
		"collect_interval": {CollectInterval: -time.Second},
	} {
		_, err := local.Open(t.Context(), t.TempDir(), opts)
		var invalid *lashstore.InvalidError
		if !errors.As(err, &invalid) || invalid.Field != name {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A collection opens each session by itself: those in use stay open, and those that
// are not used do not drive them out.
func TestCollectBesideOpenSessions(t *testing.T) {
	t.Parallel()
	clock := testenv.NewClock()
	s := collecting(t, t.TempDir(), clock, local.Options{MaxOpenSessions: 1})
	letGo(t, s, "a", noise(1, 20<<10), noise(2, 20<<10))
	letGo(t, s, "b", noise(3, 20<<10), noise(2, 20<<10))
	h, err := s.OpenSession(t.Context(), "a", lashstore.OpenOptions{})
	must(t, err)
	r, err := h.OpenContent(t.Context(), lashstore.DigestOf(noise(2, 20<<10)))
	must(t, err)
	opts := atOnce()
	opts.Audit = true
	report, err := s.Collect(t.Context(), opts)
	must(t, err)
	if report.Deleted != 2 || report.Mark.Sessions != 2 {
		t.Errorf("%d deleted, %d sessions compared", report.Deleted, report.Mark.Sessions)
	}
	got, err := io.ReadAll(r)
	must(t, errors.Join(err, r.Close()))
	if !bytes.Equal(got, noise(2, 20<<10)) {
		t.Error("what was being read differs")
	}
}

// What is being read when it is deleted fails the read, and is never taken for the end.
func TestReadWhileDeleted(t *testing.T) {
	t.Parallel()
	clock := testenv.NewClock()
	driver := castest.NewFaulty(memcas.New())
	s := collecting(t, t.TempDir(), clock, local.Options{Driver: driver})
	gone := noise(1, 6<<20) // more than is read ahead
	letGo(t, s, "s", gone, noise(2, 20<<10))
	r, err := s.OpenBlob(t.Context(), lashstore.DigestOf(gone))
	must(t, err)
	defer func() { must(t, r.Close()) }()
	_, err = io.ReadFull(r, make([]byte, 1<<10))
	must(t, err)
	report, err := s.Collect(t.Context(), atOnce())
	must(t, err)
	if report.Deleted == 0 {
		t.Fatal("nothing deleted")
	}
	n, err := io.Copy(io.Discard, r)
	if err == nil && n != int64(len(gone)-1<<10) {
		t.Errorf("the read ended after %d bytes without an error", n)
	}
	if err != nil && !errors.Is(err, lashstore.ErrBlobNotFound) && !errors.Is(err, lashstore.ErrCorruptBlob) {
		t.Errorf("the read failed with %v", err)
	}
	if err := readBlob(t, s, gone); !errors.Is(err, lashstore.ErrBlobNotFound) {
		t.Errorf("opened again: %v", err)
	}
}

// An undelete that fails on the way keeps nothing: its holds are let go of, so that a
// collection takes what it would have taken.
func TestUndeleteFailsAsAWhole(t *testing.T) {
	t.Parallel()
	clock := testenv.NewClock()
	driver := castest.NewFaulty(memcas.New())
	s := collecting(t, t.TempDir(), clock, local.Options{Driver: driver})
	one, pieces := noise(1, 20<<10), noise(2, 2<<20)
	letGo(t, s, "a", one, nil)
	letGo(t, s, "b", pieces, nil)
	before, err := s.CollectionStatus(t.Context())
	must(t, err)
	down := errors.New("object store is down")
	driver.Always(castest.Get, func([]string) castest.Fault { return castest.FailBefore(down) })
	_, err = s.Undelete(t.Context(), lashstore.UndeleteOptions{Digests: []lashstore.Digest{lashstore.DigestOf(one), lashstore.DigestOf(pieces)}})
	if !errors.Is(err, down) {
		t.Fatalf("got %v", err)
	}
	driver.Heal()
	after, err := s.CollectionStatus(t.Context())
	must(t, err)
	if after.Condemned != before.Condemned || after.Uploads != 0 {
		t.Errorf("%d condemned and %d uploads, want %d and none", after.Condemned, after.Uploads, before.Condemned)
	}
	report, err := s.Collect(t.Context(), atOnce())
	must(t, err)
	if report.Deleted != before.Condemned {
		t.Errorf("%d deleted, want %d", report.Deleted, before.Condemned)
	}
}

// Undeleting what is on its way out must win or say that it lost: never promise what
// is gone.
func TestUndeleteBesideCollection(t *testing.T) {
	t.Parallel()
	for _, step := range []string{gc.StepDooming, gc.StepDoomed} {
		clock := testenv.NewClock()
		content := noise(1, 20<<10)
		var s *local.Store
		var undone error
		s = collecting(t, t.TempDir(), clock, local.Options{Step: func(name string) {
			if name == step {
				_, undone = s.Undelete(context.Background(), lashstore.UndeleteOptions{Digests: []lashstore.Digest{lashstore.DigestOf(content)}})
			}
		}})
		letGo(t, s, "s", content, nil)
		opts := atOnce()
		opts.Workers = 1
		report, err := s.Collect(t.Context(), opts)
		must(t, err)
		switch {
		case step == gc.StepDooming && (undone != nil || report.Deleted != 0 || readBlob(t, s, content) != nil):
			t.Errorf("undeleted before it was doomed: %v, %d deleted", undone, report.Deleted)
		case step == gc.StepDoomed && (!errors.Is(undone, lashstore.ErrBlobNotFound) || report.Deleted != 1):
			t.Errorf("undeleted after it was doomed: %v, %d deleted", undone, report.Deleted)
		}
	}
}

// Two directories on one prefix: the second is refused when it is opened, and if its
// mark comes later, by a race or by hand, neither deletes anything.
func TestTwoDirectoriesOnOnePrefix(t *testing.T) {
	t.Parallel()
	clock := testenv.NewClock()
	driver := memcas.New()
	s := collecting(t, t.TempDir(), clock, local.Options{Driver: driver})
	letGo(t, s, "s", noise(1, 20<<10), noise(2, 20<<10))
	if _, err := local.Open(t.Context(), t.TempDir(), local.Options{Driver: driver}); !errors.Is(err, lashstore.ErrWrongTier) {
		t.Errorf("a second directory: %v", err)
	}
	must(t, driver.Put(t.Context(), local.DefaultTenant+"/owner/another", nil))
	report, err := s.Collect(t.Context(), atOnce())
	if !errors.Is(err, lashstore.ErrCollectionRefused) || !errors.Is(err, lashstore.ErrWrongTier) || report.Deleted != 0 {
		t.Errorf("got %v, %d deleted", err, report.Deleted)
	}
	must(t, readBlob(t, s, noise(1, 20<<10)))
}
