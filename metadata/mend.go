package metadata

import (
	"bytes"
	"context"

	"github.com/lashstore/lashstore"
)

// mendAll puts in place what a transaction brings of content that the session has and
// of which objects were lost.
func (s *SessionDB) mendAll(ctx context.Context, c *conn, fresh map[lashstore.Digest]*Content) error {
	for d, content := range fresh {
		if err := s.mend(ctx, c, d, content); err != nil {
			return err
		}
	}
	return nil
}

// mend puts content in the place of what the session has of it, if it is to mend that.
// Equal bytes need not be cut as they were, so that its objects may be others.
func (s *SessionDB) mend(ctx context.Context, c *conn, d lashstore.Digest, fresh *Content) error {
	if fresh == nil || !fresh.Mends {
		return nil
	}
	old, err := s.readContent(ctx, c, d)
	if err != nil || old == nil || old.manifest == nil {
		return err
	}
	var objects []byte
	for _, o := range fresh.Objects {
		objects = append(objects, o.Digest.Bytes()...)
	}
	if bytes.Equal(old.manifest, fresh.Manifest) && bytes.Equal(old.objects, objects) {
		return nil // stored again under the same names
	}
	digests, err := old.digests()
	if err != nil {
		return corrupt(s.id, "content", d, err)
	}
	for _, o := range fresh.Objects { // first, or what both need would go
		if err := s.holdObject(ctx, c, o); err != nil {
			return err
		}
	}
	for _, o := range digests {
		if err := s.dropObject(ctx, c, o); err != nil {
			return err
		}
	}
	return c.exec(ctx, `UPDATE content SET manifest=?, objects=?, sum=? WHERE digest=?`, fresh.Manifest, blobArg(objects),
		contentSum(d.Bytes(), old.size, nil, fresh.Manifest, objects), d.Bytes())
}
