package lashstore

import (
	"context"
	"io"
	"time"
)

// ArtifactName addresses an artifact of a session. Namespaces keep unrelated kinds
// apart.
type ArtifactName struct {
	Namespace string `json:"namespace"` // such as module or environment
	Name      string `json:"name"`
}

// Validate reports the first wrong field as an [*InvalidError].
func (n ArtifactName) Validate() error {
	if err := validateText("namespace", n.Namespace, MaxNameBytes); err != nil {
		return err
	}
	return validateText("name", n.Name, MaxNameBytes)
}

// ArtifactInfo describes a stored artifact.
type ArtifactInfo struct {
	ArtifactName
	Ref       BlobRef      `json:"ref"`
	Kind      ArtifactKind `json:"kind"`
	UpdatedAt time.Time    `json:"updated_at"`
}

// Artifacts keeps content by name beside the history: modules, process
// environments. A name refers to its content until it is replaced or removed.
type Artifacts interface {
	// PutArtifact stores content and points the name at it, replacing what was there.
	// r is read to its end and is not closed.
	//
	// Errors: [ErrInvalid], [ErrLimitExceeded], [ErrStorage].
	PutArtifact(ctx context.Context, name ArtifactName, d Descriptor, r io.Reader) (ArtifactInfo, error)
	// OpenArtifact opens the content that the name points at.
	//
	// Errors: [ErrArtifactNotFound]; reading may return [ErrCorruptBlob].
	OpenArtifact(ctx context.Context, name ArtifactName) (ArtifactInfo, BlobReader, error)
	// RemoveArtifact removes the name. It is idempotent.
	RemoveArtifact(ctx context.Context, name ArtifactName) error
	// ListArtifacts lists the artifacts of a namespace by name, or of all namespaces
	// if it is empty.
	ListArtifacts(ctx context.Context, namespace string) ([]ArtifactInfo, error)
}
