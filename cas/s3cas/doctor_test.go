package s3cas_test

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lashstore/lashstore/cas/s3cas"
)

// outcomes lists names and statuses of checks.
func outcomes(checks []s3cas.Check) []string {
	var lines []string
	for _, c := range checks {
		lines = append(lines, c.Name+" "+string(c.Status))
	}
	return lines
}

// find returns the check of that name.
func find(t *testing.T, checks []s3cas.Check, name string) s3cas.Check {
	t.Helper()
	i := slices.IndexFunc(checks, func(c s3cas.Check) bool { return c.Name == name })
	if i < 0 {
		t.Fatalf("no check %s in %v", name, outcomes(checks))
	}
	return checks[i]
}

// probeRun is what a server is asked by a diagnosis that finds nothing wrong, with its
// answers.
func probeRun(uploads http.HandlerFunc) []http.HandlerFunc {
	var last atomic.Value // the body of the newest PUT
	put := func(w http.ResponseWriter, r *http.Request) {
		var b bytes.Buffer
		_, _ = b.ReadFrom(r.Body)
		last.Store(b.Bytes())
		ok(w, r)
	}
	get := func(w http.ResponseWriter, r *http.Request) { respond(http.StatusOK, last.Load().([]byte))(w, r) }
	part := func(w http.ResponseWriter, r *http.Request) {
		respond(http.StatusPartialContent, last.Load().([]byte)[1024:3072], "Content-Range", contentRange(1024, 3072, 4096))(w, r)
	}
	begin := respondXML(begunUpload{ID: "upload"})
	gone := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }
	return []http.HandlerFunc{
		bucketFound, pageOf("", "b3/00/x"), put, get, part, put, get, begin, ok, gone, respondXML(deleted{}),
		func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) },
		uploads,
	}
}

// now is the clock of the tests and of their server.
func now() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }

func bucketFound(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Server", "Bucket/1")
	w.Header().Set("Date", now().Format(http.TimeFormat))
	w.WriteHeader(http.StatusOK)
}

// uploadsSince lists unfinished uploads of these ages.
func uploadsSince(ages ...time.Duration) http.HandlerFunc {
	type upload struct {
		Key       string
		ID        string `xml:"UploadId"`
		Initiated string
	}
	list := struct {
		XMLName xml.Name `xml:"ListMultipartUploadsResult"`
		Upload  []upload
	}{}
	for i, age := range ages {
		list.Upload = append(list.Upload, upload{"k", fmt.Sprint(i), now().Add(-age).Format(time.RFC3339)})
	}
	return respondXML(list)
}

func doctorOptions() s3cas.Options { return s3cas.Options{Now: now} }

// Where all is well, all checks say so, and what was put is removed.
func TestDiagnose(t *testing.T) {
	t.Parallel()
	s, d := script(t, doctorOptions(), probeRun(uploadsSince(time.Hour))...)
	checks := d.Diagnose(t.Context())
	want := []string{
		"credentials ok", "endpoint ok", "clock ok", "bucket ok", "list ok", "put ok", "get ok", "get_range ok",
		"overwrite ok", "multipart ok", "delete ok", "stray_uploads ok",
	}
	if diff := cmp.Diff(want, outcomes(checks)); diff != "" {
		t.Errorf("checks (-want +got):\n%s\n%+v", diff, checks)
	}
	if c := find(t, checks, "credentials"); !strings.Contains(c.Detail, "…2345") || strings.Contains(c.Detail, testKeyID) {
		t.Errorf("credentials: %q, want the end of the key id only", c.Detail)
	}
	if c := find(t, checks, "endpoint"); !strings.Contains(c.Detail, "Bucket/1") {
		t.Errorf("endpoint: %q, want the server's name", c.Detail)
	}
	probe := s.requests()[2].path
	if !strings.HasPrefix(probe, "/bucket/some/prefix/lashstore-doctor/") {
		t.Errorf("the probe was put at %s, want it below the prefix", probe)
	}
	if deletion := string(s.requests()[10].body); !strings.Contains(deletion, strings.TrimPrefix(probe, "/bucket/")) {
		t.Errorf("deleted %s, want the probe %s", deletion, probe)
	}
	_, other := script(t, doctorOptions(), probeRun(uploadsSince())...)
	again := other.Diagnose(t.Context())
	if find(t, again, "put").Detail == find(t, checks, "put").Detail {
		t.Errorf("two probes have the same name: %s", find(t, again, "put").Detail)
	}
}

