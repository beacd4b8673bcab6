package main

import (
	"context"
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

func deletion() []question {
	return []question{
		{"DeleteObjects with CRC-32 (what the SDK sends) / Content-MD5 only / neither", askBatchChecksum},
		{"DeleteObjects with a wrong Content-MD5", askBatchWrongChecksum},
		{"DeleteObjects of an absent key", askBatchAbsent},
		{"DeleteObjects: a key with a wrong ETag beside a good one", askBatchPerKey},
		{"DeleteObjects of 1,001 keys", askBatchTooMany},
		{"DeleteObject of an absent key", askDeleteAbsent},
		{"another bucket: PUT by this user / DeleteObjects there", askForbidden},
	}
}

// batch is the body of DeleteObjects.
func (t *target) batch(names ...string) []byte {
	var b strings.Builder
	b.WriteString(`<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Quiet>true</Quiet>`)
	for _, name := range names {
		b.WriteString("<Object><Key>" + t.prefix + name + "</Key></Object>")
	}
	b.WriteString("</Delete>")
	return []byte(b.String())
}

// deleteRaw sends DeleteObjects with the given headers only.
func (t *target) deleteRaw(ctx context.Context, body []byte, header http.Header) (rawAnswer, error) {
	return t.raw(ctx, http.MethodPost, "", url.Values{"delete": {""}}, header, body, "")
}

func askBatchChecksum(ctx context.Context, t *target) (string, error) {
	var got []string
	for i, header := range []func(body []byte) http.Header{
		func(b []byte) http.Header {
			return http.Header{"X-Amz-Sdk-Checksum-Algorithm": {"CRC32"}, "X-Amz-Checksum-Crc32": {crc32Text(b)}}
		},
		func(b []byte) http.Header { return http.Header{"Content-Md5": {md5Text(b)}} },
		func([]byte) http.Header { return nil },
	} {
		name := fmt.Sprintf("k%d", i)
		if _, err := t.put(ctx, name, "x"); err != nil {
			return "", err
		}
		body := t.batch(name)
		answer, err := t.deleteRaw(ctx, body, header(body))
		if err != nil {
			return "", err
		}
		text, err := withPresence(ctx, t, name, answer.outcome())
		if err != nil {
			return "", err
		}
		got = append(got, strings.TrimSuffix(text, ", object deleted"))
	}
	return strings.Join(got, " / "), nil
}

func askBatchWrongChecksum(ctx context.Context, t *target) (string, error) {
	if _, err := t.put(ctx, "k", "x"); err != nil {
		return "", err
	}
	answer, err := t.deleteRaw(ctx, t.batch("k"), http.Header{"Content-Md5": {md5Text([]byte("other"))}})
	if err != nil {
		return "", err
	}
	return withPresence(ctx, t, "k", answer.outcome())
}

func askBatchAbsent(ctx context.Context, t *target) (string, error) {
	return t.batchResult(ctx, types.ObjectIdentifier{Key: t.key("absent")})
}

// batchResult says how many keys an answer names as deleted and why others failed.
func (t *target) batchResult(ctx context.Context, keys ...types.ObjectIdentifier) (string, error) {
	out, err := t.plain.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: &t.Bucket, Delete: &types.Delete{Objects: keys}})
	if err != nil {
		return outcome(err), nil // a refusal is an answer
	}
	results := []string{fmt.Sprintf("%d deleted", len(out.Deleted))}
	for _, e := range out.Errors {
		results = append(results, aws.ToString(e.Code))
	}
	return strings.Join(results, ", "), nil
}

func askBatchPerKey(ctx context.Context, t *target) (string, error) {
	for _, name := range []string{"guarded", "plain"} {
		if _, err := t.put(ctx, name, "x"); err != nil {
			return "", err
		}
	}
	text, err := t.batchResult(ctx,
		types.ObjectIdentifier{Key: t.key("guarded"), ETag: aws.String(wrongETag)},
		types.ObjectIdentifier{Key: t.key("plain")})
	if err != nil {
		return "", err
	}
	return withPresence(ctx, t, "guarded", text)
}

func askBatchTooMany(ctx context.Context, t *target) (string, error) {
	names := make([]string, 1001)
	for i := range names {
		names[i] = fmt.Sprintf("k%04d", i)
	}
	body := t.batch(names...)
	answer, err := t.deleteRaw(ctx, body, http.Header{"Content-Md5": {md5Text(body)}})
	if err != nil {
		return "", err
	}
	return answer.outcome(), nil
}

func askDeleteAbsent(ctx context.Context, t *target) (string, error) {
	_, err := t.plain.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &t.Bucket, Key: t.key("absent")})
	return outcome(err), nil
}

// askForbidden tries a bucket that does not exist: whether the user would be allowed
// is judged first, by a server that judges.
func askForbidden(ctx context.Context, t *target) (string, error) {
	other := *t
	other.Bucket = t.Bucket + "-other"
	put, err := other.raw(ctx, http.MethodPut, "k", nil, nil, []byte("x"), "")
	if err != nil {
		return "", err
	}
	body := other.batch("k")
	deleted, err := other.deleteRaw(ctx, body, http.Header{"Content-Md5": {md5Text(body)}})
	if err != nil {
		return "", err
	}
	text := deleted.outcome()
	var result struct {
		Errors []struct{ Code string } `xml:"Error"`
	}
	if text == "ok" && xml.Unmarshal(deleted.body, &result) == nil && len(result.Errors) > 0 {
		text = "200 with " + result.Errors[0].Code + " per key"
	}
	return put.outcome() + " / " + text, nil
}
