package s3cas

import (
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// Reason is why a request failed, as far as somebody can do something about it.
type Reason string

// The reasons of an [Error].
const (
	ReasonOther         Reason = "error"          // see the code and the detail
	ReasonNoBucket      Reason = "no_bucket"      // no such bucket
	ReasonDenied        Reason = "denied"         // these credentials may not do this
	ReasonBadSecret     Reason = "bad_secret"     // the secret does not fit the key id
	ReasonUnknownKey    Reason = "unknown_key"    // no such key id
	ReasonExpired       Reason = "expired"        // temporary credentials ran out
	ReasonNoCredentials Reason = "no_credentials" // the chain found none
	ReasonClockSkew     Reason = "clock_skew"     // clocks differ by more than 15 minutes
	ReasonRegion        Reason = "wrong_region"   // the bucket is in another region
	ReasonUnknownHost   Reason = "unknown_host"   // the endpoint's name is unknown
	ReasonUnreachable   Reason = "unreachable"    // nobody listens at the endpoint
	ReasonTLS           Reason = "tls"            // certificate refused, or TLS spoken by one side only
	ReasonTimeout       Reason = "timeout"        // no answer in time, or a transfer stood still
	ReasonFull          Reason = "full"           // no space, or the quota is used up
	ReasonThrottled     Reason = "throttled"      // asked to slow down, after all attempts
	ReasonUnsupported   Reason = "unsupported"    // the server does not know the request
	ReasonReplaced      Reason = "replaced"       // the object changed while it was read
	ReasonNotS3         Reason = "not_s3"         // the answer is not S3's
)

// codeNoUpload says that a multipart upload is completed, aborted or unknown.
const codeNoUpload = "NoSuchUpload"

// reasonOfCode knows the codes of AWS (Amazon S3 API, "Error responses") and those
// that MinIO adds (its cmd/api-errors.go).
func reasonOfCode(code string) Reason {
	switch code {
	case "NoSuchBucket":
		return ReasonNoBucket
	case "AccessDenied", "AllAccessDisabled", "AccountProblem", "Forbidden", "NotSignedUp":
		return ReasonDenied
	case "SignatureDoesNotMatch":
		return ReasonBadSecret
	case "InvalidAccessKeyId":
		return ReasonUnknownKey
	case "ExpiredToken", "InvalidToken", "TokenRefreshRequired":
		return ReasonExpired
	case "RequestTimeTooSkewed":
		return ReasonClockSkew
	case "PermanentRedirect", "TemporaryRedirect", "Redirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException",
		"MovedPermanently":
		return ReasonRegion
	case "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "QuotaExceeded", "InsufficientStorage", "InsufficientCapacity":
		return ReasonFull
	case "SlowDown", "SlowDownRead", "SlowDownWrite", "ServiceUnavailable", "Throttling", "ThrottlingException",
		"RequestLimitExceeded", "TooManyRequests", "TooManyRequestsException", "BandwidthLimitExceeded":
		return ReasonThrottled
	case "NotImplemented", "MethodNotAllowed":
		return ReasonUnsupported
	case "PreconditionFailed":
		return ReasonReplaced
	default:
		return ReasonOther
	}
}

// reasonOfStatus is for answers without a code that is known.
func reasonOfStatus(status int) Reason {
	switch status {
	case http.StatusMovedPermanently, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return ReasonRegion
	case http.StatusUnauthorized, http.StatusForbidden:
		return ReasonDenied
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return ReasonThrottled
	case http.StatusInsufficientStorage:
		return ReasonFull
	case http.StatusNotImplemented, http.StatusMethodNotAllowed:
		return ReasonUnsupported
	case http.StatusPreconditionFailed:
		return ReasonReplaced
	default:
		return ReasonOther
	}
}

// hint says what to do about reason. header is the answer's, if there was one.
func (d *Driver) hint(reason Reason, op operation, header http.Header) string {
	where := d.endpointName()
	switch reason {
	case ReasonNoBucket:
		return fmt.Sprintf("create the bucket %s at %s, or correct its name", d.loc.Bucket, where)
	case ReasonDenied:
		return deniedHint(op)
	case ReasonBadSecret:
		return "the secret access key does not belong to the key id; check AWS_SECRET_ACCESS_KEY or the profile"
	case ReasonUnknownKey:
		return fmt.Sprintf("%s does not know the access key id; check AWS_ACCESS_KEY_ID, or whether it is meant for another server", where)
	case ReasonExpired:
		return "the temporary credentials ran out or lack AWS_SESSION_TOKEN; get new ones"
	case ReasonNoCredentials:
		return "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or give the machine a role"
	case ReasonClockSkew:
		return d.skewHint(header)
	case ReasonRegion:
		return d.regionHint(header)
	case ReasonUnknownHost:
		return fmt.Sprintf("the name of %s cannot be resolved; check the endpoint, and path_style=true if the server has no name per bucket", where)
	case ReasonUnreachable:
		return fmt.Sprintf("nobody answers at %s; check that the server runs, its port, and the firewall", where)
	case ReasonTLS:
		return "if the server has a certificate of its own authority, set AWS_CA_BUNDLE to its file; " +
			"if it speaks plain http, say http:// in the endpoint"
	case ReasonTimeout:
		return fmt.Sprintf("%s did not answer or send on in time; check the network and the server's load", where)
	case ReasonFull:
		return "free space or raise the quota on the object store"
	case ReasonThrottled:
		return "the object store asks for fewer requests; lower the concurrency or try again later"
	case ReasonReplaced:
		return "the object was replaced while it was read; read it again"
	case ReasonNotS3:
		return d.notS3Hint()
	case ReasonUnsupported, ReasonOther:
		return ""
	default:
		return ""
	}
}

// deniedHint names the permission that is missing.
func deniedHint(op operation) string {
	switch op {
	case opPut, opCreate, opPart, opComplete:
		return "allow s3:PutObject below the prefix"
	case opDelete, opDeletes:
		return "allow s3:DeleteObject below the prefix"
	case opAbort:
		return "allow s3:AbortMultipartUpload below the prefix"
	case opList, opBucket:
		return "allow s3:ListBucket on the bucket"
	case opUploads:
		return "allow s3:ListBucketMultipartUploads on the bucket"
	case opStat:
		return "check the credentials, and allow s3:GetObject below the prefix and s3:ListBucket on the bucket: " +
			"this answer does not say which is missing, list or read to learn more"
	default:
		return "allow s3:GetObject below the prefix, and s3:ListBucket on the bucket: " +
			"without the latter an absent object looks like a forbidden one"
	}
}

func (d *Driver) skewHint(header http.Header) string {
	const advice = "set the clock, for example by NTP"
	server, err := http.ParseTime(header.Get("Date"))
	if err != nil {
		return "the server's clock differs from ours by more than 15 minutes; " + advice
	}
	ours := d.opts.Now().UTC().Truncate(time.Second)
	return fmt.Sprintf("the server's clock says %s, ours %s; %s", server.UTC().Format(time.RFC3339), ours.Format(time.RFC3339), advice)
}

func (d *Driver) regionHint(header http.Header) string {
	const name = "X-Amz-Bucket-Region" // sent with redirects (Amazon S3 API, HeadBucket)
	if region := header.Get(name); region != "" && isRegion(region) {
		return fmt.Sprintf("the bucket is in region %s, the request was signed for %s; set region=%s", region, d.region, region)
	}
	return fmt.Sprintf("the request was signed for region %s at %s; set the region that the server names, and no endpoint of another region",
		d.region, d.endpointName())
}

func (d *Driver) notS3Hint() string {
	if d.speaksTLS() {
		return fmt.Sprintf("%s does not answer like S3; check the endpoint", d.endpointName())
	}
	return fmt.Sprintf("%s does not answer like S3; check the port, and say https:// in the endpoint if it expects TLS", d.endpointName())
}

// speaksTLS reports whether the requests go over TLS, as they do to AWS.
func (d *Driver) speaksTLS() bool {
	u, err := url.Parse(d.endpoint)
	return d.endpoint == "" || err == nil && u.Scheme == "https"
}

// endpointName names the server.
func (d *Driver) endpointName() string {
	if d.endpoint == "" {
		return "AWS in " + d.region
	}
	u, err := url.Parse(d.endpoint)
	if err != nil {
		return "the endpoint"
	}
	return u.Redacted()
}
