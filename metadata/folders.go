package metadata

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/lashstore/lashstore"
)

// makeTenantFolder makes the folder of a tenant, <data>/tenants/<tenant>, with all
// its parents, durably: without their entries on the disk, what is acknowledged
// inside would be lost with the machine.
func makeTenantFolder(dir string, durability lashstore.Durability) error {
	// The data folder may have been made by a process that died before it flushed.
	flush := []string{filepath.Dir(dir), filepath.Dir(filepath.Dir(dir))}
	for at := flush[1]; ; at = filepath.Dir(at) {
		_, err := os.Stat(at)
		if err == nil || at == filepath.Dir(at) {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return translate("create the folder", dir, err)
		}
		flush = append(flush, filepath.Dir(at))
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return translate("create the folder", dir, err)
	}
	if durability == lashstore.DurabilityNormal {
		return nil
	}
	return syncDirs(flush...)
}

// syncDirs makes the entries of folders durable.
func syncDirs(dirs ...string) error {
	for _, dir := range dirs {
		f, err := os.Open(dir) //nolint:gosec // a folder of the store
		if err != nil {
			return translate("open", dir, err)
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return translate("flush", dir, err)
		}
	}
	return nil
}
