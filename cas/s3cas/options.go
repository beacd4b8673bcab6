package s3cas

import (
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
)

// Defaults of [Options].
const (
	// DefaultConcurrency keeps a link of 1 Gbit/s busy at 100 ms per request of
	// 512 KiB and stays far below what one prefix of AWS serves (3,500 PUTs a second).
	DefaultConcurrency = 32
	// DefaultMaxAttempts is the first attempt and four more.
	DefaultMaxAttempts = 5
	// DefaultAttemptTimeout is generous for a loaded server on a disk; AWS answers
	// within 100 ms as a rule.
	DefaultAttemptTimeout = 30 * time.Second
	// DefaultStallTimeout is how long a transfer may stand still.
	DefaultStallTimeout = 30 * time.Second
	// DefaultSinglePutBytes is the largest object that [cas.Store] makes, and its
	// envelope: such an object stays one PUT, which is one request to pay for.
	DefaultSinglePutBytes = cas.MaxObjectBytes + 64<<10
	// DefaultPartBytes makes parts that a retry repeats cheaply.
	DefaultPartBytes = 8 << 20
)

// Limits of [Options].
const (
	maxConcurrency = 1024
	maxMaxAttempts = 20
	maxTimeout     = time.Hour
	// S3's own limits (Amazon S3 user guide, "Amazon S3 multipart upload limits"):
	// a part other than the last has at least 5 MiB, a PUT at most 5 GiB, an upload at
	// most 10,000 parts.
	minPartBytes   = 5 << 20
	maxSingleBytes = 5 << 30
	maxParts       = 10_000
)

// Options are the optional parts of a [Driver]. The zero value works.
type Options struct {
	// Credentials sign the requests; nil means the SDK's chain: environment, shared
	// files and profiles, web identity, container and instance roles.
	Credentials aws.CredentialsProvider
	// Concurrency bounds the requests that are in flight at once, and apart from them
	// the readers that are open: an open reader never keeps a Put waiting. 0 means
	// [DefaultConcurrency], the most is 1,024. A caller that opens several readers
	// before it reads one to its end must open fewer than this.
	Concurrency int
	// MaxAttempts bounds how often a request is sent, and how often a broken transfer
	// is continued; 0 means [DefaultMaxAttempts], the most is 20.
	MaxAttempts int
	// AttemptTimeout bounds each attempt from the end of sending to the answer's
	// header; 0 means [DefaultAttemptTimeout]. The context bounds all attempts together.
	AttemptTimeout time.Duration
	// StallTimeout bounds how long a transfer may make no progress, in either
	// direction; 0 means [DefaultStallTimeout].
	StallTimeout time.Duration
	// SinglePutBytes is the size up to which an object is one PUT; a larger one is a
	// multipart upload. 0 means [DefaultSinglePutBytes].
	SinglePutBytes int64
	// PartBytes is the size of a part, at least 5 MiB; 0 means [DefaultPartBytes].
	// Objects of more than 10,000 parts get larger ones.
	PartBytes int64
	// ReadOnly makes Put and Delete fail with [lashstore.ErrReadOnly].
	ReadOnly bool
	// Metrics registers what is counted (see the package's documentation); nil counts
	// nothing. Drivers that share a registerer count together.
	Metrics prometheus.Registerer
	// Now is the clock of durations and of the comparison with the server's; nil
	// means the real one.
	Now func() time.Time
	// Backoff is the wait before attempt+1, after attempt failed; nil means the SDK's:
	// a random part of 2^attempt seconds, at most 20 s.
	Backoff func(attempt int) time.Duration
	// Rand gives the names of probe objects; nil means crypto/rand.
	Rand io.Reader
	// Transport carries the requests; nil means one with the time limits above, the
	// proxies of the environment and the certificates of AWS_CA_BUNDLE. Another must
	// keep the time limit for headers itself.
	Transport http.RoundTripper
}

func (o Options) withDefaults() Options {
	setDefault(&o.Concurrency, DefaultConcurrency)
	setDefault(&o.MaxAttempts, DefaultMaxAttempts)
	setDefault(&o.AttemptTimeout, DefaultAttemptTimeout)
	setDefault(&o.StallTimeout, DefaultStallTimeout)
	setDefault(&o.SinglePutBytes, DefaultSinglePutBytes)
	setDefault(&o.PartBytes, DefaultPartBytes)
	if o.Now == nil {
		o.Now = time.Now //nolint:forbidigo // the default of an injected clock
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	return o
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Validate reports all fields that are wrong, each as a [*lashstore.InvalidError].
func (o Options) Validate() error {
	var errs []error
	if o.Concurrency < 0 || o.Concurrency > maxConcurrency {
		errs = append(errs, lashstore.Invalid("concurrency", o.Concurrency, "is not in 0 to %d", maxConcurrency))
	}
	if o.MaxAttempts < 0 || o.MaxAttempts > maxMaxAttempts {
		errs = append(errs, lashstore.Invalid("max_attempts", o.MaxAttempts, "is not in 0 to %d", maxMaxAttempts))
	}
	if o.AttemptTimeout < 0 || o.AttemptTimeout > maxTimeout {
		errs = append(errs, lashstore.Invalid("attempt_timeout", o.AttemptTimeout, "is not in 0 to %s", maxTimeout))
	}
	if o.StallTimeout < 0 || o.StallTimeout > maxTimeout {
		errs = append(errs, lashstore.Invalid("stall_timeout", o.StallTimeout, "is not in 0 to %s", maxTimeout))
	}
	if o.SinglePutBytes < 0 || o.SinglePutBytes > maxSingleBytes {
		errs = append(errs, lashstore.Invalid("single_put_bytes", o.SinglePutBytes, "is not in 0 to %d", int64(maxSingleBytes)))
	}
	if o.PartBytes != 0 && (o.PartBytes < minPartBytes || o.PartBytes > maxSingleBytes) {
		errs = append(errs, lashstore.Invalid("part_bytes", o.PartBytes, "is not 0 or in %d to %d", minPartBytes, int64(maxSingleBytes)))
	}
	return errors.Join(errs...)
}
