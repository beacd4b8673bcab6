package metadata

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/lashstore/lashstore"
)

// catalogPageSize is SQLite's default: the catalog grows large, and small pages
// would make its trees deep.
const catalogPageSize = 4096

// catalogReaders is how many reads of the catalog run beside each other.
const catalogReaders = 4

// CatalogOptions are the parts a catalog needs; all but Gate are required.
type CatalogOptions struct {
	Durability  lashstore.Durability
	BusyTimeout time.Duration
	Now         func() time.Time
	Rand        io.Reader
	ReadOnly    bool
	Gate        Gate
}

// Catalog is a tenant's catalog: its sessions, blobs and references. It may be used
// by several goroutines; their writes share transactions.
type Catalog struct {
	db    *database
	opts  CatalogOptions
	group *group
	seq   *sequence // nil if it is read only
}

// OpenCatalog opens the catalog at path, creating it unless it is to be read only.
func OpenCatalog(ctx context.Context, path string, opts CatalogOptions) (*Catalog, error) {
	dir := filepath.Dir(path)
	ours := catalogSchema()
	ours.mayCreate = func() error { return noSessionsIn(dir) }
	dbOpts := databaseOptions{
		durability:  opts.Durability,
		busyTimeout: opts.BusyTimeout,
		pageSize:    catalogPageSize,
		readers:     catalogReaders,
		schema:      ours,
	}
	mode := modeCreate
	if opts.ReadOnly {
		mode = modeRead
		if _, err := os.Stat(path); err != nil {
			return nil, translate("open", path, err)
		}
	} else if err := makeTenantFolder(dir, opts.Durability); err != nil {
		return nil, err
	}
	db, err := openDatabase(ctx, path, mode, dbOpts)
	if err != nil {
		return nil, fmt.Errorf("open the catalog: %w", err)
	}
	if opts.ReadOnly {
		err = ours.requireCurrent(ctx, db)
	} else {
		err = ours.migrate(ctx, db)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the catalog: %w", err), db.close())
	}
	k := &Catalog{db: db, opts: opts}
	if opts.ReadOnly {
		k.group = newGroup(db, nil)
		return k, nil
	}
	if err := k.watchSequence(ctx, dir); err != nil {
		return nil, errors.Join(fmt.Errorf("open the catalog: %w", err), db.close())
	}
	return k, nil
}

// noSessionsIn returns an error if the tenant's folder has session databases: then
// its catalog was lost, and a new one would forget that they and their blobs exist.
func noSessionsIn(dir string) error {
	found, err := filepath.Glob(filepath.Join(dir, "sessions", "*", "*.db"))
	if err != nil {
		return err
	}
	if len(found) > 0 {
		return fmt.Errorf("the catalog is lost: it is missing or empty, but there are %d session databases", len(found))
	}
	return nil
}

// Close waits for the calls in flight. Later calls fail with [lashstore.ErrClosed].
func (k *Catalog) Close() error {
	k.group.close()
	if k.seq == nil {
		return k.db.close()
	}
	return errors.Join(k.db.close(), k.seq.close())
}

// write runs fn in a transaction that it may share with other writes; if fn fails,
// only its own changes are undone.
func (k *Catalog) write(ctx context.Context, op string, fn func(context.Context, *conn) error) error {
	if k.opts.Gate != nil {
		k.opts.Gate.Enter(k.db.path)
		defer k.opts.Gate.Leave(k.db.path)
	}
	if err := k.group.run(ctx, fn); err != nil {
		return fmt.Errorf("catalog: %s: %w", op, translateUnlessOurs(op, k.db.path, err))
	}
	return nil
}

func (k *Catalog) read(ctx context.Context, op string, fn func(context.Context, *conn) error) error {
	if err := k.db.read(ctx, op, fn); err != nil {
		return fmt.Errorf("catalog: %w", err)
	}
	return nil
}
