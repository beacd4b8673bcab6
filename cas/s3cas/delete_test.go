package s3cas_test

import (
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
	"github.com/lashstore/lashstore/cas/s3cas"
)

// deletion is the body of DeleteObjects.
type deletion struct {
	Quiet  bool
	Object []struct{ Key string }
}

// deleted is the answer to it.
type deleted struct {
	XMLName xml.Name `xml:"DeleteResult"`
	Error   []keyError
}

type keyError struct{ Key, Code, Message string }

// A batch is one request with Content-MD5 and no other checksum.
func TestDeleteRequest(t *testing.T) {
	t.Parallel()
	s, d := script(t, s3cas.Options{}, respondXML(deleted{}))
	if err := d.Delete(t.Context(), []string{"a", "b/c"}); err != nil {
		t.Fatalf("Delete: %v", err)
	}
	got := s.requests()[0]
	sum := md5.Sum(got.body)
	if want := base64.StdEncoding.EncodeToString(sum[:]); got.header.Get("Content-Md5") != want {
		t.Errorf("Content-MD5: got %q, want %q of the body", got.header.Get("Content-Md5"), want)
	}
	wantPlain(t, got)
	if hash := got.header.Get("X-Amz-Content-Sha256"); len(hash) != 64 {
		t.Errorf("X-Amz-Content-Sha256: got %q, want the hash of the body", hash)
	}
	var body deletion
	if err := xml.Unmarshal(got.body, &body); err != nil {
		t.Fatal(err)
	}
	want := deletion{Quiet: true, Object: []struct{ Key string }{{"some/prefix/a"}, {"some/prefix/b/c"}}}
	if diff := cmp.Diff(want, body); diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}
}

// Errors of single keys are told apart; what is gone is deleted.
func TestDeleteKeyErrors(t *testing.T) {
	t.Parallel()
	_, d := script(t, s3cas.Options{}, respondXML(deleted{Error: []keyError{
		{"some/prefix/a", "AccessDenied", "locked"},
		{"some/prefix/b", "NoSuchKey", "gone"},
		{"some/prefix/c", "InternalError", "later"},
	}}))
	err := d.Delete(t.Context(), []string{"a", "b", "c", "d", "Not A Key"})
	var each *cas.DeleteError
	if !errors.As(err, &each) || len(each.Failed) != 3 {
		t.Fatalf("Delete: got error %v, want a DeleteError of three keys", err)
	}
	if e := wantDetails(t, each.Failed["a"], s3cas.ReasonDenied, lashstore.ErrReadOnly); e.Key != "some/prefix/a" {
		t.Errorf("a: the error is of key %q", e.Key)
	}
	wantError(t, each.Failed["c"], s3cas.ReasonOther, lashstore.ErrStorage)
	if !errors.Is(each.Failed["Not A Key"], lashstore.ErrInvalid) {
		t.Errorf("not a key: got error %v, want ErrInvalid", each.Failed["Not A Key"])
	}
}

// An error that names no key of ours, or the whole request's, says nothing about any.
func TestDeleteFails(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		step   http.HandlerFunc
		reason s3cas.Reason
	}{
		"another key": {respondXML(deleted{Error: []keyError{{"other", "InternalError", "no"}}}), s3cas.ReasonOther},
		"no key":      {respondXML(deleted{Error: []keyError{{"", "SlowDown", "no"}}}), s3cas.ReasonThrottled},
		"bucket":      {refuse(http.StatusNotFound, "NoSuchBucket", "no"), s3cas.ReasonNoBucket},
	} {
		_, d := script(t, s3cas.Options{}, test.step)
		err := d.Delete(t.Context(), []string{"a", "b"})
		wantError(t, err, test.reason, lashstore.ErrStorage)
		if each := new(cas.DeleteError); errors.As(err, &each) {
			t.Errorf("%s: got %v, want no DeleteError", name, err)
		}
	}
}

// A server without batches gets single requests, and is not asked again.
func TestDeleteWithoutBatches(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"NotImplemented", "MethodNotAllowed"} {
		status := map[string]int{"NotImplemented": http.StatusNotImplemented, "MethodNotAllowed": http.StatusMethodNotAllowed}[code]
		one := func(w http.ResponseWriter, r *http.Request) {
			switch {
			case strings.HasSuffix(r.URL.Path, "/gone"):
				refuse(http.StatusNotFound, "NoSuchKey", "gone")(w, r)
			case strings.HasSuffix(r.URL.Path, "/locked"):
				refuse(http.StatusForbidden, "AccessDenied", "locked")(w, r)
			default:
				w.WriteHeader(http.StatusNoContent)
			}
		}
		steps := slices.Concat([]http.HandlerFunc{refuse(status, code, "no batches")}, times(5, one))
		s, d := script(t, s3cas.Options{}, steps...)
		err := d.Delete(t.Context(), []string{"a", "gone", "locked"})
		var each *cas.DeleteError
		if !errors.As(err, &each) || len(each.Failed) != 1 || !errors.Is(each.Failed["locked"], lashstore.ErrReadOnly) {
			t.Errorf("%s: got error %v, want a DeleteError for the locked key alone", code, err)
		}
		if err := d.Delete(t.Context(), []string{"b", "c"}); err != nil {
			t.Errorf("%s: second Delete: %v", code, err)
		}
		var paths []string
		for _, r := range s.requests()[1:] {
			if r.method != http.MethodDelete {
				t.Errorf("%s: got %s %s, want only single deletions", code, r.method, r.path)
			}
			paths = append(paths, strings.TrimPrefix(r.path, "/bucket/some/prefix/"))
		}
		slices.Sort(paths)
		if diff := cmp.Diff([]string{"a", "b", "c", "gone", "locked"}, paths); diff != "" {
			t.Errorf("%s: deleted (-want +got):\n%s", code, diff)
		}
	}
}

// A context that ends between single deletions is the error of all.
func TestDeleteCanceled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	d := serve(t, s3cas.Options{Concurrency: 1}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			refuse(http.StatusNotImplemented, "NotImplemented", "no batches")(w, r)
			return
		}
		cancel()
		<-r.Context().Done()
	}))
	if err := d.Delete(ctx, []string{"a", "b", "c"}); !errors.Is(err, context.Canceled) {
		t.Errorf("Delete: got error %v, want context.Canceled", err)
	}
}
