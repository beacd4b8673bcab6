package integration_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas/castest"
	"github.com/lashstore/lashstore/cas/filecas"
	"github.com/lashstore/lashstore/internal/testenv"
	"github.com/lashstore/lashstore/local"
)

// faultyStore is a store on a driver that misbehaves when told to.
type faultyStore struct {
	t      *testing.T
	dir    string
	driver *castest.Faulty
	store  *local.Store
	load   workload
	h      lashstore.Session
	turner turner
}

func newFaultyStore(t *testing.T) *faultyStore {
	t.Helper()
	dir := t.TempDir()
	files, err := filecas.Open(filepath.Join(dir, "blobs"), filecas.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := files.Close(); err != nil {
			t.Error(err)
		}
	})
	f := &faultyStore{t: t, dir: dir, driver: castest.NewFaulty(files), load: workload{Seed: testenv.Seed(t), Session: "faulty", Epoch: 1}}
	f.store = open(t, dir, local.Options{Driver: f.driver, Retention: lashstore.Retention{Revisions: retained}})
	f.h = create(t, f.store, f.load)
	owner := lashstore.Owner{OwnerID: "worker", IncarnationID: "1"}
	lease, err := f.h.ClaimLease(t.Context(), owner, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	f.turner = turner{h: f.h, load: f.load, fence: lease.Fence(), owner: owner}
	return f
}

// prepare gets a turn to where only its commit is left.
func (f *faultyStore) prepare(rev lashstore.Revision) {
	f.t.Helper()
	f.driver.Heal()
	if _, err := f.turner.prepare(f.t.Context(), rev); err != nil {
		f.t.Fatal(err)
	}
}

func (f *faultyStore) commit(rev lashstore.Revision) error {
	f.t.Helper()
	return f.turner.commit(f.t.Context(), rev)
}

func (f *faultyStore) whole(rev lashstore.Revision) {
	f.t.Helper()
	if _, err := checkSession(f.t.Context(), f.h, f.load, rev, rev); err != nil {
		f.t.Fatalf("at revision %d: %v", rev, err)
	}
}

// putFaults are what a driver does instead of storing an object.
func putFaults() map[string]struct {
	fault castest.Fault
	want  error
} {
	type row = struct {
		fault castest.Fault
		want  error
	}
	return map[string]row{
		"fails":                          {castest.FailBefore(nil), lashstore.ErrStorage},
		"fails after it stored":          {castest.FailAfter(nil), lashstore.ErrStorage},
		"has no space":                   {castest.DiskFull(), lashstore.ErrDiskFull},
		"is canceled":                    {castest.FailBefore(context.Canceled), context.Canceled},
		"stores and then finds no space": {castest.FailAfter(lashstore.ErrDiskFull), lashstore.ErrDiskFull},
	}
}

// A driver that fails to store an object must fail the commit, wholly and by a
// typed error, and the same commit again must go through.
func TestPutFails(t *testing.T) {
	t.Parallel()
	for name, test := range putFaults() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFaultyStore(t)
			for rev := lashstore.Revision(1); rev <= 12; rev++ {
				f.prepare(rev)
				var large atomic.Int64 // objects that the commit tries to store
				f.driver.Always(castest.Put, func([]string) castest.Fault { large.Add(1); return test.fault })
				for range 2 {
					err := f.commit(rev)
					if large.Load() == 0 && err == nil {
						break // it had nothing to store
					}
					if !errors.Is(err, test.want) {
						t.Fatalf("revision %d: %v, want %v", rev, err, test.want)
					}
					f.whole(rev - 1)
				}
				f.driver.Heal()
				if large.Load() > 0 {
					if err := f.commit(rev); err != nil {
						t.Fatalf("revision %d again: %v", rev, err)
					}
				}
				f.whole(rev)
			}
			f.audit()
		})
	}
}

// audit closes the store and checks what it leaves.
func (f *faultyStore) audit() {
	f.t.Helper()
	if err := f.store.Close(); err != nil {
		f.t.Fatal(err)
	}
	found, err := audit(f.t.Context(), f.dir)
	if err != nil {
		f.t.Fatal(err)
	}
	if err := errors.Join(found.missing...); err != nil || len(found.surplus) > 0 || found.unsettled > 0 {
		f.t.Errorf("%v, surplus edges %v, %d unsettled", err, found.surplus, found.unsettled)
	}
}

