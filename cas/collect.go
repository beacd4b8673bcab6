package cas

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lashstore/lashstore"
)

// Object is a stored object with its parsed name.
type Object struct {
	Name      ObjectName
	SizeBytes int64     // stored bytes
	ModTime   time.Time // by the clock of whoever keeps the object
}

// Page is one page of a listing.
type Page struct {
	Objects []Object // ascending by key
	// Foreign are objects below the store's prefix whose keys are not object keys.
	// They are someone else's, or a later version's, and not to be deleted.
	Foreign []ObjectInfo
	// Next is what to pass as after for the next page; empty when this is the last.
	Next string
}

// DeleteObjects removes objects. Absent ones count as removed, and one that fails
// does not stop the others. The error, if not about a bad name (then nothing was
// removed), is a [*DeleteError] whose keys are those of [ObjectName.Key].
func (s *Store) DeleteObjects(ctx context.Context, names []ObjectName) (err error) {
	done := s.opts.Metrics.start(opDelete, s.opts.Now)
	defer func() { done(err) }()
	keys := make([]string, 0, len(names))
	for _, name := range names {
		if err := name.Validate(); err != nil {
			return fmt.Errorf("delete objects: %w", err)
		}
		keys = append(keys, s.opts.Prefix+name.Key())
	}
	slices.Sort(keys)
	failed := make(map[string]error)
	for batch := range slices.Chunk(slices.Compact(keys), MaxDeleteKeys) {
		s.deleteBatch(ctx, batch, failed)
	}
	if len(failed) > 0 {
		return &DeleteError{Failed: failed}
	}
	return nil
}

// deleteBatch removes keys and adds the failures to failed, by key without prefix.
func (s *Store) deleteBatch(ctx context.Context, keys []string, failed map[string]error) {
	err := ctx.Err()
	if err == nil {
		err = s.driver.Delete(ctx, keys)
	}
	if err == nil {
		return
	}
	var each *DeleteError
	perKey := errors.As(err, &each)
	for _, key := range keys {
		cause := err
		if perKey {
			cause = each.Failed[key]
		}
		if cause != nil {
			failed[strings.TrimPrefix(key, s.opts.Prefix)] = translate(opDelete, key, cause)
		}
	}
}

// ListObjects returns up to limit objects of the store whose keys, without the
// prefix, are greater than after, in ascending order. Keys start with "b3/" and
// the first two digits of the digest, so "b3/80/" lists the upper half. limit is 1
// to [lashstore.MaxListLimit], or 0 for that.
func (s *Store) ListObjects(ctx context.Context, after string, limit int) (page Page, err error) {
	done := s.opts.Metrics.start(opList, s.opts.Now)
	defer func() { done(err) }()
	if limit == 0 {
		limit = lashstore.MaxListLimit
	}
	if limit < 0 || limit > lashstore.MaxListLimit {
		return Page{}, fmt.Errorf("list objects: %w", lashstore.Invalid("limit", limit, "is not in 0 to %d", lashstore.MaxListLimit))
	}
	if err := ctx.Err(); err != nil {
		return Page{}, fmt.Errorf("list objects after %q: %w", after, err)
	}
	infos, err := s.driver.List(ctx, s.opts.Prefix, s.opts.Prefix+after, limit)
	if err != nil {
		return Page{}, translate(opList, s.opts.Prefix, err)
	}
	for _, info := range infos {
		key, ok := strings.CutPrefix(info.Key, s.opts.Prefix)
		if !ok || key <= after {
			return Page{}, translate(opList, s.opts.Prefix, fmt.Errorf("driver listed %q after %q", info.Key, after))
		}
		after = key
		if name, err := ParseKey(key); err != nil {
			info.Key = key
			page.Foreign = append(page.Foreign, info)
		} else {
			page.Objects = append(page.Objects, Object{Name: name, SizeBytes: info.SizeBytes, ModTime: info.ModTime})
		}
	}
	if len(infos) >= limit {
		page.Next = after
	}
	return page, nil
}
