// Package memcas keeps objects in memory: the driver for tests and for stores that
// need not outlive the process. Nothing it holds is durable; in all else it meets
// the contract of [cas.Driver].
package memcas

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/lashstore/lashstore/cas"
)

// Options are the optional parts of a [Driver]. The zero value works.
type Options struct {
	// Now is the clock of [cas.ObjectInfo.ModTime]; nil means the real one.
	Now func() time.Time
}

// Driver is a map from key to bytes. It may be used by several goroutines.
type Driver struct {
	now func() time.Time

	mu      sync.RWMutex // guards objects
	objects map[string]object
}

// object is immutable once stored.
type object struct {
	body    []byte
	modTime time.Time
}

var _ cas.Driver = (*Driver)(nil)

// New returns an empty driver.
func New() *Driver { return NewWith(Options{}) }

// NewWith is [New] with options.
func NewWith(opts Options) *Driver {
	if opts.Now == nil {
		opts.Now = time.Now //nolint:forbidigo // the default of an injected clock
	}
	return &Driver{now: opts.Now, objects: make(map[string]object)}
}

// Put stores a copy of body.
func (d *Driver) Put(ctx context.Context, key string, body []byte) error {
	if err := check(ctx, "put", key); err != nil {
		return err
	}
	stored := object{body: bytes.Clone(body), modTime: d.now()}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.objects[key] = stored
	return nil
}

// Get opens a range of an object.
func (d *Driver) Get(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	o, err := d.find(ctx, "get", key)
	if err != nil {
		return nil, err
	}
	body := o.body[min(offset, int64(len(o.body))):]
	if length >= 0 {
		body = body[:min(length, int64(len(body)))]
	}
	return &reader{ended: ctx.Err, body: bytes.NewReader(body)}, nil
}

// Stat describes an object.
func (d *Driver) Stat(ctx context.Context, key string) (cas.ObjectInfo, error) {
	o, err := d.find(ctx, "stat", key)
	if err != nil {
		return cas.ObjectInfo{}, err
	}
	return cas.ObjectInfo{Key: key, SizeBytes: int64(len(o.body)), ModTime: o.modTime}, nil
}

// Delete removes objects.
func (d *Driver) Delete(ctx context.Context, keys []string) error {
	failed := make(map[string]error)
	for _, key := range keys {
		if err := check(ctx, "delete", key); err != nil {
			failed[key] = err
			continue
		}
		d.mu.Lock()
		delete(d.objects, key)
		d.mu.Unlock()
	}
	if len(failed) > 0 {
		return &cas.DeleteError{Failed: failed}
	}
	return nil
}

// List returns objects in the order of their keys.
func (d *Driver) List(ctx context.Context, prefix, after string, limit int) ([]cas.ObjectInfo, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("list %q: %w", prefix, err)
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	var infos []cas.ObjectInfo
	for key, o := range d.objects {
		if key > after && strings.HasPrefix(key, prefix) {
			infos = append(infos, cas.ObjectInfo{Key: key, SizeBytes: int64(len(o.body)), ModTime: o.modTime})
		}
	}
	slices.SortFunc(infos, func(a, b cas.ObjectInfo) int { return strings.Compare(a.Key, b.Key) })
	return infos[:min(limit, len(infos))], nil
}

func (d *Driver) find(ctx context.Context, op, key string) (object, error) {
	if err := check(ctx, op, key); err != nil {
		return object{}, err
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	o, ok := d.objects[key]
	if !ok {
		return object{}, fmt.Errorf("%s %s: %w", op, key, cas.ErrObjectNotFound)
	}
	return o, nil
}

// check refuses what a driver on a service would refuse.
func check(ctx context.Context, op, key string) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s %s: %w", op, key, err)
	}
	if err := cas.ValidateKey(key); err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	return nil
}

// reader reads an object until the context ends. Objects are immutable, so that it
// copies to the caller straight from the object.
type reader struct {
	ended func() error
	body  *bytes.Reader
}

func (r *reader) Read(p []byte) (int, error) {
	if err := r.ended(); err != nil {
		return 0, fmt.Errorf("read object: %w", err)
	}
	return r.body.Read(p)
}

func (r *reader) Close() error { return nil }
