package s3cas

import (
	"errors"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
)

// PathStyle says where a request names its bucket.
type PathStyle string

// The ways to name the bucket in a request.
const (
	// PathStyleAuto is path style for an endpoint that was chosen, virtual hosts for
	// AWS: few servers of one's own have a DNS name per bucket.
	PathStyleAuto PathStyle = ""
	// PathStyleOn names the bucket in the path: https://endpoint/bucket/key.
	PathStyleOn PathStyle = "true"
	// PathStyleOff names it in the host: https://bucket.endpoint/key.
	PathStyleOff PathStyle = "false"
)

const (
	// scheme is that of a location's URL.
	scheme = "s3"
	// maxPrefixBytes leaves room for a slash and the longest key below S3's limit of
	// 1,024 bytes (Amazon S3 user guide, "Naming Amazon S3 objects").
	maxPrefixBytes = 1024 - 1 - cas.MaxKeyBytes
	// maxURLBytes bounds what is parsed: bucket, prefix and a host name of 255 bytes
	// fit several times.
	maxURLBytes = 4096
	// maxRegionBytes is generous: AWS's longest has 15.
	maxRegionBytes = 64
	// Lengths of a bucket's name (Amazon S3 user guide, "General purpose bucket
	// naming rules").
	minBucketBytes, maxBucketBytes = 3, 63
)

// The parameters of a location's URL.
const (
	paramEndpoint  = "endpoint"
	paramRegion    = "region"
	paramPathStyle = "path_style"
)

// Location says where the objects of a store lie. It holds no credentials.
type Location struct {
	// Bucket is the bucket's name; required.
	Bucket string
	// Prefix is put before every key, with a slash between; empty for none. It obeys
	// [cas.ValidateKey].
	Prefix string
	// Endpoint is the server's address, for example "http://127.0.0.1:9000"; empty
	// means what the SDK finds (AWS_ENDPOINT_URL_S3, a profile), else AWS.
	Endpoint string
	// Region is the bucket's; empty means what the SDK finds (AWS_REGION, a profile),
	// else us-east-1 for an endpoint of one's own.
	Region string
	// PathStyle is how requests name the bucket.
	PathStyle PathStyle
}

// ParseURL reads a location:
//
//	s3://bucket[/prefix][?endpoint=URL&region=NAME&path_style=true|false]
//
// A slash at the end of the prefix is allowed and means nothing. Every other
// deviation is a [*lashstore.InvalidError], which never repeats what may be a
// secret: credentials have no place in a location, since locations are printed.
func ParseURL(text string) (Location, error) {
	if len(text) > maxURLBytes {
		return Location{}, lashstore.Invalid("s3 url", "", "has %d bytes, more than %d", len(text), maxURLBytes)
	}
	u, err := url.Parse(text)
	if err != nil { // its text repeats the URL
		return Location{}, lashstore.Invalid("s3 url", "", "is not a URL of the form s3://bucket/prefix?endpoint=…")
	}
	switch {
	case u.User != nil || strings.Contains(u.Opaque, "@"):
		return Location{}, lashstore.Invalid("s3 url", "", "holds credentials; give them in the environment "+
			"(AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY) or in an AWS profile")
	case u.Scheme != scheme || u.Opaque != "":
		return Location{}, lashstore.Invalid("s3 url", u.Scheme, "has not the form s3://bucket/prefix")
	case u.Fragment != "" || strings.Contains(text, "#"):
		return Location{}, lashstore.Invalid("s3 url", "", "has a fragment (#), which means nothing here")
	case u.Port() != "" || strings.Contains(u.Host, ":"):
		return Location{}, lashstore.Invalid("bucket", u.Host, "has a port; give the server as endpoint=http://host:port")
	case strings.Contains(u.EscapedPath(), "%"):
		return Location{}, lashstore.Invalid("prefix", u.EscapedPath(), "has an escaped character, which no prefix needs")
	}
	loc := Location{Bucket: u.Host}
	if path := strings.TrimPrefix(u.Path, "/"); path != "" {
		loc.Prefix = strings.TrimSuffix(path, "/")
		if loc.Prefix == "" {
			return Location{}, lashstore.Invalid("prefix", path, "has an empty part")
		}
	}
	if err := loc.readParameters(u.RawQuery); err != nil {
		return Location{}, err
	}
	if err := loc.Validate(); err != nil {
		return Location{}, err
	}
	return loc, nil
}

// readParameters takes the parameters of the URL, each at most once.
func (l *Location) readParameters(query string) error {
	values, err := url.ParseQuery(query)
	if err != nil {
		return lashstore.Invalid("s3 url", "", "has parameters that cannot be read")
	}
	for name, given := range values {
		if len(given) != 1 || given[0] == "" {
			return lashstore.Invalid("s3 url", name, "is a parameter without a value or given twice")
		}
		switch name {
		case paramEndpoint:
			l.Endpoint = given[0]
		case paramRegion:
			l.Region = given[0]
		case paramPathStyle:
			on, err := strconv.ParseBool(given[0])
			if err != nil {
				return lashstore.Invalid(paramPathStyle, given[0], "is not true or false")
			}
			l.PathStyle = PathStyle(strconv.FormatBool(on))
		default: // the value may be a secret
			return lashstore.Invalid("s3 url", name, "is not a parameter; those are %s, %s and %s",
				paramEndpoint, paramRegion, paramPathStyle)
		}
	}
	return nil
}

