package lashstore

import (
	"context"
	"io"
	"mime"
	"strings"
	"time"
)

// AttachmentMeta describes an attachment at its creation.
type AttachmentMeta struct {
	// MediaType is a MIME type such as "image/png"; see [NormalizeMediaType].
	MediaType string `json:"media_type"`
	Width     uint32 `json:"width,omitempty"`
	Height    uint32 `json:"height,omitempty"`
	Label     string `json:"label,omitempty"`
}

// Validate reports the first wrong field as an [*InvalidError].
func (m AttachmentMeta) Validate() error {
	if _, err := NormalizeMediaType(m.MediaType); err != nil {
		return err
	}
	return validateFreeText("label", m.Label, MaxDisplayBytes)
}

// NormalizeMediaType trims a MIME type, drops its parameters and writes it in lower
// case; "image/jpg" becomes "image/jpeg".
func NormalizeMediaType(s string) (string, error) {
	if len(s) > MaxNameBytes {
		return "", Invalid("media_type", s, "is longer than %d bytes", MaxNameBytes)
	}
	t, _, err := mime.ParseMediaType(strings.TrimSpace(s))
	if err != nil || !strings.Contains(t, "/") {
		return "", Invalid("media_type", s, "is not a MIME type")
	}
	if t == "image/jpg" {
		t = "image/jpeg"
	}
	return t, nil
}

// AttachmentRef names an attachment and carries all that is known of it, so that
// no side file is needed. ID and ByteLen are computed from the bytes.
type AttachmentRef struct {
	ID      Digest `json:"id"`
	ByteLen int64  `json:"byte_len"`
	AttachmentMeta
}

// AttachmentEntry is one row of a session's attachment manifest.
type AttachmentEntry struct {
	AttachmentRef
	// IntentAt is when the attachment was put, or last put again.
	IntentAt time.Time `json:"intent_at"`
	// CommittedAt is when a commit first referred to it; zero while none has.
	CommittedAt time.Time `json:"committed_at,omitzero"`
}

// ListAttachments selects a page of a session's attachments, oldest intent first.
type ListAttachments struct {
	// UncommittedUntil, if set, selects those never committed and put at that time or
	// before.
	UncommittedUntil time.Time
	// Limit is 1 to [MaxListLimit]; 0 means [DefaultListLimit].
	Limit int
}

// Validate reports the first wrong field as an [*InvalidError].
func (l ListAttachments) Validate() error {
	if err := validateTime("uncommitted_until", l.UncommittedUntil); err != nil {
		return err
	}
	return validateLimit(l.Limit)
}

// Attachments keeps bytes that belong to a session's messages. They are protected
// from the moment they are put. What no commit has referred to for [DefaultUploadTTL],
// or what the store is set to, may be collected: an audit removes the attachment.
type Attachments interface {
	// PutAttachment stores bytes. What protects them is durable before the first of
	// them is written. Putting the same bytes again refreshes intent time and
	// metadata. r is read to its end and is not closed.
	//
	// Errors: [ErrInvalid], [ErrLimitExceeded], [ErrStorage].
	PutAttachment(ctx context.Context, r io.Reader, meta AttachmentMeta) (AttachmentRef, error)
	// OpenAttachment opens the bytes of an attachment, committed or not.
	//
	// Errors: [ErrAttachmentNotFound]; reading may return [ErrCorruptBlob].
	OpenAttachment(ctx context.Context, id Digest) (AttachmentRef, BlobReader, error)
	// CommitAttachments marks attachments as committed outside a commit. The time of
	// the first commit is kept. An empty list is a no-op.
	//
	// Errors: [ErrUnknownReference] if the session has no such attachment.
	CommitAttachments(ctx context.Context, ids []Digest) error
	// ListAttachments lists attachments.
	ListAttachments(ctx context.Context, list ListAttachments) ([]AttachmentEntry, error)
	// ForgetAttachment removes an attachment from the session. It is idempotent.
	ForgetAttachment(ctx context.Context, id Digest) error
}
