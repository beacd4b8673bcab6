package s3cas_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas/s3cas"
)

// What is read is written back so that it is read as the same location.
func TestParseURL(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		text, back string
		want       s3cas.Location
	}{
		{"s3://my-bucket", "", s3cas.Location{Bucket: "my-bucket"}},
		{"s3://my-bucket/", "s3://my-bucket", s3cas.Location{Bucket: "my-bucket"}},
		{"s3://my.bucket/a/b_c", "", s3cas.Location{Bucket: "my.bucket", Prefix: "a/b_c"}},
		{"s3://my-bucket/a/", "s3://my-bucket/a", s3cas.Location{Bucket: "my-bucket", Prefix: "a"}},
		{
			"s3://lashstore/t?endpoint=http://127.0.0.1:9000&path_style=1&region=us-east-1",
			"s3://lashstore/t?endpoint=http%3A%2F%2F127.0.0.1%3A9000&path_style=true&region=us-east-1",
			s3cas.Location{
				Bucket: "lashstore", Prefix: "t", Endpoint: "http://127.0.0.1:9000", Region: "us-east-1", PathStyle: s3cas.PathStyleOn,
			},
		},
		{
			"s3://lashstore?endpoint=https%3A%2F%2Fs3.example.com%2Fgateway&path_style=false", "",
			s3cas.Location{Bucket: "lashstore", Endpoint: "https://s3.example.com/gateway", PathStyle: s3cas.PathStyleOff},
		},
		{
			"s3://lashstore?endpoint=http%3A%2F%2F%5B%3A%3A1%5D%3A9000", "",
			s3cas.Location{Bucket: "lashstore", Endpoint: "http://[::1]:9000"},
		},
	} {
		got, err := s3cas.ParseURL(test.text)
		if err != nil {
			t.Errorf("ParseURL(%q): %v", test.text, err)
			continue
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("ParseURL(%q) (-want +got):\n%s", test.text, diff)
		}
		back := test.back
		if back == "" {
			back = test.text
		}
		if got.String() != back {
			t.Errorf("ParseURL(%q).String(): got %q, want %q", test.text, got, back)
		}
	}
}

// A mistake is ErrInvalid and names what is wrong; nothing that may be a secret is
// repeated.
func TestParseURLRefuses(t *testing.T) {
	t.Parallel()
	for text, names := range map[string]string{
		"":                                            "s3 url",
		"bucket/prefix":                               "s3 url",
		"http://bucket/prefix":                        "s3 url",
		"s3:bucket":                                   "s3 url",
		"s3://bucket#x":                               "fragment",
		"s3://bucket#":                                "fragment",
		"s3://bucket\n":                               "s3 url",
		"s3://key:hush@bucket":                        "credentials",
		"s3://hush@bucket":                            "credentials",
		"s3://key:hush%zz@bucket":                     "s3 url",
		"s3:key:hush@bucket":                          "credentials",
		"s3://bucket:9000":                            "endpoint=",
		"s3://":                                       "bucket",
		"s3://ab":                                     "bucket",
		"s3://" + strings.Repeat("a", 64):             "bucket",
		"s3://Bucket":                                 "bucket",
		"s3://my_bucket":                              "bucket",
		"s3://-bucket":                                "bucket",
		"s3://bucket-":                                "bucket",
		"s3://bu..cket":                               "bucket",
		"s3://10.0.0.1":                               "bucket",
		"s3://xn--bucket":                             "bucket",
		"s3://bucket-s3alias":                         "bucket",
		"s3://bucket--usw2-az1--x-s3":                 "bucket",
		"s3://bucket//":                               "prefix",
		"s3://bucket/a//b":                            "prefix",
		"s3://bucket/a//":                             "prefix",
		"s3://bucket/A":                               "prefix",
		"s3://bucket/a%2fb":                           "prefix",
		"s3://bucket/../x":                            "prefix",
		"s3://bucket/.x":                              "prefix",
		"s3://bucket/" + long(600):                    "prefix",
		"s3://bucket?prefix=hush":                     "parameter",
		"s3://bucket?secret_key=hush":                 "parameter",
		"s3://bucket?region=a&region=b":               "region",
		"s3://bucket?region=":                         "region",
		"s3://bucket?region=EU":                       "region",
		"s3://bucket?region=" + long(65):              "region",
		"s3://bucket?path_style=maybe":                "path_style",
		"s3://bucket?endpoint=127.0.0.1":              "endpoint",
		"s3://bucket?endpoint=ftp://h":                "endpoint",
		"s3://bucket?endpoint=http://":                "endpoint",
		"s3://bucket?endpoint=http://h/a//":           "endpoint",
		"s3://bucket?endpoint=http://h?hush=1":        "endpoint",
		"s3://bucket?endpoint=http://key:hush@h:9000": "credentials",
		"s3://bucket?a=%zz":                           "parameters",
		"s3://bucket/" + long(5000):                   "s3 url",
	} {
		_, err := s3cas.ParseURL(text)
		if !errors.Is(err, lashstore.ErrInvalid) {
			t.Errorf("ParseURL(%q): got error %v, want ErrInvalid", text, err)
			continue
		}
		if !strings.Contains(err.Error(), names) || strings.Contains(err.Error(), "hush") {
			t.Errorf("ParseURL(%q): got error %q, want one that names %q and no secret", text, err, names)
		}
	}
}

func long(n int) string { return strings.Repeat("a", n) }

// A location that is made without a URL is checked as well, and all of it.
func TestLocationValidate(t *testing.T) {
	t.Parallel()
	err := s3cas.Location{Bucket: "B", Prefix: "/", Endpoint: "x", Region: "?", PathStyle: "perhaps"}.Validate()
	for _, field := range []string{"bucket", "prefix", "endpoint", "region", "path_style"} {
		if err == nil || !strings.Contains(err.Error(), field+" ") {
			t.Errorf("Validate: got %v, want a complaint about %s", err, field)
		}
	}
}

// Whatever is read is valid, and is read back from what it writes.
func FuzzParseURL(f *testing.F) {
	for _, text := range []string{
		"s3://bucket/prefix?endpoint=http://127.0.0.1:9000&region=us-east-1&path_style=true",
		"s3://bucket", "s3://bucket/a/b/", "s3://u:p@bucket", "s3://bucket?endpoint=https://[::1]:1/x",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		loc, err := s3cas.ParseURL(text)
		if err != nil {
			if !errors.Is(err, lashstore.ErrInvalid) {
				t.Fatalf("ParseURL(%q): got error %v, want ErrInvalid", text, err)
			}
			return
		}
		if err := loc.Validate(); err != nil {
			t.Errorf("ParseURL(%q) is not valid: %v", text, err)
		}
		again, err := s3cas.ParseURL(loc.String())
		if err != nil || again != loc {
			t.Errorf("ParseURL(%q): wrote %q, which is read as %+v, %v", text, loc, again, err)
		}
	})
}