// A driver that hands out less or other than what was stored must never have it
// served, and must do no lasting harm by it.
func TestGetMisbehaves(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		fault castest.Fault
		want  error
	}{
		"fails":                   {castest.FailBefore(nil), lashstore.ErrStorage},
		"fails after it read":     {castest.FailAfter(nil), lashstore.ErrStorage},
		"is short by a byte":      {castest.ShortRead(1), lashstore.ErrCorruptBlob},
		"is empty":                {castest.ShortRead(1 << 30), lashstore.ErrCorruptBlob},
		"flips a bit of the head": {castest.FlipBit(37), lashstore.ErrCorruptBlob},
		"flips a bit of the body": {castest.FlipBit(8 * 30), lashstore.ErrCorruptBlob},
		"is canceled":             {castest.FailBefore(context.Canceled), context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFaultyStore(t)
			for rev := lashstore.Revision(1); rev <= 3; rev++ {
				f.prepare(rev)
				if err := f.commit(rev); err != nil {
					t.Fatal(err)
				}
			}
			f.driver.Always(castest.Get, func([]string) castest.Fault { return test.fault })
			_, loadErr := f.h.Load(t.Context(), lashstore.LoadOptions{})
			content, _ := f.load.attachment(3)
			_, r, err := f.h.OpenAttachment(t.Context(), lashstore.DigestOf(content))
			got, attachErr := readContent(r, err)
			for call, err := range map[string]error{"load": loadErr, "attachment": attachErr} {
				if !errors.Is(err, test.want) {
					t.Errorf("%s: %v, want %v", call, err, test.want)
				}
			}
			if !bytes.HasPrefix(content, got) {
				t.Error("other bytes than those of the attachment were handed out")
			}
			if loadErr != nil && !strings.Contains(loadErr.Error(), "load component") {
				t.Errorf("load: %v does not name the component", loadErr)
			}
			f.driver.Heal()
			f.whole(3)
		})
	}
}

// A bit that flips on the way into the store is found when it is read: it is not
// served, by this revision or by another that shares the object, and the rest of
// the session stays readable.
func TestPutFlipsABit(t *testing.T) {
	t.Parallel()
	f := newFaultyStore(t)
	f.prepare(1)
	if err := f.commit(1); err != nil {
		t.Fatal(err)
	}
	f.prepare(2)
	f.driver.Always(castest.Put, func([]string) castest.Fault { return castest.FlipBit(8 * 40) })
	if err := f.commit(2); err != nil {
		t.Fatal(err)
	}
	f.driver.Heal()
	if _, err := f.h.Load(t.Context(), lashstore.LoadOptions{}); !errors.Is(err, lashstore.ErrCorruptBlob) {
		t.Errorf("load: %v, want ErrCorruptBlob", err)
	}
	if err := checkRevision(t.Context(), f.h, f.load, 1, 2); err != nil {
		t.Errorf("the revision before: %v", err)
	}
	if _, err := f.h.Load(t.Context(), lashstore.LoadOptions{HydrateLimit: inlineSize}); err != nil {
		t.Errorf("without the large component: %v", err)
	}
}

// Any sequence of faults must leave each commit whole or absent.
func TestRandomFaults(t *testing.T) {
	t.Parallel()
	f := newFaultyStore(t)
	r := rand.New(rand.NewPCG(f.load.Seed, 5))
	revisions, faults := lashstore.Revision(25), 0
	if testenv.InCI() {
		revisions = 150
	}
	var mu sync.Mutex // uploads run side by side
	choose := func([]string) castest.Fault {
		mu.Lock()
		defer mu.Unlock()
		switch r.IntN(4) {
		case 0:
			faults++
			return castest.FailBefore(nil)
		case 1:
			faults++
			return castest.FailAfter(nil)
		default:
			return castest.Pass()
		}
	}
	for rev := lashstore.Revision(1); rev <= revisions; rev++ {
		f.prepare(rev)
		f.driver.Always(castest.Put, choose)
		for attempt := 0; ; attempt++ {
			err := f.commit(rev)
			if err == nil {
				break
			}
			if !errors.Is(err, lashstore.ErrStorage) || attempt > 100 {
				t.Fatalf("revision %d, attempt %d: %v", rev, attempt, err)
			}
			head, err := f.h.Head(t.Context())
			if err != nil || head.Revision != rev-1 {
				t.Fatalf("revision %d: the head is at %d, %v, after a failed commit", rev, head.Revision, err)
			}
		}
		f.driver.Heal()
		f.whole(rev)
	}
	t.Logf("%d faults", faults)
	f.audit()
}
