package s3cas

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
)

// Driver keeps objects in a bucket, below a prefix. It may be used by any number of
// goroutines, and any number of drivers may use the same location.
type Driver struct {
	client    *s3.Client
	retryer   aws.Retryer
	transport *http.Transport // nil when the caller brought another
	loc       Location
	region    string
	endpoint  string // empty: AWS
	opts      Options
	metrics   *metrics

	requests slots // of everything but open readers
	readers  slots // of open readers

	// bucketSeen is set by the first answer that proves that the bucket is there.
	bucketSeen atomic.Bool
	// noBatchDelete is set when the server has no DeleteObjects.
	noBatchDelete atomic.Bool
}

var _ cas.Driver = (*Driver)(nil)

// Open makes a driver for the objects at loc. It reads the environment and the
// profiles as the SDK does and sends nothing: what is wrong with the server or the
// credentials shows at the first operation, or in [Driver.Diagnose].
//
// Errors: [lashstore.ErrInvalid] for a bad location, options or a missing region,
// [lashstore.ErrStorage] if the SDK's configuration cannot be loaded.
func Open(ctx context.Context, loc Location, opts Options) (*Driver, error) {
	if err := loc.Validate(); err != nil {
		return nil, fmt.Errorf("open objects in s3: %w", err)
	}
	if err := opts.Validate(); err != nil {
		return nil, fmt.Errorf("open objects in %s: %w", loc.uri(""), err)
	}
	opts = opts.withDefaults()
	m, err := newMetrics(opts.Metrics)
	if err != nil {
		return nil, fmt.Errorf("open objects in %s: %w", loc.uri(""), err)
	}
	d := &Driver{
		loc: loc, opts: opts, metrics: m,
		requests: newSlots(opts.Concurrency), readers: newSlots(opts.Concurrency),
	}
	if err := d.connect(ctx); err != nil {
		return nil, fmt.Errorf("open objects in %s: %w", loc.uri(""), err)
	}
	return d, nil
}

// Close closes the connections that are idle. Open readers stay usable, and so does
// the driver.
func (d *Driver) Close() error {
	if d.transport != nil {
		d.transport.CloseIdleConnections()
	}
	return nil
}

// Location returns where the objects lie, with the region and the endpoint that the
// SDK's configuration supplied.
func (d *Driver) Location() Location {
	loc := d.loc
	loc.Region, loc.Endpoint = d.region, d.endpoint
	return loc
}

// check refuses a key that is not one, and a context that is done.
func (d *Driver) check(ctx context.Context, op operation, key string) error {
	if err := ctx.Err(); err != nil {
		return d.translate(ctx, op, key, err)
	}
	if err := cas.ValidateKey(key); err != nil {
		return fmt.Errorf("%s in %s: %w", op.text(), d.loc.uri(""), err)
	}
	return nil
}

// checkWrite refuses writes of a driver that was opened for reading.
func (d *Driver) checkWrite(op operation, key string) error {
	if !d.opts.ReadOnly {
		return nil
	}
	e := d.newError(op, key, "the driver was opened read-only")
	e.Reason, e.Kind = ReasonDenied, lashstore.ErrReadOnly
	return e
}

// slots bounds how much happens at once.
type slots chan struct{}

func newSlots(n int) slots { return make(slots, n) }

// acquire waits for a slot or for the end of the context.
func (s slots) acquire(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case s <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s slots) release() { <-s }

// call sends one request, with all its attempts, as soon as a slot is free. It is
// counted, and its error is translated.
func call[In, Out any](
	ctx context.Context, d *Driver, op operation, key string, in In,
	send func(context.Context, In, ...func(*s3.Options)) (Out, error), optFns ...func(*s3.Options),
) (Out, error) {
	var none Out
	if err := d.requests.acquire(ctx); err != nil {
		return none, d.translate(ctx, op, key, err)
	}
	defer d.requests.release()
	done := d.metrics.start(op, d.opts.Now)
	out, err := send(ctx, in, optFns...)
	if err != nil {
		err = d.translate(ctx, op, key, err)
		done(err)
		return none, err
	}
	done(nil)
	d.bucketSeen.Store(true)
	return out, nil
}
