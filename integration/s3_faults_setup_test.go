package integration_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
	"github.com/lashstore/lashstore/cas/s3cas"
	"github.com/lashstore/lashstore/internal/faultproxy"
	"github.com/lashstore/lashstore/internal/testenv"
)

// faultAttempts is how often the drivers of these tests send a request: enough to
// tell a first attempt, a repetition and the last one apart.
const faultAttempts = 3

// faultyS3 is a location on a real server, reached directly and through a proxy that
// misbehaves.
type faultyS3 struct {
	t      *testing.T
	server testenv.S3Server
	loc    s3cas.Location
	direct cas.Driver
	proxy  *faultproxy.Proxy
}

func newFaultyS3(t *testing.T, server testenv.S3Server) *faultyS3 {
	t.Helper()
	loc := s3Location(t, server)
	return (&faultyS3{server: server, loc: loc, direct: openS3(t, server, loc)}).behind(t)
}

// behind is the same location behind a proxy of its own, for a subtest.
func (f *faultyS3) behind(t *testing.T) *faultyS3 {
	t.Helper()
	p, err := faultproxy.Start(t.Context(), f.server.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return &faultyS3{t: t, server: f.server, loc: f.loc, direct: f.direct, proxy: p}
}

// open makes a driver that goes through the proxy. When the test ends, it is closed
// and must have left no connection.
func (f *faultyS3) open(opts s3cas.Options) *s3cas.Driver {
	f.t.Helper()
	f.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(f.t.Context()), patience)
		defer cancel()
		if err := f.proxy.Drained(ctx); err != nil {
			f.t.Errorf("after the driver was closed: %v", err)
		}
	})
	loc := f.loc
	loc.Endpoint = f.proxy.URL()
	if opts.MaxAttempts == 0 {
		opts.MaxAttempts = faultAttempts
	}
	opts.Backoff = func(int) time.Duration { return 0 }
	opts.Credentials = credentials.NewStaticCredentialsProvider(f.server.Key, f.server.Secret, "")
	d, err := s3cas.Open(f.t.Context(), loc, opts)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() {
		if err := d.Close(); err != nil {
			f.t.Error(err)
		}
	})
	return d
}

// put stores an object behind the back of whoever uses the proxy.
func (f *faultyS3) put(key string, body []byte) {
	f.t.Helper()
	if err := f.direct.Put(f.t.Context(), key, body); err != nil {
		f.t.Fatal(err)
	}
}

// errWrongBytes: something else was read than what was stored.
var errWrongBytes = errors.New("wrong bytes")

// read reads a range of an object and compares it.
func read(ctx context.Context, d cas.Driver, key string, offset, length int64, want []byte) error {
	r, err := d.Get(ctx, key, offset, length)
	if err != nil {
		return err
	}
	got, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		if !bytes.HasPrefix(want, got) {
			return fmt.Errorf("%w before the end: %w", errWrongBytes, err)
		}
		return err
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("%w: %d, not the %d that were put", errWrongBytes, len(got), len(want))
	}
	return nil
}

// typedS3 checks that an error is one that a caller can branch on and an operator can
// do something with.
func typedS3(err error) error {
	if !errors.Is(err, lashstore.ErrStorage) && !errors.Is(err, lashstore.ErrDiskFull) {
		return fmt.Errorf("not a storage error: %w", err)
	}
	failed, ok := errors.AsType[*s3cas.Error](err)
	if !ok || failed.Op == "" || failed.Reason == "" || failed.Bucket == "" {
		return fmt.Errorf("does not say what failed where: %w", err)
	}
	return nil
}

// upload is an unfinished multipart upload.
type upload struct {
	id    string
	parts int
}

// rawClient speaks to the server directly, about what a driver does not show.
func rawClient(t *testing.T, server testenv.S3Server) *s3.Client {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return s3.New(s3.Options{
		Region: server.Region, BaseEndpoint: aws.String(server.Endpoint), UsePathStyle: true,
		Credentials:                credentials.NewStaticCredentialsProvider(server.Key, server.Secret, ""),
		HTTPClient:                 &http.Client{Transport: transport},
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenRequired,
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenRequired,
	})
}

