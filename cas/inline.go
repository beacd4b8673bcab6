package cas

import (
	"bytes"
	"fmt"
	"io"
	"math"

	"github.com/lashstore/lashstore"
)

// inlineKey stands for the object key of content that lies in a database.
const inlineKey = "inline"

// InlineReader returns a reader of content that is already in memory, after
// verifying that it is what ref names; if not, the error is a
// [*lashstore.CorruptBlobError] with the key "inline". The caller must not change
// content while the reader is used.
func InlineReader(ref lashstore.BlobRef, content []byte) (lashstore.BlobReader, error) {
	corrupt := func(reason string, args ...any) error {
		return &lashstore.CorruptBlobError{Digest: ref.Digest, Key: inlineKey, Reason: fmt.Sprintf(reason, args...)}
	}
	if int64(len(content)) != ref.SizeBytes {
		return nil, corrupt("%d bytes, expected %d", len(content), ref.SizeBytes)
	}
	if got := lashstore.DigestOf(content); got != ref.Digest {
		return nil, corrupt("the content has the digest %s", got)
	}
	return &inline{ref: ref, content: bytes.NewReader(content)}, nil
}

type inline struct {
	ref     lashstore.BlobRef
	content *bytes.Reader // nil once closed
}

// Ref names the content.
func (r *inline) Ref() lashstore.BlobRef { return r.ref }

// Read implements [io.Reader].
func (r *inline) Read(p []byte) (int, error) {
	if r.content == nil {
		return 0, fmt.Errorf("read content %s: %w", r.ref.Digest, lashstore.ErrClosed)
	}
	return r.content.Read(p)
}

// Seek implements [io.Seeker].
func (r *inline) Seek(offset int64, whence int) (int64, error) {
	if r.content == nil {
		return 0, fmt.Errorf("seek in content %s: %w", r.ref.Digest, lashstore.ErrClosed)
	}
	at := r.content.Size() - int64(r.content.Len())
	pos, err := seekPosition(offset, whence, at, r.content.Size())
	if err != nil {
		return 0, fmt.Errorf("seek in content %s: %w", r.ref.Digest, err)
	}
	return r.content.Seek(pos, io.SeekStart)
}

// Close ends the use of the content.
func (r *inline) Close() error {
	r.content = nil
	return nil
}

// seekPosition returns where a Seek leads in content of size bytes, read up to at.
func seekPosition(offset int64, whence int, at, size int64) (int64, error) {
	var base int64
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		base = at
	case io.SeekEnd:
		base = size
	default:
		return 0, lashstore.Invalid("whence", whence, "is not one of the three of package io")
	}
	if offset < 0 && -offset > base || offset > math.MaxInt64-base || offset == math.MinInt64 {
		return 0, lashstore.Invalid("offset", offset, "leads before the start or too far")
	}
	return base + offset, nil
}

// maxTrustedBytes is how much memory is made for content before any of it is read:
// more than states usually have.
const maxTrustedBytes = 32 << 20

// ReadAll reads what is left of r, up to limit bytes, and does not close it. A
// content of more than limit bytes is a [*lashstore.LimitError] for "read_bytes",
// before anything is read. Content that ends before its size is
// [lashstore.ErrCorruptBlob].
func ReadAll(r lashstore.BlobReader, limit int64) ([]byte, error) {
	ref := r.Ref()
	if ref.SizeBytes > limit {
		return nil, &lashstore.LimitError{Limit: "read_bytes", Max: limit, Got: ref.SizeBytes}
	}
	at, err := r.Seek(0, io.SeekCurrent)
	if err != nil {
		return nil, err
	}
	left := max(ref.SizeBytes-at, 0)
	var buf bytes.Buffer
	// The size comes from a stored record, so that it is not taken on trust without
	// bound.
	buf.Grow(int(min(left, maxTrustedBytes)) + bytes.MinRead)
	if _, err := buf.ReadFrom(io.LimitReader(r, left+1)); err != nil {
		return nil, err
	}
	if got := int64(buf.Len()); got != left {
		return nil, &lashstore.CorruptBlobError{
			Digest: ref.Digest, Key: manifestKey,
			Reason: fmt.Sprintf("%d bytes are left, the reference says %d", got, left),
		}
	}
	return buf.Bytes(), nil
}
