package s3cas

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"golang.org/x/sync/errgroup"
)

const (
	// abortTimeout is for the cleaning up after an upload that failed or was
	// canceled: a few attempts.
	abortTimeout = 30 * time.Second
	// uploadRounds is how often a multipart upload is made. The second round is for an
	// upload that is unknown when it is completed: somebody aborted it, or completing
	// it succeeded and the answer was lost. Which one cannot be told, and putting the
	// object again is right in both cases.
	uploadRounds = 2
)

// putParts uploads body in parts. The SDK's transfer manager is left out: the body is
// in memory, so all it would add is a second bound on requests and its own choice of
// checksums, which one generation of it could not turn off (spec 03).
func (d *Driver) putParts(ctx context.Context, key string, body []byte) error {
	var err error
	for range uploadRounds {
		err = d.upload(ctx, key, body)
		if failed, ok := errors.AsType[*Error](err); !ok || failed.Code != codeNoUpload {
			break
		}
	}
	return err
}

// upload makes one multipart upload, and aborts it if it does not succeed: parts that
// are left behind cost money and are seen by no List.
func (d *Driver) upload(ctx context.Context, key string, body []byte) (err error) {
	bucket, object := aws.String(d.loc.Bucket), aws.String(d.loc.object(key))
	created, err := call(ctx, d, opCreate, key, &s3.CreateMultipartUploadInput{
		Bucket: bucket, Key: object, ContentType: aws.String(contentType),
	}, d.client.CreateMultipartUpload)
	if err != nil {
		return err
	}
	if aws.ToString(created.UploadId) == "" {
		return d.protocolError(opCreate, key, "the answer names no upload")
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.abort(ctx, key, created.UploadId))
		}
	}()
	parts, err := d.uploadParts(ctx, key, created.UploadId, body)
	if err != nil {
		return err
	}
	_, err = call(ctx, d, opComplete, key, &s3.CompleteMultipartUploadInput{
		Bucket: bucket, Key: object, UploadId: created.UploadId,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: parts},
	}, d.client.CompleteMultipartUpload)
	return err
}

// uploadParts sends the parts, several at once. The first failure stops the others.
func (d *Driver) uploadParts(ctx context.Context, key string, id *string, body []byte) ([]types.CompletedPart, error) {
	size := max(d.opts.PartBytes, (int64(len(body))+maxParts-1)/maxParts)
	count := int((int64(len(body)) + size - 1) / size)
	parts := make([]types.CompletedPart, count)
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(d.opts.Concurrency)
	for i := range count {
		group.Go(func() error {
			number := aws.Int32(int32(i + 1)) //nolint:gosec // at most maxParts
			part := body[int64(i)*size : min(int64(i+1)*size, int64(len(body)))]
			out, err := call(groupCtx, d, opPart, key, &s3.UploadPartInput{
				Bucket: aws.String(d.loc.Bucket), Key: aws.String(d.loc.object(key)), UploadId: id,
				PartNumber: number, Body: bytes.NewReader(part), ContentLength: aws.Int64(int64(len(part))),
			}, d.client.UploadPart, signedBody)
			if err != nil {
				return err
			}
			if aws.ToString(out.ETag) == "" {
				return d.protocolError(opPart, key, "the answer has no ETag")
			}
			d.metrics.addSent(len(part))
			parts[i] = types.CompletedPart{ETag: out.ETag, PartNumber: number}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return parts, nil
}

// abort ends an upload although ctx may be done. An upload that is unknown is gone.
func (d *Driver) abort(ctx context.Context, key string, id *string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTimeout)
	defer cancel()
	_, err := call(ctx, d, opAbort, key, &s3.AbortMultipartUploadInput{
		Bucket: aws.String(d.loc.Bucket), Key: aws.String(d.loc.object(key)), UploadId: id,
	}, d.client.AbortMultipartUpload)
	if failed, ok := errors.AsType[*Error](err); ok && failed.Code == codeNoUpload {
		return nil
	}
	if err != nil {
		return fmt.Errorf("clean up after a failed upload: %w", err)
	}
	return nil
}
