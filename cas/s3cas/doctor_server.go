package s3cas

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

const (
	// skewWarning is well below the 15 minutes at which S3 refuses requests (Amazon S3
	// API, "RequestTimeTooSkewed") and above what NTP leaves.
	skewWarning = time.Minute
	// strayAge is when an unfinished upload is certainly nobody's: no object of the
	// store takes a day to upload.
	strayAge = 24 * time.Hour
	// maxUploadPages bounds how many unfinished uploads are counted, at 1,000 a page.
	maxUploadPages = 10
)

// credentials asks the chain.
func (g *diagnosis) credentials(ctx context.Context) Check {
	d := g.driver
	provider := d.client.Options().Credentials
	if provider == nil {
		return failed(d.translate(ctx, opBucket, "", &credentialsError{err: errors.New("none are configured")}), "no credentials")
	}
	creds, err := provider.Retrieve(ctx)
	if err != nil {
		return failed(d.translate(ctx, opBucket, "", &credentialsError{err: err}), "no credentials")
	}
	return passed("access key id %s, from %s", shortKeyID(creds.AccessKeyID), printable(creds.Source))
}

// shortKeyID shows the last four characters of a key id, so that its owner knows it.
func shortKeyID(id string) string {
	const shown = 4
	if len(id) <= shown {
		return "…"
	}
	return "…" + printable(id[len(id)-shown:])
}

// endpoint sends the first request, once. Any answer will do.
func (g *diagnosis) endpoint(ctx context.Context) Check {
	d := g.driver
	out, err := d.client.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: aws.String(d.loc.Bucket)},
		func(o *s3.Options) { o.RetryMaxAttempts = 1 })
	if err == nil {
		if raw, ok := awsmiddleware.GetRawResponse(out.ResultMetadata).(*smithyhttp.Response); ok {
			g.header = raw.Header
		}
	} else if answer, ok := errors.AsType[*smithyhttp.ResponseError](err); ok && answer.HTTPStatusCode() != 0 {
		g.header = answer.Response.Header
	}
	if err != nil {
		g.first = d.translate(ctx, opBucket, "", err)
	}
	_, unsigned := errors.AsType[*credentialsError](err)
	switch {
	case unsigned:
		return Check{Status: StatusSkipped, Detail: "needs " + checkCredentials}
	case g.header == nil:
		return failed(g.first, "no answer from "+d.endpointName())
	case !d.speaksTLS():
		return passed("%s answers%s, without TLS", d.endpointName(), serverName(g.header))
	default:
		return passed("%s answers%s", d.endpointName(), serverName(g.header))
	}
}

func serverName(header http.Header) string {
	if name := header.Get("Server"); name != "" {
		return fmt.Sprintf(" (%s)", printable(name))
	}
	return ""
}

// clock compares the server's clock with ours. The resolution of Date is a second.
func (g *diagnosis) clock(context.Context) Check {
	server, err := http.ParseTime(g.header.Get("Date"))
	if err != nil {
		return Check{Status: StatusWarning, Detail: "the server sends no date, so the clocks cannot be compared"}
	}
	g.skew = server.Sub(g.driver.opts.Now()).Truncate(time.Second)
	if g.skew.Abs() > skewWarning {
		return Check{
			Status: StatusWarning, Detail: fmt.Sprintf("the server's clock is %s from ours", g.skew),
			Hint: "set the clocks, for example by NTP; from 15 minutes on S3 refuses requests",
		}
	}
	return passed("the server's clock is %s from ours", g.skew)
}

// bucket judges the answer that the endpoint gave. It has no body, so where it says
// only "forbidden", a list tells why.
func (g *diagnosis) bucket(ctx context.Context) Check {
	d := g.driver
	region := printable(g.header.Get("X-Amz-Bucket-Region"))
	if e, ok := errors.AsType[*Error](g.first); ok && e.Reason != ReasonNoBucket {
		_, err := d.List(ctx, "", "", 1)
		if denied, ok := errors.AsType[*Error](err); ok && denied.Reason == ReasonDenied {
			return Check{Status: StatusWarning, Detail: "the bucket is there but may not be looked at", Hint: deniedHint(opBucket)}
		}
		g.first = err
	}
	switch {
	case g.first != nil:
		return failed(g.first, "the bucket cannot be used")
	case region != "" && region != d.region:
		return Check{
			Status: StatusWarning, Detail: fmt.Sprintf("the bucket is in region %s, requests are signed for %s", region, d.region),
			Hint: "set region=" + region,
		}
	default:
		return passed("%s is there, region %s", d.loc.Bucket, d.region)
	}
}

// list reads the first page below the prefix.
func (g *diagnosis) list(ctx context.Context) Check {
	infos, err := g.driver.List(ctx, "", "", 1)
	if err != nil {
		return failed(err, "objects cannot be listed")
	}
	if len(infos) == 0 {
		return passed("%s holds no objects", g.driver.loc.uri(""))
	}
	return passed("%s holds objects", g.driver.loc.uri(""))
}

// uploads counts multipart uploads that were begun and neither completed nor aborted.
// MinIO lists them for the exact key of an object only, so there it finds none.
func (g *diagnosis) uploads(ctx context.Context) Check {
	d := g.driver
	in := &s3.ListMultipartUploadsInput{Bucket: aws.String(d.loc.Bucket)}
	if d.loc.Prefix != "" {
		in.Prefix = aws.String(d.loc.object(""))
	}
	now := d.opts.Now().Add(g.skew)
	var count, stray int
	oldest := time.Duration(0)
	for range maxUploadPages {
		out, err := call(ctx, d, opUploads, "", in, d.client.ListMultipartUploads)
		if e, ok := errors.AsType[*Error](err); ok && e.Reason == ReasonUnsupported {
			return Check{Status: StatusSkipped, Detail: "the server does not list unfinished uploads"}
		}
		if err != nil {
			return failed(err, "unfinished uploads cannot be listed")
		}
		for _, upload := range out.Uploads {
			count++
			age := now.Sub(aws.ToTime(upload.Initiated))
			oldest = max(oldest, age)
			if age > strayAge {
				stray++
			}
		}
		if !aws.ToBool(out.IsTruncated) || aws.ToString(out.NextKeyMarker) == "" {
			break
		}
		in.KeyMarker, in.UploadIdMarker = out.NextKeyMarker, out.NextUploadIdMarker
	}
	if stray > 0 {
		return Check{
			Status: StatusWarning,
			Detail: fmt.Sprintf("%d unfinished uploads, %d of them older than %s, the oldest %s", count, stray, strayAge, oldest.Truncate(time.Second)),
			Hint:   "abort them, or give the bucket a lifecycle rule that aborts incomplete multipart uploads",
		}
	}
	return passed("%d unfinished uploads, none older than %s", count, strayAge)
}
