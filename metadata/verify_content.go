package metadata

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/lashstore/lashstore"
)

// usesOfContent has a row for each use of content: its digest, what it is, the name,
// and the revision from which on and up to before which it is used.
const usesOfContent = `SELECT digest, '` + lashstore.UseComponent + `' AS use, key AS name, added_rev AS added, removed_rev AS removed FROM component
	UNION ALL SELECT state_digest, '` + lashstore.UseFrame + `', frame_id, added_rev, NULL FROM frame WHERE state_digest IS NOT NULL
	UNION ALL SELECT digest, '` + lashstore.UseAttachment + `', media_type, 0, NULL FROM attachment WHERE held<>0
	UNION ALL SELECT digest, '` + lashstore.UseArtifact + `', namespace || '/' || name, 0, NULL FROM artifact`

// contents checks every content: its row, and that bytes that lie here are what its
// digest says.
func (k *sessionCheck) contents(ctx context.Context, c *conn) error {
	err := k.walk(ctx, c, "content", `SELECT digest FROM content`, nil, func(scan func(...any) error) error {
		var raw []byte
		if err := scan(&raw); err != nil {
			return err
		}
		d, err := lashstore.DigestFromBytes(raw)
		if err != nil {
			return corrupt(k.s.id, "content", fmt.Sprintf("%x", raw), err)
		}
		return k.content(ctx, c, d)
	})
	if err != nil {
		return err
	}
	return k.walk(ctx, c, "outbox", `SELECT digest FROM outbox`, nil, func(scan func(...any) error) error {
		var raw []byte
		if err := scan(&raw); err != nil {
			return err
		}
		if _, err := lashstore.DigestFromBytes(raw); err != nil {
			return corrupt(k.s.id, "outbox", fmt.Sprintf("%x", raw), err)
		}
		return nil
	})
}

func (k *sessionCheck) content(ctx context.Context, c *conn, d lashstore.Digest) error {
	if _, _, _, _, err := k.s.contentRefs(ctx, c, d); err != nil {
		return err
	}
	r, err := k.s.readContent(ctx, c, d)
	if err != nil || r == nil {
		return err
	}
	out, err := k.s.resolve(ctx, c, r)
	if err == nil && r.manifest == nil {
		if int64(len(out.Bytes)) != r.size {
			return corrupt(k.s.id, "content", d, errSize)
		}
		k.found.InlineBytes += r.size
	}
	return err
}

// counts checks that all that is used is there, and is counted as often as it is used.
func (k *sessionCheck) counts(ctx context.Context, c *conn) error {
	err := k.note("content", c.each(ctx, `WITH uses AS (SELECT digest, count(*) AS n, min(use || ' ' || name) AS first FROM (`+usesOfContent+`) GROUP BY digest)
		SELECT digest, coalesce(first,''), coalesce(n,0), coalesce(refs,-1) FROM uses FULL JOIN content USING (digest) WHERE n IS NOT refs`, nil,
		func(scan func(...any) error) error {
			var (
				raw     []byte
				first   string
				n, refs int64
			)
			if err := scan(&raw, &first, &n, &refs); err != nil {
				return err
			}
			d, err := lashstore.DigestFromBytes(raw)
			switch {
			case err != nil:
				err = corrupt(k.s.id, "content", fmt.Sprintf("%x", raw), err)
			case refs < 0:
				err = corrupt(k.s.id, "content", d, fmt.Errorf("%w, and %s uses it", errMissing, first))
			default:
				err = corrupt(k.s.id, "content", d, fmt.Errorf("%w: %d and %d", errUses, refs, n))
			}
			k.flaw("count", d, err)
			return nil
		}))
	if err != nil {
		return err
	}
	return k.note("count", k.s.countRoots(ctx, c))
}

// TierContent is content of a session that lies in the blob tier.
type TierContent struct {
	Digest lashstore.Digest
	Content
}

// TierContents returns contents of the session that lie in the blob tier, in order
// and after a digest, from up to limit rows. Those whose records cannot be trusted are
// left out; [SessionDB.Check] names them. Next is where to go on, zero at the end.
func (s *SessionDB) TierContents(ctx context.Context, after lashstore.Digest, limit int) (list []TierContent, next lashstore.Digest, err error) {
	outer := ctx
	err = s.read(ctx, "list contents", func(ctx context.Context, c *conn) error {
		list, next = nil, lashstore.Digest{}
		k := &checker{outer: outer, path: s.db.path, found: &Checkup{}}
		from := []byte{}
		if !after.IsZero() {
			from = after.Bytes()
		}
		n := 0
		var last lashstore.Digest
		err := k.walk(ctx, c, "content", `SELECT digest FROM content WHERE digest>? AND manifest IS NOT NULL ORDER BY digest LIMIT ?`,
			[]any{from, int64(limit)}, func(scan func(...any) error) error {
				var raw []byte
				if err := scan(&raw); err != nil {
					return err
				}
				n++
				d, err := lashstore.DigestFromBytes(raw)
				if err != nil {
					return corrupt(s.id, "content", fmt.Sprintf("%x", raw), err)
				}
				last = d
				r, err := s.readContent(ctx, c, d)
				if err != nil || r == nil {
					return err
				}
				where, err := s.resolve(ctx, c, r)
				if err == nil {
					list = append(list, TierContent{Digest: d, Content: where})
				}
				return err
			})
		if n == limit {
			next = last
		}
		return err
	})
	return list, next, err
}

