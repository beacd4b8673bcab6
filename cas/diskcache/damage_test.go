package diskcache_test

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/lashstore/lashstore/cas/castest"
	"github.com/lashstore/lashstore/cas/diskcache"
)

// Whichever byte of a block file is changed, wherever it is cut and whatever is added:
// the object's own bytes are served, the damage is counted, and the file is replaced.
func TestDamagedBlockIsFetchedAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	body := noise(150, 1)
	put(t, b.tier, "k", body)
	wantRange(t, b.cache, "k", 0, -1, body)
	path := b.cache.BlockPath("k", 0)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var damaged [][]byte
	for i := range whole {
		for _, bit := range []byte{1, 128, 255} {
			file := bytes.Clone(whole)
			file[i] ^= bit
			damaged = append(damaged, file)
		}
		damaged = append(damaged, whole[:i])
	}
	damaged = append(damaged, append(bytes.Clone(whole), 0), append(bytes.Clone(whole), noise(small, 2)...), noise(1<<20, 3))
	for i, file := range damaged {
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		before := b.gets()
		wantRange(t, b.cache, "k", 0, -1, body)
		if b.gets() != before+1 {
			t.Fatalf("damage %d (%d bytes): the tier was not asked", i, len(file))
		}
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, whole) {
			t.Fatalf("damage %d: the file was not replaced: %d bytes, %v", i, len(got), err)
		}
	}
	if got := b.counts(t)["errors_total/corrupt"]; got != float64(len(damaged)) {
		t.Errorf("%v damaged blocks were counted, want %d", got, len(damaged))
	}
}

// A whole and valid file under the name of another block, of the same key or not, is
// not served.
func TestSwappedBlocks(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first, second := noise(3*small, 1), noise(3*small, 2)
	for key, body := range map[string][]byte{"first": first, "second": second} {
		put(t, b.tier, key, body)
		wantRange(t, b.cache, key, 0, -1, body)
	}
	for _, pair := range [][2]string{
		{b.cache.BlockPath("first", 0), b.cache.BlockPath("first", 1)},
		{b.cache.BlockPath("first", 2), b.cache.BlockPath("second", 2)},
	} {
		aside := filepath.Join(b.dir, "aside")
		if err := errors.Join(os.Rename(pair[0], aside), os.Rename(pair[1], pair[0]), os.Rename(aside, pair[1])); err != nil {
			t.Fatal(err)
		}
	}
	wantRange(t, b.cache, "first", 0, -1, first)
	wantRange(t, b.cache, "second", 0, -1, second)
	if got := b.counts(t)["errors_total/corrupt"]; got != 4 {
		t.Errorf("%v damaged blocks were counted, want 4", got)
	}
}

// What is not a file at all does not stop a read, nor does a link lead out of the
// folder.
func TestNotAFile(t *testing.T) {
	t.Parallel()
	b := setup(t)
	body, outside := noise(100, 1), t.TempDir()
	put(t, b.tier, "k", body)
	wantRange(t, b.cache, "k", 0, -1, body)
	path := b.cache.BlockPath("k", 0)
	copied := filepath.Join(outside, "copy")
	if err := os.Rename(path, copied); err != nil {
		t.Fatal(err)
	}
	for what, place := range map[string]func() error{
		"a pipe":            func() error { return syscall.Mkfifo(path, 0o600) },
		"a folder":          func() error { return os.MkdirAll(filepath.Join(path, "below"), 0o700) },
		"a link out":        func() error { return os.Symlink(copied, path) },
		"a link to nowhere": func() error { return os.Symlink("nowhere", path) },
		"no permission":     func() error { return os.WriteFile(path, nil, 0) },
	} {
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
		// A count may find the key's folder empty just now, and remove it.
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), place()); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		before := b.gets()
		wantRange(t, b.cache, "k", 0, -1, body)
		if b.gets() != before+1 {
			t.Errorf("%s: the tier was not asked", what)
		}
		b.clock.Advance(diskcache.PauseAfterFailure)
	}
	if _, err := os.Stat(copied); err != nil {
		t.Errorf("the file outside: %v", err)
	}
}

