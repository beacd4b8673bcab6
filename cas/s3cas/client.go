package s3cas

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/logging"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/lashstore/lashstore"
)

// defaultRegion is signed for servers of one's own that nobody gave a region: all of
// them accept it unless they are told another.
const defaultRegion = "us-east-1"

// connect makes the client. It sends nothing.
func (d *Driver) connect(ctx context.Context) error {
	load := []func(*config.LoadOptions) error{
		// The default trailing checksums break several servers (spec 03). The signature
		// covers every body that is sent, and the layer above verifies digests.
		config.WithRequestChecksumCalculation(aws.RequestChecksumCalculationWhenRequired),
		config.WithResponseChecksumValidation(aws.ResponseChecksumValidationWhenRequired),
		// Given here so that AWS_CA_BUNDLE can be added to it.
		config.WithHTTPClient(awshttp.NewBuildableClient()),
		config.WithLogger(logging.Nop{}),
	}
	if d.opts.Credentials != nil {
		load = append(load, config.WithCredentialsProvider(d.opts.Credentials))
	}
	if d.loc.Region != "" {
		load = append(load, config.WithRegion(d.loc.Region))
	}
	cfg, err := config.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return fmt.Errorf("load the AWS configuration: %w: %w", lashstore.ErrStorage, err)
	}
	client, err := d.httpClient(cfg.HTTPClient)
	if err != nil {
		return err
	}
	if cfg.Credentials != nil {
		cfg.Credentials = &chain{next: cfg.Credentials}
	}
	d.retryer = newRetryer(d.opts, d.metrics)
	d.client = s3.NewFromConfig(cfg, func(o *s3.Options) {
		o.HTTPClient = client
		// Set again: a profile may ask for more than is required.
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
		o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
		o.DisableLogOutputChecksumValidationSkipped = true
		o.Retryer, o.RetryMaxAttempts = d.retryer, 0
		// Errors are returned, not logged, and headers never go into a log.
		o.Logger, o.ClientLogMode = logging.Nop{}, 0
		// One location is one endpoint: none that forwards by session or by region.
		o.DisableS3ExpressSessionAuth = aws.Bool(true)
		if d.loc.Endpoint != "" {
			o.BaseEndpoint = aws.String(d.loc.Endpoint)
		}
		if o.BaseEndpoint != nil {
			d.endpoint = *o.BaseEndpoint
			o.UsePathStyle = d.loc.PathStyle != PathStyleOff
			if o.Region == "" {
				o.Region = defaultRegion
			}
		} else {
			o.UsePathStyle = d.loc.PathStyle == PathStyleOn
		}
		d.region = o.Region
	})
	if d.region == "" {
		return lashstore.Invalid(paramRegion, "", "is not known: add region=NAME to the s3 URL, "+
			"or set AWS_REGION or a profile's region")
	}
	return nil
}

// httpClient makes the client that carries the requests from the SDK's, which has
// the certificates of AWS_CA_BUNDLE.
func (d *Driver) httpClient(from aws.HTTPClient) (*http.Client, error) {
	carrier := d.opts.Transport
	if carrier == nil {
		buildable, ok := from.(*awshttp.BuildableClient)
		if !ok {
			return nil, fmt.Errorf("the AWS configuration has an HTTP client of type %T: %w", from, lashstore.ErrStorage)
		}
		d.transport = newTransport(buildable.GetTransport(), d.opts)
		carrier = d.transport
	}
	return &http.Client{
		Transport: &watchedTransport{next: carrier, stall: d.opts.StallTimeout},
		// A signed request is never sent to where an answer points.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// chain gives errors of the credential chain a type.
type chain struct{ next aws.CredentialsProvider }

// Retrieve implements [aws.CredentialsProvider].
func (c *chain) Retrieve(ctx context.Context) (aws.Credentials, error) {
	creds, err := c.next.Retrieve(ctx)
	if err != nil {
		return aws.Credentials{}, &credentialsError{err: err}
	}
	return creds, nil
}

// credentialsError says that no credentials could be had.
type credentialsError struct{ err error }

func (e *credentialsError) Error() string { return "no credentials: " + e.err.Error() }
func (e *credentialsError) Unwrap() error { return e.err }

// signedBody makes the signature cover the body over TLS too, where the SDK leaves
// it out: what a proxy or a server mixes up is then refused rather than stored, and
// some servers demand it (spec 03).
func signedBody(o *s3.Options) {
	o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
		signer := &v4.ComputePayloadSHA256{}
		_, err := stack.Finalize.Swap(signer.ID(), signer)
		return err
	})
}

// contentMD5 replaces the CRC-32 that the SDK adds to DeleteObjects by Content-MD5,
// which every server accepts and some demand (aws-sdk-go-v2 issue 3258). The name of
// the step is the SDK's: if it changes, Remove fails, and with it every request.
func contentMD5(o *s3.Options) {
	o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
		_, err := stack.Finalize.Remove("AWSChecksum:ComputeInputPayloadChecksum")
		return errors.Join(err, smithyhttp.AddContentChecksumMiddleware(stack))
	})
}
