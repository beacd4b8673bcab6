package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/metadata"
)

// received is content that was read from a caller: small enough for the session's
// database, or in the tier under an upload hold.
type received struct {
	ref    lashstore.BlobRef
	inline *metadata.Content // nil: in the tier
}

// receive reads content. What protects it, if it goes to the tier, is durable
// before the first byte of it is.
func (h *session) receive(ctx context.Context, r io.Reader, d lashstore.Descriptor) (received, error) {
	head, err := io.ReadAll(io.LimitReader(r, h.store.opts.Profile.InlineLimit()+1))
	if err != nil {
		return received{}, fmt.Errorf("read content: %w", err)
	}
	if int64(len(head)) <= h.store.opts.Profile.InlineLimit() {
		ref := lashstore.BlobRef{Digest: lashstore.DigestOf(head), SizeBytes: int64(len(head))}
		return received{ref: ref, inline: &metadata.Content{Size: ref.SizeBytes, Bytes: head}}, nil
	}
	st, err := h.store.upload(ctx, io.MultiReader(bytes.NewReader(head), r), lashstore.PutBlobOptions{Descriptor: d})
	if err != nil {
		return received{}, err
	}
	return received{ref: st.ref}, nil
}

// settleRefs runs a transaction that refers to content, which it makes the session
// a holder of first, again and again while reservations are lost.
func (h *session) settleRefs(ctx context.Context, db *metadata.SessionDB, refs []lashstore.Digest,
	apply func(fresh map[lashstore.Digest]*metadata.Content, verify func(context.Context) error) error,
) (err error) {
	set := make(map[lashstore.Digest]struct{}, len(refs))
	for _, d := range refs {
		set[d] = struct{}{}
	}
	var reserved []lashstore.Digest
	var held map[lashstore.Digest]*metadata.Content
	defer func() { h.discard(ctx, db, surplus(reserved, held)) }()
	for range commitAttempts {
		batch := &stageBatch{h: h, db: db, refs: set, fresh: make(map[lashstore.Digest]*metadata.Content)}
		err = batch.run(ctx)
		reserved = append(reserved, batch.reserved...)
		if err != nil {
			return err
		}
		if err = h.store.flush(ctx, func() error { return apply(batch.fresh, h.verifier(batch.fresh)) }); err == nil {
			held = batch.fresh
		}
		if !errors.Is(err, metadata.ErrReservationLost) {
			break
		}
	}
	return err
}

// PutAttachment stores the bytes of an attachment and records it.
func (h *session) PutAttachment(ctx context.Context, r io.Reader, meta lashstore.AttachmentMeta) (ref lashstore.AttachmentRef, err error) {
	err = h.write(ctx, "put_attachment", func(ctx context.Context, db *metadata.SessionDB) error {
		if err := meta.Validate(); err != nil {
			return h.errorf("put attachment", err)
		}
		got, err := h.receive(ctx, r, lashstore.StandardDescriptor(lashstore.KindAttachment))
		if err != nil {
			return h.errorf("put attachment", err)
		}
		ref = lashstore.AttachmentRef{ID: got.ref.Digest, ByteLen: got.ref.SizeBytes, AttachmentMeta: meta}
		if ref.MediaType, err = lashstore.NormalizeMediaType(meta.MediaType); err != nil {
			return h.errorf("put attachment", err)
		}
		return h.store.flush(ctx, func() error { return db.RecordAttachment(ctx, ref, got.inline) })
	})
	return ref, err
}

// OpenAttachment opens the bytes of an attachment.
func (h *session) OpenAttachment(ctx context.Context, id lashstore.Digest) (ref lashstore.AttachmentRef, r lashstore.BlobReader, err error) {
	err = h.read(ctx, "open_attachment", func(ctx context.Context, db *metadata.SessionDB) error {
		entry, held, err := db.Attachment(ctx, id)
		if err != nil {
			return err
		}
		ref = entry.AttachmentRef
		if held {
			c, err := db.Content(ctx, id)
			if err != nil {
				return err
			}
			r, err = h.store.open(ctx, id, c)
			return err
		}
		u, found, err := h.store.catalog.Upload(ctx, id)
		if err != nil {
			return err
		}
		if !found {
			return h.errorf("open attachment", fmt.Errorf("%s was never committed and its protection is over: %w", id, lashstore.ErrAttachmentNotFound))
		}
		r, err = h.store.open(ctx, id, metadata.Content{Size: u.Size, Manifest: u.Manifest, Objects: u.Objects})
		return err
	})
	return ref, r, err
}

