package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/lashstore/lashstore/local"
)

func (a *app) gcCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "gc",
		Short: "Collect what nothing refers to any more",
		Long: `Collect what nothing refers to any more: sessions whose time to live is over,
uploads that no commit has used, and the objects that neither sessions nor uploads
need. It runs beside writers, in any number of processes at once, and can be
killed at any time: the next run goes on.

An object is deleted only after it has been without a reference for the grace
period. Until then "gc undelete" keeps it.

Without --tenant (or LASHSTORE_TENANT), run, worker and status are about all
tenants of the data directory.`,
		Args: cobra.NoArgs,
		RunE: needsCommand,
	}
	cmd.AddCommand(a.gcRunCommand(), a.gcWorkerCommand(), a.gcStatusCommand(), a.gcUndeleteCommand())
	return cmd
}

// tenants are the one that the command line names, or else all that have a catalog
// below the data directory, in the order of their names.
func (a *app) tenants() (names []string, err error) {
	if a.flags.tenant != "" {
		if err := a.requireTenant(); err != nil {
			return nil, err
		}
		return []string{a.flags.tenant}, nil
	}
	entries, err := os.ReadDir(filepath.Dir(a.tenantFolder()))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list tenants: %w", err)
	}
	for _, e := range entries {
		if e.Type().IsRegular() {
			continue
		}
		// What has another name than a tenant's is not the store's.
		if one := a.forTenant(e.Name()); one.validTenant() == nil && one.hasCatalog() {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// someTenants are the tenants, of which there must be one.
func (a *app) someTenants() ([]string, error) {
	names, err := a.tenants()
	if err == nil && len(names) == 0 {
		err = fmt.Errorf("%w in %s: no tenant has a catalog there", errNoData, a.flags.dir)
	}
	return names, err
}

// requireTenant makes sure that the tenant is there: opened for writing, one that is
// not would be made.
func (a *app) requireTenant() error {
	if err := a.validTenant(); err != nil {
		return err
	}
	if !a.hasCatalog() {
		return a.noData()
	}
	return nil
}

func (a *app) validTenant() error { return local.Options{Tenant: a.flags.tenant}.Validate() }

// hasCatalog reports whether the tenant has one. Where that cannot be seen, opening it
// will say why.
func (a *app) hasCatalog() bool {
	_, err := os.Stat(filepath.Join(a.tenantFolder(), "catalog.db"))
	return !errors.Is(err, fs.ErrNotExist)
}

// forTenant is the same run of the command, for a tenant.
func (a *app) forTenant(tenant string) *app {
	one := *a
	one.flags.tenant = tenant
	return &one
}

// onTenant opens a tenant's store, over a tier that is open, for the time of a call.
func (a *app) onTenant(ctx context.Context, t tier, tenant string, readOnly bool, use func(collectingStore) error) (err error) {
	store, err := a.forTenant(tenant).openOn(ctx, t, readOnly)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	return use(store)
}

// withTier opens what the data directory keeps large content in for the time of a call.
func (a *app) withTier(ctx context.Context, readOnly bool, use func(tier) error) (err error) {
	b, err := a.flags.parseBucket()
	if err != nil {
		return err
	}
	t, err := a.openTier(ctx, b, readOnly)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	return use(t)
}
