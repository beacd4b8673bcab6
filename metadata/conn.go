package metadata

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"math"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/lashstore/lashstore"
)

// driverConn is what a connection of the driver can do. It is used without
// database/sql, whose pool, locks and conversions cost about a quarter of a commit
// and which has nothing to do for a connection that is never shared.
type driverConn interface {
	driver.Conn
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
}

// statement is a prepared statement of the driver.
type statement interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

// conn is one SQLite connection with its prepared statements. It is used by one
// goroutine at a time.
type conn struct {
	path     string
	sql      driverConn
	prepared map[string]statement
	args     []driver.NamedValue // reused
	row      []driver.Value      // reused
	// quiet is set when the connection reads without locks a file that nobody was
	// writing to when it had the mark.
	quiet bool
	mark  fileMark
}

// dial opens a connection.
func dial(path, dsn string) (*conn, error) {
	dc, err := new(sqlite.Driver).Open(dsn)
	if err != nil {
		return nil, err
	}
	c, ok := dc.(driverConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("the driver's connection is a %T", dc), dc.Close())
	}
	return &conn{path: path, sql: c, prepared: make(map[string]statement)}, nil
}

// stmt prepares a statement once for the life of the connection.
func (c *conn) stmt(ctx context.Context, query string) (statement, error) {
	if s, ok := c.prepared[query]; ok {
		return s, nil
	}
	ds, err := c.sql.PrepareContext(ctx, query)
	if primaryCode(err) == sqlite3.SQLITE_ERROR {
		// The statement fits the schema of this version, so the schema is not that.
		return nil, &lashstore.StorageError{Op: "prepare a statement for", Path: c.path, Kind: lashstore.ErrCorruptDatabase, Err: err}
	}
	if err != nil {
		return nil, translate("prepare a statement for", c.path, err)
	}
	s, ok := ds.(statement)
	if !ok {
		return nil, errors.Join(fmt.Errorf("the driver's statement is a %T", ds), ds.Close())
	}
	c.prepared[query] = s
	return s, nil
}

// bind makes arguments into what the driver takes.
func (c *conn) bind(args []any) ([]driver.NamedValue, error) {
	c.args = c.args[:0]
	for i, a := range args {
		switch v := a.(type) {
		case nil, int64, string, []byte:
		case int:
			a = int64(v)
		default:
			return nil, fmt.Errorf("metadata: argument %d of a statement is a %T", i+1, a)
		}
		c.args = append(c.args, driver.NamedValue{Ordinal: i + 1, Value: a})
	}
	return c.args, nil
}

func (c *conn) run(ctx context.Context, query string, args []any) (driver.Result, error) {
	s, err := c.stmt(ctx, query)
	if err != nil {
		return nil, err
	}
	bound, err := c.bind(args)
	if err != nil {
		return nil, err
	}
	return s.ExecContext(ctx, bound)
}

func (c *conn) exec(ctx context.Context, query string, args ...any) error {
	_, err := c.run(ctx, query, args)
	return err
}

// script runs statements once, without keeping them.
func (c *conn) script(ctx context.Context, text string) error {
	_, err := c.sql.ExecContext(ctx, text, nil)
	return err
}

// execCount returns how many rows changed.
func (c *conn) execCount(ctx context.Context, query string, args ...any) (int64, error) {
	res, err := c.run(ctx, query, args)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// insert returns the rowid of the new row, or 0 if nothing was inserted.
func (c *conn) insert(ctx context.Context, query string, args ...any) (int64, error) {
	res, err := c.run(ctx, query, args)
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
	err = c.each(ctx, query, args, func(scan func(...any) error) error {
		found = true
		if err := scan(dest...); err != nil {
			return err
		}
		return errStop
	})
	return found && err == nil, err
}

// errStop ends each without an error.
var errStop = errors.New("stop")

// each calls fn for every row, until it returns errStop or another error. fn may use
// the connection, but not the same query.
func (c *conn) each(ctx context.Context, query string, args []any, fn func(scan func(...any) error) error) (err error) {
	s, err := c.stmt(ctx, query)
	if err != nil {
		return err
	}
	bound, err := c.bind(args)
	if err != nil {
		return err
	}
	rows, err := s.QueryContext(ctx, bound)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	row := c.row
	if n := len(rows.Columns()); cap(row) < n {
		row = make([]driver.Value, n)
	} else {
		row = row[:n]
	}
	c.row = nil // taken, should fn query too
	defer func() { c.row = row }()
	scan := func(dest ...any) error { return c.scanned(scanRow(row, dest)) }
	for {
		switch err := rows.Next(row); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if err := fn(scan); err != nil {
			if errors.Is(err, errStop) {
				return nil
			}
			return err
		}
	}
}

// scanned types the error of a scan: what a column holds that its type does not
// allow was not written by this program.
func (c *conn) scanned(err error) error {
	if err == nil {
		return nil
	}
	return &lashstore.StorageError{Op: "read a row of", Path: c.path, Kind: lashstore.ErrCorruptDatabase, Err: err}
}

// scanRow stores the values of a row. Byte slices are handed over: the driver makes
// new ones for each row.
func scanRow(row []driver.Value, dest []any) error {
	if len(row) != len(dest) {
		return fmt.Errorf("metadata: %d columns scanned into %d variables", len(row), len(dest))
	}
	for i, v := range row {
		if err := scanValue(v, dest[i]); err != nil {
			return fmt.Errorf("column %d: %w", i, err)
		}
	}
	return nil
}

func scanValue(v driver.Value, dest any) error {
	var ok bool
	switch d := dest.(type) {
	case *int64:
		*d, ok = v.(int64)
	case *string:
		*d, ok = v.(string)
	case *[]byte:
		*d, ok = v.([]byte)
		ok = ok || v == nil
	case *uint32:
		var n int64
		n, ok = v.(int64)
		ok = ok && n >= 0 && n <= math.MaxUint32
		*d = uint32(n) //nolint:gosec // checked
	case *int:
		var n int64
		n, ok = v.(int64)
		*d = int(n)
	case *bool:
		var n int64
		n, ok = v.(int64)
		*d = n != 0
	case *sql.NullInt64:
		d.Int64, d.Valid = v.(int64)
		ok = d.Valid || v == nil
	case *sql.NullString:
		d.String, d.Valid = v.(string)
		ok = d.Valid || v == nil
	default:
		return fmt.Errorf("metadata: scan into a %T", dest)
	}
	if !ok {
		return fmt.Errorf("a %T where a %T is expected", v, dest)
	}
	return nil
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
	if _, err := c.one(ctx, "PRAGMA journal_mode=WAL", nil, &mode); err != nil {
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
	errs = append(errs, c.sql.Close())
	if err := errors.Join(errs...); err != nil {
		return translate("close", c.path, err)
	}
	return nil
}
