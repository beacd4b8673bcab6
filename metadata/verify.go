package metadata

import (
	"context"
	"errors"
	"fmt"

	"github.com/lashstore/lashstore"
)

const (
	// maxFlaws bounds how many flaws of one database a checkup names.
	maxFlaws = 50
	// maxIntegrity bounds how many lines SQLite's own check of a database gives.
	maxIntegrity = 20
)

// Flaw is a record that cannot be trusted, or one that does not fit the others.
type Flaw struct {
	Record string           // the kind of record; "database" where SQLite itself finds damage
	Digest lashstore.Digest // of content or an object, where the record is about one
	Err    error
}

// recordDatabase is the record of flaws that SQLite finds.
const recordDatabase = "database"

// OfDatabase reports whether the flaw is one of the file, not of a record in it.
func (f Flaw) OfDatabase() bool { return f.Record == recordDatabase }

// Checkup is what a look at all records of a database found.
type Checkup struct {
	Rows        int64
	InlineBytes int64 // of content, verified
	Flaws       []Flaw
	More        int64 // flaws that are not named
}

// Any reports whether anything is wrong.
func (k *Checkup) Any() bool { return len(k.Flaws) > 0 }

// checker walks tables and notes what is wrong instead of ending there.
type checker struct {
	outer context.Context //nolint:containedctx // the caller's, for the time of one read
	path  string
	found *Checkup
}

func (k *checker) flaw(record string, d lashstore.Digest, err error) {
	if len(k.found.Flaws) >= maxFlaws {
		k.found.More++
		return
	}
	k.found.Flaws = append(k.found.Flaws, Flaw{Record: record, Digest: d, Err: err})
}

// note notes an error that is damage and returns any other.
func (k *checker) note(record string, err error) error {
	err = translateUnlessOurs("check", k.path, err)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, lashstore.ErrCorruptDatabase):
		record = recordDatabase
	case errors.Is(err, lashstore.ErrCorruptRecord), errors.Is(err, lashstore.ErrCorruptBlob):
	default:
		return err
	}
	var d lashstore.Digest
	if blob, ok := errors.AsType[*lashstore.CorruptBlobError](err); ok {
		d = blob.Digest
	}
	k.flaw(record, d, err)
	return nil
}

// walk calls row for every row of a query. Rows that cannot be trusted are noted, and
// do not keep the others from being read.
func (k *checker) walk(ctx context.Context, c *conn, record, query string, args []any, row func(scan func(...any) error) error) error {
	return k.note(record, c.each(ctx, query, args, func(scan func(...any) error) error {
		if k.found.Rows++; k.found.Rows%cancelEvery == 0 && k.outer.Err() != nil {
			return k.outer.Err()
		}
		return k.note(record, row(scan))
	}))
}

// none notes a flaw for every row of a query that should have none: its only column
// says which record it is.
func (k *checker) none(ctx context.Context, c *conn, session lashstore.SessionID, record, query string, reason error, args ...any) error {
	return k.note(record, c.each(ctx, query, args, func(scan func(...any) error) error {
		var key string
		if err := scan(&key); err != nil {
			return k.note(record, err)
		}
		return k.note(record, corrupt(session, record, key, reason))
	}))
}

// integrity has SQLite check the whole file: its pages, the indices against their
// tables, and the types of columns.
func (k *checker) integrity(c *conn) error {
	// This is the only statement that takes long by itself, so that the caller's context
	// interrupts it.
	err := c.each(k.outer, fmt.Sprintf("PRAGMA integrity_check(%d)", maxIntegrity), nil, func(scan func(...any) error) error {
		var text string
		if err := scan(&text); err != nil || text == "ok" {
			return err
		}
		k.flaw(recordDatabase, lashstore.Digest{}, &lashstore.StorageError{
			Op: "check", Path: k.path, Kind: lashstore.ErrCorruptDatabase, Err: errors.New(text),
		})
		return nil
	})
	if k.outer.Err() != nil {
		return k.outer.Err()
	}
	return k.note(recordDatabase, err)
}

// steps runs checks in order, until one cannot be made.
func steps(ctx context.Context, c *conn, checks ...func(context.Context, *conn) error) error {
	for _, check := range checks {
		if err := check(ctx, c); err != nil {
			return err
		}
	}
	return nil
}
