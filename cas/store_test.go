package cas_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
	"github.com/lashstore/lashstore/cas/castest"
	"github.com/lashstore/lashstore/cas/memcas"
)

// putRaw stores content as it is.
func putRaw(tb testing.TB, s *cas.Store, raw []byte, g cas.Generation) cas.ObjectName {
	tb.Helper()
	stored, err := s.Encode(raw, lashstore.Descriptor{})
	if err != nil {
		tb.Fatal(err)
	}
	if err := s.PutObject(tb.Context(), nameOf(raw, g), stored); err != nil {
		tb.Fatalf("PutObject: %v", err)
	}
	return nameOf(raw, g)
}

// Absent, corrupt and failed are three errors, each with digest or key (G7).
func TestGetObjectErrors(t *testing.T) {
	t.Parallel()
	faulty := castest.NewFaulty(memcas.New())
	s := newStore(t, faulty, cas.Options{Prefix: "acme/"})
	name := putRaw(t, s, []byte("content"), 5)
	key := "acme/" + name.Key()

	absent := cas.ObjectName{Digest: name.Digest, Generation: 6}
	_, getErr := s.GetObject(t.Context(), absent)
	_, statErr := s.StatObject(t.Context(), absent)
	for _, err := range []error{getErr, statErr} {
		if !errors.Is(err, lashstore.ErrBlobNotFound) || errors.Is(err, lashstore.ErrStorage) ||
			!strings.Contains(err.Error(), name.Digest.String()) || !strings.Contains(err.Error(), "acme/"+absent.Key()) {
			t.Errorf("absent: got error %v, want ErrBlobNotFound with digest and key", err)
		}
	}

	faulty.Script(castest.Get, castest.FlipBit(0), castest.ShortRead(1), castest.ShortRead(1000))
	for range 3 {
		_, err := s.GetObject(t.Context(), name)
		wantCorrupt(t, "damage", err, name.Digest, key)
	}

	faulty.Script(castest.Get, castest.FailBefore(nil), castest.FailAfter(nil))
	for range 2 {
		_, err := s.GetObject(t.Context(), name)
		var storage *lashstore.StorageError
		if !errors.As(err, &storage) || storage.Path != key || !errors.Is(err, lashstore.ErrStorage) || !errors.Is(err, castest.ErrInjected) {
			t.Errorf("failure: got error %v, want a StorageError with key and cause", err)
		}
	}

	for _, bad := range []cas.ObjectName{{}, {Digest: name.Digest}, {Generation: 1}, {Digest: name.Digest, Generation: 1 << 63}} {
		if _, err := s.GetObject(t.Context(), bad); !errors.Is(err, lashstore.ErrInvalid) {
			t.Errorf("name %+v: got error %v, want ErrInvalid", bad, err)
		}
	}
	if got, err := s.GetObject(t.Context(), name); err != nil || string(got) != "content" {
		t.Errorf("in the end: got %q, %v", got, err)
	}
}

// What is not an envelope is never put, and a driver's error keeps its kind.
func TestPutObjectErrors(t *testing.T) {
	t.Parallel()
	faulty := castest.NewFaulty(memcas.New())
	s := newStore(t, faulty, cas.Options{})
	raw := []byte("content")
	stored, err := s.Encode(raw, lashstore.Descriptor{})
	if err != nil {
		t.Fatal(err)
	}
	err = s.PutObject(t.Context(), nameOf(raw, 1), raw)
	wantCorrupt(t, "not an envelope", err, lashstore.DigestOf(raw), nameOf(raw, 1).Key())
	if got := len(faulty.Calls(castest.Put)); got != 0 {
		t.Errorf("the driver got %d puts, want 0", got)
	}
	faulty.Script(castest.Put, castest.DiskFull(), castest.FailAfter(io.ErrUnexpectedEOF), castest.FailBefore(context.DeadlineExceeded))
	for _, want := range []error{lashstore.ErrDiskFull, lashstore.ErrStorage, context.DeadlineExceeded} {
		if err := s.PutObject(t.Context(), nameOf(raw, 1), stored); !errors.Is(err, want) {
			t.Errorf("got error %v, want %v", err, want)
		}
	}
	if err := s.PutObject(t.Context(), nameOf(raw, 1), stored); err != nil {
		t.Errorf("again: %v", err)
	}
}

