package metadata

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/lashstore/lashstore"
)

// componentRow is a row of the component table: what a key refers to from one
// revision on.
type componentRow struct {
	key        string
	addedRev   int64
	digest     lashstore.Digest
	size       int64
	counter    int64
	descriptor string
}

func (r *componentRow) columns() []any {
	return []any{r.key, r.addedRev, r.digest.Bytes(), r.size, r.counter, r.descriptor}
}

const componentSelect = `SELECT key, added_rev, digest, size, counter, descriptor, sum FROM component`

func (s *SessionDB) scanComponent(scan func(...any) error) (*componentRow, error) {
	var (
		r   componentRow
		raw []byte
		sum int64
	)
	if err := scan(&r.key, &r.addedRev, &raw, &r.size, &r.counter, &r.descriptor, &sum); err != nil {
		return nil, err
	}
	var err error
	if r.digest, err = lashstore.DigestFromBytes(raw); err != nil {
		return nil, corrupt(s.id, "component", r.key, err)
	}
	if sum != rowSum(r.columns()...) {
		return nil, corrupt(s.id, "component", r.key, errSum)
	}
	return &r, nil
}

func (s *SessionDB) component(r *componentRow) (lashstore.Component, error) {
	comp := lashstore.Component{Ref: lashstore.BlobRef{Digest: r.digest, SizeBytes: r.size}}
	var err error
	if comp.Revision, err = unsigned[uint64](r.counter); err != nil {
		return comp, corrupt(s.id, "component", r.key, err)
	}
	if err := lashstore.DecodeStrict([]byte(r.descriptor), &comp.Descriptor); err != nil {
		return comp, corrupt(s.id, "component", r.key, err)
	}
	return comp, nil
}

// liveComponents returns the rows of the head's checkpoint by key.
func (s *SessionDB) liveComponents(ctx context.Context, c *conn) (map[string]*componentRow, error) {
	live := make(map[string]*componentRow)
	err := c.each(ctx, componentSelect+` WHERE removed_rev IS NULL`, nil, func(scan func(...any) error) error {
		r, err := s.scanComponent(scan)
		if err == nil {
			live[r.key] = r
		}
		return err
	})
	return live, err
}

// readComponents returns the components of a revision, without their bytes.
func (s *SessionDB) readComponents(ctx context.Context, c *conn, rev *revisionRow, head bool) (map[string]lashstore.Component, error) {
	out := make(map[string]lashstore.Component)
	n := counter(rev.revision)
	where, args := ` WHERE added_rev<=? AND (removed_rev IS NULL OR removed_rev>?)`, []any{n, n}
	if head {
		where, args = ` WHERE removed_rev IS NULL`, nil
	}
	err := c.each(ctx, componentSelect+where, args,
		func(scan func(...any) error) error {
			r, err := s.scanComponent(scan)
			if err != nil {
				return err
			}
			out[r.key], err = s.component(r)
			return err
		})
	if err == nil && int64(len(out)) != rev.components {
		return nil, corrupt(s.id, "checkpoint", rev.revision, fmt.Errorf("%d components found, %d recorded", len(out), rev.components))
	}
	return out, err
}

// applyCheckpoint makes the given set the checkpoint of a revision and returns the
// references by key.
func (t *commitTx) applyCheckpoint(ctx context.Context, c *conn, cp *lashstore.Checkpoint) (map[string]lashstore.BlobRef, error) {
	live, err := t.s.liveComponents(ctx, c)
	if err != nil {
		return nil, err
	}
	refs := make(map[string]lashstore.BlobRef)
	if cp == nil {
		for key, r := range live {
			refs[key] = lashstore.BlobRef{Digest: r.digest, SizeBytes: r.size}
		}
		return refs, nil
	}
	for _, key := range slices.Sorted(maps.Keys(cp.Components)) {
		comp := cp.Components[key]
		now, err := t.componentRow(key, &comp)
		if err != nil {
			return nil, err
		}
		old := live[key]
		delete(live, key)
		if old != nil && old.digest == now.digest && old.counter == now.counter && old.descriptor == now.descriptor {
			refs[key] = lashstore.BlobRef{Digest: old.digest, SizeBytes: old.size}
			continue
		}
		if now.size, err = t.hold(ctx, c, now.digest, "component "+key); err != nil {
			return nil, err
		}
		if err := t.replaceComponent(ctx, c, old, now); err != nil {
			return nil, err
		}
		refs[key] = lashstore.BlobRef{Digest: now.digest, SizeBytes: now.size}
	}
	for _, gone := range live {
		if err := t.replaceComponent(ctx, c, gone, nil); err != nil {
			return nil, err
		}
	}
	return refs, nil
}

func (t *commitTx) componentRow(key string, comp *lashstore.Component) (*componentRow, error) {
	descriptor, err := encode("descriptor", lashstore.ComponentDescriptor(key, comp))
	if err != nil {
		return nil, err
	}
	return &componentRow{key: key, addedRev: counter(t.rev), digest: comp.Ref.Digest, counter: counter(comp.Revision), descriptor: descriptor}, nil
}

// replaceComponent ends the row of a key and starts the next; either may be nil. The
// ended row keeps its reference for the revisions that have it.
func (t *commitTx) replaceComponent(ctx context.Context, c *conn, old, now *componentRow) error {
	if old != nil {
		if err := c.exec(ctx, `UPDATE component SET removed_rev=? WHERE key=? AND added_rev=?`, counter(t.rev), old.key, old.addedRev); err != nil {
			return err
		}
	}
	if now == nil {
		return nil
	}
	cols := now.columns()
	return c.exec(ctx, `INSERT INTO component (key, added_rev, digest, size, counter, descriptor, sum) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		append(cols, rowSum(cols...))...)
}

// trimComponents removes rows that no revision from oldest on has.
func (s *SessionDB) trimComponents(ctx context.Context, c *conn, oldest int64) error {
	var gone []*componentRow
	err := c.each(ctx, `DELETE FROM component WHERE removed_rev<=? RETURNING key, added_rev, digest, size, counter, descriptor, sum`,
		[]any{oldest}, func(scan func(...any) error) error {
			r, err := s.scanComponent(scan)
			gone = append(gone, r)
			return err
		})
	if err != nil {
		return err
	}
	for _, r := range gone {
		if err := s.dropContent(ctx, c, r.digest); err != nil {
			return err
		}
	}
	return nil
}
