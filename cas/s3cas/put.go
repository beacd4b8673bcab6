package s3cas

import (
	"bytes"
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// contentType tells those who look at the bucket that an envelope is not text.
const contentType = "application/octet-stream"

// Put stores body under key, as one request or as a multipart upload.
//
// Errors: [lashstore.ErrInvalid], [lashstore.ErrReadOnly], [lashstore.ErrDiskFull],
// [lashstore.ErrStorage], each but the first as an [*Error].
func (d *Driver) Put(ctx context.Context, key string, body []byte) error {
	if err := d.check(ctx, opPut, key); err != nil {
		return err
	}
	if err := d.checkWrite(opPut, key); err != nil {
		return err
	}
	if int64(len(body)) > d.opts.SinglePutBytes {
		return d.putParts(ctx, key, body)
	}
	_, err := call(ctx, d, opPut, key, &s3.PutObjectInput{
		Bucket: aws.String(d.loc.Bucket), Key: aws.String(d.loc.object(key)), Body: bytes.NewReader(body),
		ContentLength: aws.Int64(int64(len(body))), ContentType: aws.String(contentType),
	}, d.client.PutObject, signedBody)
	if err != nil {
		return err
	}
	d.metrics.addSent(len(body))
	return nil
}