// String returns the location as a URL that [ParseURL] reads back.
func (l Location) String() string {
	u := url.URL{Scheme: scheme, Host: l.Bucket}
	if l.Prefix != "" {
		u.Path = "/" + l.Prefix
	}
	query := url.Values{}
	for name, value := range map[string]string{
		paramEndpoint: l.Endpoint, paramRegion: l.Region, paramPathStyle: string(l.PathStyle),
	} {
		if value != "" {
			query.Set(name, value)
		}
	}
	u.RawQuery = query.Encode()
	return u.String()
}

// Validate reports all fields that are wrong, each as a [*lashstore.InvalidError].
func (l Location) Validate() error {
	var errs []error
	if err := validateBucket(l.Bucket); err != nil {
		errs = append(errs, err)
	}
	if err := validatePrefix(l.Prefix); err != nil {
		errs = append(errs, err)
	}
	if err := validateEndpoint(l.Endpoint); err != nil {
		errs = append(errs, err)
	}
	if !isRegion(l.Region) {
		errs = append(errs, lashstore.Invalid(paramRegion, l.Region, "is not the name of a region such as eu-central-1"))
	}
	switch l.PathStyle {
	case PathStyleAuto, PathStyleOn, PathStyleOff:
	default:
		errs = append(errs, lashstore.Invalid(paramPathStyle, l.PathStyle, "is not true or false"))
	}
	return errors.Join(errs...)
}

// object returns the key below the bucket of an object of the store, or of a
// prefix of such keys.
func (l Location) object(key string) string {
	if l.Prefix == "" {
		return key
	}
	return l.Prefix + "/" + key
}

// uri names an object, or with an empty key the location, in errors.
func (l Location) uri(key string) string {
	return scheme + "://" + l.Bucket + "/" + l.object(key)
}

// validateBucket applies the naming rules of general purpose buckets. Directory
// buckets (--x-s3) are refused because they do not list in order.
func validateBucket(bucket string) error {
	invalid := func(reason string, args ...any) error { return lashstore.Invalid("bucket", bucket, reason, args...) }
	if len(bucket) < minBucketBytes || len(bucket) > maxBucketBytes {
		return invalid("has %d characters, not %d to %d", len(bucket), minBucketBytes, maxBucketBytes)
	}
	for _, c := range []byte(bucket) {
		if !isLowerAlnum(c) && c != '-' && c != '.' {
			return invalid("has a character that is not a lower-case letter, digit, hyphen or dot")
		}
	}
	switch {
	case !isLowerAlnum(bucket[0]) || !isLowerAlnum(bucket[len(bucket)-1]):
		return invalid("does not start and end with a letter or digit")
	case strings.Contains(bucket, ".."):
		return invalid("has two dots in a row")
	case strings.HasPrefix(bucket, "xn--") || strings.HasPrefix(bucket, "sthree-") || strings.HasSuffix(bucket, "-s3alias"):
		return invalid("has a form that S3 keeps for itself")
	case strings.HasSuffix(bucket, "--x-s3") || strings.HasSuffix(bucket, "--ol-s3") || strings.HasSuffix(bucket, "--table-s3"):
		return invalid("is not a general purpose bucket")
	}
	if _, err := netip.ParseAddr(bucket); err == nil {
		return invalid("is an IP address")
	}
	return nil
}

// validatePrefix accepts no prefix, or one that is itself a valid key.
func validatePrefix(prefix string) error {
	if prefix == "" {
		return nil
	}
	if len(prefix) > maxPrefixBytes {
		return lashstore.Invalid("prefix", prefix, "has %d bytes, more than %d", len(prefix), maxPrefixBytes)
	}
	if err := cas.ValidateKey(prefix); err != nil {
		return lashstore.Invalid("prefix", prefix, "is not made of parts of lower-case letters, digits, '-', '_' and '.', "+
			"none starting with a dot, joined by single slashes")
	}
	return nil
}

// validateEndpoint accepts no endpoint, or an http(s) address without credentials.
func validateEndpoint(endpoint string) error {
	if endpoint == "" {
		return nil
	}
	u, err := url.Parse(endpoint)
	switch {
	case err != nil:
		return lashstore.Invalid(paramEndpoint, "", "is not a URL such as http://127.0.0.1:9000")
	case u.User != nil:
		return lashstore.Invalid(paramEndpoint, "", "holds credentials; give them in the environment or in an AWS profile")
	case u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return lashstore.Invalid(paramEndpoint, endpoint, "is not a URL such as http://127.0.0.1:9000")
	case u.RawQuery != "" || u.ForceQuery || strings.Contains(endpoint, "#"):
		return lashstore.Invalid(paramEndpoint, u.Host, "has parameters or a fragment")
	case strings.ContainsAny(u.EscapedPath(), "%") || strings.Contains(u.Path, "//") || strings.Contains(u.Path, "/."):
		return lashstore.Invalid(paramEndpoint, endpoint, "has an unusual path")
	}
	return nil
}

// isRegion accepts the empty name and what looks like a region's.
func isRegion(region string) bool {
	if len(region) > maxRegionBytes {
		return false
	}
	for _, c := range []byte(region) {
		if !isLowerAlnum(c) && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

func isLowerAlnum(c byte) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' }
