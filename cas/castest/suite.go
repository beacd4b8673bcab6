package castest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
)

// Harness is one empty driver and what can be done with its data.
type Harness struct {
	Driver cas.Driver
	// Another opens the same data once more, as another process would. Nil: the
	// driver keeps its data in memory and has one handle.
	Another func(tb testing.TB) cas.Driver
}

// Run runs the suite. newHarness returns a harness whose driver holds nothing; it
// is called for each test and cleans up through tb.
func Run(t *testing.T, newHarness func(tb testing.TB) Harness) {
	t.Helper()
	for _, test := range []struct {
		name string
		run  func(trial)
	}{
		{"PutGet", testPutGet},
		{"Ranges", testRanges},
		{"Absent", testAbsent},
		{"Stat", testStat},
		{"Overwrite", testOverwrite},
		{"BodyIsCopied", testBodyIsCopied},
		{"Large", testLarge},
		{"Delete", testDelete},
		{"DeleteManyKeys", testDeleteManyKeys},
		{"ReaderSurvives", testReaderSurvives},
		{"ListPages", testListPages},
		{"ListOrder", testListOrder},
		{"ListPrefixAfter", testListPrefixAfter},
		{"ConcurrentSameKey", testConcurrentSameKey},
		{"ConcurrentMixed", testConcurrentMixed},
		{"Canceled", testCanceled},
		{"CanceledWhileReading", testCanceledWhileReading},
		{"HostileKeys", testHostileKeys},
		{"AnotherSeesIt", testAnotherSeesIt},
		{"StoreRoundTrip", testStoreRoundTrip},
		{"StoreBesideAnotherTenant", testStoreBesideAnotherTenant},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(trial{t: t, h: newHarness(t)})
		})
	}
}

// trial is one test of the suite on its own driver. It is not a helper of another
// test: its failures are to be reported where they happen.
type trial struct {
	t *testing.T
	h Harness
}

// content returns n bytes that do not compress, the same for the same n and seed.
func content(n int, seed uint64) []byte {
	b := make([]byte, n)
	src := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16), 1})
	_, _ = src.Read(b)
	return b
}

func put(t *testing.T, d cas.Driver, key string, body []byte) {
	t.Helper()
	if err := d.Put(t.Context(), key, body); err != nil {
		t.Fatalf("Put %s: %v", key, err)
	}
}

// read reads a range, failing the test on error.
func read(t *testing.T, d cas.Driver, key string, offset, length int64) []byte {
	t.Helper()
	r, err := d.Get(t.Context(), key, offset, length)
	if err != nil {
		t.Fatalf("Get %s from %d, %d bytes: %v", key, offset, length, err)
	}
	body, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatalf("read %s from %d, %d bytes: %v", key, offset, length, err)
	}
	return body
}

func wantBody(t *testing.T, what string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Errorf("%s: got %d bytes with digest %s, want %d bytes with digest %s", what,
			len(got), lashstore.DigestOf(got), len(want), lashstore.DigestOf(want))
	}
}

// wantAbsent checks that Get and Stat answer that there is no such object.
func wantAbsent(t *testing.T, d cas.Driver, key string) {
	t.Helper()
	if _, err := d.Stat(t.Context(), key); !errors.Is(err, cas.ErrObjectNotFound) {
		t.Errorf("Stat %s: got error %v, want ErrObjectNotFound", key, err)
	}
	r, err := d.Get(t.Context(), key, 0, -1)
	if err == nil {
		_, err = io.ReadAll(r) // a driver may find out late
		err = errors.Join(err, r.Close())
	}
	if !errors.Is(err, cas.ErrObjectNotFound) {
		t.Errorf("Get %s: got error %v, want ErrObjectNotFound", key, err)
	}
}

// listKeys lists everything in pages of limit.
func listKeys(t *testing.T, d cas.Driver, prefix, after string, limit int) []string {
	t.Helper()
	var keys []string
	for {
		infos, err := d.List(t.Context(), prefix, after, limit)
		if err != nil {
			t.Fatalf("List %q after %q: %v", prefix, after, err)
		}
		if len(infos) > limit {
			t.Fatalf("List %q after %q: got %d objects, limit %d", prefix, after, len(infos), limit)
		}
		for _, info := range infos {
			keys = append(keys, info.Key)
		}
		if len(infos) < limit {
			return keys
		}
		after = infos[len(infos)-1].Key
	}
}

func wantKeys(t *testing.T, what string, got, want []string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s: keys differ (-want +got):\n%s", what, diff)
	}
}

// canceled returns a context that is done.
func canceled(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}
