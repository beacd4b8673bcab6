package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
	"github.com/lashstore/lashstore/cas/filecas"
	"github.com/lashstore/lashstore/gc"
	"github.com/lashstore/lashstore/metadata"
)

// Store is an embedded store: one tenant's sessions and blobs.
type Store struct {
	opts    Options
	dir     string // of the tenant
	clock   *clock
	catalog *metadata.Catalog
	tier    *cas.Store
	session metadata.SessionOptions
	cache   *cache
	recent  *recent
	metrics *metrics
	settler *settler
	// collector deletes what nothing refers to; auto runs it in the background.
	collector *gc.Collector
	auto      *autoCollector
	// flushes paces writes to sessions: a token per write under way.
	flushes chan struct{}
	// owned is the driver to be closed with the store: the default one.
	owned io.Closer

	mu     sync.Mutex
	closed bool           // guarded by mu
	calls  sync.WaitGroup // calls in flight; grows only while not closed
	gone   chan struct{}  // closed when the store closes
}

var _ lashstore.Store = (*Store)(nil)

// parallelFlushes is how many session transactions are made durable at a time.
// More of them only compete for the disk: see docs/performance.md for the
// measurement behind it.
const parallelFlushes = 16

// staleAfter is how old the file of a new session must be to count as left behind.
const staleAfter = time.Hour

// Open opens the store in the folder dir, making it unless it is to be read only.
//
// Errors: [lashstore.ErrInvalid], [lashstore.ErrSchemaVersion],
// [lashstore.ErrWrongTier], [lashstore.ErrCorruptDatabase], [lashstore.ErrReadOnly], [lashstore.ErrStorage].
func Open(ctx context.Context, dir string, opts Options) (*Store, error) {
	if err := opts.Validate(); err != nil {
		return nil, fmt.Errorf("open store %s: %w", dir, err)
	}
	opts = opts.withDefaults()
	// The directory stays where it is if the process changes its own.
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	s := &Store{
		opts:    opts,
		dir:     filepath.Join(dir, "tenants", opts.Tenant),
		clock:   &clock{source: opts.Now},
		recent:  newRecent(max(opts.RecentBytes, 0)),
		flushes: make(chan struct{}, parallelFlushes),
		gone:    make(chan struct{}),
	}
	s.session = metadata.SessionOptions{
		Durability:         opts.Durability,
		BusyTimeout:        opts.BusyTimeout,
		Retention:          opts.Retention,
		SourceKeyRetention: opts.SourceKeyRetention,
		TempDir:            filepath.Join(s.dir, "tmp"),
		Now:                s.clock.now,
		Rand:               opts.Rand,
		Processes:          opts.Processes,
		Liveness:           ProcessLiveness(),
		Gate:               opts.gate,
	}
	if err := s.assemble(ctx, dir); err != nil {
		return nil, fmt.Errorf("open store %s: %w", dir, errors.Join(err, s.closeOwned()))
	}
	return s, nil
}

// assemble opens the parts of the store.
func (s *Store) assemble(ctx context.Context, dir string) (err error) {
	if s.metrics, err = newMetrics(s.opts.Metrics, s.opts.Now); err != nil {
		return err
	}
	s.catalog, err = metadata.OpenCatalog(ctx, filepath.Join(s.dir, "catalog.db"), metadata.CatalogOptions{
		Durability:  s.opts.Durability,
		BusyTimeout: s.opts.BusyTimeout,
		Now:         s.clock.now,
		Rand:        s.opts.Rand,
		ReadOnly:    s.opts.ReadOnly,
		Gate:        s.opts.gate,
	})
	if err != nil {
		return err
	}
	for _, step := range []func() error{
		func() error { return s.checkTier(ctx) },
		func() error { return s.openTier(dir) },
		func() error { return s.bindTier(ctx) },
	} {
		if err := step(); err != nil {
			return errors.Join(err, s.catalog.Close())
		}
	}
	if !s.opts.ReadOnly {
		if err := metadata.RemoveStale(s.session.TempDir, s.clock.now().Add(-staleAfter)); err != nil {
			return errors.Join(err, s.catalog.Close())
		}
	}
	s.cache = newCache(fitOpenFiles(s.opts.MaxOpenSessions), s.openDatabase, func(key cacheKey, err error) {
		s.opts.Logger.Warn("close an idle session", "session_id", string(key.id), "error", err)
	})
	if s.collector, err = s.newCollector(); err != nil {
		return errors.Join(err, s.catalog.Close())
	}
	s.settler = newSettler(s)
	s.auto = newAutoCollector(s)
	return nil
}

func (s *Store) openTier(dir string) (err error) {
	driver := s.opts.Driver
	if driver == nil {
		files, err := filecas.Open(filepath.Join(dir, "blobs"), filecas.Options{
			NoSync:   s.opts.Durability == lashstore.DurabilityNormal,
			ReadOnly: s.opts.ReadOnly,
			Now:      s.opts.Now,
		})
		if err != nil {
			return err
		}
		driver, s.owned = files, files
	}
	var tierMetrics *cas.Metrics
	if s.opts.Metrics != nil {
		if tierMetrics, err = cas.NewMetrics(s.opts.Metrics); err != nil {
			return err
		}
	}
	s.tier, err = cas.New(driver, cas.Options{Profile: s.opts.Profile, Prefix: s.opts.Tenant + "/", Metrics: tierMetrics, Now: s.opts.Now})
	return err
}

// filesPerSession is how many files an open session may need: database and log for
// the writer and two readers, and the shared memory of the log.
const filesPerSession = 7

// fitOpenFiles lowers the number of open sessions so that they use no more than
// half of the files the process may open.
func fitOpenFiles(sessions int) int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return sessions
	}
	files := int(min(limit.Cur, 1<<30))
	return max(1, min(sessions, files/2/filesPerSession))
}

// Tier says that what the store acknowledged survives the process.
func (s *Store) Tier() lashstore.DurabilityTier { return lashstore.TierDurable }

// begin registers a call; end unregisters it.
func (s *Store) begin() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return fmt.Errorf("store: %w", lashstore.ErrClosed)
	}
	s.calls.Add(1)
	return nil
}

func (s *Store) end() { s.calls.Done() }

// Close waits for the calls in flight, settles what is pending and closes all
// files. Closing twice is no error.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	s.calls.Wait()
	close(s.gone)
	s.auto.close()
	err := errors.Join(s.settler.close(), s.cache.close(), s.catalog.Close(), s.closeOwned())
	if err != nil {
		return fmt.Errorf("close store: %w", err)
	}
	return nil
}

func (s *Store) closeOwned() error {
	if s.owned == nil {
		return nil
	}
	return s.owned.Close()
}

// observed runs a call of the store itself: counted, and only while it is open.
func (s *Store) observed(op string, fn func() error) (err error) {
	if err := s.begin(); err != nil {
		return err
	}
	defer s.end()
	done := s.metrics.start(op)
	defer func() { done(err) }()
	return fn()
}

func (s *Store) requireWritable(op string) error {
	if s.opts.ReadOnly {
		return fmt.Errorf("%s: store opened read-only: %w", op, lashstore.ErrReadOnly)
	}
	return nil
}

// path returns the file of a session.
func (s *Store) path(id lashstore.SessionID, inc lashstore.Incarnation) string {
	return filepath.Join(s.dir, metadata.SessionPath(id, inc))
}

func (s *Store) openDatabase(ctx context.Context, key cacheKey) (*metadata.SessionDB, error) {
	return metadata.OpenSessionDB(ctx, s.path(key.id, key.incarnation), key.id, key.incarnation, key.readOnly, s.session)
}
