package local

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
	"github.com/lashstore/lashstore/metadata"
)

// PutBlob stores content under an upload hold.
func (s *Store) PutBlob(ctx context.Context, r io.Reader, opts lashstore.PutBlobOptions) (ref lashstore.BlobRef, err error) {
	err = s.observed("put_blob", func() error {
		if err := errors.Join(s.requireWritable("put blob"), opts.Descriptor.Validate()); err != nil {
			return err
		}
		if opts.MaxBytes < 0 || opts.MaxBytes > lashstore.MaxBlobBytes {
			return lashstore.Invalid("max_bytes", opts.MaxBytes, "is not within 0 to %d", lashstore.MaxBlobBytes)
		}
		st, err := s.upload(ctx, r, opts)
		if err != nil {
			return fmt.Errorf("put blob: %w", err)
		}
		ref = st.ref
		return nil
	})
	return ref, err
}

// upload stages content under a new upload hold. If it fails, the hold is let go.
func (s *Store) upload(ctx context.Context, r io.Reader, opts lashstore.PutBlobOptions) (st staged, err error) {
	now := s.clock.now()
	expires := now.Add(s.opts.UploadTTL)
	holder, err := metadata.NewUploadHolder(s.opts.Rand, expires)
	if err != nil {
		return st, err
	}
	defer func() {
		if err != nil {
			s.abandon(ctx, holder)
		}
	}()
	if st, err = s.stage(ctx, holder, source{r: r, descriptor: opts.Descriptor, limit: opts.MaxBytes}); err != nil {
		return st, err
	}
	if got := st.ref.Digest; !opts.Expect.IsZero() && got != opts.Expect {
		return st, lashstore.Invalid("expect", opts.Expect, "is not the content's digest %s", got)
	}
	return st, s.catalog.FinishUpload(ctx, holder, metadata.Upload{
		Digest: st.ref.Digest, Size: st.ref.SizeBytes, Manifest: st.content.Manifest, UploadedAt: now, ExpiresAt: expires,
		Objects: st.content.Objects,
	})
}

// abandon lets go of what a failed upload reserved. It runs although the caller's
// context may be over, and if it fails too the hold expires by itself.
func (s *Store) abandon(ctx context.Context, h metadata.Holder) {
	if err := s.catalog.ReleaseAll(context.WithoutCancel(ctx), h); err != nil {
		s.opts.Logger.Warn("release a failed upload; it will expire", "error", err)
	}
}

// OpenBlob opens content that an upload protects or that is one object.
func (s *Store) OpenBlob(ctx context.Context, d lashstore.Digest) (r lashstore.BlobReader, err error) {
	err = s.observed("open_blob", func() error {
		c, _, err := s.findBlob(ctx, d)
		if err != nil {
			return err
		}
		r, err = s.open(ctx, d, c)
		return err
	})
	return r, err
}

// StatBlob describes content as OpenBlob finds it.
func (s *Store) StatBlob(ctx context.Context, d lashstore.Digest) (info lashstore.BlobInfo, err error) {
	err = s.observed("stat_blob", func() error {
		c, u, err := s.findBlob(ctx, d)
		if err != nil {
			return err
		}
		info = lashstore.BlobInfo{
			BlobRef: lashstore.BlobRef{Digest: d, SizeBytes: c.Size},
			Objects: len(c.Objects),
		}
		if u != nil {
			info.Upload = &lashstore.UploadInfo{UploadedAt: u.UploadedAt, ExpiresAt: u.ExpiresAt}
		}
		for i, o := range c.Objects {
			row, found, err := s.catalog.Blob(ctx, o.Digest)
			if err != nil {
				return err
			}
			if !found {
				return fmt.Errorf("blob %s: object %s: %w", d, o.Digest, lashstore.ErrBlobNotFound)
			}
			if u != nil && row.Holders == 0 {
				return &lashstore.CorruptRecordError{Record: "edge", Key: o.Digest.String(), Err: errNoHolder}
			}
			info.StoredBytes += row.StoredBytes
			if i == 0 {
				info.Holders = row.Holders
			}
		}
		return nil
	})
	return info, err
}

var errNoHolder = errors.New("an upload holds the object, but no holder is found")

// findBlob finds content of the tenant: that of an upload, or a single object.
func (s *Store) findBlob(ctx context.Context, d lashstore.Digest) (c metadata.Content, u *metadata.Upload, err error) {
	if d.IsZero() {
		return c, nil, lashstore.Invalid("digest", "", "must not be empty")
	}
	up, found, err := s.catalog.Upload(ctx, d)
	if err != nil {
		return c, nil, err
	}
	if found {
		return metadata.Content{Size: up.Size, Manifest: up.Manifest, Objects: up.Objects}, &up, nil
	}
	row, found, err := s.catalog.Blob(ctx, d)
	if err != nil {
		return c, nil, err
	}
	if found && row.Present && row.Content {
		root, err := cas.SingleRoot(lashstore.BlobRef{Digest: d, SizeBytes: row.RawBytes})
		return metadata.Content{Size: row.RawBytes, Manifest: root, Objects: []metadata.Object{row.Object}}, nil, err
	}
	c, found, err = s.described(ctx, d, s.lookUp)
	if err != nil {
		return c, nil, err
	}
	if !found {
		return c, nil, fmt.Errorf("blob %s: %w", d, lashstore.ErrBlobNotFound)
	}
	return c, nil, nil
}
