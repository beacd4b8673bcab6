package filecas

import (
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path"
	"runtime"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
)

// writeBytes is how much is written between two looks at the context.
const writeBytes = 1 << 20

// errReadOnlyOption is the cause of refused writes.
var errReadOnlyOption = errors.Join(errors.New("opened read-only"), lashstore.ErrReadOnly)

// Put writes an object.
func (d *Driver) Put(ctx context.Context, key string, body []byte) error {
	if err := d.check(ctx, opPut, key); err != nil {
		return err
	}
	if d.opts.ReadOnly {
		return translate(opPut, d.path(key), errReadOnlyOption)
	}
	tmp := tmpFolder + "/" + rand.Text()
	if err := d.writeTmp(ctx, tmp, body); err != nil {
		return translate(opPut, d.path(key), err)
	}
	if err := d.moveIn(tmp, key); err != nil {
		_ = d.root.Remove(tmp) // best effort: Open removes what stays
		return translate(opPut, d.path(key), err)
	}
	return nil
}

// writeTmp writes and flushes a new file; if that fails, it removes it.
func (d *Driver) writeTmp(ctx context.Context, tmp string, body []byte) (err error) {
	const flags = os.O_WRONLY | os.O_CREATE | os.O_EXCL
	f, err := d.root.OpenFile(tmp, flags, fileMode)
	if errors.Is(err, fs.ErrNotExist) { // someone tidied up
		if err := d.root.Mkdir(tmpFolder, folderMode); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		f, err = d.root.OpenFile(tmp, flags, fileMode)
	}
	if err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			_ = d.root.Remove(tmp) // best effort: Open removes what stays
		}
	}()
	for len(body) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := f.Write(body[:min(len(body), writeBytes)])
		if err != nil {
			return err
		}
		body = body[n:]
	}
	if d.opts.NoSync {
		return nil
	}
	return f.Sync()
}

// moveIn renames a finished file to its key, durably.
func (d *Driver) moveIn(tmp, key string) error {
	folder := path.Dir(key)
	if err := d.makeFolder(folder); err != nil {
		return err
	}
	err := d.root.Rename(tmp, key)
	if errors.Is(err, fs.ErrNotExist) { // someone removed the folder after we saw it
		d.forgetFolders()
		if err := d.makeFolder(folder); err != nil {
			return err
		}
		err = d.root.Rename(tmp, key)
	}
	if err != nil {
		return err
	}
	return d.flushFolder(folder)
}

// makeFolder makes a folder and its parents and sees to it that all of them are
// durable, whoever made them.
func (d *Driver) makeFolder(folder string) error {
	if folder == "." || d.knows(folder) {
		return nil
	}
	parent := path.Dir(folder)
	if err := d.makeFolder(parent); err != nil {
		return err
	}
	if err := d.root.Mkdir(folder, folderMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := d.flushFolder(parent); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.known) >= maxKnownFolders {
		clear(d.known)
	}
	d.known[folder] = struct{}{}
	return nil
}

func (d *Driver) knows(folder string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, ok := d.known[folder]
	return ok
}

func (d *Driver) forgetFolders() {
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.known)
}

// flushFolder makes the entries of a folder durable.
func (d *Driver) flushFolder(folder string) error {
	if d.opts.NoSync {
		return nil
	}
	f, err := d.root.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(flush(f), f.Close())
}

// flush makes a folder's entries durable, where the system lets one.
func flush(folder *os.File) error {
	if runtime.GOOS == "windows" { // folders cannot be flushed there
		return nil
	}
	return folder.Sync()
}

// Delete removes objects, and flushes each folder once.
func (d *Driver) Delete(ctx context.Context, keys []string) error {
	failed := make(map[string]error)
	touched := make(map[string][]string) // folder → keys that were removed from it
	for _, key := range keys {
		removed, err := d.remove(ctx, key)
		if err != nil {
			failed[key] = err
		} else if removed {
			touched[path.Dir(key)] = append(touched[path.Dir(key)], key)
		}
	}
	for folder, removed := range touched {
		err := d.flushFolder(folder)
		if err == nil || absent(err) { // a folder that is gone has no entries left
			continue
		}
		for _, key := range removed {
			failed[key] = translate(opDelete, d.path(key), err)
		}
	}
	if len(failed) > 0 {
		return &cas.DeleteError{Failed: failed}
	}
	return nil
}

// remove removes one file and reports whether there was one.
func (d *Driver) remove(ctx context.Context, key string) (bool, error) {
	if err := d.check(ctx, opDelete, key); err != nil {
		return false, err
	}
	if d.opts.ReadOnly {
		return false, translate(opDelete, d.path(key), errReadOnlyOption)
	}
	info, err := d.root.Lstat(key)
	if err == nil && !info.Mode().IsRegular() {
		return false, nil // a folder is no object, and Remove would take an empty one
	}
	if err == nil {
		err = d.root.Remove(key)
	}
	if absent(err) {
		return false, nil
	}
	if err != nil {
		return false, translate(opDelete, d.path(key), err)
	}
	return true, nil
}
