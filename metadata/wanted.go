package metadata

import "context"

// Wanted reports whether any of the objects is known to be missing or damaged: its row
// names it and says that it is not in the tier.
func (k *Catalog) Wanted(ctx context.Context, objects []Object) (wanted bool, err error) {
	if len(objects) == 0 {
		return false, nil
	}
	err = k.read(ctx, "look for wanted blobs", func(ctx context.Context, c *conn) error {
		wanted = false
		for _, o := range objects {
			found, err := c.one(ctx, `SELECT 1 FROM blob WHERE digest=? AND generation=? AND present=0`,
				[]any{o.Digest.Bytes(), counter(o.Generation)}, new(int64))
			if err != nil {
				return err
			}
			wanted = wanted || found
		}
		return nil
	})
	return wanted, err
}
