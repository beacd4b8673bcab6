package metadata

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/lashstore/lashstore"
)

// openMode says how a connection may touch the file.
type openMode string

const (
	modeRead      openMode = "ro"
	modeWrite     openMode = "rw"
	modeCreate    openMode = "rwc"
	modeImmutable openMode = "immutable" // read a file that nobody can be writing
)

// databaseOptions are what all connections of a database share.
type databaseOptions struct {
	durability  lashstore.Durability
	busyTimeout time.Duration
	pageSize    int
	readers     int
	schema      schema
	gate        Gate // nil but in tests
}

// database is one SQLite file: a writer connection, opened first, and a few
// readers, opened when needed. In write-ahead mode readers see a snapshot and wait
// for nobody.
type database struct {
	path    string
	opts    databaseOptions
	mode    openMode
	version int           // found when the writer was opened
	writer  chan *conn    // holds the writer while it is free; nil in read-only mode
	readers chan *conn    // idle readers
	slots   chan struct{} // a token per reader in use
	closed  chan struct{}
	once    sync.Once
}

// busySlice is how long SQLite itself waits for a lock before the wait looks at the
// context again.
const busySlice = 100 * time.Millisecond

// writerSlice is the same for the write lock. SQLite asks for it after 1 ms, after 2
// more, and then ever less often, up to every 100 ms, by which it misses the moments
// between the transactions of a process that has many: a writer beside a collector then
// waited for 0.1 s, and with this for little more than one transaction (bench, Collect).
const writerSlice = 4 * time.Millisecond

// maxBusyPause is the longest pause between two slices.
const maxBusyPause = 3 * time.Millisecond

func openDatabase(ctx context.Context, path string, mode openMode, opts databaseOptions) (*database, error) {
	// In a URI, the first part of a relative path would count as a host.
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, translate("open", path, err)
	}
	d := &database{
		path:    path,
		opts:    opts,
		mode:    mode,
		readers: make(chan *conn, max(opts.readers, 1)),
		slots:   make(chan struct{}, max(opts.readers, 1)),
		closed:  make(chan struct{}),
	}
	if mode == modeRead {
		c, err := d.openReader(ctx)
		if err != nil {
			return nil, err
		}
		d.readers <- c
		return d, nil
	}
	c, err := d.connect(ctx, mode)
	if err != nil {
		return nil, err
	}
	d.writer = make(chan *conn, 1)
	d.writer <- c
	return d, nil
}

// openReader opens a connection for reading. For a database that is open for
// writing it is one like any other; one that is to be read only must not even get
// the side files that SQLite makes to coordinate with writers.
func (d *database) openReader(ctx context.Context) (*conn, error) {
	if d.mode != modeRead {
		return d.connect(ctx, modeRead)
	}
	mark, quiet, err := d.markFile()
	if err != nil {
		return nil, err
	}
	if !quiet {
		return d.connect(ctx, modeRead) // a writer is at work, or died: its side files are there
	}
	c, err := d.connect(ctx, modeImmutable)
	if err == nil {
		c.quiet, c.mark = true, mark
	}
	return c, err
}

// fileMark is what changes when a writer writes its log back into the file.
type fileMark struct {
	size     int64
	modified time.Time
}

// markFile returns the mark of the file, and whether nobody has it open for
// writing: a writer has a log with something in it before it touches the file.
func (d *database) markFile() (mark fileMark, quiet bool, err error) {
	info, err := os.Stat(d.path)
	if err != nil {
		return mark, false, translate("open", d.path, err)
	}
	mark = fileMark{size: info.Size(), modified: info.ModTime()}
	log, err := os.Stat(d.path + "-wal")
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return mark, true, nil
	case err != nil:
		return mark, false, translate("open", d.path+"-wal", err)
	}
	return mark, log.Size() == 0, nil
}

// undisturbed reports whether what a connection reads without any lock is still
// what it was opened on.
func (d *database) undisturbed(c *conn) bool {
	if !c.quiet {
		return true
	}
	mark, quiet, err := d.markFile()
	return err == nil && quiet && mark == c.mark
}

