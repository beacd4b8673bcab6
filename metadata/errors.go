package metadata

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/lashstore/lashstore"
)

// ErrReservationLost is returned by a commit whose reserved blobs were released
// between reservation and commit: reserve, upload what is missing, and commit again.
var ErrReservationLost = errors.New("blob reservation lost")

// translate turns an error of the database driver into one of the contract's. It
// is the only place that knows SQLite's codes.
func translate(op, path string, err error) error {
	if err == nil {
		return nil
	}
	var known *lashstore.StorageError
	if errors.As(err, &known) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	var se *sqlite.Error
	if !errors.As(err, &se) {
		return &lashstore.StorageError{Op: op, Path: path, Kind: fileKind(err), Err: err}
	}
	kind := codeKind(se.Code())
	if se.Code()&0xff == sqlite3.SQLITE_CANTOPEN {
		kind = whyCantOpen(path)
	}
	return &lashstore.StorageError{Op: op, Path: path, Kind: kind, Err: err}
}

// whyCantOpen finds out what SQLite does not say: why a database, or a file it
// needs beside it, could not be opened.
func whyCantOpen(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0) //nolint:gosec // a database of the store
	if err == nil {
		err = f.Close()
	}
	if err == nil {
		if f, err = os.CreateTemp(filepath.Dir(path), ".probe-"); err == nil {
			err = errors.Join(f.Close(), os.Remove(f.Name()))
		}
	}
	if err == nil {
		return lashstore.ErrStorage // it can be opened by now
	}
	return fileKind(err)
}

func codeKind(code int) error {
	switch code {
	case sqlite3.SQLITE_IOERR_SHORT_READ, sqlite3.SQLITE_IOERR_CORRUPTFS:
		return lashstore.ErrCorruptDatabase
	case sqlite3.SQLITE_IOERR_SHMSIZE:
		return lashstore.ErrDiskFull // the shared memory file could not grow
	}
	switch code & 0xff { // the primary code of an extended one
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return lashstore.ErrBusy
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT, sqlite3.SQLITE_SCHEMA:
		return lashstore.ErrCorruptDatabase
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM:
		return lashstore.ErrReadOnly
	case sqlite3.SQLITE_FULL:
		return lashstore.ErrDiskFull
	default:
		return lashstore.ErrStorage
	}
}

// fileKind judges errors of the file system.
func fileKind(err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return lashstore.ErrDiskFull
	case errors.Is(err, syscall.EROFS), errors.Is(err, fs.ErrPermission):
		return lashstore.ErrReadOnly
	default:
		return lashstore.ErrStorage
	}
}

// primaryCode returns SQLite's primary code of err, or 0.
func primaryCode(err error) int {
	if se, ok := errors.AsType[*sqlite.Error](err); ok {
		return se.Code() & 0xff
	}
	return 0
}

// corrupt reports a record that cannot be trusted.
func corrupt(session lashstore.SessionID, record string, key any, err error) error {
	return &lashstore.CorruptRecordError{Session: session, Record: record, Key: fmt.Sprint(key), Err: err}
}

var (
	errSum     = errors.New("its checksum does not match")
	errMissing = errors.New("it is missing")
)

var errSize = errors.New("its size is not that of its content")
