package lashstore

import (
	"context"
	"io"
	"time"
)

// ArtifactKind says what a blob is, for statistics and for choosing a codec. It is
// not part of a blob's identity: equal bytes are one blob whatever their kind.
type ArtifactKind string

// The kinds of spec section 2.5.
const (
	KindGeneric        ArtifactKind = "generic_blob"
	KindToolState      ArtifactKind = "tool_state"
	KindPluginSnapshot ArtifactKind = "plugin_session_snapshot"
	KindExecutionState ArtifactKind = "execution_state_snapshot"
	KindModule         ArtifactKind = "lashlang_module"
	KindProcessEnv     ArtifactKind = "process_execution_env"
	KindAttachment     ArtifactKind = "attachment"
)

// Valid reports whether k is a known kind.
func (k ArtifactKind) Valid() bool {
	switch k {
	case KindGeneric, KindToolState, KindPluginSnapshot, KindExecutionState, KindModule, KindProcessEnv, KindAttachment:
		return true
	default:
		return false
	}
}

// Hints advise how a blob is stored. Only Compressible changes what is written
// today: without it content is stored as it is.
type Hints struct {
	Compressible    bool `json:"compressible,omitempty"`
	InlinePreferred bool `json:"inline_preferred,omitempty"`
	LargePayload    bool `json:"large_payload,omitempty"`
}

// Descriptor says what a blob is and how to store it. The zero Descriptor is a
// generic blob without hints.
type Descriptor struct {
	Kind  ArtifactKind `json:"kind,omitempty"`
	Hints Hints        `json:"hints,omitzero"`
}

// Validate reports an [*InvalidError] for an unknown kind; the empty kind means
// [KindGeneric].
func (d Descriptor) Validate() error {
	if d.Kind != "" && !d.Kind.Valid() {
		return Invalid("kind", string(d.Kind), "is not a known artifact kind")
	}
	return nil
}

// StandardDescriptor returns the descriptor that the specification gives a kind.
// An unknown kind gets that of [KindGeneric].
func StandardDescriptor(kind ArtifactKind) Descriptor {
	switch kind {
	case KindToolState, KindPluginSnapshot, KindExecutionState, KindModule:
		return Descriptor{Kind: kind, Hints: Hints{Compressible: true, LargePayload: true}}
	case KindProcessEnv:
		return Descriptor{Kind: kind, Hints: Hints{Compressible: true}}
	case KindAttachment:
		return Descriptor{Kind: kind}
	case KindGeneric:
		return Descriptor{Kind: KindGeneric}
	default:
		return Descriptor{Kind: KindGeneric}
	}
}

// Profile chooses between latency and space (spec section 2.5, design section 5).
type Profile string

// The profiles. The empty profile means [ProfileBalanced].
const (
	ProfileLowLatency Profile = "low_latency" // never compresses; up to 64 KiB inline
	ProfileBalanced   Profile = "balanced"    // compresses from 4 KiB; up to 8 KiB inline
	ProfileCompact    Profile = "compact"     // compresses from 1 KiB, harder; up to 4 KiB inline
)

// Validate reports an [*InvalidError] for an unknown profile.
func (p Profile) Validate() error {
	switch p {
	case "", ProfileLowLatency, ProfileBalanced, ProfileCompact:
		return nil
	default:
		return Invalid("profile", string(p), "is not low_latency, balanced or compact")
	}
}

// InlineLimit is the largest content, in bytes, that a session database holds
// itself; larger content goes to the blob tier.
func (p Profile) InlineLimit() int64 {
	switch p {
	case ProfileLowLatency:
		return 64 << 10
	case ProfileCompact:
		return 4 << 10
	default:
		return 8 << 10
	}
}

// BlobRef names stored content.
type BlobRef struct {
	Digest    Digest `json:"digest"`
	SizeBytes int64  `json:"size_bytes"` // of the uncompressed content
}

// BlobInfo describes a blob of the tenant.
type BlobInfo struct {
	BlobRef
	// StoredBytes is what the blob occupies in the tier, all its objects together.
	StoredBytes int64 `json:"stored_bytes"`
	// Objects is how many tier objects hold it: 1, or for content that is cut its
	// segments and those of its manifest.
	Objects int `json:"objects"`
	// Holders is how many sessions and uploads refer to the blob's first object; an
	// upload that expired counts until a collection removes it. A blob with 0 holders
	// may be collected.
	Holders int `json:"holders"`
	// Upload is set while an upload protects the blob until it is committed.
	Upload *UploadInfo `json:"upload,omitempty"`
}

// UploadInfo describes the newest upload of a blob.
type UploadInfo struct {
	UploadedAt time.Time `json:"uploaded_at"`
	ExpiresAt  time.Time `json:"expires_at"`
}

// PutBlobOptions are the optional parts of an upload.
type PutBlobOptions struct {
	Descriptor Descriptor
	// Expect, if set, is the digest that the content must have; other content is
	// refused with [ErrInvalid] and leaves nothing behind.
	Expect Digest
	// MaxBytes bounds the content; 0 means [MaxBlobBytes].
	MaxBytes int64
}

// BlobReader reads one blob. Every byte it hands out has been verified against the
// digest of its chunk, and the list of chunks when it was opened. It must be closed; it
// may be used by one goroutine at a time.
type BlobReader interface {
	io.ReadSeekCloser
	// Ref names the content.
	Ref() BlobRef
}

// Blobs is the tenant's content-addressed tier.
type Blobs interface {
	// PutBlob stores content under an upload hold that protects it for
	// [DefaultUploadTTL] (or what the store is set to), within which a commit of any
	// session may refer to it; later one gets [ErrUnknownReference]. Putting the same content again stores nothing twice
	// and renews the protection. Memory use is bounded whatever the size. r is read
	// to its end and is not closed. If r fails, its error is returned wrapped, and
	// what was uploaded becomes collectable.
	//
	// Errors: [ErrInvalid], [ErrLimitExceeded], [ErrStorage], [ErrReadOnly].
	PutBlob(ctx context.Context, r io.Reader, opts PutBlobOptions) (BlobRef, error)
	// OpenBlob opens content that an upload still protects, or that is stored as one
	// object. Content that only a session refers to is read through the session.
	//
	// Errors: [ErrBlobNotFound]; reading may return [ErrCorruptBlob].
	OpenBlob(ctx context.Context, digest Digest) (BlobReader, error)
	// StatBlob describes content as OpenBlob finds it, without reading it.
	//
	// Errors: [ErrBlobNotFound].
	StatBlob(ctx context.Context, digest Digest) (BlobInfo, error)
}
