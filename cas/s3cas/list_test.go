package s3cas_test

import (
	"encoding/xml"
	"errors"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
	"github.com/lashstore/lashstore/cas/s3cas"
)

// page is an answer to ListObjectsV2.
type page struct {
	XMLName               xml.Name `xml:"ListBucketResult"`
	EncodingType          string   `xml:",omitempty"`
	IsTruncated           bool
	NextContinuationToken string `xml:",omitempty"`
	Contents              []entry
}

type entry struct {
	Key          string
	LastModified string `xml:",omitempty"`
	Size         int64
}

// pageOf lists keys below the prefix of the tests.
func pageOf(next string, keys ...string) http.HandlerFunc {
	p := page{IsTruncated: next != "", NextContinuationToken: next}
	for i, key := range keys {
		p.Contents = append(p.Contents, entry{"some/prefix/" + key, "2006-01-02T15:04:05.678Z", int64(i)})
	}
	return respondXML(p)
}

func keysOf(infos []cas.ObjectInfo) []string {
	var keys []string
	for _, info := range infos {
		keys = append(keys, info.Key)
	}
	return keys
}

func wantKeys(t *testing.T, got []cas.ObjectInfo, err error, want ...string) {
	t.Helper()
	if err != nil {
		t.Errorf("List: %v", err)
		return
	}
	if diff := cmp.Diff(want, keysOf(got)); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
}

// A list asks for as many pages as it needs and no more, and passes on where each
// begins.
func TestListPages(t *testing.T) {
	t.Parallel()
	s, d := script(t, s3cas.Options{}, pageOf("t1", "a/1", "a/2"), pageOf("t2"), pageOf("", "a/3"))
	got, err := d.List(t.Context(), "a/", "a/0", 1500)
	wantKeys(t, got, err, "a/1", "a/2", "a/3")
	if want := time.Date(2006, 1, 2, 15, 4, 5, 0, time.UTC); err == nil && (got[1].SizeBytes != 1 || !got[1].ModTime.Equal(want)) {
		t.Errorf("got %+v, want size 1 and the time %s", got[1], want)
	}
	for i, want := range []url.Values{
		{"prefix": {"some/prefix/a/"}, "start-after": {"some/prefix/a/0"}, "max-keys": {"1000"}},
		{"prefix": {"some/prefix/a/"}, "continuation-token": {"t1"}, "max-keys": {"1000"}},
		{"prefix": {"some/prefix/a/"}, "continuation-token": {"t2"}, "max-keys": {"1000"}},
	} {
		query, err := url.ParseQuery(s.requests()[i].query)
		if err != nil {
			t.Fatal(err)
		}
		want["list-type"], want["encoding-type"] = []string{"2"}, []string{"url"}
		if diff := cmp.Diff(want, query); diff != "" {
			t.Errorf("request %d (-want +got):\n%s", i, diff)
		}
	}
	s, d = script(t, s3cas.Options{}, pageOf("t1", "a", "b"))
	got, err = d.List(t.Context(), "", "", 2)
	wantKeys(t, got, err, "a", "b")
	if query, err := url.ParseQuery(s.requests()[0].query); err != nil || query.Get("max-keys") != "2" {
		t.Errorf("asked for %q, %v, want two keys", query.Get("max-keys"), err)
	}
}

// What a server lists beyond what was asked for is left out: keys before the start,
// outside the prefix, and above the limit.
func TestListFilters(t *testing.T) {
	t.Parallel()
	_, d := script(t, s3cas.Options{},
		pageOf("", "", "a", "b", "c"), pageOf("", "a", "b", "c"), pageOf("", "a", "ab", "b"), pageOf("", "a", "b", "c"))
	got, err := d.List(t.Context(), "", "", 10)
	wantKeys(t, got, err, "a", "b", "c") // the folder's own marker has no key
	got, err = d.List(t.Context(), "", "b", 10)
	wantKeys(t, got, err, "c")
	got, err = d.List(t.Context(), "a", "", 10)
	wantKeys(t, got, err, "a", "ab")
	got, err = d.List(t.Context(), "", "", 2)
	wantKeys(t, got, err, "a", "b")
}

