package cas

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/lashstore/lashstore"
)

// Store puts and gets verified objects through a driver, below one key prefix. It
// holds no state of its own beyond buffers; it needs no closing.
type Store struct {
	driver   Driver
	opts     Options
	stored   sync.Pool // of *bytes.Buffer: envelopes being read
	segments sync.Pool // of *[]byte: segments being packed
	memories sync.Pool // of *splitMemory
	spans    sync.Pool // of *[]byte: spans being read
}

// New returns a store over driver. It does not touch the driver.
func New(driver Driver, opts Options) (*Store, error) {
	if driver == nil {
		return nil, fmt.Errorf("open a content store: %w", lashstore.Invalid("driver", "", "is missing"))
	}
	if err := opts.Validate(); err != nil {
		return nil, fmt.Errorf("open a content store: %w", err)
	}
	return &Store{driver: driver, opts: opts.withDefaults()}, nil
}

// maxPooledBytes is how large a buffer may be to be kept for later: an envelope of
// content that is not cut. Larger objects are rare and should not stay in memory.
const maxPooledBytes = HeaderBytes + SingleBytes + bytes.MinRead

// PutObject stores an envelope, as [Store.Encode] or [Store.Split] made it, under
// name. Its header and checksum are verified first, its digest is not: whoever
// encoded it has just computed that. stored is not kept or changed.
//
// Errors: [lashstore.ErrInvalid] for a bad name, [lashstore.ErrCorruptBlob] for
// what is not an envelope, and those of the driver.
func (s *Store) PutObject(ctx context.Context, name ObjectName, stored []byte) (err error) {
	done := s.opts.Metrics.start(opPut, s.opts.Now)
	defer func() { done(err) }()
	key, err := s.key(ctx, opPut, name)
	if err != nil {
		return err
	}
	header, err := Inspect(stored)
	if err != nil {
		return &lashstore.CorruptBlobError{Digest: name.Digest, Key: key, Reason: err.Error()}
	}
	if err := s.driver.Put(ctx, key, stored); err != nil {
		return translate(opPut, key, err)
	}
	s.opts.Metrics.addBytes(opPut, header.RawBytes, header.StoredBytes)
	return nil
}

// GetObject returns the verified content of an object; the caller owns it.
//
// Errors: [lashstore.ErrBlobNotFound], [lashstore.ErrCorruptBlob] and those of the
// driver.
func (s *Store) GetObject(ctx context.Context, name ObjectName) ([]byte, error) {
	return s.getInto(ctx, name, nil)
}

// getInto is GetObject with a buffer that is used if it is large enough.
func (s *Store) getInto(ctx context.Context, name ObjectName, buf []byte) (raw []byte, err error) {
	raw, err = s.getOnce(ctx, name, buf)
	if errors.Is(err, lashstore.ErrCorruptBlob) && s.forget(name) {
		return s.getOnce(ctx, name, buf)
	}
	return raw, err
}

// forget makes a driver that remembers objects forget one, and reports whether
// reading it again may give other bytes.
func (s *Store) forget(names ...ObjectName) bool {
	f, ok := s.driver.(Forgetter)
	if ok {
		for _, name := range names {
			f.Forget(s.opts.Prefix + name.Key())
		}
	}
	return ok
}

func (s *Store) getOnce(ctx context.Context, name ObjectName, buf []byte) (raw []byte, err error) {
	done := s.opts.Metrics.start(opGet, s.opts.Now)
	defer func() { done(err) }()
	key, err := s.key(ctx, opGet, name)
	if err != nil {
		return nil, err
	}
	stored, ok := s.stored.Get().(*bytes.Buffer)
	if !ok {
		stored = new(bytes.Buffer)
	}
	defer func() {
		if stored.Cap() <= maxPooledBytes {
			stored.Reset()
			s.stored.Put(stored)
		}
	}()
	if err := s.readObject(ctx, name, key, stored); err != nil {
		return nil, err
	}
	raw, err = decodeInto(buf, stored.Bytes(), name.Digest, key)
	if err != nil {
		return nil, fmt.Errorf("get object: %w", err)
	}
	s.opts.Metrics.addBytes(opGet, int64(len(raw)), int64(stored.Len()))
	if stored.Bytes()[codecOffset] == byte(CodecRaw) { // raw lies in stored, which is used again
		raw = append(buf[:0], raw...)
	}
	return raw, nil
}

// readObject reads the whole envelope under key into stored.
func (s *Store) readObject(ctx context.Context, name ObjectName, key string, stored *bytes.Buffer) error {
	body, err := s.driver.Get(ctx, key, 0, -1)
	if err != nil {
		return notFound(name, translate(opGet, key, err))
	}
	// One byte more than can be right tells an object that is too long.
	_, err = stored.ReadFrom(io.LimitReader(body, maxStoredBytes+1))
	if err = errors.Join(err, body.Close()); err != nil {
		return translate(opGet, key, err)
	}
	if stored.Len() > maxStoredBytes {
		return &lashstore.CorruptBlobError{
			Digest: name.Digest, Key: key,
			Reason: fmt.Sprintf("the object has more than %d bytes", maxStoredBytes),
		}
	}
	return nil
}

// StatObject describes an object without reading it. Its Key has no prefix.
//
// Errors: [lashstore.ErrBlobNotFound] and those of the driver.
func (s *Store) StatObject(ctx context.Context, name ObjectName) (info ObjectInfo, err error) {
	done := s.opts.Metrics.start(opStat, s.opts.Now)
	defer func() { done(err) }()
	key, err := s.key(ctx, opStat, name)
	if err != nil {
		return ObjectInfo{}, err
	}
	info, err = s.driver.Stat(ctx, key)
	if err != nil {
		return ObjectInfo{}, notFound(name, translate(opStat, key, err))
	}
	info.Key = name.Key()
	return info, nil
}

// key returns the driver's key for name, unless the name is bad or ctx is done.
func (s *Store) key(ctx context.Context, op operation, name ObjectName) (string, error) {
	if err := name.Validate(); err != nil {
		return "", fmt.Errorf("%s object: %w", op, err)
	}
	key := s.opts.Prefix + name.Key()
	if err := ctx.Err(); err != nil {
		return "", fmt.Errorf("%s object %s: %w", op, key, err)
	}
	return key, nil
}

// notFound turns the driver's absence into the contract's.
func notFound(name ObjectName, err error) error {
	if errors.Is(err, ErrObjectNotFound) {
		return fmt.Errorf("%w: %s: %w", lashstore.ErrBlobNotFound, name.Digest, err)
	}
	return err
}

// translate wraps a driver's error with operation and key, and gives it a kind if
// it has none.
func translate(op operation, key string, err error) error {
	for _, known := range []error{
		ErrObjectNotFound, context.Canceled, context.DeadlineExceeded, lashstore.ErrStorage,
		lashstore.ErrDiskFull, lashstore.ErrReadOnly, lashstore.ErrBusy, lashstore.ErrInvalid, lashstore.ErrClosed,
	} {
		if errors.Is(err, known) {
			return fmt.Errorf("%s object %s: %w", op, key, err)
		}
	}
	return &lashstore.StorageError{Op: string(op) + " object", Path: key, Kind: lashstore.ErrStorage, Err: err}
}
