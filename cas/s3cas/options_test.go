package s3cas_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas/s3cas"
)

// All fields that are wrong are named at once.
func TestOptionsValidate(t *testing.T) {
	t.Parallel()
	bad := s3cas.Options{
		Concurrency: -1, MaxAttempts: 21, AttemptTimeout: -1, StallTimeout: 2 * time.Hour, SinglePutBytes: -1, PartBytes: 1 << 20,
	}
	_, err := s3cas.Open(t.Context(), s3cas.Location{Bucket: "bucket"}, bad)
	if !errors.Is(err, lashstore.ErrInvalid) {
		t.Fatalf("Open: got error %v, want ErrInvalid", err)
	}
	for _, field := range []string{"concurrency", "max_attempts", "attempt_timeout", "stall_timeout", "single_put_bytes", "part_bytes"} {
		if !strings.Contains(err.Error(), field+" ") {
			t.Errorf("got %v, want a complaint about %s", err, field)
		}
	}
	if err := (s3cas.Options{}).Validate(); err != nil {
		t.Errorf("the zero value: %v", err)
	}
}

// The SDK's environment fills what the location leaves out, and a region has to be
// known only for AWS.
func TestOpenEnvironment(t *testing.T) {
	opts := s3cas.Options{Credentials: credentials.NewStaticCredentialsProvider(testKeyID, testSecret, "")}
	_, err := s3cas.Open(t.Context(), s3cas.Location{Bucket: "bucket"}, opts)
	if !errors.Is(err, lashstore.ErrInvalid) || !strings.Contains(err.Error(), "AWS_REGION") {
		t.Errorf("no region: got error %v, want one that says how to set it", err)
	}
	where := func(loc s3cas.Location) s3cas.Location {
		t.Helper()
		d, err := s3cas.Open(t.Context(), loc, opts)
		if err != nil {
			t.Fatalf("Open %s: %v", loc, err)
		}
		if err := d.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		return d.Location()
	}
	ours := s3cas.Location{Bucket: "bucket", Endpoint: "http://127.0.0.1:9"}
	if got := where(ours); got.Region != "us-east-1" {
		t.Errorf("region for an endpoint of one's own: got %q, want us-east-1", got.Region)
	}
	t.Setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:19")
	if got := where(s3cas.Location{Bucket: "bucket"}); got.Endpoint != "http://127.0.0.1:19" || got.Region != "us-east-1" {
		t.Errorf("got %+v, want the endpoint of the environment and us-east-1", got)
	}
	t.Setenv("AWS_REGION", "eu-west-3")
	if got := where(ours); got.Region != "eu-west-3" || got.Endpoint != ours.Endpoint {
		t.Errorf("got %+v, want the region of the environment and the location's endpoint", got)
	}
	ours.Region = "eu-west-1"
	if got := where(ours); got.Region != "eu-west-1" {
		t.Errorf("got %+v, want the location's region", got)
	}
	t.Setenv("AWS_CA_BUNDLE", "/no/such/file")
	if _, err := s3cas.Open(t.Context(), ours, opts); !errors.Is(err, lashstore.ErrStorage) {
		t.Errorf("a missing AWS_CA_BUNDLE: got error %v, want ErrStorage", err)
	}
}

// The bucket is in the path for an endpoint of one's own unless told otherwise.
func TestPathStyle(t *testing.T) {
	t.Parallel()
	for style, want := range map[s3cas.PathStyle]string{
		s3cas.PathStyleAuto: "server/bucket/k", s3cas.PathStyleOn: "server/bucket/k", s3cas.PathStyleOff: "bucket.server/k",
	} {
		var got string
		d := open(t, s3cas.Location{Bucket: "bucket", Endpoint: "http://server", PathStyle: style}, s3cas.Options{
			Transport: recordHost{&got}, MaxAttempts: 1,
		})
		if err := d.Put(t.Context(), "k", nil); err == nil {
			t.Fatal("Put succeeded without a server")
		}
		if got != want {
			t.Errorf("path style %q: sent to %s, want %s", style, got, want)
		}
	}
}

// Requests, repetitions and bytes are counted; drivers that share a registerer count
// together.
func TestMetrics(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	busy := refuse(http.StatusServiceUnavailable, "SlowDown", "slower")
	_, d := script(t, s3cas.Options{Metrics: reg}, busy, ok, // Put
		breakAfter(http.StatusOK, []byte("body"), 1), respond(http.StatusOK, []byte("body")), // Get
		refuse(http.StatusNotFound, "NoSuchKey", "absent"))
	if err := d.Put(t.Context(), "k", []byte("12345")); err != nil {
		t.Fatalf("Put: %v", err)
	}
	if _, err := readAll(t, d, "k", 0, -1); err != nil {
		t.Fatalf("Get: %v", err)
	}
	if _, err := readAll(t, d, "k", 0, -1); err == nil {
		t.Fatal("the absent object was read")
	}
	_, second := script(t, s3cas.Options{Metrics: reg}, refuse(http.StatusForbidden, "AccessDenied", "no"))
	if err := second.Put(t.Context(), "k", nil); err == nil {
		t.Fatal("Put succeeded")
	}
	want := map[string]float64{
		"lashstore_s3_bytes_total received":                4,
		"lashstore_s3_bytes_total sent":                    5,
		"lashstore_s3_in_flight":                           0,
		"lashstore_s3_requests_total get_object ok":        2,
		"lashstore_s3_requests_total get_object not_found": 1,
		"lashstore_s3_requests_total put_object ok":        1,
		"lashstore_s3_requests_total put_object denied":    1,
		"lashstore_s3_retries_total":                       2,
		"lashstore_s3_request_seconds get_object":          3,
		"lashstore_s3_request_seconds put_object":          2,
	}
	if diff := cmp.Diff(want, gathered(t, reg)); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
	clash := prometheus.NewRegistry()
	clash.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: "lashstore_s3_in_flight", Help: "Something else."}))
	if _, err := s3cas.Open(t.Context(), s3cas.Location{Bucket: "bucket", Endpoint: "http://h"}, s3cas.Options{Metrics: clash}); err == nil {
		t.Error("Open succeeded although a metric's name is taken")
	}
}

// gathered returns the values of all metrics, by name and labels; of histograms, how
// often they were observed.
func gathered(t *testing.T, reg *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := make(map[string]float64)
	for _, family := range families {
		for _, m := range family.GetMetric() {
			name := family.GetName()
			for _, label := range m.GetLabel() {
				name += " " + label.GetValue()
			}
			values[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return values
}
