package metadata

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// sequenceFile lies beside the catalog and says up to which transaction the catalog
// has been seen. A catalog that is behind it was put back from a backup: it lacks
// references that sessions have gained since, and must not be collected from before
// an audit has brought it up to date.
const sequenceFile = "catalog.seq"

// sequence keeps the file. It is written after each transaction and never flushed:
// after a crash of the machine it may be behind the catalog, which does no harm.
type sequence struct {
	file *os.File
	seen int64
}

// sequenceBytes is the size of the file: a number of 64 bits and its CRC-32.
const sequenceBytes = 12

// sequenceReads is how often a file is read whose checksum is wrong.
const sequenceReads = 10

// openSequence opens the file, which it makes if it is missing.
func openSequence(dir string) (s *sequence, missing bool, err error) {
	path := filepath.Join(dir, sequenceFile)
	f, err := os.OpenFile(path, os.O_RDWR, 0o600) //nolint:gosec // a file of the store
	if errors.Is(err, fs.ErrNotExist) {
		missing = true
		f, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) //nolint:gosec // a file of the store
	}
	if err != nil {
		return nil, false, translate("open", path, err)
	}
	s = &sequence{file: f}
	for range sequenceReads { // another process may be writing it right now
		if s.seen, err = readSequence(f); err != nil {
			return nil, false, errors.Join(translate("read", path, err), f.Close())
		}
		if s.seen >= 0 {
			break
		}
	}
	return s, missing, nil
}

// readSequence returns -1 for a file that says nothing that can be trusted.
func readSequence(f io.ReaderAt) (int64, error) {
	var b [sequenceBytes]byte
	n, err := f.ReadAt(b[:], 0)
	switch {
	case n == 0 && errors.Is(err, io.EOF):
		return 0, nil // new
	case errors.Is(err, io.EOF):
		return -1, nil
	case err != nil:
		return 0, err
	}
	number := binary.BigEndian.Uint64(b[:8])
	if crc32.ChecksumIEEE(b[:8]) != binary.BigEndian.Uint32(b[8:]) || number > 1<<62 {
		return -1, nil
	}
	return int64(number), nil
}

// note records that the catalog was seen at a number.
func (s *sequence) note(number int64) error {
	if number <= s.seen {
		return nil
	}
	var b [sequenceBytes]byte
	binary.BigEndian.PutUint64(b[:8], uint64(number)) //nolint:gosec // positive
	binary.BigEndian.PutUint32(b[8:], crc32.ChecksumIEEE(b[:8]))
	if _, err := s.file.WriteAt(b[:], 0); err != nil {
		return translate("write", s.file.Name(), err)
	}
	s.seen = number
	return nil
}

func (s *sequence) close() error {
	if err := s.file.Close(); err != nil && !errors.Is(err, fs.ErrClosed) {
		return translate("close", s.file.Name(), err)
	}
	return nil
}

// advance counts a transaction. It is a part of it.
func (k *Catalog) advance(ctx context.Context, c *conn) (number int64, err error) {
	found, err := c.one(ctx, `UPDATE sequence SET sequence=sequence+1 RETURNING sequence`, nil, &number)
	if err == nil && !found {
		err = corrupt("", "sequence", "row", errMissing)
	}
	return number, err
}

// number is how many transactions the catalog has had.
func (k *Catalog) number(ctx context.Context) (number int64, err error) {
	err = k.read(ctx, "read the sequence", func(ctx context.Context, c *conn) error {
		found, err := c.one(ctx, `SELECT sequence FROM sequence`, nil, &number)
		if err == nil && !found {
			err = corrupt("", "sequence", "row", errMissing)
		}
		return err
	})
	return number, err
}

// watchSequence opens the file beside a catalog that is to be written to, and stops
// collection if the catalog is behind what it was seen at. Others may be at work on both:
// whoever commits has made the file before, so that a catalog with transactions, looked
// at first, has one; and the file is written after a transaction, so that the catalog,
// looked at again afterwards, is not behind.
func (k *Catalog) watchSequence(ctx context.Context, dir string) error {
	before, err := k.number(ctx)
	if err != nil {
		return err
	}
	var missing bool
	if k.seq, missing, err = openSequence(dir); err != nil {
		return err
	}
	now, err := k.number(ctx)
	if err != nil {
		return errors.Join(err, k.seq.close())
	}
	reason := ""
	switch {
	case missing && before > 0:
		reason = "the file " + sequenceFile + " beside the catalog is missing: whether the catalog is the newest is not known"
	case k.seq.seen < 0:
		k.seq.seen = 0
		reason = "the file " + sequenceFile + " beside the catalog is damaged: whether the catalog is the newest is not known"
	case k.seq.seen > now:
		reason = fmt.Sprintf("the catalog is older (transaction %d) than it was last seen (%d): it was put back from a backup", now, k.seq.seen)
	}
	k.group = newGroup(k.db, k)
	if reason == "" {
		return nil
	}
	if err := k.distrust(ctx, reason); err != nil {
		k.group.close()
		return errors.Join(err, k.seq.close())
	}
	return nil
}
