package s3cas

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"github.com/lashstore/lashstore/cas"
)

// Delete removes objects, up to 1,000 in one request. A server that has no such
// request gets one for each object instead.
//
// Errors: a [*cas.DeleteError] with [lashstore.ErrInvalid] or an [*Error] per key, or
// an [*Error] for all keys.
func (d *Driver) Delete(ctx context.Context, keys []string) error {
	if err := ctx.Err(); err != nil {
		return d.translate(ctx, opDeletes, "", err)
	}
	if err := d.checkWrite(opDeletes, ""); err != nil {
		return err
	}
	failed := make(map[string]error)
	valid := make([]string, 0, len(keys))
	for _, key := range keys {
		if err := cas.ValidateKey(key); err != nil {
			failed[key] = err
		} else {
			valid = append(valid, key)
		}
	}
	for batch := range slices.Chunk(valid, cas.MaxDeleteKeys) {
		if err := d.deleteBatch(ctx, batch, failed); err != nil {
			return err
		}
	}
	if len(failed) > 0 {
		return &cas.DeleteError{Failed: failed}
	}
	return nil
}

// deleteBatch removes keys and notes in failed which it could not.
func (d *Driver) deleteBatch(ctx context.Context, keys []string, failed map[string]error) error {
	if len(keys) == 1 || d.noBatchDelete.Load() {
		return d.deleteEach(ctx, keys, failed)
	}
	objects := make([]types.ObjectIdentifier, len(keys))
	for i, key := range keys {
		objects[i] = types.ObjectIdentifier{Key: aws.String(d.loc.object(key))}
	}
	out, err := call(ctx, d, opDeletes, "", &s3.DeleteObjectsInput{
		Bucket: aws.String(d.loc.Bucket), Delete: &types.Delete{Objects: objects, Quiet: aws.Bool(true)},
	}, d.client.DeleteObjects, contentMD5)
	if e, ok := errors.AsType[*Error](err); ok && e.Reason == ReasonUnsupported {
		d.noBatchDelete.Store(true)
		return d.deleteEach(ctx, keys, failed)
	}
	if err != nil {
		return err
	}
	for _, object := range out.Errors {
		code := aws.ToString(object.Code)
		if code == "NoSuchKey" || code == "NoSuchVersion" {
			continue
		}
		cause := d.translate(ctx, opDeletes, "", &smithy.GenericAPIError{Code: code, Message: aws.ToString(object.Message)})
		i := slices.IndexFunc(keys, func(key string) bool { return d.loc.object(key) == aws.ToString(object.Key) })
		if i < 0 { // it says nothing about any key
			return cause
		}
		if e, ok := errors.AsType[*Error](cause); ok {
			e.Key = d.loc.object(keys[i])
		}
		failed[keys[i]] = cause
	}
	return nil
}

// deleteEach removes keys one by one, several at once.
func (d *Driver) deleteEach(ctx context.Context, keys []string, failed map[string]error) error {
	var (
		mu      sync.Mutex // guards failed
		workers sync.WaitGroup
	)
	next := make(chan string)
	for range min(d.opts.Concurrency, len(keys)) {
		workers.Go(func() {
			for key := range next {
				if err := d.deleteOne(ctx, key); err != nil {
					mu.Lock()
					failed[key] = err
					mu.Unlock()
				}
			}
		})
	}
	for _, key := range keys {
		next <- key
	}
	close(next)
	workers.Wait()
	if ctx.Err() != nil {
		return d.translate(ctx, opDelete, "", ctx.Err())
	}
	return nil
}

func (d *Driver) deleteOne(ctx context.Context, key string) error {
	_, err := call(ctx, d, opDelete, key, &s3.DeleteObjectInput{
		Bucket: aws.String(d.loc.Bucket), Key: aws.String(d.loc.object(key)),
	}, d.client.DeleteObject)
	if errors.Is(err, cas.ErrObjectNotFound) {
		return nil
	}
	return err
}
