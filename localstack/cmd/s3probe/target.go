package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// target is a server, and a prefix to work below.
type target struct {
	Name     string `json:"name"`
	Endpoint string `json:"endpoint"`
	Bucket   string `json:"bucket"`
	Key      string `json:"key"`
	Secret   string `json:"secret"`
	Region   string `json:"region"`

	plain    *s3.Client // checksums when required, no second attempt
	standard *s3.Client // the SDK's default checksums
	root     string     // above all prefixes
	prefix   string     // ends with a slash
}

func (t *target) connect() {
	options := s3.Options{
		BaseEndpoint: aws.String(t.Endpoint), Region: t.Region, UsePathStyle: true,
		Credentials:      credentials.NewStaticCredentialsProvider(t.Key, t.Secret, ""),
		RetryMaxAttempts: 1,
	}
	t.standard = s3.New(options, func(o *s3.Options) {
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenSupported
		o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenSupported
	})
	t.plain = s3.New(options, func(o *s3.Options) {
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
		o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
	})
	t.root = "probe-" + rand.Text()[:10] + "/"
}

// fresh is the same server below a prefix that nothing uses yet.
func (t *target) fresh() *target {
	copied := *t
	copied.prefix = t.root + rand.Text()[:6] + "/"
	return &copied
}

func (t *target) key(name string) *string { return aws.String(t.prefix + name) }

// put stores an object and returns its ETag.
func (t *target) put(ctx context.Context, name, body string) (string, error) {
	out, err := t.plain.PutObject(ctx, &s3.PutObjectInput{Bucket: &t.Bucket, Key: t.key(name), Body: strings.NewReader(body)})
	if err != nil {
		return "", fmt.Errorf("put %s: %w", name, err)
	}
	return aws.ToString(out.ETag), nil
}

// exists reports whether an object is there.
func (t *target) exists(ctx context.Context, name string) (bool, error) {
	_, err := t.plain.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &t.Bucket, Key: t.key(name)})
	if status(err) == http.StatusNotFound {
		return false, nil
	}
	return err == nil, err
}

// status is the HTTP status in an error of the SDK, or 0.
func status(err error) int {
	if response := (*smithyhttp.ResponseError)(nil); errors.As(err, &response) {
		return response.HTTPStatusCode()
	}
	return 0
}

// outcome says how a request ended: "ok", or status and code.
func outcome(err error) string {
	if err == nil {
		return "ok"
	}
	code := "no answer"
	if api := smithy.APIError(nil); errors.As(err, &api) {
		code = api.ErrorCode()
	}
	if s := status(err); s != 0 {
		return strconv.Itoa(s) + " " + code
	}
	return code + ": " + err.Error()
}

// rawAnswer is what a request without the SDK was answered.
type rawAnswer struct {
	status int
	body   []byte
}

// outcome says the same as the function does.
func (a rawAnswer) outcome() string {
	if a.status < http.StatusMultipleChoices {
		return "ok"
	}
	var problem struct{ Code string }
	if err := xml.Unmarshal(a.body, &problem); err != nil {
		problem.Code = "(no code)"
	}
	return strconv.Itoa(a.status) + " " + problem.Code
}

// maxAnswerBytes bounds what is read of an answer.
const maxAnswerBytes = 16 << 20

// raw sends a signed request as it is: what the SDK would add or refuse is missing.
// An empty payload hash means that of the body.
func (t *target) raw(ctx context.Context, method, name string, query url.Values, header http.Header, body []byte, payload string) (rawAnswer, error) {
	u := t.Endpoint + "/" + t.Bucket
	if name != "" {
		u += "/" + t.prefix + name
	}
	req, err := http.NewRequestWithContext(ctx, method, u+"?"+query.Encode(), bytes.NewReader(body))
	if err != nil {
		return rawAnswer{}, err
	}
	maps.Copy(req.Header, header)
	if payload == "" {
		sum := sha256.Sum256(body)
		payload = hex.EncodeToString(sum[:])
	}
	req.Header.Set("X-Amz-Content-Sha256", payload)
	keys := aws.Credentials{AccessKeyID: t.Key, SecretAccessKey: t.Secret}
	err = v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true }).
		SignHTTP(ctx, keys, req, payload, "s3", t.Region, time.Now()) //nolint:forbidigo // the server compares it with its own clock
	if err != nil {
		return rawAnswer{}, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return rawAnswer{}, err
	}
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswerBytes))
	return rawAnswer{resp.StatusCode, answer}, errors.Join(err, resp.Body.Close())
}

// removeAll removes everything below the root, unfinished uploads too.
func (t *target) removeAll(ctx context.Context) error {
	pages := s3.NewListObjectsV2Paginator(t.plain, &s3.ListObjectsV2Input{Bucket: &t.Bucket, Prefix: &t.root})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return fmt.Errorf("%s: list what is left: %w", t.Name, err)
		}
		for _, o := range page.Contents {
			if _, err := t.plain.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &t.Bucket, Key: o.Key}); err != nil {
				return fmt.Errorf("%s: remove %s: %w", t.Name, aws.ToString(o.Key), err)
			}
		}
	}
	uploads, err := t.plain.ListMultipartUploads(ctx, &s3.ListMultipartUploadsInput{Bucket: &t.Bucket, Prefix: &t.root})
	if err != nil {
		return fmt.Errorf("%s: list uploads: %w", t.Name, err)
	}
	for _, u := range uploads.Uploads {
		if _, err := t.plain.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &t.Bucket, Key: u.Key, UploadId: u.UploadId}); err != nil {
			return fmt.Errorf("%s: abort %s: %w", t.Name, aws.ToString(u.Key), err)
		}
	}
	return nil
}
