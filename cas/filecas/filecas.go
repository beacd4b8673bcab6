package filecas

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
)

const (
	// tmpFolder holds files that are being written. No key starts with a dot.
	tmpFolder = ".tmp"
	// DefaultStaleAfter is how old a file in .tmp must be to be removed: longer than
	// any write of one object (16 MiB) takes.
	DefaultStaleAfter = 24 * time.Hour
	// Only the owner of the data may read it: objects hold what users said.
	folderMode, fileMode = 0o700, 0o600
	// maxKnownFolders bounds the memory of the folders that are known to be durable:
	// 16 tenants of 256 shards. Forgetting them costs a flush each.
	maxKnownFolders = 4096
)

// Options are the optional parts of a [Driver]. The zero value works.
type Options struct {
	// NoSync leaves out all flushes: a crash of the machine may lose or truncate
	// objects that were acknowledged. For tests and for data that can be made again.
	NoSync bool
	// ReadOnly opens existing data without changing anything; Put and Delete then
	// fail with [lashstore.ErrReadOnly].
	ReadOnly bool
	// StaleAfter is how old a leftover temporary file must be for Open to remove it;
	// 0 means [DefaultStaleAfter].
	StaleAfter time.Duration
	// Now is the clock that leftovers are judged by; nil means the real one.
	Now func() time.Time
}

func (o Options) withDefaults() Options {
	if o.StaleAfter == 0 {
		o.StaleAfter = DefaultStaleAfter
	}
	if o.Now == nil {
		o.Now = time.Now //nolint:forbidigo // the default of an injected clock
	}
	return o
}

// Validate reports all fields that are wrong, each as a [*lashstore.InvalidError].
func (o Options) Validate() error {
	if o.StaleAfter < 0 {
		return lashstore.Invalid("stale_after", o.StaleAfter, "must not be negative")
	}
	return nil
}

// Driver keeps objects below a folder. It may be used by several goroutines.
type Driver struct {
	root *os.Root
	opts Options

	mu    sync.Mutex          // guards known
	known map[string]struct{} // folders that exist durably, with all their parents
}

var _ cas.Driver = (*Driver)(nil)

// Open opens the objects below root, and makes the folder if it is missing.
//
// Errors: [lashstore.ErrInvalid], [lashstore.ErrDiskFull], [lashstore.ErrReadOnly],
// [lashstore.ErrStorage].
func Open(root string, opts Options) (*Driver, error) {
	if root == "" {
		return nil, fmt.Errorf("open objects: %w", lashstore.Invalid("root", root, "is missing"))
	}
	if err := opts.Validate(); err != nil {
		return nil, fmt.Errorf("open objects in %s: %w", root, err)
	}
	opts = opts.withDefaults()
	// An absolute name stays right, in errors too, when the process changes folder.
	abs, err := filepath.Abs(root)
	if err != nil {
		return nil, translate(opOpen, root, err)
	}
	if !opts.ReadOnly {
		if err := makeRoot(abs, opts.NoSync); err != nil {
			return nil, translate(opOpen, abs, err)
		}
	}
	handle, err := os.OpenRoot(abs)
	if err != nil {
		return nil, translate(opOpen, abs, err)
	}
	d := &Driver{root: handle, opts: opts, known: make(map[string]struct{})}
	if !opts.ReadOnly {
		if err := d.prepareTmp(); err != nil {
			return nil, errors.Join(translate(opOpen, abs, err), handle.Close())
		}
	}
	return d, nil
}

// Close releases the folder. Later calls fail with [lashstore.ErrClosed]; readers
// that are open stay usable.
func (d *Driver) Close() error {
	if err := d.root.Close(); err != nil {
		return translate(opOpen, d.root.Name(), err)
	}
	return nil
}

// makeRoot makes the folder abs and what is missing above it, each durably.
func makeRoot(abs string, noSync bool) error {
	info, err := os.Stat(abs)
	if err == nil && !info.IsDir() {
		return errors.New("not a folder")
	}
	parent := filepath.Dir(abs)
	if err == nil || !errors.Is(err, fs.ErrNotExist) || parent == abs {
		return err
	}
	if err := makeRoot(parent, noSync); err != nil {
		return err
	}
	if err := os.Mkdir(abs, folderMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if noSync {
		return nil
	}
	folder, err := os.Open(parent) //nolint:gosec // the caller's choice of a data folder
	if err != nil {
		return err
	}
	return errors.Join(flush(folder), folder.Close())
}

// prepareTmp makes the folder for unfinished files and removes old ones from it. A
// leftover that cannot be removed is left for the next time: it harms nobody.
func (d *Driver) prepareTmp() error {
	if err := d.root.Mkdir(tmpFolder, folderMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	entries, err := d.readFolder(tmpFolder)
	if err != nil {
		return err
	}
	oldest := d.opts.Now().Add(-d.opts.StaleAfter)
	for _, entry := range entries {
		name := tmpFolder + "/" + entry.Name()
		info, err := d.root.Lstat(name)
		if err == nil && info.Mode().IsRegular() && info.ModTime().Before(oldest) {
			_ = d.root.Remove(name) // see above
		}
	}
	return nil
}

// path returns where key lies, for errors.
func (d *Driver) path(key string) string {
	return filepath.Join(d.root.Name(), filepath.FromSlash(key))
}

// check refuses a key that is not one, and a context that is done.
func (d *Driver) check(ctx context.Context, op operation, key string) error {
	if err := ctx.Err(); err != nil {
		return translate(op, d.path(key), err)
	}
	if err := cas.ValidateKey(key); err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	return nil
}
