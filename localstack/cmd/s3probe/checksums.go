package main

import (
	"context"
	"crypto/md5" //nolint:gosec // what Content-MD5 is made of
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

func checksums() []question {
	return []question{
		{"PUT with the SDK's default checksum (in a header over http); GET returns it", askDefaultChecksum},
		{"PUT with a checksum in a trailer (the default over https): right / wrong", askTrailer},
		{"PUT with a wrong CRC-32 in a header / a wrong Content-MD5", askWrongHeaders},
		{"PUT with x-amz-content-sha256: that of the body / wrong / UNSIGNED-PAYLOAD", askPayloadHash},
		{"ETag of a simple PUT is the MD5", askETag},
	}
}

func crc32Text(b []byte) string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(b)))
}

func md5Text(b []byte) string {
	sum := md5.Sum(b) //nolint:gosec // what Content-MD5 is made of
	return base64.StdEncoding.EncodeToString(sum[:])
}

func askDefaultChecksum(ctx context.Context, t *target) (string, error) {
	_, err := t.standard.PutObject(ctx, &s3.PutObjectInput{Bucket: &t.Bucket, Key: t.key("k"), Body: strings.NewReader("x")})
	if err != nil {
		return outcome(err), nil
	}
	out, err := t.plain.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &t.Bucket, Key: t.key("k"), ChecksumMode: types.ChecksumModeEnabled})
	if err != nil {
		return "", err
	}
	if aws.ToString(out.ChecksumCRC32) == crc32Text([]byte("x")) {
		return "ok; yes", nil
	}
	return "ok; no", nil
}

// askTrailer sends what the SDK sends over https, which it does not do over http.
func askTrailer(ctx context.Context, t *target) (string, error) {
	content := []byte("hello, trailer")
	var got []string
	for i, sum := range []string{crc32Text(content), crc32Text([]byte("other"))} {
		name := fmt.Sprintf("k%d", i)
		body := fmt.Appendf(nil, "%x\r\n%s\r\n0\r\nx-amz-checksum-crc32:%s\r\n\r\n", len(content), content, sum)
		answer, err := t.raw(ctx, http.MethodPut, name, nil, http.Header{
			"Content-Encoding":             {"aws-chunked"},
			"X-Amz-Decoded-Content-Length": {fmt.Sprint(len(content))},
			"X-Amz-Trailer":                {"x-amz-checksum-crc32"},
		}, body, "STREAMING-UNSIGNED-PAYLOAD-TRAILER")
		if err != nil {
			return "", err
		}
		text := answer.outcome()
		if text == "ok" {
			out, err := t.plain.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &t.Bucket, Key: t.key(name)})
			if err != nil {
				return "", err
			}
			if n := aws.ToInt64(out.ContentLength); n != int64(len(content)) {
				text = fmt.Sprintf("ok, but stored %d bytes for %d", n, len(content))
			}
		}
		got = append(got, text)
	}
	return strings.Join(got, " / "), nil
}

func askWrongHeaders(ctx context.Context, t *target) (string, error) {
	var got []string
	for _, header := range []http.Header{
		{"X-Amz-Checksum-Crc32": {crc32Text([]byte("other"))}},
		{"Content-Md5": {md5Text([]byte("other"))}},
	} {
		answer, err := t.raw(ctx, http.MethodPut, "k", nil, header, []byte("body"), "")
		if err != nil {
			return "", err
		}
		got = append(got, answer.outcome())
	}
	return strings.Join(got, " / "), nil
}

func askPayloadHash(ctx context.Context, t *target) (string, error) {
	var got []string
	for _, payload := range []string{"", strings.Repeat("0", 64), "UNSIGNED-PAYLOAD"} {
		answer, err := t.raw(ctx, http.MethodPut, "k", nil, nil, []byte("body"), payload)
		if err != nil {
			return "", err
		}
		got = append(got, answer.outcome())
	}
	return strings.Join(got, " / "), nil
}

func askETag(ctx context.Context, t *target) (string, error) {
	etag, err := t.put(ctx, "k", "x")
	if err != nil {
		return "", err
	}
	sum := md5.Sum([]byte("x")) //nolint:gosec // what is asked for
	if etag == fmt.Sprintf(`"%x"`, sum) {
		return "yes", nil
	}
	return "no", nil
}
