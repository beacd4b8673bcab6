package fsck

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
	"github.com/lashstore/lashstore/metadata"
)

const (
	// contentRows is how many contents of a session are read at a time: each has up to
	// 4 KiB of manifest and a few objects.
	contentRows = 64
	// maxSeen bounds how many contents are remembered that several sessions share, so
	// that they are looked at once.
	maxSeen = 1 << 17
	// readBytes is how much of content is asked for at a time.
	readBytes = 256 << 10
)

// errObjects is content whose manifest names other objects than its session holds.
var errObjects = errors.New("its manifest names other objects than the session holds")

// contents checks how the contents of all sessions are put together.
func (r *run) contents(ctx context.Context) error {
	total, err := r.v.opts.Catalog.CountSessions(ctx)
	if err != nil && !damaged(err) {
		return fmt.Errorf("count sessions: %w", err)
	}
	c := &contentRun{run: r, seen: make(map[lashstore.Digest]bool)}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(r.opts.Workers)
	c.start = group.Go
	var done atomic.Int64
	err = r.eachSession(groupCtx, func(row metadata.SessionRow) error {
		defer func() { r.progress(lashstore.VerifyContents, done.Add(1), total) }()
		return c.session(groupCtx, row)
	})
	if groupErr := group.Wait(); groupErr != nil {
		return groupErr
	}
	return err
}

// contentRun is the look at contents. One goroutine lists them.
type contentRun struct {
	*run
	start func(func() error)
	seen  map[lashstore.Digest]bool
}

// session starts the checks of one session's contents.
func (c *contentRun) session(ctx context.Context, row metadata.SessionRow) error {
	_, err := c.withSession(ctx, row, func(db *metadata.SessionDB) error {
		for after := (lashstore.Digest{}); ; {
			list, next, err := db.TierContents(ctx, after, contentRows)
			if err != nil {
				return err
			}
			for _, content := range list {
				if !c.sample.has(content.Digest) || c.known(&content) {
					continue
				}
				c.start(func() error { return c.content(ctx, row.Meta.SessionID, &content) })
			}
			if next.IsZero() {
				return nil
			}
			after = next
		}
	})
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil && !damaged(err): // else the check of the session has found it
		c.fail(fmt.Errorf("list the contents of session %q: %w", row.Meta.SessionID, err))
	}
	return nil
}

// known reports whether the same content, of the same objects, has been looked at.
func (c *contentRun) known(content *metadata.TierContent) bool {
	id := slices.Clone(content.Manifest)
	for _, o := range content.Objects {
		id = fmt.Appendf(id, "%s.%x;", o.Digest, o.Generation)
	}
	d := lashstore.DigestOf(id)
	if c.seen[d] {
		return true
	}
	if len(c.seen) < maxSeen {
		c.seen[d] = true
	}
	return false
}

// content checks one content.
func (c *contentRun) content(ctx context.Context, id lashstore.SessionID, content *metadata.TierContent) error {
	err := c.assemble(ctx, content)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case !errors.Is(err, lashstore.ErrCorruptBlob) && !errors.Is(err, lashstore.ErrBlobNotFound) && !errors.Is(err, errObjects):
		c.fail(fmt.Errorf("content %s of session %q: %w", content.Digest, id, err))
		return nil
	}
	if done, err := c.culprit(ctx, content, err); done || err != nil {
		return err
	}
	c.find(lashstore.Finding{
		Kind: lashstore.FindingCorruptValue, Digest: content.Digest, Sessions: []lashstore.SessionID{id}, Detail: err.Error(),
	})
	return nil
}

// assemble opens the manifest of content and, if asked to, reads the whole of it.
func (c *contentRun) assemble(ctx context.Context, content *metadata.TierContent) (err error) {
	objects := make(map[lashstore.Digest]cas.Generation, len(content.Objects))
	for _, o := range content.Objects {
		objects[o.Digest] = cas.Generation(o.Generation)
	}
	generation := func(d lashstore.Digest) (cas.Generation, bool) {
		g, ok := objects[d]
		return g, ok
	}
	tier := c.v.opts.Tier
	ref := lashstore.BlobRef{Digest: content.Digest, SizeBytes: content.Size}
	m, err := tier.OpenManifest(ctx, ref, content.Manifest, generation)
	if err != nil {
		return err
	}
	c.count(func(rep *lashstore.VerifyReport) { rep.Contents++ })
	needed := m.Objects()
	if len(needed) != len(objects) || slices.ContainsFunc(needed, func(d lashstore.Digest) bool { return objects[d] == 0 }) {
		return errObjects
	}
	if !c.opts.Content {
		return nil
	}
	reader, err := tier.JoinWhole(ctx, m, generation)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, reader.Close()) }()
	// The discarding writer has a way of its own of reading, in small pieces.
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, reader, make([]byte, readBytes))
	c.count(func(rep *lashstore.VerifyReport) {
		rep.BytesRead += n
		if err == nil {
			rep.ContentsRead++
		}
	})
	return err
}

// culprit finds the objects because of which content cannot be read, and reports them
// unless they have been. It returns false if the objects are not to blame.
func (c *contentRun) culprit(ctx context.Context, content *metadata.TierContent, err error) (found bool, _ error) {
	corrupt, _ := errors.AsType[*lashstore.CorruptBlobError](err)
	for _, o := range content.Objects {
		c.mu.Lock()
		known := c.broken[o.Digest]
		c.mu.Unlock()
		switch {
		case known:
			found = true
		case corrupt != nil && !strings.HasSuffix(corrupt.Key, objectName(o).Key()):
		default: // it may be the one: of a sample, it has not been read
			row, there, err := c.blob(ctx, o)
			if err != nil {
				return false, err
			}
			if !there {
				continue // of which comparing references tells
			}
			if err := c.read(ctx, row); err != nil {
				return false, err
			}
			c.mu.Lock()
			found = found || c.broken[o.Digest]
			c.mu.Unlock()
		}
	}
	return found, nil
}

// blob returns the row of an object as far as judging it needs.
func (c *contentRun) blob(ctx context.Context, o metadata.Object) (row metadata.CheckedBlob, found bool, err error) {
	b, found, err := c.v.opts.Catalog.Blob(ctx, o.Digest)
	if err != nil {
		return row, false, fmt.Errorf("find object %s: %w", o.Digest, err)
	}
	row.Object, row.Present, row.Held, row.StoredBytes = b.Object, b.Present, b.Holders > 0, b.StoredBytes
	row.Content, row.RawBytes = b.Content, b.RawBytes
	return row, found && b.Object == o, nil
}
