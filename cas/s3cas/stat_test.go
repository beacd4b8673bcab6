package s3cas_test

import (
	"errors"
	"net/http"
	"testing"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
	"github.com/lashstore/lashstore/cas/s3cas"
)

// Stat tells an absent object from an absent bucket, at the price of one request.
func TestStat(t *testing.T) {
	t.Parallel()
	bare := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }
	}
	_, d := script(t, s3cas.Options{}, bare(http.StatusNotFound), bare(http.StatusNotFound))
	_, err := d.Stat(t.Context(), "k")
	wantError(t, err, s3cas.ReasonNoBucket, lashstore.ErrStorage)

	s, d := script(t, s3cas.Options{},
		bare(http.StatusNotFound), bare(http.StatusOK), // the bucket is there
		bare(http.StatusNotFound), // and not asked for again
		func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "321")
			w.Header().Set("Last-Modified", "Mon, 02 Jan 2006 15:04:05 GMT")
		},
		bare(http.StatusForbidden),
	)
	for range 2 {
		if _, err := d.Stat(t.Context(), "k"); !errors.Is(err, cas.ErrObjectNotFound) {
			t.Errorf("Stat: got error %v, want ErrObjectNotFound", err)
		}
	}
	if got := s.requests()[1]; got.path != "/bucket" || got.method != http.MethodHead {
		t.Errorf("second request: %s %s, want HEAD of the bucket", got.method, got.path)
	}
	info, err := d.Stat(t.Context(), "k")
	if err != nil || info.Key != "k" || info.SizeBytes != 321 || info.ModTime.Unix() != 1136214245 {
		t.Errorf("Stat: got %+v, %v, want 321 bytes of that time", info, err)
	}
	_, err = d.Stat(t.Context(), "k")
	wantError(t, err, s3cas.ReasonDenied, lashstore.ErrStorage)
}
