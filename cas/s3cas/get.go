package s3cas

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/lashstore/lashstore"
)

// Get opens a range of an object. A transfer that breaks is continued where it was,
// [Options.MaxAttempts] times at most; if the object is another one by then, reading
// fails with [ReasonReplaced].
//
// Errors: [lashstore.ErrInvalid], [cas.ErrObjectNotFound], [lashstore.ErrStorage] as
// an [*Error].
func (d *Driver) Get(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	if err := d.check(ctx, opGet, key); err != nil {
		return nil, err
	}
	if offset < 0 || length == 0 || length < -1 {
		return nil, fmt.Errorf("%s %s: %w", opGet.text(), d.loc.uri(key),
			lashstore.Invalid("range", fmt.Sprintf("%d+%d", offset, length), "has a negative offset, or a length that is not -1 or positive"))
	}
	if err := d.readers.acquire(ctx); err != nil {
		return nil, d.translate(ctx, opGet, key, err)
	}
	r := d.newReader(ctx, key, offset, length)
	if err := r.start(); err != nil {
		d.readers.release()
		return nil, err
	}
	return r, nil
}

// answer is an open answer to a GET: the bytes of the object from the one that was
// asked for on.
type answer struct {
	body io.ReadCloser
	// objectBytes is the size of the whole object.
	objectBytes int64
	etag        string
}

// fetch asks for the bytes from offset to end (exclusive). etag, if it is known, has
// to be the object's: an alarm only, since some servers ignore the condition. An
// offset at or beyond the end gives an answer without a body.
func (d *Driver) fetch(ctx context.Context, key string, offset, end int64, etag string) (answer, error) {
	in := &s3.GetObjectInput{Bucket: aws.String(d.loc.Bucket), Key: aws.String(d.loc.object(key))}
	if offset > 0 || end < math.MaxInt64 {
		in.Range = aws.String(formatRange(offset, end))
	}
	if etag != "" {
		in.IfMatch = aws.String(etag)
	}
	done := d.metrics.start(opGet, d.opts.Now)
	out, err := d.client.GetObject(ctx, in)
	if beyondEnd(err) {
		done(nil)
		return answer{objectBytes: offset}, nil
	}
	if err != nil {
		err = d.translate(ctx, opGet, key, err)
		done(err)
		return answer{}, err
	}
	done(nil)
	d.bucketSeen.Store(true)
	a, err := d.readAnswer(key, out, in.Range != nil, offset)
	if err != nil {
		return answer{}, errors.Join(err, d.closing(ctx, key, out.Body.Close()))
	}
	if etag != "" && a.etag != "" && a.etag != etag {
		return answer{}, errors.Join(d.replaced(key), d.closing(ctx, key, out.Body.Close()))
	}
	return a, nil
}

// readAnswer finds out what an answer contains, whatever was asked for.
func (d *Driver) readAnswer(key string, out *s3.GetObjectOutput, ranged bool, offset int64) (answer, error) {
	a := answer{body: out.Body, etag: aws.ToString(out.ETag)}
	raw, _ := awsmiddleware.GetRawResponse(out.ResultMetadata).(*smithyhttp.Response)
	if ranged && raw != nil && raw.StatusCode == http.StatusPartialContent {
		first, total, err := parseContentRange(aws.ToString(out.ContentRange))
		if err != nil || first != offset {
			return answer{}, d.protocolError(opGet, key,
				fmt.Sprintf("asked for bytes from %d on, got %q", offset, printable(aws.ToString(out.ContentRange))))
		}
		a.objectBytes = total
		return a, nil
	}
	// The whole object, since nothing else was asked for or since the server knows no
	// ranges. Without a length its end could not be told from a broken connection.
	if out.ContentLength == nil || *out.ContentLength < 0 {
		return answer{}, d.protocolError(opGet, key, "the answer has no length")
	}
	a.objectBytes = *out.ContentLength
	if offset > 0 {
		a.body = &skippingBody{ReadCloser: out.Body, skip: min(offset, a.objectBytes)}
	}
	return a, nil
}

// skippingBody leaves out the bytes before the range.
type skippingBody struct {
	io.ReadCloser

	skip int64
}

func (b *skippingBody) Read(p []byte) (int, error) {
	for b.skip > 0 {
		n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.skip)])
		b.skip -= int64(n)
		if err != nil {
			return 0, err
		}
		if n == 0 {
			return 0, nil
		}
	}
	return b.ReadCloser.Read(p)
}

// formatRange writes the header of the bytes from offset to end (exclusive; the
// largest number means no end).
func formatRange(offset, end int64) string {
	if end == math.MaxInt64 {
		return fmt.Sprintf("bytes=%d-", offset)
	}
	return fmt.Sprintf("bytes=%d-%d", offset, end-1)
}

// parseContentRange reads "bytes first-last/total".
func parseContentRange(header string) (first, total int64, err error) {
	text, ok := strings.CutPrefix(header, "bytes ")
	span, size, ok2 := strings.Cut(text, "/")
	from, to, ok3 := strings.Cut(span, "-")
	if !ok || !ok2 || !ok3 {
		return 0, 0, errors.New("no range")
	}
	first, err1 := strconv.ParseInt(from, 10, 64)
	last, err2 := strconv.ParseInt(to, 10, 64)
	total, err3 := strconv.ParseInt(size, 10, 64)
	if err := errors.Join(err1, err2, err3); err != nil {
		return 0, 0, err
	}
	if first < 0 || last < first || total <= last {
		return 0, 0, errors.New("impossible range")
	}
	return first, total, nil
}

// beyondEnd reports whether the answer is that the range lies behind the end.
func beyondEnd(err error) bool {
	failed, ok := errors.AsType[*smithyhttp.ResponseError](err)
	return ok && failed.HTTPStatusCode() == http.StatusRequestedRangeNotSatisfiable
}

// replaced reports that the object is another one than when reading began.
func (d *Driver) replaced(key string) error {
	e := d.newError(opGet, key, "the object is another one than when reading began")
	e.Reason, e.Hint = ReasonReplaced, d.hint(ReasonReplaced, opGet, nil)
	return e
}

// closing gives the error of closing a body operation and object.
func (d *Driver) closing(ctx context.Context, key string, err error) error {
	if err == nil {
		return nil
	}
	return d.translate(ctx, opGet, key, err)
}