// When the disk fails, reads and writes go on. It is counted each time, logged once a
// minute, and tried again after a pause.
func TestFailingDisk(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var log strings.Builder
	cause := errors.New("broken disk")
	working := true
	c := openCache(t, b.tier, b.dir, diskcache.Options{
		MaxBytes: least, BlockBytes: small, Metrics: b.reg, Now: b.clock.Now,
		Logger: slog.New(slog.NewTextHandler(&log, nil)),
	})
	tries := 0
	c.SetWrite(func(f *os.File, p []byte) (int, error) {
		if tries++; working {
			return f.Write(p)
		}
		n, err := f.Write(p[:len(p)/2])
		return n, errors.Join(cause, err)
	})
	body := noise(5*small, 1)
	put(t, c, "there", body)
	wantRange(t, c, "there", 0, -1, body)
	working = false
	put(t, c, "k", body)
	tries = 0
	for i := range 4 {
		before := b.gets()
		wantRange(t, c, "k", 10, 3*small, body[10:3*small+10])
		if i > 0 && b.gets() != before+1 {
			t.Errorf("read %d while paused took %d requests, want 1", i, b.gets()-before)
		}
		wantRange(t, c, "there", 0, -1, body)
	}
	if tries != 1 {
		t.Errorf("%d writes were tried during the pause, want 1", tries)
	}
	if left := len(blockFiles(t, b.dir)); left != 5 {
		t.Errorf("%d files are on disk, want the 5 of before", left)
	}
	b.clock.Advance(diskcache.PauseAfterFailure)
	wantRange(t, c, "k", 0, -1, body)
	if tries != 2 || strings.Count(log.String(), "level=WARN") != 1 || !strings.Contains(log.String(), "broken disk") {
		t.Errorf("%d writes were tried, and this was logged:\n%s\nwant 2 tries and one line", tries, log.String())
	}
	b.clock.Advance(diskcache.LogEvery)
	wantRange(t, c, "k", 0, -1, body)
	if strings.Count(log.String(), "level=WARN") != 2 {
		t.Errorf("after a minute this was logged:\n%s\nwant two lines", log.String())
	}
	working = true
	b.clock.Advance(diskcache.PauseAfterFailure)
	wantRange(t, c, "k", 0, -1, body)
	before := b.gets()
	wantRange(t, c, "k", 0, -1, body)
	if got := b.counts(t)["errors_total/write"]; got != 3 || b.gets() != before {
		t.Errorf("%v failures were counted, want 3; %d requests after the disk recovered, want none", got, b.gets()-before)
	}
}

// A folder that vanishes under the cache, as when someone tidies up, is made again.
func TestFolderIsRemoved(t *testing.T) {
	t.Parallel()
	b := setup(t)
	body := noise(3*small, 1)
	put(t, b.tier, "k", body)
	for range 3 {
		wantRange(t, b.cache, "k", 0, -1, body)
		entries, err := os.ReadDir(b.dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range entries {
			if err := os.RemoveAll(filepath.Join(b.dir, entry.Name())); err != nil {
				t.Fatal(err)
			}
		}
	}
	if b.gets() != 3 {
		t.Errorf("%d requests, want 3", b.gets())
	}
	b.pass(t)
	if got := b.counts(t); got["errors_total/write"]+got["errors_total/count"] != 0 || got["size_bytes"] != 0 {
		t.Errorf("metrics %v, want no failure and an empty folder", got)
	}
}

// A short or broken answer of the tier: an error is passed on and nothing of the block
// is kept; one that ends cleanly cannot be told from the end, until Forget.
func TestTierFails(t *testing.T) {
	t.Parallel()
	b := setup(t)
	body := noise(2*small+10, 1)
	put(t, b.tier, "k", body)
	b.tier.Script(castest.Get, castest.FailBefore(nil), castest.FailAfter(nil))
	for range 2 {
		if _, err := get(t.Context(), b.cache, "k", 0, -1); !errors.Is(err, castest.ErrInjected) {
			t.Errorf("got error %v, want ErrInjected", err)
		}
	}
	b.tier.Script(castest.Get, castest.ShortRead(small))
	wantRange(t, b.cache, "k", 0, -1, body[:small+10])
	wantRange(t, b.cache, "k", 0, -1, body[:small+10])
	b.cache.Forget("k")
	wantRange(t, b.cache, "k", 0, -1, body)
	if b.gets() != 4 {
		t.Errorf("%d requests, want 4", b.gets())
	}
}
