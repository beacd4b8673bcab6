package metadata

import (
	"context"
	"database/sql"

	"github.com/lashstore/lashstore"
)

// Predecessor is what a component refers to at the head: what a commit that changes
// the component can share.
type Predecessor struct {
	Digest  lashstore.Digest
	Content Content
	// Aged are those of its objects that the session would sooner or later let go of
	// if the next commit did not need them: the oldest revision that is kept then
	// needs them too, or no older one is kept. Nil if the next commit trims no
	// history: then none is let go of.
	Aged map[lashstore.Digest]bool
}

// Predecessors returns what the given keys of the checkpoint refer to at the head.
// Keys that the head lacks, and content that lies in the database, are left out.
func (s *SessionDB) Predecessors(ctx context.Context, keys []string) (out map[string]Predecessor, err error) {
	out = make(map[string]Predecessor, len(keys))
	err = s.read(ctx, "find what a commit follows", func(ctx context.Context, c *conn) error {
		head, err := s.headRow(ctx, c)
		if err != nil || head == nil {
			return err
		}
		oldest, err := s.oldestAfter(ctx, c, head)
		if err != nil {
			return err
		}
		for _, key := range keys {
			p, found, err := s.predecessor(ctx, c, key, oldest, counter(head.revision))
			if err != nil {
				return err
			}
			if found {
				out[key] = p
			}
		}
		return nil
	})
	return out, err
}

// oldestAfter returns the oldest revision that is kept once a commit follows the
// head, or 0 if that commit trims nothing.
func (s *SessionDB) oldestAfter(ctx context.Context, c *conn, head *revisionRow) (int64, error) {
	cutoff, err := s.trimCutoff(ctx, c, counter(head.revision)+1, s.opts.Now())
	if err != nil || cutoff == 0 {
		return 0, err
	}
	var oldest sql.NullInt64
	if _, err := c.one(ctx, `SELECT min(revision) FROM revision`, nil, &oldest); err != nil {
		return 0, err
	}
	if oldest.Int64 > cutoff {
		return 0, nil
	}
	return min(cutoff+1, oldest.Int64+trimPerCommit), nil
}

func (s *SessionDB) predecessor(ctx context.Context, c *conn, key string, oldest, head int64) (p Predecessor, found bool, err error) {
	d, found, err := s.componentAt(ctx, c, key, head)
	if err != nil || !found {
		return p, false, err
	}
	r, err := s.readContent(ctx, c, d)
	if err != nil {
		return p, false, err
	}
	if r == nil {
		return p, false, corrupt(s.id, "content", d, errMissing)
	}
	if r.manifest == nil {
		return p, false, nil
	}
	p.Digest = d
	if p.Content, err = s.resolve(ctx, c, r); err != nil || oldest == 0 {
		return p, err == nil, err
	}
	p.Aged = make(map[lashstore.Digest]bool, len(p.Content.Objects))
	if oldest > head {
		for _, o := range p.Content.Objects {
			p.Aged[o.Digest] = true
		}
		return p, true, nil
	}
	d, found, err = s.componentAt(ctx, c, key, oldest)
	if err != nil || !found {
		return p, err == nil, err
	}
	if r, err = s.readContent(ctx, c, d); err != nil || r == nil {
		return p, err == nil, err
	}
	objects, err := r.digests()
	if err != nil {
		return p, false, corrupt(s.id, "content", d, err)
	}
	for _, o := range objects {
		p.Aged[o] = true
	}
	return p, true, nil
}

// componentAt returns what a key refers to at a revision.
func (s *SessionDB) componentAt(ctx context.Context, c *conn, key string, revision int64) (d lashstore.Digest, found bool, err error) {
	err = c.each(ctx, componentSelect+` WHERE key=? AND added_rev<=? AND (removed_rev IS NULL OR removed_rev>?)
		ORDER BY added_rev DESC LIMIT 1`, []any{key, revision, revision}, func(scan func(...any) error) error {
		r, err := s.scanComponent(scan)
		if err != nil {
			return err
		}
		d, found = r.digest, true
		return nil
	})
	return d, found, err
}
