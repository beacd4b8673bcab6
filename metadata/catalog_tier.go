package metadata

import (
	"context"
)

// Tier is the blob tier that a catalog belongs to.
type Tier struct {
	Name    string
	Owner   string // by which the tier knows the catalog
	Claimed bool   // the tier knows it
}

func (k *Catalog) readTier(ctx context.Context, c *conn) (t Tier, found bool, err error) {
	var claimed, sum int64
	found, err = c.one(ctx, `SELECT name, owner, claimed, sum FROM tier`, nil, &t.Name, &t.Owner, &claimed, &sum)
	if err == nil && found && sum != rowSum(t.Name, t.Owner, claimed) {
		err = corrupt("", "tier", t.Name, errSum)
	}
	t.Claimed = claimed != 0
	return t, found, err
}

func (k *Catalog) writeTier(ctx context.Context, c *conn, t Tier) error {
	claimed := int64(0)
	if t.Claimed {
		claimed = 1
	}
	return c.exec(ctx, `INSERT OR REPLACE INTO tier (one, name, owner, claimed, sum) VALUES (1, ?, ?, ?, ?)`,
		t.Name, t.Owner, claimed, rowSum(t.Name, t.Owner, claimed))
}

// Tier returns the tier that the catalog belongs to; found is false for a catalog
// that has none yet.
func (k *Catalog) Tier(ctx context.Context) (t Tier, found bool, err error) {
	err = k.read(ctx, "read the tier", func(ctx context.Context, c *conn) error {
		t, found, err = k.readTier(ctx, c)
		return err
	})
	return t, found, err
}

// BindTier makes the catalog belong to the named tier, unless one knows it already,
// and returns which it belongs to. Until [Catalog.TierClaimed] it can be bound to
// another: nothing is stored before.
func (k *Catalog) BindTier(ctx context.Context, name string) (t Tier, err error) {
	err = k.write(ctx, "bind the tier", func(ctx context.Context, c *conn) error {
		var found bool
		if t, found, err = k.readTier(ctx, c); err != nil || t.Claimed || found && t.Name == name {
			return err
		}
		t.Name = name
		if t.Owner == "" {
			if t.Owner, err = randomHex(k.opts.Rand); err != nil {
				return err
			}
		}
		return k.writeTier(ctx, c, t)
	})
	return t, err
}

// TierClaimed records that the tier knows the catalog as its owner.
func (k *Catalog) TierClaimed(ctx context.Context, owner string) error {
	return k.write(ctx, "claim the tier", func(ctx context.Context, c *conn) error {
		t, found, err := k.readTier(ctx, c)
		if err != nil {
			return err
		}
		if !found || t.Owner != owner {
			return corrupt("", "tier", owner, errMissing)
		}
		t.Claimed = true
		return k.writeTier(ctx, c, t)
	})
}
