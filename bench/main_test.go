package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/lashstore/lashstore/local"
)

// full says whether to take the sizes of the budgets where those are expensive to
// prepare.
var full = os.Getenv("LASHSTORE_BENCH_FULL") != ""

// scratch is where prepared stores lie; it is on the disk of the temporary folder.
var scratch string

// closers end what benchmarks share.
var closers struct {
	sync.Mutex
	list []io.Closer
}

func TestMain(m *testing.M) {
	if dir := os.Getenv(residentEnv); dir != "" {
		if err := reportResident(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if dir := os.Getenv(peakEnv); dir != "" {
		if err := putLarge(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if task := os.Getenv(gcEnv); task != "" {
		if err := collectWhenTold(task); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	dir, err := os.MkdirTemp("", "lashstore-bench-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	scratch = dir
	code := m.Run()
	for _, c := range slices.Backward(closers.list) {
		err = errors.Join(err, c.Close())
	}
	if err = errors.Join(err, os.RemoveAll(dir)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// shared keeps c open until all benchmarks have run.
func shared(c io.Closer) {
	closers.Lock()
	defer closers.Unlock()
	closers.list = append(closers.list, c)
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err) // a benchmark has no use for what comes after
	}
	return v
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// openStore opens a store that ends with the benchmark.
func openStore(b *testing.B, dir string, opts local.Options) *local.Store {
	b.Helper()
	s := must(local.Open(context.Background(), dir, opts))
	b.Cleanup(func() { check(s.Close()) })
	return s
}

// copyTree copies a folder and flushes every file, so that what the kernel still
// has to write does not fall into the measurement.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		if d.IsDir() {
			return os.MkdirAll(target, 0o700)
		}
		return copyFile(path, target)
	})
}

func copyFile(from, to string) (err error) {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	dst, err := os.Create(to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dst.Close()) }()
	if _, err := io.Copy(dst, src); err != nil {
		return err
	}
	return dst.Sync()
}
