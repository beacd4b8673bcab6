package s3cas

import (
	"context"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/lashstore/lashstore/cas"
)

// Stat describes an object. Its ModTime is in whole seconds: answers about one object
// have no finer resolution, while lists of some servers have.
//
// Errors: [lashstore.ErrInvalid], [cas.ErrObjectNotFound], [lashstore.ErrStorage] as
// an [*Error].
func (d *Driver) Stat(ctx context.Context, key string) (cas.ObjectInfo, error) {
	if err := d.check(ctx, opStat, key); err != nil {
		return cas.ObjectInfo{}, err
	}
	out, err := call(ctx, d, opStat, key, &s3.HeadObjectInput{
		Bucket: aws.String(d.loc.Bucket), Key: aws.String(d.loc.object(key)),
	}, d.client.HeadObject)
	if errors.Is(err, cas.ErrObjectNotFound) {
		return cas.ObjectInfo{}, d.confirmAbsence(ctx, err)
	}
	if err != nil {
		return cas.ObjectInfo{}, err
	}
	if out.ContentLength == nil || *out.ContentLength < 0 || out.LastModified == nil {
		return cas.ObjectInfo{}, d.protocolError(opStat, key, "the answer has no length or no time")
	}
	return cas.ObjectInfo{Key: key, SizeBytes: *out.ContentLength, ModTime: modTime(*out.LastModified)}, nil
}

// modTime reduces a time to what all answers have.
func modTime(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }

// confirmAbsence asks once whether the bucket is there: the answer to HEAD cannot say
// whether object or bucket is absent, and a mistyped bucket must not look like one
// whose objects are lost.
func (d *Driver) confirmAbsence(ctx context.Context, absence error) error {
	if d.bucketSeen.Load() {
		return absence
	}
	_, err := call(ctx, d, opBucket, "", &s3.HeadBucketInput{Bucket: aws.String(d.loc.Bucket)}, d.client.HeadBucket)
	if failed, ok := errors.AsType[*Error](err); ok && failed.Reason == ReasonDenied {
		return absence // a bucket that may not be looked at is there
	}
	if err != nil {
		return err
	}
	return absence
}
