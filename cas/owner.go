package cas

import (
	"context"
	"fmt"
	"strings"

	"github.com/lashstore/lashstore"
)

// ownerRoot is where the keys of owners begin, beside those of objects.
const ownerRoot = "owner/"

// Claim makes owner, a name of lower-case letters and digits, the owner of all that
// lies below the store's prefix. What one owner's collector does not know it deletes,
// so that a prefix must not have two. Claiming again what one owns is no error.
//
// Claim writes a mark and then looks for others; of two that claim at the same time,
// both may be refused. It takes two requests, once for a prefix.
//
// Errors: [lashstore.ErrWrongTier] if there is another owner, and those of the driver.
func (s *Store) Claim(ctx context.Context, owner string) error {
	root := s.opts.Prefix + ownerRoot
	key := root + owner
	if err := ValidateKey(key); err != nil {
		return fmt.Errorf("claim %s: %w", root, err)
	}
	others, err := s.owners(ctx, root, owner)
	if err != nil {
		return err
	}
	if len(others) == 0 {
		if err := s.driver.Put(ctx, key, nil); err != nil {
			return translate(opPut, key, err)
		}
		if others, err = s.owners(ctx, root, owner); err != nil {
			return err
		}
	}
	if len(others) == 0 {
		return nil
	}
	if err := s.driver.Delete(ctx, []string{key}); err != nil {
		return translate(opDelete, key, err)
	}
	return fmt.Errorf("claim %s: owned by %s: %w", root, strings.Join(others, ", "), lashstore.ErrWrongTier)
}

// owners lists the owners other than owner, or some of them.
func (s *Store) owners(ctx context.Context, root, owner string) (others []string, err error) {
	infos, err := s.driver.List(ctx, root, root, lashstore.MaxListLimit)
	if err != nil {
		return nil, translate(opList, root, err)
	}
	for _, info := range infos {
		if name := strings.TrimPrefix(info.Key, root); name != owner {
			others = append(others, name)
		}
	}
	return others, nil
}

// CheckOwner makes sure that owner, and nobody else, has claimed the store's prefix. A
// collector calls it before it deletes what it does not know.
//
// Errors: [lashstore.ErrWrongTier], and those of the driver.
func (s *Store) CheckOwner(ctx context.Context, owner string) error {
	root := s.opts.Prefix + ownerRoot
	infos, err := s.driver.List(ctx, root, root, lashstore.MaxListLimit)
	if err != nil {
		return translate(opList, root, err)
	}
	if len(infos) == 1 && infos[0].Key == root+owner {
		return nil
	}
	names := make([]string, len(infos))
	for i, info := range infos {
		names[i] = strings.TrimPrefix(info.Key, root)
	}
	return fmt.Errorf("check %s: owned by %q, not by %q alone: %w", root, names, owner, lashstore.ErrWrongTier)
}
