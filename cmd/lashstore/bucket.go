package main

import (
	"net"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas/s3cas"
)

// The kinds of buckets.
const (
	schemeS3   = "s3"
	schemeFile = "file"
)

// bucket is where large content goes. The zero value is a folder in the data
// directory.
type bucket struct {
	scheme string
	s3     s3cas.Location // schemeS3
	folder string         // schemeFile: an absolute path
}

// hasScheme reports whether a URL has one of ours. As in any URL, case is no matter.
func hasScheme(text, scheme string) bool {
	got, _, found := strings.Cut(text, "://")
	return found && strings.EqualFold(got, scheme)
}

// parseBucket makes a bucket of --bucket and the flags that go with it. What the URL
// says and what another flag says must not differ: which of them was meant cannot be
// known, and the wrong one would be written to.
func (g *globalFlags) parseBucket() (bucket, error) {
	switch {
	case g.bucket == "":
		return bucket{}, nil
	case hasScheme(g.bucket, schemeFile):
		folder, err := parseFolder(g.bucket)
		return bucket{scheme: schemeFile, folder: folder}, err
	case !hasScheme(g.bucket, schemeS3):
		// Not repeated: what is not understood may hold a secret.
		return bucket{}, lashstore.Invalid(flagBucket, "", "is neither s3://BUCKET/PREFIX nor file:///FOLDER")
	}
	loc, err := s3cas.ParseURL(g.bucket)
	if err != nil {
		return bucket{}, err
	}
	pathStyle := g.s3PathStyle.value
	if pathStyle == pathStyleAuto {
		pathStyle = ""
	}
	for _, m := range []struct {
		flag string
		from string
		into *string
		same func(a, b string) bool
	}{
		{flagS3Endpoint, g.s3Endpoint, &loc.Endpoint, func(a, b string) bool { return normalEndpoint(a) == normalEndpoint(b) }},
		{flagS3Region, g.s3Region, &loc.Region, func(a, b string) bool { return a == b }},
		{flagS3PathStyle, pathStyle, (*string)(&loc.PathStyle), func(a, b string) bool { return a == b }},
	} {
		switch {
		case m.from == "":
		case *m.into == "":
			*m.into = m.from
		case !m.same(m.from, *m.into):
			return bucket{}, usagef("--%s (or %s) and the URL of the bucket do not say the same", m.flag, environmentKey(m.flag))
		}
	}
	return bucket{scheme: schemeS3, s3: loc}, loc.Validate()
}

// parseFolder reads file:///FOLDER.
func parseFolder(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || u.User != nil || u.Host != "" || u.RawQuery != "" || u.ForceQuery || strings.Contains(text, "#") ||
		!filepath.IsAbs(filepath.FromSlash(u.Path)) {
		return "", lashstore.Invalid(flagBucket, "", "has not the form file:///FOLDER, with an absolute path and nothing else")
	}
	return filepath.Clean(filepath.FromSlash(u.Path)), nil
}

// String returns what --bucket reads back. It holds no secrets.
func (b bucket) String() string {
	switch b.scheme {
	case schemeS3:
		return b.s3.String()
	case schemeFile:
		return (&url.URL{Scheme: schemeFile, Path: filepath.ToSlash(b.folder)}).String()
	default:
		return ""
	}
}

// below returns a bucket inside this one: a longer prefix, or a folder in the folder.
func (b bucket) below(name string) bucket {
	switch b.scheme {
	case schemeS3:
		b.s3.Prefix = strings.TrimPrefix(b.s3.Prefix+"/"+name, "/")
	case schemeFile:
		b.folder = filepath.Join(b.folder, name)
	}
	return b
}

// tierName names a place in S3 for the guard of the data directory: the server, the
// bucket and the prefix, however they were written. How the bucket is reached, by
// region and style, may change.
func tierName(loc s3cas.Location) string {
	return s3cas.Location{Bucket: loc.Bucket, Prefix: loc.Prefix, Endpoint: normalEndpoint(loc.Endpoint)}.String()
}

// normalEndpoint writes equal addresses equally, without what may be a secret: the
// address may be that of the AWS configuration, which nobody has checked.
func normalEndpoint(text string) string {
	if text == "" {
		return ""
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return "-" // no address, and not that of AWS
	}
	host, port := strings.ToLower(u.Hostname()), u.Port()
	if u.Scheme == "http" && port == "80" || u.Scheme == "https" && port == "443" {
		port = ""
	}
	switch {
	case port != "":
		host = net.JoinHostPort(host, port)
	case strings.Contains(host, ":"):
		host = "[" + host + "]"
	}
	return u.Scheme + "://" + host + strings.TrimSuffix(u.Path, "/")
}
