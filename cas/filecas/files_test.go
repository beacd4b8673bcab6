package filecas_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
	"github.com/lashstore/lashstore/cas/filecas"
)

// files lists the regular files below root, relative to it.
func files(t *testing.T, root string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(root, path)
			all = append(all, filepath.ToSlash(rel))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func write(t *testing.T, path string, age time.Duration, now time.Time) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, now.Add(-age), now.Add(-age)); err != nil {
		t.Fatal(err)
	}
}

// An object is one file under its key; nothing is left in .tmp, and only the owner
// can read it. This is also the path with all its flushes.
func TestPutFlushes(t *testing.T) {
	t.Parallel()
	root := filepath.Join(t.TempDir(), "not", "there", "yet")
	d := openDriver(t, root, filecas.Options{})
	for range 2 {
		if err := d.Put(t.Context(), "acme/b3/00/object", []byte("body")); err != nil {
			t.Fatalf("Put: %v", err)
		}
	}
	if diff := cmp.Diff([]string{"acme/b3/00/object"}, files(t, root)); diff != "" {
		t.Errorf("files differ (-want +got):\n%s", diff)
	}
	info, err := os.Stat(filepath.Join(root, "acme/b3/00/object"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file has mode %v, %v, want 0600", info.Mode(), err)
	}
	if err := d.Delete(t.Context(), []string{"acme/b3/00/object"}); err != nil {
		t.Errorf("Delete: %v", err)
	}
	if got := files(t, root); len(got) != 0 {
		t.Errorf("after Delete: %v", got)
	}
}

// Leftovers of dead writers are removed once they are old enough, by the injected
// clock; young ones may belong to a writer that lives. Neither blocks a put.
func TestOpenRemovesStaleFiles(t *testing.T) {
	t.Parallel()
	root, now := t.TempDir(), time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	old, young := filepath.Join(root, ".tmp", "OLD"), filepath.Join(root, ".tmp", "YOUNG")
	write(t, old, 61*time.Minute, now)
	write(t, young, 59*time.Minute, now)
	object := filepath.Join(root, "b3", "00", "object")
	write(t, object, 1000*time.Hour, now)
	opts := filecas.Options{NoSync: true, StaleAfter: time.Hour, Now: func() time.Time { return now }}
	d := openDriver(t, root, opts)
	if diff := cmp.Diff([]string{".tmp/YOUNG", "b3/00/object"}, files(t, root)); diff != "" {
		t.Errorf("files differ (-want +got):\n%s", diff)
	}
	if err := d.Put(t.Context(), "b3/00/object", []byte("whole")); err != nil {
		t.Errorf("Put beside a leftover: %v", err)
	}
	infos, err := d.List(t.Context(), "", "", 10)
	if err != nil || len(infos) != 1 {
		t.Errorf("List: %+v, %v, want the object alone", infos, err)
	}
}

// A put that fails, for whatever reason, leaves no file behind and the old object
// in place.
func TestPutFailureLeavesNothing(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	d := openDriver(t, root, filecas.Options{NoSync: true})
	write(t, filepath.Join(root, "taken", "by-a-folder", "x"), 0, time.Unix(1e9, 0))
	if err := d.Put(t.Context(), "file", []byte("old")); err != nil {
		t.Fatal(err)
	}
	before := files(t, root)
	for _, key := range []string{"taken/by-a-folder", "file/below"} {
		err := d.Put(t.Context(), key, []byte("new"))
		var storage *lashstore.StorageError
		if !errors.As(err, &storage) || !errors.Is(storage.Kind, lashstore.ErrStorage) || !strings.Contains(storage.Path, "taken") && !strings.Contains(storage.Path, "file") {
			t.Errorf("Put %s: got error %v, want a StorageError with the path", key, err)
		}
	}
	ctx := &endsLater{Context: t.Context(), after: 3}
	if err := d.Put(ctx, "file", make([]byte, 8<<20)); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled while writing: got error %v, want context.Canceled", err)
	}
	if diff := cmp.Diff(before, files(t, root)); diff != "" {
		t.Errorf("files differ (-want +got):\n%s", diff)
	}
}

// endsLater is a context that is done after it has been asked some times.
type endsLater struct {
	context.Context //nolint:containedctx // it is a context itself
	after           int
}

func (c *endsLater) Err() error {
	if c.after--; c.after < 0 {
		return context.Canceled
	}
	return nil
}

