package local

import (
	"context"
	"errors"

	"github.com/lashstore/lashstore"
)

// Names of tiers that have none of their own.
const (
	folderTier   = "the folder blobs"
	unnamedTier  = "a driver without a name"
	maxTierBytes = 2048
)

// tierName is the name of the tier that the store was opened with.
func (o Options) tierName() string {
	switch {
	case o.TierName != "":
		return o.TierName
	case o.Driver == nil:
		return folderTier
	default:
		return unnamedTier
	}
}

// bindTier makes sure that the data directory and the tier belong together: that the
// catalog speaks of the objects in this tier, and that no other catalog does. The
// first store that may write settles it.
func (s *Store) bindTier(ctx context.Context) error {
	name := s.opts.tierName()
	bound, found, err := s.catalog.Tier(ctx)
	if err == nil && !found && !s.opts.ReadOnly {
		bound, err = s.catalog.BindTier(ctx, name)
		found = true
	}
	if err != nil || !found {
		return err
	}
	if bound.Name != name {
		return &lashstore.WrongTierError{Want: bound.Name, Got: name}
	}
	if bound.Claimed || s.opts.ReadOnly || s.opts.Driver == nil {
		return nil // the folder is the directory's own
	}
	if err := s.tier.Claim(ctx, bound.Owner); err != nil {
		if errors.Is(err, lashstore.ErrWrongTier) {
			err = errors.Join(&lashstore.WrongTierError{Want: name, Got: name}, err)
		}
		return err
	}
	return s.catalog.TierClaimed(ctx, bound.Owner)
}
