package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
	"github.com/lashstore/lashstore/cas/diskcache"
	"github.com/lashstore/lashstore/cas/filecas"
	"github.com/lashstore/lashstore/cas/s3cas"
)

// tier is the open blob tier of a store. The zero value is the default, which the
// store opens itself.
type tier struct {
	name   string        // what the data directory knows it by
	driver cas.Driver    // nil: the store's own folder
	s3     *s3cas.Driver // nil: not in S3
	parts  []io.Closer   // in the order of opening
}

// openTier opens the driver of a bucket, behind a cache if one is wanted. It is the
// one place that names drivers. It sends nothing to S3.
func (a *app) openTier(ctx context.Context, b bucket, readOnly bool) (t tier, err error) {
	switch b.scheme {
	case schemeS3:
		t.s3, err = s3cas.Open(ctx, b.s3, s3cas.Options{ReadOnly: readOnly, Now: a.now, Metrics: a.metrics})
		if err != nil {
			return tier{}, err
		}
		// What the AWS configuration says about the server counts too.
		t.name, t.driver, t.parts = tierName(t.s3.Location()), t.s3, []io.Closer{t.s3}
	case schemeFile:
		files, err := filecas.Open(b.folder, filecas.Options{
			NoSync: a.flags.durability.value == durabilityNormal, ReadOnly: readOnly, Now: a.now,
		})
		if err != nil {
			return tier{}, err
		}
		t.name, t.driver, t.parts = b.String(), files, []io.Closer{files}
	default:
		return tier{}, nil
	}
	if a.flags.cacheDir == "" || a.flags.cacheSize == 0 {
		return t, nil
	}
	cache, err := diskcache.New(t.driver, a.flags.cacheDir, diskcache.Options{
		MaxBytes: int64(a.flags.cacheSize), Namespace: t.name, Now: a.now, Metrics: a.metrics,
	})
	if err != nil {
		return tier{}, errors.Join(err, t.Close())
	}
	t.driver, t.parts = cache, append(t.parts, cache)
	return t, nil
}

// Close closes the drivers, the last opened first.
func (t tier) Close() (err error) {
	for _, part := range slices.Backward(t.parts) {
		err = errors.Join(err, part.Close())
	}
	return err
}

// tieredStore is a store that owns its tier.
type tieredStore struct {
	lashstore.Store
	tier tier
}

// Close closes the store, then the tier that it used to the last.
func (s tieredStore) Close() error { return errors.Join(s.Store.Close(), s.tier.Close()) }

// withAdvice says what to do about a data directory and a bucket that do not belong
// together.
func withAdvice(err error) error {
	wrong, ok := errors.AsType[*lashstore.WrongTierError](err)
	switch {
	case !ok:
		return err
	case wrong.Want == wrong.Got:
		return fmt.Errorf("%w; give the --dir that uses it, or another prefix", err)
	default:
		return fmt.Errorf("%w; give the --bucket that the directory was first used with, or another --dir", err)
	}
}