// Folders that someone removes while the driver is open are made again.
func TestPutAfterFoldersWereRemoved(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	d := openDriver(t, root, filecas.Options{})
	for range 2 {
		if err := d.Put(t.Context(), "acme/b3/00/object", []byte("body")); err != nil {
			t.Fatalf("Put: %v", err)
		}
		for _, folder := range []string{"acme", ".tmp"} {
			if err := os.RemoveAll(filepath.Join(root, folder)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// A symbolic link must not lead out of the root, to read or to write.
func TestSymlinksDoNotLeadOut(t *testing.T) {
	t.Parallel()
	root, outside := t.TempDir(), t.TempDir()
	secret := filepath.Join(outside, "secret")
	write(t, secret, 0, time.Unix(1e9, 0))
	d := openDriver(t, root, filecas.Options{NoSync: true})
	if err := errors.Join(os.Symlink(outside, filepath.Join(root, "out")), os.Symlink(secret, filepath.Join(root, "link"))); err != nil {
		t.Skipf("no symbolic links here: %v", err)
	}
	for _, key := range []string{"out/secret", "link"} {
		if r, err := d.Get(t.Context(), key, 0, -1); err == nil {
			body, _ := io.ReadAll(r)
			t.Errorf("Get %s: got %q, want an error", key, errors.Join(r.Close(), errors.New(string(body))))
		}
	}
	if err := d.Put(t.Context(), "out/new", []byte("x")); err == nil {
		t.Error("Put through a link: want an error")
	}
	if err := d.Delete(t.Context(), []string{"out/secret"}); err == nil {
		t.Error("Delete through a link: want an error")
	}
	if diff := cmp.Diff([]string{"secret"}, files(t, outside)); diff != "" {
		t.Errorf("files outside differ (-want +got):\n%s", diff)
	}
	if infos, err := d.List(t.Context(), "", "", 10); err != nil || len(infos) != 0 {
		t.Errorf("List: got %+v, %v, want nothing", infos, err)
	}
}

// Read-only opening changes nothing, not even stale files, and refuses writes.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	write(t, filepath.Join(root, "k"), 0, time.Unix(1e9, 0))
	write(t, filepath.Join(root, ".tmp", "OLD"), 0, time.Unix(1e9, 0))
	d := openDriver(t, root, filecas.Options{ReadOnly: true})
	if _, err := d.Stat(t.Context(), "k"); err != nil {
		t.Errorf("Stat: %v", err)
	}
	if err := d.Put(t.Context(), "new", nil); !errors.Is(err, lashstore.ErrReadOnly) {
		t.Errorf("Put: got error %v, want ErrReadOnly", err)
	}
	if err := d.Delete(t.Context(), []string{"k"}); !errors.Is(err, lashstore.ErrReadOnly) {
		t.Errorf("Delete: got error %v, want ErrReadOnly", err)
	}
	if diff := cmp.Diff([]string{".tmp/OLD", "k"}, files(t, root)); diff != "" {
		t.Errorf("files differ (-want +got):\n%s", diff)
	}
	_, err := filecas.Open(filepath.Join(root, "absent"), filecas.Options{ReadOnly: true})
	if !errors.Is(err, lashstore.ErrStorage) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open of an absent folder: got error %v, want ErrStorage for ErrNotExist", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	write(t, file, 0, time.Unix(1e9, 0))
	if _, err := filecas.Open(file, filecas.Options{}); !errors.Is(err, lashstore.ErrStorage) {
		t.Errorf("a file as root: got error %v, want ErrStorage", err)
	}
	if _, err := filecas.Open("", filecas.Options{}); !errors.Is(err, lashstore.ErrInvalid) {
		t.Errorf("no root: got error %v, want ErrInvalid", err)
	}
	if _, err := filecas.Open(t.TempDir(), filecas.Options{StaleAfter: -1}); !errors.Is(err, lashstore.ErrInvalid) {
		t.Errorf("negative age: got error %v, want ErrInvalid", err)
	}
}

func TestClosed(t *testing.T) {
	t.Parallel()
	d, err := filecas.Open(t.TempDir(), filecas.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	_, getErr := d.Get(t.Context(), "k", 0, -1)
	_, statErr := d.Stat(t.Context(), "k")
	_, listErr := d.List(t.Context(), "", "", 1)
	for op, err := range map[string]error{
		"Put": d.Put(t.Context(), "k", nil), "Get": getErr, "Stat": statErr, "List": listErr,
		"Delete": d.Delete(t.Context(), []string{"k"}),
	} {
		if !errors.Is(err, lashstore.ErrClosed) {
			t.Errorf("%s: got error %v, want ErrClosed", op, err)
		}
	}
}

// Each error number becomes the contract's kind, with operation and path.
func TestTranslate(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		cause    error
		put, get error
	}{
		{syscall.ENOSPC, lashstore.ErrDiskFull, lashstore.ErrDiskFull},
		{syscall.EDQUOT, lashstore.ErrDiskFull, lashstore.ErrDiskFull},
		{syscall.EROFS, lashstore.ErrReadOnly, lashstore.ErrStorage},
		{syscall.EACCES, lashstore.ErrReadOnly, lashstore.ErrStorage},
		{syscall.EPERM, lashstore.ErrReadOnly, lashstore.ErrStorage},
		{syscall.EIO, lashstore.ErrStorage, lashstore.ErrStorage},
		{syscall.ENOENT, lashstore.ErrStorage, cas.ErrObjectNotFound},
		{syscall.ENOTDIR, lashstore.ErrStorage, cas.ErrObjectNotFound},
		{os.ErrClosed, lashstore.ErrClosed, lashstore.ErrClosed},
		{context.Canceled, context.Canceled, context.Canceled},
	} {
		cause := &fs.PathError{Op: "open", Path: "k", Err: test.cause}
		for _, got := range []struct{ err, want error }{
			{filecas.TranslatePut(cause), test.put},
			{filecas.TranslateGet(cause), test.get},
		} {
			if !errors.Is(got.err, got.want) || !strings.Contains(fmt.Sprint(got.err), "object file /data/k") {
				t.Errorf("%v: got %v, want %v with operation and path", test.cause, got.err, got.want)
			}
		}
	}
}
