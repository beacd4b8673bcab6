package s3cas

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// newRetryer repeats what may help to repeat: every request of this package may be
// sent twice. Attempts are bounded; the SDK's token bucket is left out because it
// makes requests of a busy server fail that a second attempt would have saved.
func newRetryer(opts Options, m *metrics) aws.Retryer {
	standard := retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = opts.MaxAttempts
		o.RateLimiter = ratelimit.None
		if opts.Backoff != nil {
			o.Backoff = retry.BackoffDelayerFunc(func(attempt int, _ error) (time.Duration, error) {
				return opts.Backoff(attempt), nil
			})
		}
		// Ours goes first: the SDK repeats every failure to send, a refused
		// certificate too.
		o.Retryables = append([]retry.IsErrorRetryable{retry.IsErrorRetryableFunc(mayRepeat)}, o.Retryables...)
	})
	return &countedRetryer{RetryerV2: standard, metrics: m}
}

// countedRetryer counts the repetitions.
type countedRetryer struct {
	aws.RetryerV2

	metrics *metrics
}

// RetryDelay is asked once before each repetition.
func (r *countedRetryer) RetryDelay(attempt int, err error) (time.Duration, error) {
	r.metrics.countRetry()
	return r.RetryerV2.RetryDelay(attempt, err)
}

// mayRepeat decides where the SDK's rules are not ours.
func mayRepeat(err error) aws.Ternary {
	if errors.Is(err, errStalled) || errors.Is(err, io.ErrUnexpectedEOF) {
		return aws.TrueTernary
	}
	if _, ok := errors.AsType[*credentialsError](err); ok || isTLS(err) {
		return aws.FalseTernary
	}
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		switch reasonOfCode(api.ErrorCode()) {
		case ReasonFull:
			return aws.FalseTernary
		case ReasonThrottled:
			return aws.TrueTernary
		default:
		}
	}
	answer, ok := errors.AsType[*smithyhttp.ResponseError](err)
	if !ok {
		return aws.UnknownTernary
	}
	switch answer.HTTPStatusCode() {
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusTooManyRequests:
		// A conflict is OperationAborted or ConditionalRequestConflict: somebody else
		// works on the same key at this moment (Amazon S3 API, "Error responses").
		return aws.TrueTernary
	default:
		return aws.UnknownTernary
	}
}

// isTLS reports whether err says that the other side is not trusted or speaks
// something else.
func isTLS(err error) bool {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return true
	}
	_, alert := errors.AsType[tls.AlertError](err)
	return alert || errors.Is(err, http.ErrSchemeMismatch)
}

// pause waits before attempt+1 of something that is not the SDK's to repeat.
func (d *Driver) pause(ctx context.Context, attempt int, cause error) error {
	delay, err := d.retryer.RetryDelay(attempt, cause)
	if err != nil {
		return err
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