// What needs something that failed is skipped, and the failure says what to do.
func TestDiagnoseFailures(t *testing.T) {
	t.Parallel()
	bare := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }
	}
	for name, test := range map[string]struct {
		steps []http.HandlerFunc
		check string
		hint  string
	}{
		"no bucket":    {[]http.HandlerFunc{bare(http.StatusNotFound)}, "bucket", "create the bucket"},
		"wrong secret": {[]http.HandlerFunc{bare(http.StatusForbidden), refuse(403, "SignatureDoesNotMatch", "no")}, "bucket", "AWS_SECRET_ACCESS_KEY"},
		"unknown key":  {[]http.HandlerFunc{bare(http.StatusForbidden), refuse(403, "InvalidAccessKeyId", "no")}, "bucket", "AWS_ACCESS_KEY_ID"},
		"wrong region": {[]http.HandlerFunc{bare(http.StatusMovedPermanently), refuse(301, "PermanentRedirect", "no")}, "bucket", "region"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, d := script(t, doctorOptions(), test.steps...)
			checks := d.Diagnose(t.Context())
			if c := find(t, checks, test.check); c.Status != s3cas.StatusFailed || !strings.Contains(c.Hint, test.hint) {
				t.Errorf("%s: got %+v, want a failure with a hint that says %q", test.check, c, test.hint)
			}
			if c := find(t, checks, "put"); c.Status != s3cas.StatusSkipped {
				t.Errorf("put: got %+v, want it skipped", c)
			}
			if c := find(t, checks, "endpoint"); c.Status != s3cas.StatusOK {
				t.Errorf("endpoint: got %+v, want ok: it answers", c)
			}
		})
	}
	_, d := script(t, s3cas.Options{Credentials: brokenChain{}})
	checks := d.Diagnose(t.Context())
	if c := find(t, checks, "credentials"); c.Status != s3cas.StatusFailed || c.Hint == "" {
		t.Errorf("credentials: got %+v, want a failure with a hint", c)
	}
	for _, c := range checks[1:] {
		if c.Status != s3cas.StatusSkipped {
			t.Errorf("%s: got %+v, want it skipped", c.Name, c)
		}
	}
}

// Everything below an endpoint that does not answer is skipped.
func TestDiagnoseUnreachable(t *testing.T) {
	t.Parallel()
	address := nobody(t)
	d := open(t, s3cas.Location{Bucket: "bucket", Endpoint: "http://" + address}, doctorOptions())
	checks := d.Diagnose(t.Context())
	if c := find(t, checks, "endpoint"); c.Status != s3cas.StatusFailed || !strings.Contains(c.Hint, address) {
		t.Errorf("endpoint: got %+v, want a failure that names it", c)
	}
	for _, c := range checks[2:] {
		if c.Status != s3cas.StatusSkipped {
			t.Errorf("%s: got %+v, want it skipped", c.Name, c)
		}
	}
}

// What works and is still wrong is a warning.
func TestDiagnoseWarnings(t *testing.T) {
	t.Parallel()
	late := doctorOptions()
	late.Now = func() time.Time { return now().Add(-10 * time.Minute) }
	_, d := script(t, late, probeRun(uploadsSince(time.Hour, 25*time.Hour, 50*time.Hour))...)
	checks := d.Diagnose(t.Context())
	if c := find(t, checks, "clock"); c.Status != s3cas.StatusWarning || !strings.Contains(c.Detail, "10m0s") {
		t.Errorf("clock: got %+v, want a warning of ten minutes", c)
	}
	// Judged by the server's clock.
	if c := find(t, checks, "stray_uploads"); c.Status != s3cas.StatusWarning ||
		!strings.Contains(c.Detail, "3 unfinished uploads, 2 of them") || !strings.Contains(c.Detail, "50h0m0s") {
		t.Errorf("stray_uploads: got %+v, want a warning of two", c)
	}
	steps := probeRun(refuse(http.StatusNotImplemented, "NotImplemented", "no"))
	steps[0] = func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Amz-Bucket-Region", "eu-west-1")
		bucketFound(w, r)
	}
	_, d = script(t, doctorOptions(), steps...)
	checks = d.Diagnose(t.Context())
	if c := find(t, checks, "bucket"); c.Status != s3cas.StatusWarning || c.Hint != "set region=eu-west-1" {
		t.Errorf("bucket: got %+v, want a warning of the region", c)
	}
	if c := find(t, checks, "stray_uploads"); c.Status != s3cas.StatusSkipped {
		t.Errorf("stray_uploads: got %+v, want it skipped where the server has no list", c)
	}
}

