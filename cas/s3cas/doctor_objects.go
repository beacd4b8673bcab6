package s3cas

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/lashstore/lashstore/cas"
)

const (
	// probeFolder holds probe objects. No object of the store is below it, since those
	// are named by their digest.
	probeFolder = "lashstore-doctor/"
	// probeBytes is enough for a range in the middle.
	probeBytes = 4096
	// probeNameBytes make two probes at once use different names.
	probeNameBytes = 16
)

// probeBody returns the content of the probe object: the same for the same seed.
func probeBody(seed byte) []byte {
	body := make([]byte, probeBytes)
	for i := range body {
		body[i] = byte(i>>8) ^ byte(i) ^ seed
	}
	return body
}

// The seeds of the first and of the second content.
const seedFirst, seedSecond = 0x00, 0xa5

// put stores the probe object.
func (g *diagnosis) put(ctx context.Context) Check {
	d := g.driver
	if d.opts.ReadOnly {
		return Check{Status: StatusSkipped, Detail: "the driver is read-only"}
	}
	var name [probeNameBytes]byte
	if _, err := io.ReadFull(d.opts.Rand, name[:]); err != nil {
		return failed(fmt.Errorf("make a random name: %w", err), "no object was put")
	}
	g.key = probeFolder + hex.EncodeToString(name[:])
	g.stored = true // it may be, even after an error
	if err := d.Put(ctx, g.key, probeBody(seedFirst)); err != nil {
		return failed(err, "an object cannot be put")
	}
	return passed("put %s", d.loc.uri(g.key))
}

// get reads the probe object.
func (g *diagnosis) get(ctx context.Context) Check {
	return g.compare(ctx, 0, -1, probeBody(seedFirst))
}

// getRange reads the middle of the probe object.
func (g *diagnosis) getRange(ctx context.Context) Check {
	return g.compare(ctx, probeBytes/4, probeBytes/2, probeBody(seedFirst)[probeBytes/4:probeBytes*3/4])
}

// overwrite replaces the probe object and reads what replaced it.
func (g *diagnosis) overwrite(ctx context.Context) Check {
	if err := g.driver.Put(ctx, g.key, probeBody(seedSecond)); err != nil {
		return failed(err, "an object cannot be replaced")
	}
	return g.compare(ctx, 0, -1, probeBody(seedSecond))
}

// compare reads a range of the probe object.
func (g *diagnosis) compare(ctx context.Context, offset, length int64, want []byte) Check {
	r, err := g.driver.Get(ctx, g.key, offset, length)
	if err != nil {
		return failed(err, "the object cannot be read")
	}
	got, err := io.ReadAll(io.LimitReader(r, probeBytes+1))
	if err := errors.Join(err, r.Close()); err != nil {
		return failed(err, "the object cannot be read")
	}
	if !bytes.Equal(got, want) {
		return Check{
			Status: StatusFailed, Detail: fmt.Sprintf("read %d bytes that are not the %d that were put", len(got), len(want)),
			Hint: "the server does not keep what it is given, or answers from a cache; do not store anything there",
		}
	}
	return passed("read back %d bytes", len(got))
}

// multipart begins an upload, sends a part and aborts it.
func (g *diagnosis) multipart(ctx context.Context) Check {
	d := g.driver
	created, err := call(ctx, d, opCreate, g.key, &s3.CreateMultipartUploadInput{
		Bucket: aws.String(d.loc.Bucket), Key: aws.String(d.loc.object(g.key)), ContentType: aws.String(contentType),
	}, d.client.CreateMultipartUpload)
	if err != nil {
		return failed(err, "an upload in parts cannot be begun")
	}
	_, err = d.uploadParts(ctx, g.key, created.UploadId, probeBody(seedFirst))
	if aborting := d.abort(ctx, g.key, created.UploadId); aborting != nil {
		return failed(aborting, "an upload in parts cannot be aborted")
	}
	if err != nil {
		return failed(err, "a part cannot be uploaded")
	}
	return passed("began, sent a part and aborted")
}

// remove deletes the probe object and looks for it.
func (g *diagnosis) remove(ctx context.Context) Check {
	d := g.driver
	// With a second key, since one alone is deleted by another request.
	if err := d.Delete(ctx, []string{g.key, g.key + "-absent"}); err != nil {
		return failed(err, "the object cannot be deleted")
	}
	g.stored = false
	_, err := d.Stat(ctx, g.key)
	switch {
	case errors.Is(err, cas.ErrObjectNotFound):
		return passed("deleted, and gone")
	case err != nil:
		return failed(err, "whether the object is gone cannot be seen")
	default:
		return Check{
			Status: StatusFailed, Detail: "the object is still there after it was deleted",
			Hint: "the bucket keeps deleted objects; collected data would stay for ever",
		}
	}
}
