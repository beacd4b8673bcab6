package fsck

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
	"github.com/lashstore/lashstore/metadata"
)

// objects reads every object that something refers to, or a sample of them.
func (r *run) objects(ctx context.Context) error {
	counts, err := r.v.opts.Catalog.Counts(ctx)
	if err != nil && !damaged(err) {
		return fmt.Errorf("count objects: %w", err)
	}
	sweep := &r.inspected.Sweep
	// What the sweep could not name is looked for one by one.
	unnamed := sweep.Missing+sweep.WrongSize > int64(len(sweep.Damage))
	var done atomic.Int64
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(r.opts.Workers)
	err = r.eachBlob(groupCtx, func(rows []metadata.CheckedBlob, _ []metadata.CorruptBlobRow) error {
		for _, row := range rows {
			if !row.Held || !row.Present && !row.Wanted {
				continue // collections see to it, or it is on its way
			}
			r.count(func(rep *lashstore.VerifyReport) {
				rep.Objects++
				rep.ObjectBytes += row.StoredBytes
			})
			look := r.read
			if !r.sample.has(row.Digest) {
				if look = r.stat; !unnamed && !r.unswept(row.Digest) {
					done.Add(1)
					continue
				}
			}
			group.Go(func() error {
				defer func() { r.progress(lashstore.VerifyObjects, done.Add(1), max(counts.Held, done.Load())) }()
				return look(groupCtx, row)
			})
		}
		return nil
	})
	if groupErr := group.Wait(); groupErr != nil {
		return groupErr
	}
	return err
}

// unswept reports whether the sweep could not compare what is there with the catalog.
func (r *run) unswept(d lashstore.Digest) bool {
	first := d.Bytes()[0]
	for _, s := range r.inspected.Unswept {
		if first >= s.First && first <= s.Last {
			return true
		}
	}
	return false
}

// read reads one object and verifies it.
func (r *run) read(ctx context.Context, row metadata.CheckedBlob) error {
	raw, err := r.v.opts.Tier.GetObject(ctx, objectName(row.Object))
	if err != nil && !errors.Is(err, lashstore.ErrCorruptBlob) {
		return r.judge(ctx, row, err)
	}
	size := row.StoredBytes
	if size == 0 {
		size = cas.HeaderBytes + int64(len(raw))
	}
	r.count(func(rep *lashstore.VerifyReport) {
		rep.ObjectsRead++
		rep.BytesRead += size
	})
	if err != nil {
		return r.judge(ctx, row, err)
	}
	if row.Wanted {
		return r.returned(ctx, row, int64(len(raw)))
	}
	return nil
}

// stat looks whether one object is there and has its size.
func (r *run) stat(ctx context.Context, row metadata.CheckedBlob) error {
	info, err := r.v.opts.Tier.StatObject(ctx, objectName(row.Object))
	if err == nil && row.Sized && info.SizeBytes != row.StoredBytes {
		err = &lashstore.CorruptBlobError{
			Digest: row.Digest, Key: info.Key, Reason: fmt.Sprintf("it has %d bytes, %d were stored", info.SizeBytes, row.StoredBytes),
		}
	}
	return r.judge(ctx, row, err)
}

// judge makes a finding of what reading an object came to, if that is damage and
// something still refers to the object.
func (r *run) judge(ctx context.Context, row metadata.CheckedBlob, err error) error {
	kind := lashstore.FindingCorrupt
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, lashstore.ErrBlobNotFound):
		kind = lashstore.FindingMissing
	case !errors.Is(err, lashstore.ErrCorruptBlob):
		r.fail(err)
		return nil
	}
	now, found, catalogErr := r.v.opts.Catalog.Blob(ctx, row.Digest)
	if catalogErr != nil {
		return fmt.Errorf("look at %s again: %w", row.Digest, catalogErr)
	}
	if !found || now.Object != row.Object || now.Holders == 0 || now.Present && row.Wanted {
		return nil
	}
	f := lashstore.Finding{Kind: kind, Digest: row.Digest, Key: objectName(row.Object).Key()}
	if corrupt, ok := errors.AsType[*lashstore.CorruptBlobError](err); ok {
		f.Detail = corrupt.Reason
	}
	if f.Sessions, f.More, catalogErr = r.holders(ctx, row.Digest); catalogErr != nil {
		return catalogErr
	}
	r.findObject(f)
	r.want(ctx, row.Digest, f.Key)
	return nil
}

func (r *run) holders(ctx context.Context, d lashstore.Digest) (sessions []lashstore.SessionID, more int64, err error) {
	sessions, all, err := r.v.opts.Catalog.Holders(ctx, d, findingSessions)
	if err != nil {
		return nil, 0, fmt.Errorf("find who needs %s: %w", d, err)
	}
	return sessions, all - int64(len(sessions)), nil
}

// want marks a damaged object, so that the next commit of equal bytes stores it again.
func (r *run) want(ctx context.Context, d lashstore.Digest, key string) {
	if !r.opts.Repair {
		return
	}
	err := func() error {
		name, err := cas.ParseKey(key)
		if err != nil {
			return err
		}
		row, found, err := r.v.opts.Catalog.Blob(ctx, d)
		if err != nil || !found || !row.Present || row.Generation != uint64(name.Generation) {
			return err
		}
		if err := r.v.opts.Catalog.Want(ctx, []metadata.Doomed{{Object: row.Object}}); err != nil {
			return err
		}
		r.count(func(rep *lashstore.VerifyReport) { rep.Wanted++ })
		return nil
	}()
	if err != nil {
		r.fail(fmt.Errorf("mark %s as wanted: %w", key, err))
	}
}

// returned reports an object that an earlier repair found lost and that is whole
// again, as after the tier was restored.
func (r *run) returned(ctx context.Context, row metadata.CheckedBlob, rawBytes int64) error {
	info, err := r.v.opts.Tier.StatObject(ctx, objectName(row.Object))
	if err != nil {
		return r.judge(ctx, row, err)
	}
	now, found, err := r.v.opts.Catalog.Blob(ctx, row.Digest)
	if err != nil {
		return fmt.Errorf("look at %s again: %w", row.Digest, err)
	}
	if !found || now.Object != row.Object || now.Present {
		return nil // somebody has just stored it
	}
	f := lashstore.Finding{
		Kind: lashstore.FindingReturned, Digest: row.Digest, Key: objectName(row.Object).Key(),
		Detail: "the object is whole, and the catalog takes it for lost", Repaired: r.opts.Repair,
	}
	if f.Sessions, f.More, err = r.holders(ctx, row.Digest); err != nil {
		return err
	}
	if r.opts.Repair {
		err := r.v.opts.Catalog.MarkPresent(ctx, []metadata.Uploaded{{
			Object: row.Object, RawBytes: rawBytes, StoredBytes: info.SizeBytes, Content: row.Content,
		}})
		if err != nil {
			return fmt.Errorf("mark %s as present: %w", row.Digest, err)
		}
	}
	r.find(f)
	return nil
}
