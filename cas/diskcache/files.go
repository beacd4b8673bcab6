package diskcache

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/lashstore/lashstore"
)

const (
	// tmpFolder holds blocks that are being written.
	tmpFolder = "tmp"
	// tagFile and tagText mark a folder as a cache (bford.info/cachedir).
	tagFile = "CACHEDIR.TAG"
	tagText = "Signature: 8a477f597d28d172789f06886806bc55\n# Blocks of lashstore objects; may be deleted.\n"
	// Only the owner of the data may read it: objects hold what users said.
	folderMode, fileMode = 0o700, 0o600
	// touchEvery is how exactly the time of last use is kept: to note each use would
	// make every read a write.
	touchEvery = time.Minute
	// renameAttempts bounds how often a shard is made again that others remove, empty,
	// while a block is moved into it.
	renameAttempts = 5

	// 4,096 shards: a miss and a drop read one, which holds a block for each GiB that
	// the cache holds (at the default size of blocks). A folder for each key would be
	// read faster, but most objects have one block, and to make the folder costs as
	// much as to write the file.
	shardHexLen  = 3
	startLen     = 2*hashBytes - shardHexLen + len(".")
	numberHexLen = 16
)

// errNoRoom says that a block was not stored because the limit is reached or nothing
// is stored at the moment.
var errNoRoom = errors.New("no room in the cache")

// split returns the shard, a folder, that the blocks of a key lie in, and what their
// names there start with.
func (h keyHash) split() (shard, start string) {
	digits := hex.EncodeToString(h[:])
	return digits[:shardHexLen], digits[shardHexLen:] + "."
}

// fileOf returns the path of a block's file below the cache's folder.
func fileOf(hash keyHash, number int64) string {
	shard, start := hash.split()
	return fmt.Sprintf("%s/%s%0*x", shard, start, numberHexLen, number)
}

// parseFile returns what a block's name starts with and its number, and whether it is
// the name of a block.
func parseFile(name string) (start string, number int64, ok bool) {
	if len(name) != startLen+numberHexLen {
		return "", 0, false
	}
	start, digits := name[:startLen], name[startLen:]
	number, err := strconv.ParseInt(digits, 16, 64)
	canonical := err == nil && fmt.Sprintf("%0*x", numberHexLen, number) == digits
	return start, number, canonical && start[startLen-1] == '.' && isHex(start[:startLen-1])
}

func isHex(s string) bool { return strings.Trim(s, "0123456789abcdef") == "" }

// prepare makes what the folder needs.
func (c *Cache) prepare() error {
	if err := c.root.Mkdir(tmpFolder, folderMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	f, err := c.root.OpenFile(tagFile, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = f.WriteString(tagText)
	return errors.Join(err, f.Close())
}

// readBlock returns a cached block that passed all checks, and notes its use. Any
// trouble is a miss. The block's bytes lie in *buf, which grows as needed.
func (c *Cache) readBlock(ctx context.Context, hash keyHash, number int64, buf *[]byte) (block, bool) {
	name := fileOf(hash, number)
	modTime, err := c.readFile(name, buf)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return block{}, false
	case errors.Is(err, errNotABlock):
		c.discard(ctx, name, err)
		return block{}, false
	case err != nil:
		c.reports.report(ctx, failRead, err)
		return block{}, false
	}
	b, err := openBlock(*buf, hash, number, c.opts.BlockBytes)
	if err != nil {
		c.discard(ctx, name, err)
		return block{}, false
	}
	c.touch(ctx, name, modTime)
	return b, true
}

// errNotABlock says that what lies under a block's name cannot be a block.
var errNotABlock = errors.New("not a block file")

// readFile reads a whole file, if it can be a block, into *buf.
func (c *Cache) readFile(name string, buf *[]byte) (modTime time.Time, err error) {
	// Without waiting: opening a pipe that someone put there would block.
	f, err := c.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return time.Time{}, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return time.Time{}, err
	}
	if !info.Mode().IsRegular() || info.Size() < headerBytes || info.Size() > headerBytes+c.opts.BlockBytes {
		return time.Time{}, fmt.Errorf("%s, mode %s, %d bytes: %w", name, info.Mode(), info.Size(), errNotABlock)
	}
	if int64(cap(*buf)) < info.Size() {
		*buf = make([]byte, info.Size())
	}
	*buf = (*buf)[:info.Size()]
	if _, err := io.ReadFull(f, *buf); err != nil {
		return time.Time{}, fmt.Errorf("read %s: %w", name, err)
	}
	return info.ModTime(), nil
}

// discard removes a damaged block.
func (c *Cache) discard(ctx context.Context, name string, why error) {
	c.reports.report(ctx, failCorrupt, why)
	info, err := c.root.Lstat(name)
	if err == nil && info.IsDir() { // never counted, and in the way of the block
		err = c.root.RemoveAll(name)
	} else {
		_, err = c.removeFile(name)
	}
	if err != nil {
		c.reports.report(ctx, failRemove, err)
	}
}

// touch notes that a block was used now, if its time says anything else.
func (c *Cache) touch(ctx context.Context, name string, modTime time.Time) {
	now := c.opts.Now()
	if age := now.Sub(modTime); age >= 0 && age < touchEvery {
		return
	}
	if err := c.root.Chtimes(name, now, now); err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.reports.report(ctx, failWrite, err)
	}
}

