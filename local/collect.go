package local

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
	"github.com/lashstore/lashstore/gc"
	"github.com/lashstore/lashstore/metadata"
)

var _ lashstore.Collector = (*Store)(nil)

// newCollector wires the collector. It opens sessions by itself: going through all of
// them, it must not drive those in use out of the cache.
func (s *Store) newCollector() (*gc.Collector, error) {
	var m *gc.Metrics
	if s.opts.Metrics != nil {
		var err error
		if m, err = gc.NewMetrics(s.opts.Metrics); err != nil {
			return nil, err
		}
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	opts := gc.Options{
		Catalog: s.catalog, Tier: s.tier, Delete: s.finishDeletion,
		OpenSession: func(ctx context.Context, row metadata.SessionRow, readOnly bool) (*metadata.SessionDB, error) {
			id, inc := row.Meta.SessionID, row.Incarnation
			return metadata.OpenSessionDB(ctx, s.path(id, inc), id, inc, readOnly, s.session)
		},
		Identify: func(ctx context.Context, path string) (metadata.Identity, error) {
			return metadata.ReadIdentity(ctx, path, s.session)
		},
		IntentTTL: s.opts.UploadTTL, Now: s.opts.Now, Elapsed: s.opts.Elapsed, Worker: fmt.Sprintf("%s:%d", host, os.Getpid()),
		Rand: s.opts.Rand, Logger: s.opts.Logger, Metrics: m, Step: s.opts.Step,
	}
	if s.opts.Driver != nil { // else the tier is the directory's own folder
		opts.CheckOwner = s.checkOwner
	}
	return gc.New(opts)
}

// checkOwner makes sure that the tier belongs to this directory and to no other.
func (s *Store) checkOwner(ctx context.Context) error {
	bound, found, err := s.catalog.Tier(ctx)
	if err != nil {
		return err
	}
	if !found || !bound.Claimed {
		return fmt.Errorf("the directory has not claimed the tier: %w", lashstore.ErrWrongTier)
	}
	return s.tier.CheckOwner(ctx, bound.Owner)
}

// Collect runs one collection.
func (s *Store) Collect(ctx context.Context, opts lashstore.CollectOptions) (report lashstore.CollectReport, err error) {
	err = s.observed("collect", func() error {
		if !opts.DryRun {
			if err := s.requireWritable("collect"); err != nil {
				return err
			}
			s.settleFirst(ctx)
		}
		report, err = s.collector.Run(ctx, s.collectOptions(opts))
		return err
	})
	return report, err
}

// settleFirst lets go of what this store's commits no longer need, so that the
// collection finds it. A session that cannot be settled keeps what it has.
func (s *Store) settleFirst(ctx context.Context) {
	if s.opts.gate != nil {
		return // a test decides when to settle
	}
	if err := s.settler.flush(ctx); err != nil {
		s.opts.Logger.Warn("settle sessions before a collection", "error", err)
	}
}

// collectOptions fills in the store's own grace period.
func (s *Store) collectOptions(opts lashstore.CollectOptions) lashstore.CollectOptions {
	if opts.Grace == nil {
		opts.Grace = s.opts.Grace
	}
	return opts
}

// CollectionStatus says what waits for collection.
func (s *Store) CollectionStatus(ctx context.Context) (st lashstore.CollectionStatus, err error) {
	err = s.observed("collection_status", func() error {
		st, err = s.collector.Status(ctx)
		return err
	})
	return st, err
}

// Undelete keeps content for a while that nothing refers to.
func (s *Store) Undelete(ctx context.Context, opts lashstore.UndeleteOptions) (report lashstore.UndeleteReport, err error) {
	err = s.observed("undelete", func() error {
		if err := errors.Join(s.requireWritable("undelete"), opts.Validate()); err != nil {
			return err
		}
		if opts.For == 0 {
			opts.For = lashstore.DefaultUploadTTL
		}
		report.ExpiresAt = s.clock.now().Add(opts.For)
		if opts.All {
			err = s.undeleteAll(ctx, &report)
		} else {
			err = s.undelete(ctx, opts.Digests, &report)
		}
		if err != nil {
			report = lashstore.UndeleteReport{}
			return fmt.Errorf("undelete: %w", err)
		}
		return nil
	})
	return report, err
}

func (s *Store) undeleteAll(ctx context.Context, report *lashstore.UndeleteReport) error {
	h, err := metadata.NewUploadHolder(s.opts.Rand, report.ExpiresAt)
	if err != nil {
		return err
	}
	report.Objects, report.StoredBytes, err = s.collector.KeepAll(ctx, h)
	return err
}

// undelete keeps all of the contents or none.
func (s *Store) undelete(ctx context.Context, digests []lashstore.Digest, report *lashstore.UndeleteReport) (err error) {
	var holders []metadata.Holder
	defer func() {
		if err != nil {
			for _, h := range holders {
				s.abandon(ctx, h)
			}
		}
	}()
	for _, d := range digests {
		h, err := metadata.NewUploadHolder(s.opts.Rand, report.ExpiresAt)
		if err != nil {
			return err
		}
		holders = append(holders, h)
		c, err := s.hold(ctx, h, d)
		if err != nil {
			return err
		}
		err = s.catalog.FinishUpload(ctx, h, metadata.Upload{
			Digest: d, Size: c.Size, Manifest: c.Manifest, Objects: c.Objects, UploadedAt: s.clock.now(), ExpiresAt: report.ExpiresAt,
		})
		if err != nil {
			return err
		}
		for _, o := range c.Objects {
			row, _, err := s.catalog.Blob(ctx, o.Digest)
			if err != nil {
				return err
			}
			report.Objects++
			report.StoredBytes += row.StoredBytes
		}
	}
	return nil
}

// hold makes a holder hold content that is in the tier, whoever else refers to it.
func (s *Store) hold(ctx context.Context, h metadata.Holder, d lashstore.Digest) (c metadata.Content, err error) {
	row, found, err := s.catalog.Blob(ctx, d)
	if err != nil {
		return c, err
	}
	var reserved []lashstore.Digest
	get := s.reserveFor(h, &reserved)
	if found && row.Present && row.Content {
		objects, err := get(ctx, []lashstore.Digest{d})
		if err != nil {
			return c, err
		}
		if len(objects) == 1 {
			root, err := cas.SingleRoot(lashstore.BlobRef{Digest: d, SizeBytes: row.RawBytes})
			return metadata.Content{Size: row.RawBytes, Manifest: root, Objects: objects}, err
		}
	}
	c, found, err = s.described(ctx, d, get)
	if err == nil && !found {
		err = fmt.Errorf("content %s: %w", d, lashstore.ErrBlobNotFound)
	}
	return c, err
}
