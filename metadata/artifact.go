package metadata

import (
	"context"
	"fmt"

	"github.com/lashstore/lashstore"
)

const artifactSelect = `SELECT namespace, name, digest, size, kind, updated_at_ms, sum FROM artifact`

func artifactColumns(a *lashstore.ArtifactInfo) []any {
	return []any{a.Namespace, a.Name, a.Ref.Digest.Bytes(), a.Ref.SizeBytes, string(a.Kind), toMS(a.UpdatedAt)}
}

func (s *SessionDB) scanArtifact(scan func(...any) error) (*lashstore.ArtifactInfo, error) {
	var (
		a       lashstore.ArtifactInfo
		raw     []byte
		kind    string
		at, sum int64
	)
	err := scan(&a.Namespace, &a.Name, &raw, &a.Ref.SizeBytes, &kind, &at, &sum)
	if err != nil {
		return nil, err
	}
	a.Kind, a.UpdatedAt = lashstore.ArtifactKind(kind), fromMS(at)
	if a.Ref.Digest, err = lashstore.DigestFromBytes(raw); err != nil {
		return nil, corrupt(s.id, "artifact", a.Namespace+"/"+a.Name, err)
	}
	if sum != rowSum(artifactColumns(&a)...) {
		return nil, corrupt(s.id, "artifact", a.Namespace+"/"+a.Name, errSum)
	}
	return &a, nil
}

func (s *SessionDB) readArtifact(ctx context.Context, c *conn, name lashstore.ArtifactName) (a *lashstore.ArtifactInfo, err error) {
	err = c.each(ctx, artifactSelect+` WHERE namespace=? AND name=?`, []any{name.Namespace, name.Name}, func(scan func(...any) error) error {
		a, err = s.scanArtifact(scan)
		return err
	})
	return a, err
}

// PutArtifact points a name at content. Fresh and verify are those of a
// [CommitInput].
func (s *SessionDB) PutArtifact(ctx context.Context, a lashstore.ArtifactInfo, fresh *Content, verify func(context.Context) error) (lashstore.ArtifactInfo, error) {
	err := s.write(ctx, "put an artifact", func(ctx context.Context, c *conn) error {
		a.UpdatedAt = fromMS(toMS(s.opts.Now()))
		old, err := s.readArtifact(ctx, c, a.ArtifactName)
		if err != nil {
			return err
		}
		if err := s.mend(ctx, c, a.Ref.Digest, fresh); err != nil {
			return err
		}
		_, held, err := s.holdContent(ctx, c, a.Ref.Digest, fresh)
		if err != nil {
			return err
		}
		if !held {
			return &lashstore.UnknownReferenceError{Session: s.id, Digest: a.Ref.Digest, Use: "artifact " + a.Namespace + "/" + a.Name}
		}
		cols := artifactColumns(&a)
		err = c.exec(ctx, `INSERT OR REPLACE INTO artifact (namespace, name, digest, size, kind, updated_at_ms, sum)
			VALUES (?, ?, ?, ?, ?, ?, ?)`, append(cols, rowSum(cols...))...)
		if err != nil {
			return err
		}
		if old != nil {
			if err := s.dropContent(ctx, c, old.Ref.Digest); err != nil {
				return err
			}
		}
		if verify != nil {
			return verify(ctx)
		}
		return nil
	})
	return a, err
}

// Artifact returns what a name points at.
func (s *SessionDB) Artifact(ctx context.Context, name lashstore.ArtifactName) (a lashstore.ArtifactInfo, err error) {
	if err := name.Validate(); err != nil {
		return a, err
	}
	err = s.read(ctx, "find an artifact", func(ctx context.Context, c *conn) error {
		found, err := s.readArtifact(ctx, c, name)
		if err != nil {
			return err
		}
		if found == nil {
			if err := s.checkArtifacts(ctx, c); err != nil {
				return err
			}
			return fmt.Errorf("session %q: artifact %s/%s: %w", s.id, name.Namespace, name.Name, lashstore.ErrArtifactNotFound)
		}
		a = *found
		return nil
	})
	return a, err
}

// RemoveArtifact removes a name. It is idempotent.
func (s *SessionDB) RemoveArtifact(ctx context.Context, name lashstore.ArtifactName) error {
	if err := name.Validate(); err != nil {
		return err
	}
	return s.write(ctx, "remove an artifact", func(ctx context.Context, c *conn) error {
		old, err := s.readArtifact(ctx, c, name)
		if err != nil || old == nil {
			return err
		}
		if err := c.exec(ctx, `DELETE FROM artifact WHERE namespace=? AND name=?`, name.Namespace, name.Name); err != nil {
			return err
		}
		return s.dropContent(ctx, c, old.Ref.Digest)
	})
}

// ListArtifacts lists the artifacts of a namespace, or all.
func (s *SessionDB) ListArtifacts(ctx context.Context, namespace string) (list []lashstore.ArtifactInfo, err error) {
	query, args := artifactSelect, []any(nil)
	if namespace != "" {
		if err := (lashstore.ArtifactName{Namespace: namespace, Name: "any"}).Validate(); err != nil {
			return nil, err
		}
		query, args = query+` WHERE namespace=?`, []any{namespace}
	}
	err = s.read(ctx, "list artifacts", func(ctx context.Context, c *conn) error {
		return c.each(ctx, query+` ORDER BY namespace, name`, args, func(scan func(...any) error) error {
			a, err := s.scanArtifact(scan)
			if err == nil {
				list = append(list, *a)
			}
			return err
		})
	})
	return list, err
}