// CommitAttachments marks attachments as committed.
func (h *session) CommitAttachments(ctx context.Context, ids []lashstore.Digest) error {
	return h.write(ctx, "commit_attachments", func(ctx context.Context, db *metadata.SessionDB) error {
		if len(ids) == 0 {
			return nil
		}
		if len(ids) > lashstore.MaxCommitRows {
			return &lashstore.LimitError{Limit: "commit_rows", Max: lashstore.MaxCommitRows, Got: int64(len(ids))}
		}
		return h.settleRefs(ctx, db, slices.Clone(ids), func(fresh map[lashstore.Digest]*metadata.Content, verify func(context.Context) error) error {
			return db.CommitAttachments(ctx, ids, fresh, verify)
		})
	})
}

// ListAttachments lists attachments.
func (h *session) ListAttachments(ctx context.Context, list lashstore.ListAttachments) (entries []lashstore.AttachmentEntry, err error) {
	err = h.read(ctx, "list_attachments", func(ctx context.Context, db *metadata.SessionDB) error {
		entries, err = db.ListAttachments(ctx, list)
		return err
	})
	return entries, err
}

// ForgetAttachment removes an attachment.
func (h *session) ForgetAttachment(ctx context.Context, id lashstore.Digest) error {
	err := h.simple(ctx, "forget_attachment", func(ctx context.Context, db *metadata.SessionDB) error { return db.ForgetAttachment(ctx, id) })
	if err == nil {
		h.touch()
	}
	return err
}

// PutArtifact stores content under a name.
func (h *session) PutArtifact(ctx context.Context, name lashstore.ArtifactName, d lashstore.Descriptor, r io.Reader) (info lashstore.ArtifactInfo, err error) {
	err = h.write(ctx, "put_artifact", func(ctx context.Context, db *metadata.SessionDB) error {
		if err := errors.Join(name.Validate(), d.Validate()); err != nil {
			return h.errorf("put artifact", err)
		}
		if d.Kind == "" {
			d.Kind = lashstore.KindGeneric
		}
		got, err := h.receive(ctx, r, d)
		if err != nil {
			return h.errorf("put artifact", err)
		}
		info = lashstore.ArtifactInfo{ArtifactName: name, Ref: got.ref, Kind: d.Kind}
		var refs []lashstore.Digest
		if got.inline == nil {
			refs = append(refs, got.ref.Digest)
		}
		return h.settleRefs(ctx, db, refs, func(fresh map[lashstore.Digest]*metadata.Content, verify func(context.Context) error) error {
			content := fresh[got.ref.Digest]
			if content == nil {
				content = got.inline
			}
			info, err = db.PutArtifact(ctx, info, content, verify)
			return err
		})
	})
	if err == nil {
		h.touch()
	}
	return info, err
}

// OpenArtifact opens the content that a name points at.
func (h *session) OpenArtifact(ctx context.Context, name lashstore.ArtifactName) (info lashstore.ArtifactInfo, r lashstore.BlobReader, err error) {
	err = h.read(ctx, "open_artifact", func(ctx context.Context, db *metadata.SessionDB) error {
		if info, err = db.Artifact(ctx, name); err != nil {
			return err
		}
		c, err := db.Content(ctx, info.Ref.Digest)
		if err != nil {
			return err
		}
		r, err = h.store.open(ctx, info.Ref.Digest, c)
		return err
	})
	return info, r, err
}

// RemoveArtifact removes a name.
func (h *session) RemoveArtifact(ctx context.Context, name lashstore.ArtifactName) error {
	err := h.simple(ctx, "remove_artifact", func(ctx context.Context, db *metadata.SessionDB) error { return db.RemoveArtifact(ctx, name) })
	if err == nil {
		h.touch()
	}
	return err
}

// ListArtifacts lists artifacts.
func (h *session) ListArtifacts(ctx context.Context, namespace string) (list []lashstore.ArtifactInfo, err error) {
	err = h.read(ctx, "list_artifacts", func(ctx context.Context, db *metadata.SessionDB) error {
		list, err = db.ListArtifacts(ctx, namespace)
		return err
	})
	return list, err
}
