package castest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
)

// Several writers of one key, and readers at the same time: each reader sees one
// writer's object, whole (spec 01, W28).
func testConcurrentSameKey(tr trial) {
	t, h := tr.t, tr.h
	drivers := []cas.Driver{h.Driver}
	if h.Another != nil {
		drivers = append(drivers, h.Another(t))
	}
	const writers, rounds = 4, 5
	bodies := make([][]byte, writers)
	for i := range bodies {
		bodies[i] = content(200_000+i*1000, uint64(i))
	}
	put(t, h.Driver, "b3/00/shared", bodies[0])
	var all sync.WaitGroup
	for i := range writers {
		d := drivers[i%len(drivers)]
		all.Go(func() {
			for range rounds {
				if err := d.Put(t.Context(), "b3/00/shared", bodies[i]); err != nil {
					t.Errorf("writer %d: %v", i, err)
				}
			}
		})
		all.Go(func() {
			for range rounds {
				got, err := readAll(t.Context(), d, "b3/00/shared")
				if err != nil {
					t.Errorf("reader %d: %v", i, err)
				} else if !isOneOf(got, bodies) {
					t.Errorf("reader %d: got %d bytes that no writer put", i, len(got))
				}
			}
		})
	}
	all.Wait()
	wantKeys(t, "after concurrent puts", listKeys(t, h.Driver, "", "", 10), []string{"b3/00/shared"})
}

// Writers, deleters and listers of many keys do not disturb each other.
func testConcurrentMixed(tr trial) {
	t, h := tr.t, tr.h
	const workers, objects = 6, 12
	var all sync.WaitGroup
	for w := range workers {
		all.Go(func() {
			for i := range objects {
				key := fmt.Sprintf("b3/%02x/%d-%d", i, w, i)
				if err := h.Driver.Put(t.Context(), key, []byte(key)); err != nil {
					t.Errorf("Put %s: %v", key, err)
				}
				if _, err := h.Driver.List(t.Context(), "b3/", "", 50); err != nil {
					t.Errorf("List: %v", err)
				}
				if i%2 == 0 {
					if err := h.Driver.Delete(t.Context(), []string{key}); err != nil {
						t.Errorf("Delete %s: %v", key, err)
					}
				} else if got, err := readAll(t.Context(), h.Driver, key); err != nil || string(got) != key {
					t.Errorf("Get %s: %q, %v", key, got, err)
				}
			}
		})
	}
	all.Wait()
	if got, want := len(listKeys(t, h.Driver, "", "", 1000)), workers*objects/2; got != want {
		t.Errorf("%d objects are left, want %d", got, want)
	}
}

// A context that is done stops every operation before it does anything.
func testCanceled(tr trial) {
	t, h := tr.t, tr.h
	put(t, h.Driver, "stays", []byte("x"))
	ctx := canceled(t)
	_, getErr := h.Driver.Get(ctx, "stays", 0, -1)
	_, statErr := h.Driver.Stat(ctx, "stays")
	_, listErr := h.Driver.List(ctx, "", "", 10)
	for op, err := range map[string]error{
		"Put":    h.Driver.Put(ctx, "new", []byte("x")),
		"Get":    getErr,
		"Stat":   statErr,
		"Delete": h.Driver.Delete(ctx, []string{"stays"}),
		"List":   listErr,
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got error %v, want context.Canceled", op, err)
		}
	}
	wantKeys(t, "after canceled operations", listKeys(t, h.Driver, "", "", 10), []string{"stays"})
}

// A context that ends while an object is read ends the reading, with its error and
// never with io.EOF.
func testCanceledWhileReading(tr trial) {
	t, h := tr.t, tr.h
	put(t, h.Driver, "k", content(8<<20, 9))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := h.Driver.Get(ctx, "k", 0, -1)
	if err != nil {
		t.Fatalf("Get: %v", err)
	}
	if _, err := io.ReadFull(r, make([]byte, 1000)); err != nil {
		t.Fatalf("read the head: %v", err)
	}
	cancel()
	if n, err := io.Copy(io.Discard, r); !errors.Is(err, context.Canceled) {
		t.Errorf("after cancel: read %d more bytes and got error %v, want context.Canceled", n, err)
	}
	if err := r.Close(); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("Close: %v", err)
	}
}

// What one handle put, another sees; what it deleted is gone for both.
func testAnotherSeesIt(tr trial) {
	t, h := tr.t, tr.h
	if h.Another == nil { // data in memory has one handle, which stands for both
		h.Another = func(testing.TB) cas.Driver { return h.Driver }
	}
	put(t, h.Driver, "b3/00/k", []byte("one"))
	second := h.Another(t)
	wantBody(t, "through the second handle", read(t, second, "b3/00/k", 0, -1), []byte("one"))
	put(t, second, "b3/00/k", []byte("two"))
	wantBody(t, "through the first handle", read(t, h.Driver, "b3/00/k", 0, -1), []byte("two"))
	if err := second.Delete(t.Context(), []string{"b3/00/k"}); err != nil {
		t.Fatalf("Delete: %v", err)
	}
	wantAbsent(t, h.Driver, "b3/00/k")
}

