package filecas

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
)

// operation names what is done, in errors.
type operation string

const (
	opOpen   operation = "open objects in"
	opPut    operation = "put object file"
	opGet    operation = "get object file"
	opStat   operation = "stat object file"
	opDelete operation = "delete object file"
	opList   operation = "list object files in"
)

// writes reports whether op changes files, so that a missing permission means that
// they are read-only.
func (op operation) writes() bool { return op == opOpen || op == opPut || op == opDelete }

// absent reports whether err says that no file is there. A path through a file is
// as absent as any other.
func absent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// translate gives an error of the operating system operation, path and a kind of
// the contract. It is the only place that knows error numbers.
func translate(op operation, path string, err error) error {
	kind := lashstore.ErrStorage
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s %s: %w", op, path, err)
	case (op == opGet || op == opStat) && absent(err):
		return fmt.Errorf("%s %s: %w", op, path, cas.ErrObjectNotFound)
	case errors.Is(err, fs.ErrClosed):
		return fmt.Errorf("%s %s: %w: %w", op, path, lashstore.ErrClosed, err)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		kind = lashstore.ErrDiskFull
	case op.writes() && (errors.Is(err, syscall.EROFS) || errors.Is(err, fs.ErrPermission) ||
		errors.Is(err, lashstore.ErrReadOnly)):
		kind = lashstore.ErrReadOnly
	}
	return &lashstore.StorageError{Op: string(op), Path: path, Kind: kind, Err: err}
}
