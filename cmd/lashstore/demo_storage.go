package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/google/uuid"

	"github.com/lashstore/lashstore/cas"
)

// demoCleanUp bounds how long the objects of a demonstration may take to remove, also
// after it was interrupted. They are a few dozen.
const demoCleanUp = time.Minute

// useScratch makes a temporary directory, and in the bucket a prefix that nobody
// else has: a prefix belongs to one data directory. remove removes both.
func (d *demo) useScratch() (remove func(context.Context) error, err error) {
	flags := &d.app.flags
	b, err := flags.parseBucket()
	if err != nil {
		return nil, err
	}
	id, err := uuid.NewRandom()
	if err != nil {
		return nil, fmt.Errorf("make the name of a prefix: %w", err)
	}
	if flags.dir, err = os.MkdirTemp("", "lashstore-demo-*"); err != nil {
		return nil, err
	}
	b = b.below("lashstore-demo-" + id.String())
	flags.bucket = b.String()
	dir := flags.dir
	return func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), demoCleanUp)
		defer cancel()
		return errors.Join(os.RemoveAll(dir), d.app.removeObjects(ctx, b))
	}, nil
}

// removeObjects empties a bucket.
func (a *app) removeObjects(ctx context.Context, b bucket) error {
	if b.scheme == schemeFile {
		return os.RemoveAll(b.folder)
	}
	return a.withDriver(ctx, b, false, func(driver cas.Driver) error {
		for {
			infos, err := driver.List(ctx, "", "", cas.MaxDeleteKeys)
			if err != nil || len(infos) == 0 {
				return err
			}
			keys := make([]string, 0, len(infos))
			for _, info := range infos {
				keys = append(keys, info.Key)
			}
			if err := driver.Delete(ctx, keys); err != nil {
				return err
			}
		}
	})
}

// withDriver opens a bucket for the time of a call, without a cache. It does nothing
// for the folder in the data directory.
func (a *app) withDriver(ctx context.Context, b bucket, readOnly bool, use func(cas.Driver) error) (err error) {
	direct := *a
	direct.flags.cacheDir = ""
	t, err := direct.openTier(ctx, b, readOnly)
	if err != nil || t.driver == nil {
		return err
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	return use(t.driver)
}

// measure compares what was stored with what files and objects take.
func (d *demo) measure(ctx context.Context, before int64) error {
	after, err := d.occupied(ctx)
	if err != nil {
		return err
	}
	st := &d.doc.Storage
	st.DiskBytes = after - before
	st.SavedByEqual = st.LogicalBytes - st.DistinctBytes
	st.SavedByStorage = st.DistinctBytes - st.DiskBytes
	return nil
}

// occupied adds up the files of the data directory and the tenant's objects.
func (d *demo) occupied(ctx context.Context) (int64, error) {
	total, err := diskBytes(d.app.flags.dir)
	if err != nil {
		return 0, err
	}
	b, err := d.app.flags.parseBucket()
	if err != nil {
		return 0, err
	}
	err = d.app.withDriver(ctx, b, false, func(driver cas.Driver) error {
		after := ""
		for {
			infos, err := driver.List(ctx, d.app.tenant()+"/", after, cas.MaxDeleteKeys)
			if err != nil || len(infos) == 0 {
				return err
			}
			for _, info := range infos {
				total, after = total+info.SizeBytes, info.Key
			}
		}
	})
	return total, err
}

// diskBytes adds up the files below a directory, which need not exist.
func diskBytes(dir string) (int64, error) {
	var total int64
	err := filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			total += info.Size()
		}
		return err
	})
	if errors.Is(err, os.ErrNotExist) {
		return total, nil // there was none yet, or a file went away meanwhile
	}
	return total, err
}