// A start outside the prefix is not left to the server.
func TestListStartOutside(t *testing.T) {
	t.Parallel()
	s, d := script(t, s3cas.Options{}, pageOf("", "b1"))
	got, err := d.List(t.Context(), "b", "a", 10)
	wantKeys(t, got, err, "b1")
	if query, err := url.ParseQuery(s.requests()[0].query); err != nil || query.Has("start-after") {
		t.Errorf("sent %v, %v, want no start", query, err)
	}
	got, err = d.List(t.Context(), "b", "c", 10) // sends nothing
	wantKeys(t, got, err)
}

// Keys of others are listed as they are, whatever they hold.
func TestListForeignKeys(t *testing.T) {
	t.Parallel()
	odd := []string{"a\x01b", "a b", "a%2fb", "a+b", "aä", "a\u2028", "b<&>"}
	encoded := page{EncodingType: "url"}
	for _, key := range odd {
		encoded.Contents = append(encoded.Contents, entry{url.QueryEscape("some/prefix/" + key), "2006-01-02T15:04:05Z", 1})
	}
	_, d := script(t, s3cas.Options{}, respondXML(encoded), pageOf("", "a b", "a%2fb", "a+b"))
	got, err := d.List(t.Context(), "", "", 100)
	wantKeys(t, got, err, odd...)
	got, err = d.List(t.Context(), "", "", 100) // a server that encodes nothing
	wantKeys(t, got, err, "a b", "a%2fb", "a+b")
}

// Prefixes and starts that a request cannot carry are cut, and the rest is filtered.
func TestListOddPrefix(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ prefix, after, sentPrefix, sentAfter string }{
		{"a\xff", "", "some/prefix/a", ""},
		{"a\x00b", "", "some/prefix/a", ""},
		{"", "a\xffz", "some/prefix/", "some/prefix/a"},
		{"", "aä\x7f", "some/prefix/", "some/prefix/aä"},
	} {
		s, d := script(t, s3cas.Options{}, pageOf("", "a", "ab", "b"))
		got, err := d.List(t.Context(), test.prefix, test.after, 10)
		if test.prefix != "" {
			wantKeys(t, got, err)
		} else {
			wantKeys(t, got, err, "b")
		}
		query, err := url.ParseQuery(s.requests()[0].query)
		if err != nil || query.Get("prefix") != test.sentPrefix || query.Get("start-after") != test.sentAfter {
			t.Errorf("prefix %q after %q: sent %v, %v, want %q and %q", test.prefix, test.after, query, err, test.sentPrefix, test.sentAfter)
		}
	}
	_, d := script(t, s3cas.Options{}, refuse(http.StatusBadRequest, "XMinioInvalidResourceName", "bad components"))
	got, err := d.List(t.Context(), "../", "", 10)
	wantKeys(t, got, err)
}

// A list that cannot be trusted is an error: callers page by its last key.
func TestListBroken(t *testing.T) {
	t.Parallel()
	for name, steps := range map[string][]http.HandlerFunc{
		"out of order":       {pageOf("", "b", "a")},
		"twice":              {pageOf("", "a", "a")},
		"order across pages": {pageOf("t1", "b"), pageOf("", "a")},
		"no token":           {respondXML(page{IsTruncated: true})},
		"same token":         {pageOf("t1", "a"), pageOf("t1", "b")},
		"no time":            {respondXML(page{Contents: []entry{{Key: "some/prefix/a"}}})},
		"bad encoding":       {respondXML(page{EncodingType: "url", Contents: []entry{{Key: "some/prefix/%zz"}}})},
		"html":               times(1, respond(http.StatusBadRequest, []byte("<html>bad</html>"))),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, d := script(t, s3cas.Options{}, steps...)
			got, err := d.List(t.Context(), "", "", 10)
			if len(got) != 0 {
				t.Errorf("got %d objects beside the error", len(got))
			}
			wantError(t, err, s3cas.ReasonNotS3, lashstore.ErrStorage)
		})
	}
}

// A limit that no caller may give is refused.
func TestListLimit(t *testing.T) {
	t.Parallel()
	_, d := script(t, s3cas.Options{})
	for _, limit := range []int{0, -1} {
		if _, err := d.List(t.Context(), "", "", limit); !errors.Is(err, lashstore.ErrInvalid) {
			t.Errorf("limit %d: got error %v, want ErrInvalid", limit, err)
		}
	}
}
