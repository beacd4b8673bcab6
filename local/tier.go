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

// checkTier refuses a tier other than the one that the directory belongs to.
func (s *Store) checkTier(ctx context.Context) error {
	bound, _, err := s.catalog.Tier(ctx)
	if err == nil && bound.Claimed && bound.Name != s.opts.tierName() {
		err = &lashstore.WrongTierError{Want: bound.Name, Got: s.opts.tierName()}
	}
	return err
}

// bindTier makes sure that the data directory and the tier belong together: that the
// catalog speaks of the objects in this tier, and that no other catalog does. The
// first store that may write settles it.
func (s *Store) bindTier(ctx context.Context) error {
	if s.opts.ReadOnly {
		return nil
	}
	name := s.opts.tierName()
	bound, found, err := s.catalog.Tier(ctx)
	if err == nil && (!found || !bound.Claimed) {
		bound, err = s.catalog.BindTier(ctx, name)
	}
	if err != nil || bound.Claimed && bound.Name == name {
		return err
	}
	if bound.Name != name { // another process was faster
		return &lashstore.WrongTierError{Want: bound.Name, Got: name}
	}
	if s.opts.Driver != nil { // else it is the directory's own folder
		err = s.tier.Claim(ctx, bound.Owner)
	}
	if errors.Is(err, lashstore.ErrWrongTier) {
		return &lashstore.WrongTierError{Want: name, Got: name}
	}
	if err != nil {
		return err
	}
	return s.catalog.TierClaimed(ctx, bound.Owner)
}
