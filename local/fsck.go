package local

import (
	"context"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/fsck"
	"github.com/lashstore/lashstore/metadata"
)

var _ lashstore.Verifier = (*Store)(nil)

// Verify runs one verification. Like a collection, it opens sessions by itself.
func (s *Store) Verify(ctx context.Context, opts lashstore.VerifyOptions) (report lashstore.VerifyReport, err error) {
	err = s.observed("verify", func() error {
		if opts.Repair {
			if err := s.requireWritable("repair"); err != nil {
				return err
			}
		}
		v, err := fsck.New(fsck.Options{
			Catalog: s.catalog, Tier: s.tier, Collector: s.collector,
			OpenSession: func(ctx context.Context, row metadata.SessionRow) (*metadata.SessionDB, error) {
				id, inc := row.Meta.SessionID, row.Incarnation
				return metadata.OpenSessionDB(ctx, s.path(id, inc), id, inc, true, s.session)
			},
			Identify: func(ctx context.Context, id lashstore.SessionID, inc lashstore.Incarnation) (metadata.Identity, error) {
				return metadata.ReadIdentity(ctx, s.path(id, inc), s.session)
			},
			Now: s.opts.Now, Elapsed: s.opts.Elapsed, Rand: s.opts.Rand,
		})
		if err != nil {
			return err
		}
		report, err = v.Run(ctx, opts)
		return err
	})
	return report, err
}