// A server that gives back other bytes than it was given fails, and the probe object
// is removed nevertheless.
func TestDiagnoseCleansUp(t *testing.T) {
	t.Parallel()
	var deletions atomic.Int32
	gone := func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodDelete && strings.Contains(r.URL.Path, "lashstore-doctor/") {
			deletions.Add(1)
		}
		w.WriteHeader(http.StatusNoContent)
	}
	refused := refuse(http.StatusForbidden, "AccessDenied", "no")
	_, d := script(t, doctorOptions(),
		bucketFound, refused /* list */, ok, respond(http.StatusOK, []byte("other bytes")),
		refused /* multipart */, refused /* delete */, refused /* uploads */, gone)
	checks := d.Diagnose(t.Context())
	want := []string{
		"credentials ok", "endpoint ok", "clock ok", "bucket ok", "list failed", "put ok", "get failed", "get_range skipped",
		"overwrite skipped", "multipart failed", "delete failed", "stray_uploads failed",
	}
	if diff := cmp.Diff(want, outcomes(checks)); diff != "" {
		t.Errorf("checks (-want +got):\n%s", diff)
	}
	if n := deletions.Load(); n != 1 {
		t.Errorf("%d deletions of the probe, want one more try at the end", n)
	}
	_, d = script(t, doctorOptions(),
		bucketFound, pageOf(""), refused /* put */, uploadsSince(), refused /* the probe may be there */)
	checks = d.Diagnose(t.Context())
	if c := find(t, checks, "clean_up"); c.Status != s3cas.StatusFailed || !strings.Contains(c.Detail, "lashstore-doctor/") {
		t.Errorf("clean_up: got %+v, want that the object is named", c)
	}
}

// A read-only driver writes nothing.
func TestDiagnoseReadOnly(t *testing.T) {
	t.Parallel()
	opts := doctorOptions()
	opts.ReadOnly = true
	_, d := script(t, opts, bucketFound, pageOf(""), uploadsSince())
	checks := d.Diagnose(t.Context())
	for _, name := range []string{"put", "get", "get_range", "overwrite", "multipart", "delete"} {
		if c := find(t, checks, name); c.Status != s3cas.StatusSkipped {
			t.Errorf("%s: got %+v, want it skipped", name, c)
		}
	}
}

// A bucket that may not be looked at can be used all the same; a server that keeps
// what was deleted, or an old version of what was replaced, cannot.
func TestDiagnoseObjects(t *testing.T) {
	t.Parallel()
	steps := probeRun(uploadsSince())
	denied := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }
	refused := refuse(http.StatusForbidden, "AccessDenied", "no")
	steps = slices.Concat([]http.HandlerFunc{denied, refused, refused}, steps[2:])
	steps[7] = respond(http.StatusOK, make([]byte, 4096))
	steps[12] = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Last-Modified", now().Format(http.TimeFormat))
		w.Header().Set("Content-Length", "4096")
	}
	_, d := script(t, doctorOptions(), steps...)
	checks := d.Diagnose(t.Context())
	for name, hint := range map[string]string{
		"bucket": "s3:ListBucket", "list": "s3:ListBucket", "overwrite": "do not store", "delete": "keeps deleted",
	} {
		want := s3cas.StatusFailed
		if name == "bucket" {
			want = s3cas.StatusWarning
		}
		if c := find(t, checks, name); c.Status != want || !strings.Contains(c.Hint+c.Detail, hint) {
			t.Errorf("%s: got %+v, want %s and %q", name, c, want, hint)
		}
	}
}
