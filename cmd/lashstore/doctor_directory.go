package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lashstore/lashstore"
)

const (
	// leastFreeBytes is room for one blob of the usual size and the databases' logs;
	// with less, writes are about to fail.
	leastFreeBytes = 64 << 20
	// ampleFreeBytes is what nobody needs to be warned about.
	ampleFreeBytes = 1 << 30
	// ampleOpenFiles is room for about 70 sessions at a time, at 7 files each, in the
	// half of the files that the store takes (package local).
	ampleOpenFiles = 1024
)

// earliestClock is before this program was written: a clock behind it is not set.
func earliestClock() time.Time { return time.Date(2025, time.January, 1, 0, 0, 0, 0, time.UTC) }

// checkDirectory looks at the data directory and the machine around it.
func (d *doctor) checkDirectory() {
	base, c := d.lookForDirectory()
	d.add(areaDirectory, "data_directory", c)
	if base == "" {
		d.add(areaDirectory, "write", skipped("needs data_directory"))
		d.add(areaDirectory, "locks", skipped("needs data_directory"))
		d.add(areaDirectory, "free_space", skipped("needs data_directory"))
		d.add(areaDirectory, "file_system", skipped("needs data_directory"))
	} else {
		written, locked := d.tryFile(base)
		d.add(areaDirectory, "write", written)
		d.add(areaDirectory, "locks", locked)
		d.checkVolume(base)
	}
	d.add(areaDirectory, "open_files", d.checkOpenFiles())
	d.add(areaDirectory, "clock", d.checkClock())
}

// lookForDirectory returns the data directory, or the nearest one above it that is
// there, since it will be made by the first write.
func (d *doctor) lookForDirectory() (base string, c doctorCheck) {
	for base = d.doc.Dir; ; base = filepath.Dir(base) {
		info, err := os.Stat(base)
		switch {
		case errors.Is(err, fs.ErrNotExist) && base != filepath.Dir(base):
			continue
		case err != nil:
			return "", broken(err, "choose another place with --dir, or give this user the right to enter it")
		case !info.IsDir():
			return "", broken(fmt.Errorf("%s is not a directory", base), "choose another place with --dir")
		case base == d.doc.Dir:
			d.found = true
			return base, healthy("%s is there", base)
		default:
			return base, healthy("not there yet; the first write makes it in %s", base)
		}
	}
}

// tryFile writes, flushes, locks and removes a file.
func (d *doctor) tryFile(base string) (written, locked doctorCheck) {
	const hint = "give this user the right to write there and free space, or choose another place with --dir"
	f, err := os.CreateTemp(base, ".lashstore-doctor-*")
	if err != nil {
		return broken(err, hint), skipped("needs write")
	}
	_, err = f.WriteString("probe\n")
	err = errors.Join(err, f.Sync())
	locked = skipped("needs write")
	if err == nil {
		locked = tryLock(f)
	}
	if err = errors.Join(err, f.Close(), os.Remove(f.Name())); err != nil {
		return broken(err, hint), locked
	}
	return healthy("a file can be written, flushed and removed"), locked
}

// tryLock takes and releases a lock of the kind that SQLite uses.
func tryLock(f *os.File) doctorCheck {
	for _, kind := range []int16{unix.F_WRLCK, unix.F_UNLCK} {
		lock := unix.Flock_t{Type: kind, Len: 1}
		if err := unix.FcntlFlock(f.Fd(), unix.F_SETLK, &lock); err != nil {
			return broken(fmt.Errorf("lock %s: %w", f.Name(), err),
				"put the data directory on a local disk: without locks two processes would damage the databases")
		}
	}
	return healthy("a file can be locked")
}

// checkVolume looks at the file system.
func (d *doctor) checkVolume(base string) {
	v, err := d.app.volume(base)
	if errors.Is(err, errors.ErrUnsupported) {
		d.add(areaDirectory, "free_space", skipped("cannot be seen on this system"))
		d.add(areaDirectory, "file_system", skipped("cannot be seen on this system"))
		return
	}
	if err != nil {
		d.add(areaDirectory, "free_space", broken(err, ""))
		d.add(areaDirectory, "file_system", skipped("needs free_space"))
		return
	}
	free := healthy("%s free", size(v.freeBytes))
	switch {
	case v.freeBytes < leastFreeBytes:
		free = broken(fmt.Errorf("%s free: %w", size(v.freeBytes), lashstore.ErrDiskFull), "free space, or choose another place with --dir")
	case v.freeBytes < ampleFreeBytes:
		free = doubtful(size(v.freeBytes)+" free", "free space before it runs out")
	}
	d.add(areaDirectory, "free_space", free)
	d.add(areaDirectory, "file_system", judgeVolume(v))
}

func judgeVolume(v volume) doctorCheck {
	switch {
	case v.network:
		// SQLite, "Write-Ahead Logging": the processes of a database must share memory.
		return doubtful(v.kind+", which may be a file system of the network", "put the data directory on a local disk: "+
			"its databases must not be used from two machines, and locks over a network are often broken")
	case v.volatile:
		return doubtful(v.kind+", which a restart of the machine empties", "choose a place on a disk with --dir")
	case v.kind == "":
		return healthy("of a kind without known problems")
	default:
		return healthy("%s", v.kind)
	}
}

func (d *doctor) checkOpenFiles() doctorCheck {
	n, err := d.app.openFiles()
	switch {
	case err != nil:
		return broken(fmt.Errorf("ask for the limit of open files: %w", err), "")
	case n < ampleOpenFiles:
		return doubtful(fmt.Sprintf("up to %d", n), "raise the limit (ulimit -n): sessions need up to 7 files each, and idle ones are closed early")
	default:
		return healthy("up to %s", count(min(n, 1<<62)))
	}
}

func (d *doctor) checkClock() doctorCheck {
	if now := d.app.now().UTC(); now.Before(earliestClock()) {
		return doubtful("the clock says "+timestamp(now), "set the clock, for example by NTP: leases and protections of uploads go by it")
	}
	return healthy("it is %s", timestamp(d.app.now()))
}
