package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/google/uuid"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/local"
)

// openStore opens the data directory. It is the one place that names the store.
func (a *app) openStore(ctx context.Context, dir string, readOnly bool) (lashstore.Store, error) {
	opts := local.Options{
		Tenant:     a.flags.tenant,
		Profile:    lashstore.Profile(a.flags.profile.value),
		Durability: "full",
		ReadOnly:   readOnly,
		Now:        a.now,
	}
	if a.flags.durability.value == durabilityNormal {
		opts.Durability = "normal"
	}
	store, err := local.Open(ctx, dir, opts)
	if readOnly && errors.Is(err, fs.ErrNotExist) {
		tenant := opts.Tenant
		if tenant == "" {
			tenant = local.DefaultTenant
		}
		return nil, fmt.Errorf("%w of tenant %q in %s: the first write makes it", errNoData, tenant, dir)
	}
	if err != nil {
		return nil, err // not a nil *local.Store in an interface
	}
	return store, nil
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
	store, err := a.openStore(ctx, a.flags.dir, readOnly)
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