// An object that is too long is corrupt and not read to its end.
func TestGetObjectTooLong(t *testing.T) {
	t.Parallel()
	driver := memcas.New()
	s := newStore(t, driver, cas.Options{})
	name := nameOf([]byte("x"), 1)
	if err := driver.Put(t.Context(), name.Key(), make([]byte, cas.HeaderBytes+cas.MaxObjectBytes+1)); err != nil {
		t.Fatal(err)
	}
	_, err := s.GetObject(t.Context(), name)
	wantCorrupt(t, "too long", err, name.Digest, name.Key())
}

// The caller owns what it got, though buffers are used again underneath.
func TestGetObjectIsTheCallers(t *testing.T) {
	t.Parallel()
	s := memStore(t, cas.Options{})
	a, b := noise(5000, 1), noise(5000, 2)
	nameA, nameB := putRaw(t, s, a, 1), putRaw(t, s, b, 1)
	gotA, err := s.GetObject(t.Context(), nameA)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.GetObject(t.Context(), nameB); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(gotA, a) {
		t.Error("content changed after the next get")
	}
}

// One key that cannot be deleted does not stop the others, and is named.
func TestDeleteObjects(t *testing.T) {
	t.Parallel()
	faulty := castest.NewFaulty(memcas.New())
	s := newStore(t, faulty, cas.Options{Prefix: "acme/"})
	var all []cas.ObjectName
	for i := range 2500 {
		all = append(all, nameOf(fmt.Append(nil, i), 1))
	}
	if err := s.DeleteObjects(t.Context(), append(all, all[0])); err != nil {
		t.Fatalf("DeleteObjects of absent objects: %v", err)
	}
	for i, want := range []int{1000, 1000, 500} {
		if got := len(faulty.Calls(castest.Delete)[i].Keys); got != want {
			t.Errorf("batch %d has %d keys, want %d", i, got, want)
		}
	}
	if err := s.DeleteObjects(t.Context(), nil); err != nil || len(faulty.Calls(castest.Delete)) != 3 {
		t.Errorf("nothing to delete: %v, want no call", err)
	}

	bad := all[7].Key()
	faulty.Script(castest.Delete, castest.FailAfter(&cas.DeleteError{Failed: map[string]error{"acme/" + bad: castest.ErrInjected}}))
	err := s.DeleteObjects(t.Context(), all[:100])
	var each *cas.DeleteError
	if !errors.As(err, &each) || len(each.Failed) != 1 || !errors.Is(each.Failed[bad], castest.ErrInjected) || !errors.Is(err, lashstore.ErrStorage) {
		t.Errorf("one fails: got error %v, want a DeleteError with that key", err)
	}

	faulty.Script(castest.Delete, castest.Pass(), castest.FailBefore(nil))
	err = s.DeleteObjects(t.Context(), all)
	if !errors.As(err, &each) || len(each.Failed) != 1000 || len(err.Error()) > 1500 {
		t.Errorf("the second batch fails: got error %v, want a DeleteError with its 1,000 keys", err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.DeleteObjects(ctx, all); !errors.As(err, &each) || len(each.Failed) != 2500 || !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: got error %v, want all keys failed with context.Canceled", err)
	}
	calls := len(faulty.Calls(castest.Delete))
	if err := s.DeleteObjects(t.Context(), append(all, cas.ObjectName{})); !errors.Is(err, lashstore.ErrInvalid) {
		t.Errorf("a bad name: got error %v, want ErrInvalid", err)
	}
	if got := len(faulty.Calls(castest.Delete)); got != calls {
		t.Error("a bad name: something was deleted")
	}
}

// A listing pages through the store's own objects, sets foreign ones apart and
// never shows another prefix.
func TestListObjects(t *testing.T) {
	t.Parallel()
	driver := memcas.New()
	s := newStore(t, driver, cas.Options{Prefix: "acme/"})
	want := make(map[cas.ObjectName]bool)
	for i := range 20 {
		want[putRaw(t, s, fmt.Append(nil, i), cas.Generation(i+1))] = true
	}
	for _, key := range []string{"acme/notes", "acme/b3/zz", "acme-2/b3/00/x", "other"} {
		if err := driver.Put(t.Context(), key, []byte("foreign")); err != nil {
			t.Fatal(err)
		}
	}
	var foreign []string
	got, after := make(map[cas.ObjectName]bool), ""
	for {
		page, err := s.ListObjects(t.Context(), after, 3)
		if err != nil {
			t.Fatalf("ListObjects: %v", err)
		}
		for _, o := range page.Objects {
			got[o.Name] = true
			info, err := s.StatObject(t.Context(), o.Name)
			if err != nil || info.Key != o.Name.Key() || info.SizeBytes != o.SizeBytes || !info.ModTime.Equal(o.ModTime) {
				t.Errorf("StatObject: got %+v, %v, listed as %+v", info, err, o)
			}
		}
		for _, info := range page.Foreign {
			foreign = append(foreign, info.Key)
		}
		if after = page.Next; after == "" {
			break
		}
	}
	if diff := cmp.Diff(len(want), len(got)); diff != "" {
		t.Errorf("number of objects (-want +got):\n%s", diff)
	}
	for name := range want {
		if !got[name] {
			t.Errorf("%s is missing", name)
		}
	}
	if diff := cmp.Diff([]string{"b3/zz", "notes"}, foreign); diff != "" {
		t.Errorf("foreign keys (-want +got):\n%s", diff)
	}
	for _, limit := range []int{-1, 1001} {
		if _, err := s.ListObjects(t.Context(), "", limit); !errors.Is(err, lashstore.ErrInvalid) {
			t.Errorf("limit %d: got error %v, want ErrInvalid", limit, err)
		}
	}
}

// counters reads the counters of a registry as "name{label,label}" → value.
func counters(t *testing.T, reg *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := make(map[string]float64)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetValue())
			}
			key := strings.TrimPrefix(f.GetName(), "lashstore_cas_") + "{" + strings.Join(labels, ",") + "}"
			if c := m.GetCounter(); c != nil {
				values[key] = c.GetValue()
			}
		}
	}
	return values
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	if _, err := cas.NewMetrics(reg); err != nil {
		t.Fatal(err)
	}
	// A second store of the process must not be refused, and counts along.
	metrics, err := cas.NewMetrics(reg)
	if err != nil {
		t.Fatal(err)
	}
	clash := prometheus.NewRegistry()
	clash.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: "lashstore_cas_corrupt_objects_total", Help: "other"}))
	if _, err := cas.NewMetrics(clash); err == nil {
		t.Error("a name that something else has: want an error")
	}
	faulty := castest.NewFaulty(memcas.New())
	s := newStore(t, faulty, cas.Options{Metrics: metrics})
	name := putRaw(t, s, []byte("content"), 1)
	faulty.Script(castest.Get, castest.Pass(), castest.FlipBit(150), castest.FailBefore(nil), castest.FailBefore(context.Canceled))
	for range 4 {
		_, _ = s.GetObject(t.Context(), name)
	}
	_, _ = s.StatObject(t.Context(), nameOf(nil, 1))
	_, _ = s.ListObjects(t.Context(), "", 0)
	_ = s.DeleteObjects(t.Context(), []cas.ObjectName{name})
	want := map[string]float64{
		"operations_total{put,ok}": 1, "operations_total{get,ok}": 1, "operations_total{get,corrupt}": 1,
		"operations_total{get,error}": 1, "operations_total{get,canceled}": 1,
		"operations_total{stat,not_found}": 1, "operations_total{list,ok}": 1, "operations_total{delete,ok}": 1,
		"bytes_total{raw,put}": 7, "bytes_total{stored,put}": 23, "bytes_total{raw,get}": 7, "bytes_total{stored,get}": 23,
		"corrupt_objects_total{}": 1,
	}
	// Labels come in the order of their names: form, op and op, result.
	if diff := cmp.Diff(want, counters(t, reg)); diff != "" {
		t.Errorf("counters differ (-want +got):\n%s", diff)
	}
}
