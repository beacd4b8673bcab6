package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/uuid"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/local"
)

// openStore opens the data directory and what it keeps large content in. It is the
// one place that names the store.
func (a *app) openStore(ctx context.Context, readOnly bool) (lashstore.Store, error) {
	b, err := a.flags.parseBucket()
	if err != nil {
		return nil, err
	}
	if readOnly {
		// Where there is nothing to read, no bucket has to be asked, and no cache made.
		if _, err := os.Stat(a.flags.dir); errors.Is(err, fs.ErrNotExist) {
			return nil, a.noData()
		}
	}
	t, err := a.openTier(ctx, b, readOnly)
	if err != nil {
		return nil, err
	}
	if !readOnly {
		err = a.checkFirstUse(ctx, t)
	}
	if err != nil {
		return nil, errors.Join(err, t.Close())
	}
	store, err := a.openOn(ctx, t, readOnly)
	if err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return tieredStore{Store: store, tier: t}, nil
}

// checkFirstUse asks a bucket for an answer before the data directory belongs to it
// for good: a name with a slip in it, or one that these credentials may not use, would
// otherwise be remembered.
func (a *app) checkFirstUse(ctx context.Context, t tier) error {
	if t.driver == nil {
		return nil
	}
	if _, err := os.Stat(a.tenantFolder()); !errors.Is(err, fs.ErrNotExist) {
		return nil // used before; what else is wrong with it shows when it is opened
	}
	if _, err := t.driver.List(ctx, a.tenant()+"/", "", 1); err != nil {
		return fmt.Errorf("try %s: %w", t.name, err)
	}
	return nil
}

// tenantFolder is where package local keeps the tenant's databases.
func (a *app) tenantFolder() string { return filepath.Join(a.flags.dir, "tenants", a.tenant()) }

// collectingStore is a store that collects and verifies by itself.
type collectingStore interface {
	lashstore.Store
	lashstore.Collector
	lashstore.Verifier
}

// openOn opens the data directory over a tier that is open.
func (a *app) openOn(ctx context.Context, t tier, readOnly bool) (collectingStore, error) {
	opts := local.Options{
		Tenant:     a.flags.tenant,
		Driver:     t.driver,
		TierName:   t.name,
		Profile:    lashstore.Profile(a.flags.profile.value),
		Durability: "full",
		ReadOnly:   readOnly,
		Now:        a.now,
		Metrics:    a.metrics,
	}
	if a.flags.durability.value == durabilityNormal {
		opts.Durability = "normal"
	}
	store, err := local.Open(ctx, a.flags.dir, opts)
	if readOnly && errors.Is(err, fs.ErrNotExist) {
		if _, found := os.Stat(a.tenantFolder()); found != nil || t.driver != nil {
			return nil, a.noData()
		}
		return nil, fmt.Errorf("%w; if the directory was used with --bucket, give it again", err)
	}
	if err != nil {
		return nil, withAdvice(err) // not a nil *local.Store in an interface
	}
	return store, nil
}

// noData says that there is nothing to read.
func (a *app) noData() error {
	return fmt.Errorf("%w of tenant %q in %s: the first write makes it", errNoData, a.tenant(), a.flags.dir)
}

// tenant is the tenant that is meant.
func (a *app) tenant() string {
	if a.flags.tenant == "" {
		return local.DefaultTenant
	}
	return a.flags.tenant
}

// owner identifies this process as a holder of leases.
func owner(name string) (lashstore.Owner, error) {
	id, err := uuid.NewRandom()
	if err != nil {
		return lashstore.Owner{}, fmt.Errorf("make an incarnation id: %w", err)
	}
	return lashstore.Owner{OwnerID: name, IncarnationID: id.String(), Liveness: local.ProcessLiveness()}, nil
}

// withStore opens the store for the time of a call.
func (a *app) withStore(ctx context.Context, readOnly bool, use func(lashstore.Store) error) (err error) {
	store, err := a.openStore(ctx, readOnly)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	return use(store)
}

// withSession opens a session read-only for the time of a call.
func (a *app) withSession(ctx context.Context, id string, use func(lashstore.Session) error) error {
	return a.withStore(ctx, true, func(store lashstore.Store) (err error) {
		s, err := store.OpenSession(ctx, lashstore.SessionID(id), lashstore.OpenOptions{ReadOnly: true})
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, s.Close()) }()
		return use(s)
	})
}
