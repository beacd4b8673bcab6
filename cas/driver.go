package cas

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// ErrObjectNotFound is what a [Driver] returns, wrapped, when no object has the
// key. Callers of a [Store] see [lashstore.ErrBlobNotFound] instead.
var ErrObjectNotFound = errors.New("object not found")

// MaxDeleteKeys is the most keys that one [Driver.Delete] is given: the limit of
// S3's DeleteObjects.
const MaxDeleteKeys = 1000

// ObjectInfo describes a stored object without its content.
type ObjectInfo struct {
	Key       string
	SizeBytes int64 // of the stored bytes, envelope included
	// ModTime is when the object was last put, by the clock of whoever keeps it,
	// to that clock's resolution (a second, for some object stores).
	ModTime time.Time
}

// Driver keeps bytes by key. It is the whole of what an object store has to be
// able to do; all meaning lies in [Store].
//
// What a driver may rely on: keys satisfy [ValidateKey], and no key is another
// key's folder; Delete gets 1 to [MaxDeleteKeys] different keys; offset is not
// negative, length is -1 or positive, limit is positive. prefix and after are any
// text, compared byte by byte. A driver that maps keys to paths checks them again.
//
// What a driver must guarantee: all methods may be called at once, for equal keys
// too, by several processes. An object that was put is seen by every later Get,
// Stat and List. Errors are wrapped with the operation and the path or key;
// "no such object" wraps [ErrObjectNotFound], the context's error is passed on,
// a full disk or bucket quota is [lashstore.ErrDiskFull], a write that is not
// permitted is [lashstore.ErrReadOnly], anything else may be
// [lashstore.ErrStorage] or left as it is. After an error, a Put or Delete may
// have happened.
type Driver interface {
	// Put stores body under key. The object is whole or absent at every moment, for
	// every reader and after a crash, and durable when Put returns nil. Putting a
	// key again replaces its object; equal bytes make that harmless. Put does not
	// keep or change body.
	Put(ctx context.Context, key string, body []byte) error
	// Get opens the length bytes from offset on, or what there is of them; length -1
	// means to the end. An offset at or beyond the end gives no bytes. The reader
	// ends with io.EOF only where the object, or the range, ends: a broken transfer
	// is another error. ctx governs the reading too, and the caller closes it.
	Get(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error)
	// Stat describes an object.
	Stat(ctx context.Context, key string) (ObjectInfo, error)
	// Delete removes objects, durably; one that is absent counts as removed. Keys
	// that could not be removed are in a [*DeleteError]; another error says nothing
	// about any of them.
	Delete(ctx context.Context, keys []string) error
	// List returns up to limit objects whose keys start with prefix and are greater
	// than after, in ascending order of the key's bytes. Fewer than limit, or none,
	// means that there are no more. Objects that someone else put below the prefix
	// are listed, whatever their keys; unfinished writes are not.
	List(ctx context.Context, prefix, after string, limit int) ([]ObjectInfo, error)
}

// Forgetter is a [Driver] that may answer from what it remembers, such as a cache.
// A [Store] that reads damaged bytes tells it to forget the object and reads once
// more, so that damage in the memory, or of an answer on its way, is not taken for
// damage in the store.
type Forgetter interface {
	// Forget drops what is remembered of an object.
	Forget(key string)
}

// DeleteError says which keys could not be deleted. The others were.
type DeleteError struct {
	Failed map[string]error // key → why
}

// maxDeleteErrorKeys bounds how many keys the text of a [DeleteError] names.
const maxDeleteErrorKeys = 3

func (e *DeleteError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "delete: %d objects failed", len(e.Failed))
	for i, key := range slices.Sorted(maps.Keys(e.Failed)) {
		if i == maxDeleteErrorKeys {
			b.WriteString("; …")
			break
		}
		fmt.Fprintf(&b, "; %s: %v", key, e.Failed[key])
	}
	return b.String()
}

// Unwrap returns the causes, in the order of their keys.
func (e *DeleteError) Unwrap() []error {
	causes := make([]error, 0, len(e.Failed))
	for _, key := range slices.Sorted(maps.Keys(e.Failed)) {
		causes = append(causes, e.Failed[key])
	}
	return causes
}