// unfinished finds the uploads of an object that were neither completed nor aborted,
// and aborts them. The name is the whole key: some servers list by nothing shorter.
func (f *faultyS3) unfinished(name string) []upload {
	f.t.Helper()
	client := rawClient(f.t, f.server)
	bucket := aws.String(f.loc.Bucket)
	listed, err := client.ListMultipartUploads(f.t.Context(), &s3.ListMultipartUploadsInput{Bucket: bucket, Prefix: aws.String(name)})
	if err != nil {
		f.t.Fatalf("list the uploads of %s: %v", name, err)
	}
	var found []upload
	for _, u := range listed.Uploads {
		if aws.ToString(u.Key) != name {
			continue
		}
		parts, err := client.ListParts(f.t.Context(), &s3.ListPartsInput{Bucket: bucket, Key: u.Key, UploadId: u.UploadId})
		if err != nil {
			f.t.Fatalf("list the parts of %s: %v", name, err)
		}
		found = append(found, upload{aws.ToString(u.UploadId), len(parts.Parts)})
		if _, err := client.AbortMultipartUpload(f.t.Context(), &s3.AbortMultipartUploadInput{Bucket: bucket, Key: u.Key, UploadId: u.UploadId}); err != nil {
			f.t.Errorf("abort the upload of %s: %v", name, err)
		}
	}
	return found
}

// strays are the uploads that may be left although the driver did all that it could.
type strays int

const (
	noStrays strays = iota
	// unanswered: one whose beginning was not answered (s3cas G5). It has no parts.
	unanswered
	// racing: one that was aborted while a part of it was on its way. The part may
	// arrive afterwards and stay (Amazon S3 API, AbortMultipartUpload). It does on
	// versitygw; MinIO refuses it.
	racing
	// stormy: one whose abort met a fault at each attempt. The put has said so.
	stormy
)

// noUploads checks that no upload is unfinished of all that were begun through the
// proxy, but for those that may be.
func (f *faultyS3) noUploads(allowed strays) {
	f.t.Helper()
	for _, name := range f.proxy.Keys(faultproxy.OpCreate) {
		for _, u := range f.unfinished(name) {
			switch {
			case allowed == stormy:
				f.t.Logf("upload %s of %s is left, with %d parts", u.id, name, u.parts)
			case allowed == noStrays, u.parts > 0 && (allowed != racing || f.server.Name == "minio"):
				f.t.Errorf("upload %s of %s is unfinished, with %d parts", u.id, name, u.parts)
			case u.parts > 0:
				f.t.Logf("a part of %s arrived after its upload was aborted", name)
			}
		}
	}
}

// eachFastS3 runs a test against every server but LocalStack, on which hundreds of
// requests take minutes. What it does differently is tried by TestS3FaultsOfEachRequest.
func eachFastS3(t *testing.T, test func(t *testing.T, server testenv.S3Server)) {
	t.Helper()
	eachS3(t, func(t *testing.T, server testenv.S3Server) {
		t.Helper()
		if !isSlow(server) {
			test(t, server)
		}
	})
}

// isSlow reports whether a server is written in Python.
func isSlow(server testenv.S3Server) bool { return server.Name == "localstack" }

// verifiesBody reports whether the server is known to refuse a request of which a bit
// was flipped on its way. MinIO does not check the digest of what is to be deleted.
func (f *faultyS3) verifiesBody(op faultproxy.Op) bool {
	switch f.server.Name {
	case "minio":
		return op != faultproxy.OpDeletes
	case "versitygw":
		return true
	default:
		return false
	}
}

// key is a key that no other test uses at this location.
func (f *faultyS3) key() string {
	return "faults/" + hex.EncodeToString(lashstore.DigestOf([]byte(f.t.Name())).Bytes()[:8])
}

// await waits for an event.
func await(t *testing.T, what string, event <-chan struct{}) {
	t.Helper()
	select {
	case <-event:
	case <-time.After(patience):
		t.Fatalf("waited %s for %s", patience, what)
	}
}
