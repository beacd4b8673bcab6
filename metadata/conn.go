package metadata

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	sqlite3 "modernc.org/sqlite/lib"

	"github.com/lashstore/lashstore"
)

// conn is one SQLite connection with its prepared statements. It is used by one
// goroutine at a time.
type conn struct {
	path     string
	pool     *sql.DB // of this one connection
	sql      *sql.Conn
	prepared map[string]*sql.Stmt
	// quiet is set when the connection reads without locks a file that nobody was
	// writing to when it had the mark.
	quiet bool
	mark  fileMark
}

// stmt prepares a statement once for the life of the connection.
func (c *conn) stmt(ctx context.Context, query string) (*sql.Stmt, error) {
	if s, ok := c.prepared[query]; ok {
		return s, nil
	}
	s, err := c.sql.PrepareContext(ctx, query)
	if primaryCode(err) == sqlite3.SQLITE_ERROR {
		// The statement fits the schema of this version, so the schema is not that.
		return nil, &lashstore.StorageError{Op: "prepare a statement for", Path: c.path, Kind: lashstore.ErrCorruptDatabase, Err: err}
	}
	if err != nil {
		return nil, translate("prepare a statement for", c.path, err)
	}
	c.prepared[query] = s
	return s, nil
}

func (c *conn) exec(ctx context.Context, query string, args ...any) error {
	_, err := c.execCount(ctx, query, args...)
	return err
}

// execCount returns how many rows changed.
func (c *conn) execCount(ctx context.Context, query string, args ...any) (int64, error) {
	s, err := c.stmt(ctx, query) //nolint:sqlclosecheck // kept for the life of the connection
	if err != nil {
		return 0, err
	}
	res, err := s.ExecContext(ctx, args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// insert returns the rowid of the new row, or 0 if nothing was inserted.
func (c *conn) insert(ctx context.Context, query string, args ...any) (int64, error) {
	s, err := c.stmt(ctx, query) //nolint:sqlclosecheck // kept for the life of the connection
	if err != nil {
		return 0, err
	}
	res, err := s.ExecContext(ctx, args...)
	if err != nil {
		return 0, err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return 0, err
	}
	return res.LastInsertId()
}

// one scans the only row of a query; found is false if there is none.
func (c *conn) one(ctx context.Context, query string, args []any, dest ...any) (found bool, err error) {
	s, err := c.stmt(ctx, query) //nolint:sqlclosecheck // kept for the life of the connection
	if err != nil {
		return false, err
	}
	err = s.QueryRowContext(ctx, args...).Scan(dest...)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, c.scanned(err)
}

// scanned types the error of a scan: what a column holds that its type does not
// allow was not written by this program.
func (c *conn) scanned(err error) error {
	if err == nil || primaryCode(err) != 0 {
		return err
	}
	return &lashstore.StorageError{Op: "read a row of", Path: c.path, Kind: lashstore.ErrCorruptDatabase, Err: err}
}

// errStop ends each without an error.
var errStop = errors.New("stop")

// each calls fn for every row, until it returns errStop or another error.
func (c *conn) each(ctx context.Context, query string, args []any, fn func(scan func(...any) error) error) (err error) {
	s, err := c.stmt(ctx, query) //nolint:sqlclosecheck // kept for the life of the connection
	if err != nil {
		return err
	}
	rows, err := s.QueryContext(ctx, args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := fn(func(dest ...any) error { return c.scanned(rows.Scan(dest...)) }); err != nil {
			if errors.Is(err, errStop) {
				return nil
			}
			return err
		}
	}
	return rows.Err()
}

// rollback ends a transaction that was not committed. SQLite ends some by itself
// (a full disk, for one), which is no error here.
func (c *conn) rollback(ctx context.Context) error {
	if err := c.exec(ctx, "ROLLBACK"); err != nil && primaryCode(err) != sqlite3.SQLITE_ERROR { // that one: no transaction is active
		return translate("roll back", c.path, err)
	}
	return nil
}

// walMode switches to write-ahead logging. The busy timeout does not cover the
// switch, so callers retry it.
func (c *conn) walMode(ctx context.Context) error {
	var mode string
	if err := c.sql.QueryRowContext(ctx, "PRAGMA journal_mode=WAL").Scan(&mode); err != nil {
		return err
	}
	if mode != "wal" {
		return fmt.Errorf("journal mode is %q", mode)
	}
	return nil
}

func (c *conn) close() error {
	var errs []error
	for _, s := range c.prepared {
		errs = append(errs, s.Close())
	}
	errs = append(errs, c.sql.Close(), c.pool.Close())
	if err := errors.Join(errs...); err != nil {
		return translate("close", c.path, err)
	}
	return nil
}
