package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

func multipart() []question {
	return []question{
		{"upload in parts of 5 MiB and 1 byte / with a first part of 5 MiB − 1", askPartSizes},
		{"completed again with the same parts", askCompleteAgain},
		{"open upload in ListMultipartUploads: by a prefix of its key / by the key / as an object", askOpenUpload},
		{"aborted: upload listed / ListParts / aborted again", askAbort},
		{"part after the abort", askPartAfterAbort},
	}
}

const minPart = 5 << 20

// upload is an unfinished upload.
type upload struct {
	t     *target
	name  string
	id    *string
	parts []types.CompletedPart
}

func (t *target) begin(ctx context.Context, name string) (*upload, error) {
	out, err := t.plain.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: &t.Bucket, Key: t.key(name)})
	if err != nil {
		return nil, fmt.Errorf("begin an upload: %w", err)
	}
	return &upload{t: t, name: name, id: out.UploadId}, nil
}

func (u *upload) part(ctx context.Context, size int) error {
	number := aws.Int32(int32(len(u.parts) + 1)) //nolint:gosec // a handful
	out, err := u.t.plain.UploadPart(ctx, &s3.UploadPartInput{
		Bucket: &u.t.Bucket, Key: u.t.key(u.name), UploadId: u.id, PartNumber: number, Body: bytes.NewReader(make([]byte, size)),
	})
	if err != nil {
		return err
	}
	u.parts = append(u.parts, types.CompletedPart{ETag: out.ETag, PartNumber: number})
	return nil
}

func (u *upload) complete(ctx context.Context) error {
	_, err := u.t.plain.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
		Bucket: &u.t.Bucket, Key: u.t.key(u.name), UploadId: u.id, MultipartUpload: &types.CompletedMultipartUpload{Parts: u.parts},
	})
	return err
}

func (u *upload) abort(ctx context.Context) error {
	_, err := u.t.plain.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &u.t.Bucket, Key: u.t.key(u.name), UploadId: u.id})
	return err
}

// listed reports whether the upload is among the unfinished ones whose keys start
// with prefix.
func (u *upload) listed(ctx context.Context, prefix *string) string {
	out, err := u.t.plain.ListMultipartUploads(ctx, &s3.ListMultipartUploadsInput{Bucket: &u.t.Bucket, Prefix: prefix})
	if err != nil {
		return outcome(err) // a refusal is an answer
	}
	for _, other := range out.Uploads {
		if aws.ToString(other.UploadId) == aws.ToString(u.id) {
			return "yes"
		}
	}
	return "no"
}

func askPartSizes(ctx context.Context, t *target) (string, error) {
	var got []string
	for i, first := range []int{minPart, minPart - 1} {
		u, err := t.begin(ctx, fmt.Sprintf("k%d", i))
		if err != nil {
			return "", err
		}
		for _, size := range []int{first, 1} {
			if err := u.part(ctx, size); err != nil {
				return "", err
			}
		}
		got = append(got, outcome(u.complete(ctx)))
	}
	return strings.Join(got, " / "), nil
}

func askCompleteAgain(ctx context.Context, t *target) (string, error) {
	u, err := t.begin(ctx, "k")
	if err != nil {
		return "", err
	}
	if err := u.part(ctx, 1); err != nil {
		return "", err
	}
	if err := u.complete(ctx); err != nil {
		return "", err
	}
	return outcome(u.complete(ctx)), nil
}

func askOpenUpload(ctx context.Context, t *target) (string, error) {
	u, err := t.begin(ctx, "k")
	if err != nil {
		return "", err
	}
	if err := u.part(ctx, 1); err != nil {
		return "", err
	}
	byPrefix, byKey := u.listed(ctx, &t.prefix), u.listed(ctx, t.key("k"))
	out, err := t.plain.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: &t.Bucket, Prefix: &t.prefix})
	if err != nil {
		return "", err
	}
	object := "no"
	if len(out.Contents) > 0 {
		object = "yes"
	}
	return byPrefix + " / " + byKey + " / " + object, nil
}

func askAbort(ctx context.Context, t *target) (string, error) {
	u, err := t.begin(ctx, "k")
	if err != nil {
		return "", err
	}
	if err := u.part(ctx, minPart); err != nil {
		return "", err
	}
	if err := u.abort(ctx); err != nil {
		return outcome(err), nil // a refusal is an answer
	}
	listed := u.listed(ctx, t.key("k"))
	_, partsErr := t.plain.ListParts(ctx, &s3.ListPartsInput{Bucket: &t.Bucket, Key: t.key("k"), UploadId: u.id})
	return strings.Join([]string{listed, outcome(partsErr), outcome(u.abort(ctx))}, " / "), nil
}

func askPartAfterAbort(ctx context.Context, t *target) (string, error) {
	u, err := t.begin(ctx, "k")
	if err != nil {
		return "", err
	}
	if err := u.abort(ctx); err != nil {
		return "", err
	}
	return outcome(u.part(ctx, 1)), nil
}