// ObjectUse is a use of content that needs an object, or that is itself asked about.
type ObjectUse struct {
	Object lashstore.Digest // that was asked about
	lashstore.LostContent
}

// Uses says what needs the given digests, of objects or of contents: for each, the
// uses of the contents that need it, up to a limit in all. Records that cannot be
// trusted are passed over.
func (s *SessionDB) Uses(ctx context.Context, digests map[lashstore.Digest]bool, limit int) (uses []ObjectUse, err error) {
	outer := ctx
	err = s.read(ctx, "find what needs objects", func(ctx context.Context, c *conn) error {
		uses = nil
		u := &useFinder{
			checker: checker{outer: outer, path: s.db.path, found: &Checkup{}}, s: s,
			asked: digests, limit: limit, by: make(map[lashstore.Digest][]lashstore.Digest), sizes: make(map[lashstore.Digest]int64),
		}
		if err := u.find(ctx, c); err != nil {
			return err
		}
		uses = u.uses
		return nil
	})
	return uses, err
}

type useFinder struct {
	checker
	s     *SessionDB
	asked map[lashstore.Digest]bool
	limit int
	by    map[lashstore.Digest][]lashstore.Digest // content → what was asked about and it needs
	sizes map[lashstore.Digest]int64
	uses  []ObjectUse
}

func (u *useFinder) find(ctx context.Context, c *conn) error {
	if err := u.walk(ctx, c, "content", `SELECT digest, size, objects FROM content`, nil, u.content); err != nil || len(u.by) == 0 {
		return err
	}
	var oldest, head int64
	if _, err := c.one(ctx, `SELECT coalesce(min(revision),0), coalesce(max(revision),0) FROM revision`, nil, &oldest, &head); err != nil {
		return err
	}
	return u.walk(ctx, c, "use", usesOfContent, nil, func(scan func(...any) error) error {
		var (
			raw       []byte
			use, name string
			added     int64
			removed   sql.NullInt64
		)
		if err := scan(&raw, &use, &name, &added, &removed); err != nil {
			return err
		}
		d, err := lashstore.DigestFromBytes(raw)
		if err != nil {
			return corrupt(u.s.id, use, name, err)
		}
		lost := lashstore.LostContent{SessionID: u.s.id, Digest: d, SizeBytes: u.sizes[d], Use: use, Name: strings.ToValidUTF8(name, "?")}
		if use == lashstore.UseComponent || use == lashstore.UseFrame {
			last := head
			if removed.Valid {
				last = removed.Int64 - 1
			}
			first := max(added, oldest)
			if lost.FirstRevision, err = unsigned[lashstore.Revision](min(first, last)); err == nil {
				lost.LastRevision, err = unsigned[lashstore.Revision](last)
			}
			if err != nil {
				return corrupt(u.s.id, use, name, err)
			}
		}
		for _, object := range u.by[d] {
			if len(u.uses) == u.limit {
				return errStop
			}
			u.uses = append(u.uses, ObjectUse{Object: object, LostContent: lost})
		}
		return nil
	})
}

// content notes which of the objects that were asked about a content needs.
func (u *useFinder) content(scan func(...any) error) error {
	var (
		raw, objects []byte
		size         int64
	)
	if err := scan(&raw, &size, &objects); err != nil {
		return err
	}
	d, err := lashstore.DigestFromBytes(raw)
	if err != nil {
		return corrupt(u.s.id, "content", fmt.Sprintf("%x", raw), err)
	}
	list, err := (&contentRow{objects: objects}).digests()
	if err != nil {
		return corrupt(u.s.id, "content", d, err)
	}
	needs := list[:0]
	for _, o := range list {
		if u.asked[o] && o != d {
			needs = append(needs, o)
		}
	}
	if u.asked[d] { // itself: as content, or as the only object of it
		needs = append(needs, d)
	}
	if len(needs) > 0 {
		u.by[d], u.sizes[d] = needs, size
	}
	return nil
}