// storeBlock writes a block for flight f, unless the key was dropped after f began.
// file is headerBytes of room and then the block's bytes.
func (c *Cache) storeBlock(ctx context.Context, f *flight, number, objectSize int64, file []byte) error {
	if !c.mayStore() {
		return errNoRoom
	}
	cost := costOf(int64(len(file)))
	ok, due := c.ledger.reserve(cost)
	if due {
		c.wakeEvictor()
	}
	if !ok {
		c.metrics.skipped.Inc()
		return errNoRoom
	}
	sealBlock(file, f.state.hash, number, objectSize)
	err := c.writeBlock(f, number, file)
	c.ledger.settle(cost)
	if err != nil {
		c.ledger.release(cost)
	}
	if err != nil && !errors.Is(err, errDropped) {
		c.reports.report(ctx, failWrite, err)
		c.suspend()
	}
	return err
}

// writeBlock writes a file of its own and moves it to the block's name.
func (c *Cache) writeBlock(f *flight, number int64, file []byte) error {
	tmp := tmpFolder + "/" + rand.Text()
	err := c.writeTmp(tmp, file)
	if err == nil {
		err = c.moveIn(f, tmp, number)
	}
	if err != nil {
		_ = c.root.Remove(tmp) // best effort: a later count removes what stays
	}
	return err
}

func (c *Cache) writeTmp(tmp string, file []byte) error {
	const flags = os.O_WRONLY | os.O_CREATE | os.O_EXCL
	out, err := c.root.OpenFile(tmp, flags, fileMode)
	if errors.Is(err, fs.ErrNotExist) { // someone tidied up
		if err := c.root.Mkdir(tmpFolder, folderMode); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		out, err = c.root.OpenFile(tmp, flags, fileMode)
	}
	if err != nil {
		return err
	}
	write := c.write
	if write == nil {
		write = (*os.File).Write
	}
	_, err = write(out, file)
	if err := errors.Join(err, out.Close()); err != nil {
		return err
	}
	now := c.opts.Now()
	return c.root.Chtimes(tmp, now, now)
}

// moveIn renames a finished file to its block's name, unless the key was dropped. A
// drop waits for it or is seen by it.
func (c *Cache) moveIn(f *flight, tmp string, number int64) error {
	f.state.files.Lock()
	defer f.state.files.Unlock()
	if c.isStale(f) {
		return errDropped
	}
	shard, _ := f.state.hash.split()
	var err error
	for range renameAttempts {
		err = c.root.Rename(tmp, fileOf(f.state.hash, number))
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := c.root.Mkdir(shard, folderMode); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return err
}

// removeBlocks removes all blocks of a key. The caller holds the key's files lock.
func (c *Cache) removeBlocks(ctx context.Context, hash keyHash) {
	shard, start := hash.split()
	var names []string // first: not every file system goes on well in a folder that changes
	err := c.eachEntry(ctx, shard, func(entry fs.DirEntry) error {
		if of, _, ok := parseFile(entry.Name()); ok && of == start {
			names = append(names, shard+"/"+entry.Name())
		}
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	for _, name := range names {
		_, removeErr := c.removeFile(name)
		err = errors.Join(err, removeErr)
	}
	if err != nil {
		c.reports.report(ctx, failRemove, err)
	}
}

// removeFile removes a file and gives back its room; freed is 0 if it was gone.
func (c *Cache) removeFile(name string) (freed int64, err error) {
	info, err := c.root.Lstat(name)
	if err == nil {
		err = c.root.Remove(name)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	freed = costOf(info.Size())
	c.ledger.release(freed)
	return freed, nil
}

// entriesAtOnce bounds how much of a folder is in memory at a time.
const entriesAtOnce = 1024

// eachEntry calls visit for each entry of a folder, in no particular order, until
// visit fails or the context ends.
func (c *Cache) eachEntry(ctx context.Context, folder string, visit func(fs.DirEntry) error) (err error) {
	f, err := c.root.Open(folder)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	for {
		entries, err := f.ReadDir(entriesAtOnce)
		for _, entry := range entries {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := visit(entry); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// cachedBlocks returns the numbers in from to to-1 of blocks that have a file, as a
// set; it says nothing of whether they are whole.
func (c *Cache) cachedBlocks(ctx context.Context, hash keyHash, from, to int64) (map[int64]struct{}, error) {
	var cached map[int64]struct{}
	shard, start := hash.split()
	err := c.eachEntry(ctx, shard, func(entry fs.DirEntry) error {
		of, number, ok := parseFile(entry.Name())
		if !ok || of != start || number < from || number >= to || !entry.Type().IsRegular() {
			return nil
		}
		if cached == nil {
			cached = make(map[int64]struct{})
		}
		cached[number] = struct{}{}
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return cached, err
}

// openError gives an error of opening the cache a kind of the contract.
func openError(folder string, err error) error {
	kind := lashstore.ErrStorage
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		kind = lashstore.ErrDiskFull
	case errors.Is(err, syscall.EROFS), errors.Is(err, fs.ErrPermission):
		kind = lashstore.ErrReadOnly
	}
	return &lashstore.StorageError{Op: "open disk cache in", Path: path.Clean(folder), Kind: kind, Err: err}
}
