package s3cas

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
)

// maxPageKeys is the most that one page of ListObjectsV2 may hold (Amazon S3 API).
const maxPageKeys = 1000

// isBadName reports whether code is MinIO's answer to a prefix such as "../" that no
// object of it can have (its cmd/api-errors.go).
func isBadName(code string) bool {
	return code == "XMinioInvalidObjectName" || code == "XMinioInvalidResourceName"
}

// List lists objects, in as many pages as limit needs.
//
// Errors: [lashstore.ErrStorage] as an [*Error], also for a server that does not list
// in the order of the keys' bytes.
func (d *Driver) List(ctx context.Context, prefix, after string, limit int) ([]cas.ObjectInfo, error) {
	if err := ctx.Err(); err != nil {
		return nil, d.translate(ctx, opList, prefix, err)
	}
	if limit < 1 {
		return nil, fmt.Errorf("%s %s: %w", opList.text(), d.loc.uri(prefix), lashstore.Invalid("limit", limit, "is not positive"))
	}
	// Servers disagree about a start outside the prefix. Before it, nothing is left
	// out; behind it, everything.
	if !strings.HasPrefix(after, prefix) {
		if after > prefix {
			return nil, nil
		}
		after = ""
	}
	l := &listing{driver: d, prefix: prefix, after: after, limit: limit}
	if err := l.run(ctx); err != nil {
		return nil, err
	}
	return l.infos, nil
}

// listing is the state of one List.
type listing struct {
	driver        *Driver
	prefix, after string
	limit         int

	infos []cas.ObjectInfo
	last  string // the last key that the server listed
	token string // where the next page goes on
}

// run reads pages until there are enough objects or no more.
func (l *listing) run(ctx context.Context) error {
	d := l.driver
	in := &s3.ListObjectsV2Input{Bucket: aws.String(d.loc.Bucket), EncodingType: types.EncodingTypeUrl}
	// What a request cannot carry is left to the filter below.
	if p := sendable(d.loc.object(l.prefix)); p != "" {
		in.Prefix = aws.String(p)
	}
	if l.after != "" {
		in.StartAfter = aws.String(sendable(d.loc.object(l.after)))
	}
	for {
		in.MaxKeys = aws.Int32(int32(min(maxPageKeys, l.limit-len(l.infos)))) //nolint:gosec // at most 1,000
		out, err := call(ctx, d, opList, l.prefix, in, d.client.ListObjectsV2)
		if failed, ok := errors.AsType[*Error](err); ok && isBadName(failed.Code) {
			return nil // the server can hold no such key
		}
		if err != nil {
			return err
		}
		if err := l.addPage(out); err != nil {
			return err
		}
		if !aws.ToBool(out.IsTruncated) || len(l.infos) >= l.limit {
			return nil
		}
		next := aws.ToString(out.NextContinuationToken)
		if next == "" || next == l.token {
			return d.protocolError(opList, l.prefix, "the list is cut short and does not say where it goes on")
		}
		l.token = next
		in.ContinuationToken, in.StartAfter = aws.String(next), nil
	}
}

// addPage adds the objects of a page that are asked for.
func (l *listing) addPage(out *s3.ListObjectsV2Output) error {
	d := l.driver
	for _, object := range out.Contents {
		full, err := listedKey(aws.ToString(object.Key), out.EncodingType)
		if err != nil {
			return d.protocolError(opList, l.prefix, fmt.Sprintf("the key %s cannot be decoded", printable(aws.ToString(object.Key))))
		}
		if full <= l.last {
			return d.protocolError(opList, l.prefix, fmt.Sprintf("the list is not in order: %q after %q", printable(full), printable(l.last)))
		}
		l.last = full
		key, ok := strings.CutPrefix(full, d.loc.object(""))
		if !ok || !strings.HasPrefix(key, l.prefix) || key <= l.after || len(l.infos) == l.limit {
			continue
		}
		if object.LastModified == nil || object.Size == nil || *object.Size < 0 {
			return d.protocolError(opList, l.prefix, fmt.Sprintf("the key %s has no size or no time", printable(key)))
		}
		l.infos = append(l.infos, cas.ObjectInfo{Key: key, SizeBytes: *object.Size, ModTime: modTime(*object.LastModified)})
	}
	return nil
}

// listedKey decodes a key as far as the server says that it is encoded: keys of
// others may hold what XML cannot.
func listedKey(key string, encoding types.EncodingType) (string, error) {
	if encoding != types.EncodingTypeUrl {
		return key, nil
	}
	return url.QueryUnescape(key)
}

// sendable returns the part of a key up to the first byte that a request cannot
// carry: keys are UTF-8, and some servers refuse control characters. It is a prefix,
// so it sorts before everything that the whole would.
func sendable(key string) string {
	for i, r := range key {
		if r < ' ' || r == 0x7f {
			return key[:i]
		}
		if r == utf8.RuneError {
			if _, size := utf8.DecodeRuneInString(key[i:]); size == 1 {
				return key[:i]
			}
		}
	}
	return key
}
