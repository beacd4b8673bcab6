package filecas

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"slices"
	"strings"

	"github.com/lashstore/lashstore/cas"
)

// Get opens a range of an object.
func (d *Driver) Get(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	if err := d.check(ctx, opGet, key); err != nil {
		return nil, err
	}
	// Only regular files are opened: opening a pipe would block.
	if _, err := d.lstat(key); err != nil {
		return nil, translate(opGet, d.path(key), err)
	}
	f, err := d.root.Open(key)
	if err != nil {
		return nil, translate(opGet, d.path(key), err)
	}
	if length < 0 {
		length = math.MaxInt64 - offset
	}
	return &reader{
		file: f, section: io.NewSectionReader(f, offset, length), path: d.path(key), ended: ctx.Err,
	}, nil
}

// Stat describes an object.
func (d *Driver) Stat(ctx context.Context, key string) (cas.ObjectInfo, error) {
	if err := d.check(ctx, opStat, key); err != nil {
		return cas.ObjectInfo{}, err
	}
	info, err := d.lstat(key)
	if err != nil {
		return cas.ObjectInfo{}, translate(opStat, d.path(key), err)
	}
	return cas.ObjectInfo{Key: key, SizeBytes: info.Size(), ModTime: info.ModTime()}, nil
}

// lstat describes a regular file; anything else is absent.
func (d *Driver) lstat(key string) (fs.FileInfo, error) {
	info, err := d.root.Lstat(key)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fs.ErrNotExist
	}
	return info, nil
}

// reader reads an open file until the context ends. The file stays whole under it
// when the object is replaced or deleted.
type reader struct {
	file    *os.File
	section *io.SectionReader
	path    string
	ended   func() error
}

func (r *reader) Read(p []byte) (int, error) {
	if err := r.ended(); err != nil {
		return 0, translate(opGet, r.path, err)
	}
	n, err := r.section.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = translate(opGet, r.path, err)
	}
	return n, err
}

func (r *reader) Close() error {
	if err := r.file.Close(); err != nil {
		return translate(opGet, r.path, err)
	}
	return nil
}

// List walks the folders in the order of the keys.
func (d *Driver) List(ctx context.Context, prefix, after string, limit int) ([]cas.ObjectInfo, error) {
	l := &listing{driver: d, prefix: prefix, after: after, limit: limit, ended: ctx.Err}
	if err := l.walk(""); err != nil {
		return nil, translate(opList, d.path(prefix), err)
	}
	return l.infos, nil
}

// listing is the state of one List.
type listing struct {
	driver        *Driver
	prefix, after string
	limit         int
	ended         func() error
	infos         []cas.ObjectInfo
}

// walk adds the objects below folder, which is empty or ends with a slash.
func (l *listing) walk(folder string) error {
	if err := l.ended(); err != nil {
		return err
	}
	entries, err := l.driver.readFolder("./" + folder)
	if absent(err) { // removed meanwhile
		return nil
	}
	if err != nil {
		return err
	}
	// A folder sorts as its name and a slash: that is how its keys go on.
	names := make([]string, 0, len(entries))
	for _, entry := range entries {
		switch {
		case entry.IsDir():
			names = append(names, folder+entry.Name()+"/")
		case entry.Type().IsRegular():
			names = append(names, folder+entry.Name())
		}
	}
	slices.Sort(names)
	for _, name := range names {
		if len(l.infos) == l.limit {
			return nil
		}
		if err := l.visit(name); err != nil {
			return err
		}
	}
	return nil
}

// visit adds a file, or what is below a folder, as far as it is asked for.
func (l *listing) visit(name string) error {
	if strings.HasSuffix(name, "/") {
		below := strings.HasPrefix(name, l.prefix) || strings.HasPrefix(l.prefix, name)
		passed := name < l.after && !strings.HasPrefix(l.after, name)
		if !below || passed || name == tmpFolder+"/" {
			return nil
		}
		return l.walk(name)
	}
	if name <= l.after || !strings.HasPrefix(name, l.prefix) {
		return nil
	}
	info, err := l.driver.root.Lstat(name)
	if absent(err) { // removed meanwhile
		return nil
	}
	if err != nil {
		return err
	}
	l.infos = append(l.infos, cas.ObjectInfo{Key: name, SizeBytes: info.Size(), ModTime: info.ModTime()})
	return nil
}

// readFolder returns the entries of a folder, in no particular order.
func (d *Driver) readFolder(name string) ([]fs.DirEntry, error) {
	f, err := d.root.Open(name)
	if err != nil {
		return nil, err
	}
	entries, err := f.ReadDir(-1)
	return entries, errors.Join(err, f.Close())
}