func (d *database) connect(ctx context.Context, mode openMode) (*conn, error) {
	if mode == modeCreate {
		// SQLite would make the file readable for all; its side files take the mode
		// of the file.
		f, err := os.OpenFile(d.path, os.O_CREATE|os.O_RDWR, 0o600)
		if err == nil {
			err = f.Close()
		}
		if err != nil {
			return nil, translate("create", d.path, err)
		}
	}
	dsn := url.URL{Scheme: "file", Path: d.path}
	if mode == modeImmutable {
		dsn.RawQuery = "mode=ro&immutable=1"
	} else {
		dsn.RawQuery = "mode=" + string(mode)
	}
	c, err := dial(d.path, dsn.String())
	if err != nil {
		return nil, translate("open", d.path, err)
	}
	if err := d.configure(ctx, c, mode); err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

// configure sets the pragmas of a connection.
func (d *database) configure(ctx context.Context, c *conn, mode openMode) error {
	sync := "FULL" // flush the log at every commit
	if d.opts.durability == lashstore.DurabilityNormal {
		sync = "NORMAL" // flush it at checkpoints only
	}
	pragmas := []string{
		fmt.Sprintf("busy_timeout=%d", busySlice.Milliseconds()),
		"cache_size=-2000",   // spec 1.1: 2000 KiB; an upper bound, filled on demand
		"temp_store=MEMORY",  // sorting never touches the disk
		"trusted_schema=OFF", // a hostile file must not run functions
		"cell_size_check=ON", // find damaged pages when they are read, not later
	}
	switch mode {
	case modeRead, modeImmutable:
		pragmas = append(pragmas, "query_only=ON", "cache_size=-500")
	case modeCreate:
		pragmas = append(pragmas, fmt.Sprintf("page_size=%d", d.opts.pageSize))
	case modeWrite:
	}
	if err := d.pragmas(ctx, c, pragmas...); err != nil {
		return err
	}
	if mode == modeRead || mode == modeImmutable {
		// The first read of the file tells whether it can be opened at all.
		err := d.retryBusy(ctx, func() error {
			_, err := c.one(ctx, "PRAGMA schema_version", nil, new(int64))
			return err
		})
		return translate("open", d.path, err)
	}
	// A file that is not ours must not be changed, and switching its log mode would.
	newest, err := d.opts.schema.newest()
	if err != nil {
		return err
	}
	err = d.retryBusy(ctx, func() error {
		if err := c.exec(ctx, "BEGIN"); err != nil { // one snapshot, or another's migration shows by half
			return err
		}
		d.version, err = d.opts.schema.version(ctx, c, d.path, newest)
		if err == nil && d.version == 0 && mode == modeWrite {
			err = d.opts.schema.empty(d.path)
		}
		return errors.Join(err, c.rollback(ctx))
	})
	if err != nil {
		return err
	}
	if err := d.retryBusy(ctx, func() error { return c.walMode(ctx) }); err != nil {
		return translate("switch to write-ahead logging", d.path, err)
	}
	return d.pragmas(ctx, c, "synchronous="+sync, fmt.Sprintf("busy_timeout=%d", writerSlice.Milliseconds()))
}

// pragmas sets pragmas, some of which read the file: another process may be recovering
// it, or removing its log.
func (d *database) pragmas(ctx context.Context, c *conn, pragmas ...string) error {
	for _, p := range pragmas {
		if err := d.retryBusy(ctx, func() error { return c.script(ctx, "PRAGMA "+p) }); err != nil {
			return translate("configure", d.path, err)
		}
	}
	return nil
}

// retryBusy repeats what found the database locked, until the busy timeout or the
// end of ctx. SQLite has waited a slice each time already.
func (d *database) retryBusy(ctx context.Context, try func() error) error {
	var over <-chan time.Time
	for attempt := 1; ; attempt++ {
		err := try()
		code := primaryCode(err)
		if err == nil || code != sqlite3.SQLITE_BUSY && code != sqlite3.SQLITE_LOCKED {
			return err
		}
		if ctx.Err() != nil {
			return fmt.Errorf("wait for another writer: %w", ctx.Err())
		}
		if over == nil {
			over = time.After(d.opts.busyTimeout)
		}
		// SQLite does not wait when waiting could not help (a stale snapshot, or the
		// switch of the log mode), so this loop must not spin.
		select {
		case <-over:
			return err
		case <-ctx.Done():
		case <-time.After(min(time.Duration(attempt)*time.Millisecond, maxBusyPause)):
		}
	}
}

// write runs fn in a write transaction: the write lock is taken before fn's first
// read. The context ends the waiting, and ends the transaction if it is done by the
// time fn is; statements themselves are not interrupted halfway.
func (d *database) write(ctx context.Context, op string, fn func(context.Context, *conn) error) error {
	if d.writer == nil {
		return &lashstore.StorageError{Op: op, Path: d.path, Kind: lashstore.ErrReadOnly, Err: errors.New("opened read-only")}
	}
	if d.opts.gate != nil {
		d.opts.gate.Enter(d.path)
		defer d.opts.gate.Leave(d.path)
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	var c *conn
	select {
	case c = <-d.writer:
	case <-d.closed:
		return fmt.Errorf("%s %s: %w", op, d.path, lashstore.ErrClosed)
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", op, ctx.Err())
	}
	defer func() { d.writer <- c }()
	inner := context.WithoutCancel(ctx)
	if err := d.retryBusy(ctx, func() error { return c.exec(inner, "BEGIN IMMEDIATE") }); err != nil {
		return translate(op, d.path, err)
	}
	err := fn(inner, c)
	if err == nil {
		if err = ctx.Err(); err == nil {
			err = c.exec(inner, "COMMIT")
		}
	}
	if err != nil {
		return errors.Join(translateUnlessOurs(op, d.path, err), c.rollback(inner))
	}
	return nil
}

// read runs fn in a read transaction, so that all it reads is of one snapshot.
func (d *database) read(ctx context.Context, op string, fn func(context.Context, *conn) error) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	select {
	case d.slots <- struct{}{}:
	case <-d.closed:
		return fmt.Errorf("%s %s: %w", op, d.path, lashstore.ErrClosed)
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", op, ctx.Err())
	}
	defer func() { <-d.slots }()
	c, err := d.takeReader(ctx)
	if err != nil {
		return translateUnlessOurs(op, d.path, err)
	}
	defer func() { d.readers <- c }()
	inner := context.WithoutCancel(ctx)
	if err := d.retryBusy(ctx, func() error { return c.exec(inner, "BEGIN") }); err != nil {
		return translate(op, d.path, err)
	}
	err = fn(inner, c)
	if err == nil {
		err = ctx.Err()
	}
	if !d.undisturbed(c) {
		err = &lashstore.StorageError{Op: op, Path: d.path, Kind: lashstore.ErrBusy, Err: errors.New("it was written to while it was read")}
	}
	return errors.Join(translateUnlessOurs(op, d.path, err), c.rollback(inner))
}

// takeReader returns an idle reader or a new one.
func (d *database) takeReader(ctx context.Context) (*conn, error) {
	select {
	case c := <-d.readers:
		if d.undisturbed(c) {
			return c, nil
		}
		if err := c.close(); err != nil {
			return nil, err
		}
	default:
	}
	return d.openReader(ctx)
}

// compact rewrites the file without its free pages and returns by how much it
// shrank. Another process at work on the file is no failure: then it stays as it is.
func (d *database) compact(ctx context.Context) (returned int64, err error) {
	var c *conn
	select {
	case c = <-d.writer:
	case <-d.closed:
		return 0, fmt.Errorf("compact %s: %w", d.path, lashstore.ErrClosed)
	case <-ctx.Done():
		return 0, fmt.Errorf("compact %s: %w", d.path, ctx.Err())
	}
	defer func() { d.writer <- c }()
	before, err := os.Stat(d.path)
	if err != nil {
		return 0, translate("compact", d.path, err)
	}
	inner := context.WithoutCancel(ctx)
	for _, step := range []string{"VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"} {
		if err := c.script(inner, step); err != nil {
			err = translate("compact", d.path, err)
			if errors.Is(err, lashstore.ErrBusy) {
				return 0, nil
			}
			return 0, err
		}
	}
	after, err := os.Stat(d.path)
	if err != nil {
		return 0, translate("compact", d.path, err)
	}
	return before.Size() - after.Size(), nil
}

// close waits for the calls in flight and closes all connections. The last
// connection to a database writes the log back and removes it. Closing again is a
// no-op.
func (d *database) close() (err error) {
	d.once.Do(func() { err = d.closeAll() })
	return err
}

func (d *database) closeAll() error {
	close(d.closed)
	var errs []error
	for range cap(d.slots) { // wait for every reader in use
		d.slots <- struct{}{}
	}
	for drained := false; !drained; {
		select {
		case c := <-d.readers:
			errs = append(errs, c.close())
		default:
			drained = true
		}
	}
	if d.writer != nil {
		errs = append(errs, (<-d.writer).close())
	}
	return errors.Join(errs...)
}

// translateUnlessOurs translates driver errors and leaves the contract's alone.
func translateUnlessOurs(op, path string, err error) error {
	if _, ok := errors.AsType[*sqlite.Error](err); ok {
		return translate(op, path, err)
	}
	return err
}