// The front type works over the driver: content in several chunks comes back.
func testStoreRoundTrip(tr trial) {
	t, h := tr.t, tr.h
	s := newStore(t, h.Driver, "")
	storeRoundTrip(t, s, content(3<<20+17, 11))
	storeRoundTrip(t, s, bytes.Repeat([]byte("the same again "), 100_000))
	storeRoundTrip(t, s, nil)
}

// Two tenants on one driver hold the same content and never see each other's.
func testStoreBesideAnotherTenant(tr trial) {
	t, h := tr.t, tr.h
	ours, theirs := newStore(t, h.Driver, "acme/"), newStore(t, h.Driver, "acme-2/")
	body := content(1<<20+1, 12)
	our, their := storeRoundTrip(t, ours, body), storeRoundTrip(t, theirs, body)
	before := listKeys(t, h.Driver, "acme-2/", "", 100)
	if err := ours.DeleteObjects(t.Context(), append(our, their...)); err != nil {
		t.Fatalf("DeleteObjects: %v", err)
	}
	page, err := ours.ListObjects(t.Context(), "", 0)
	if err != nil || len(page.Objects)+len(page.Foreign) != 0 {
		t.Errorf("our objects after deletion: %+v, %v, want none", page, err)
	}
	wantKeys(t, "the other tenant's objects", listKeys(t, h.Driver, "acme-2/", "", 100), before)
	for _, name := range their {
		if _, err := ours.GetObject(t.Context(), name); !errors.Is(err, lashstore.ErrBlobNotFound) {
			t.Errorf("their object through our store: got error %v, want ErrBlobNotFound", err)
		}
		if _, err := theirs.GetObject(t.Context(), name); err != nil {
			t.Errorf("their object through their store: %v", err)
		}
	}
}

func newStore(tb testing.TB, d cas.Driver, prefix string) *cas.Store {
	tb.Helper()
	s, err := cas.New(d, cas.Options{Prefix: prefix})
	if err != nil {
		tb.Fatalf("New: %v", err)
	}
	return s
}

// storeRoundTrip splits body, puts it, joins it again and returns its objects.
func storeRoundTrip(t *testing.T, s *cas.Store, body []byte) []cas.ObjectName {
	t.Helper()
	var mu sync.Mutex // guards names: large content is put by several goroutines
	names := make(map[lashstore.Digest]cas.ObjectName)
	put := func(ctx context.Context, objects []cas.NewObject) error {
		for _, o := range objects {
			mu.Lock()
			name, ok := names[o.Digest]
			if !ok {
				g, err := cas.NewGeneration(nil)
				if err != nil {
					mu.Unlock()
					return err
				}
				name = cas.ObjectName{Digest: o.Digest, Generation: g}
				names[o.Digest] = name
			}
			mu.Unlock()
			if err := s.PutObject(ctx, name, o.Stored); err != nil {
				return err
			}
		}
		return nil
	}
	opts := cas.SplitOptions{Descriptor: lashstore.StandardDescriptor(lashstore.KindToolState)}
	split, err := s.Split(t.Context(), bytes.NewReader(body), opts, put)
	if err != nil {
		t.Fatalf("Split: %v", err)
	}
	generation := func(d lashstore.Digest) (cas.Generation, bool) {
		name, ok := names[d]
		return name.Generation, ok
	}
	m, err := s.OpenManifest(t.Context(), split.Manifest.Ref(), split.Root, generation)
	if err != nil {
		t.Fatalf("OpenManifest: %v", err)
	}
	r, err := s.Join(t.Context(), m, generation)
	if err != nil {
		t.Fatalf("Join: %v", err)
	}
	got, err := cas.ReadAll(r, lashstore.MaxBlobBytes)
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatalf("read joined content: %v", err)
	}
	wantBody(t, "joined content", got, body)
	all := make([]cas.ObjectName, 0, len(names))
	for _, name := range names {
		all = append(all, name)
	}
	return all
}

func readAll(ctx context.Context, d cas.Driver, key string) ([]byte, error) {
	r, err := d.Get(ctx, key, 0, -1)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(r)
	return body, errors.Join(err, r.Close())
}

func isOneOf(got []byte, bodies [][]byte) bool {
	for _, body := range bodies {
		if bytes.Equal(got, body) {
			return true
		}
	}
	return false
}
