package metadata

import (
	"context"

	"github.com/lashstore/lashstore"
)

// Keep makes a holder hold what is condemned in a shard after a digest, a slice of it:
// it lives again until the holder expires. It returns what was kept and where to go
// on; zero is the end.
func (k *Catalog) Keep(ctx context.Context, h Holder, s Shard, after lashstore.Digest) (kept []Doomed, next lashstore.Digest, err error) {
	from := s.from()
	if !after.IsZero() {
		from = after.Bytes()
	}
	err = k.write(ctx, "keep condemned blobs", func(ctx context.Context, c *conn) error {
		kept, next = nil, lashstore.Digest{}
		holder, err := k.holderID(ctx, c, h, true)
		if err != nil {
			return err
		}
		err = c.each(ctx, `SELECT digest, generation, stored_size FROM blob
			WHERE digest>? AND digest<=? AND condemned_at_ms IS NOT NULL AND present=1 ORDER BY digest LIMIT ?`,
			[]any{from, s.to(), int64(doomSlice)}, func(scan func(...any) error) error {
				var (
					raw        []byte
					generation int64
					d          Doomed
				)
				err := scan(&raw, &generation, &d.StoredBytes)
				if err == nil {
					d.Object, err = object(raw, generation)
				}
				kept = append(kept, d)
				return err
			})
		if err != nil {
			return err
		}
		for _, d := range kept {
			if err := k.addEdge(ctx, c, d.Digest, holder); err != nil {
				return err
			}
		}
		if len(kept) == doomSlice {
			next = kept[len(kept)-1].Digest
		}
		return nil
	})
	return kept, next, err
}
