package integration_test

import (
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/internal/testenv"
	"github.com/lashstore/lashstore/local"
)

// flips is how many damaged copies of each file are tried.
func flips() int {
	if testenv.InCI() {
		return 800
	}
	return 150
}

// flipBits inverts n random bits of a file and says which.
func flipBits(t *testing.T, path string, r *rand.Rand, n int) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var where []string
	for range n {
		bit := r.IntN(len(content) * 8)
		content[bit/8] ^= 1 << (bit % 8)
		where = append(where, fmt.Sprintf("%d.%d", bit/8, bit%8))
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%s, byte.bit %s", filepath.Base(path), strings.Join(where, " "))
}

// complaints collects what is wrong, once for each call, with an example.
type complaints struct {
	count   map[string]int
	example map[string]string
}

func newComplaints() *complaints {
	return &complaints{count: make(map[string]int), example: make(map[string]string)}
}

func (c *complaints) add(call, where string, err error) {
	c.count[call]++
	if c.count[call] == 1 {
		c.example[call] = fmt.Sprintf("%s: %v", where, err)
	}
}

func (c *complaints) report(t *testing.T, rounds int) {
	t.Helper()
	for _, call := range slices.Sorted(maps.Keys(c.count)) {
		t.Errorf("%s: wrong in %d of %d damaged copies, first: %s", call, c.count[call], rounds, c.example[call])
	}
}

// isAbsence reports whether a lookup in the catalog found nothing. Its keys have no
// checksum that a lookup could see: of a key with a flipped bit it says that the
// thing is not there (docs/adr/0005-row-checksums.md).
func isAbsence(err error) bool {
	return errors.Is(err, lashstore.ErrSessionNotFound) || errors.Is(err, lashstore.ErrBlobNotFound) ||
		errors.Is(err, lashstore.ErrAttachmentNotFound)
}

// foundByCheck reports whether SQLite's own check of the whole file finds damage.
// What is broken in the structure of its pages it does not always see on a read.
func foundByCheck(t *testing.T, path string) bool {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	var answer string
	err = db.QueryRowContext(t.Context(), "PRAGMA integrity_check").Scan(&answer)
	return errors.Join(err, db.Close()) != nil || answer != "ok"
}

// A disk that flips a bit must not make the store hand out what nobody stored: each
// read returns what was committed, or an error that says what is damaged. What
// breaks SQLite's pages without its noticing must at least show in its check of the
// whole file.
func TestFlippedBits(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"session", "catalog"} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			s := newSample(t)
			path := catalogPath
			if file == "session" {
				path = s.sessionPath
			}
			r, wrong := rand.New(rand.NewPCG(s.load.Seed, 2)), newComplaints()
			dir := s.copy(t)
			whole, err := os.ReadFile(path(s.dir))
			if err != nil {
				t.Fatal(err)
			}
			for range flips() {
				restore(t, s, dir)
				where := flipBits(t, path(dir), r, 1+r.IntN(3))
				var bad []observation
				for _, o := range s.observe(t.Context(), dir) {
					if s.judge(o) == nil || file == "catalog" && isAbsence(o.err) {
						continue
					}
					bad = append(bad, o)
				}
				if len(bad) == 0 || foundByCheck(t, path(dir)) {
					continue
				}
				for _, o := range bad {
					wrong.add(o.call, where, s.judge(o))
				}
			}
			t.Logf("%s has %d bytes", file, len(whole))
			wrong.report(t, flips())
		})
	}
}

// restore makes the databases of a copy whole again.
func restore(t *testing.T, s *sample, dir string) {
	t.Helper()
	for _, path := range []func(string) string{catalogPath, s.sessionPath} {
		for _, side := range []string{"-wal", "-shm"} {
			if err := os.RemoveAll(path(dir) + side); err != nil {
				t.Fatal(err)
			}
		}
		content, err := os.ReadFile(path(s.dir))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path(dir), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// A write on a damaged database must be refused, or be whole, and must not make
// anything else worse in silence.
func TestWriteOnFlippedBits(t *testing.T) {
	t.Parallel()
	s := newSample(t)
	r, wrong := rand.New(rand.NewPCG(s.load.Seed, 3)), newComplaints()
	dir := s.copy(t)
	for range flips() / 2 {
		restore(t, s, dir)
		where := flipBits(t, s.sessionPath(dir), r, 1)
		if err := s.writeAndRead(t, dir); err != nil && !foundByCheck(t, s.sessionPath(dir)) {
			wrong.add("write", where, err)
		}
	}
	wrong.report(t, flips()/2)
}

// writeAndRead commits on a damaged copy and, if that is acknowledged, reads it and
// the revision before.
func (s *sample) writeAndRead(t *testing.T, dir string) error {
	t.Helper()
	store, err := local.Open(t.Context(), dir, s.options())
	if err != nil {
		return s.judge(observation{call: "open store", err: err})
	}
	defer func() { _ = store.Close() }() // which may find the damage too
	h, err := store.OpenSession(t.Context(), s.load.Session, lashstore.OpenOptions{})
	if err != nil {
		return s.judge(observation{call: "open session", err: err})
	}
	c := s.load.commit(s.head + 1)
	c.Fence, c.Attachments = s.fence, nil
	if _, err := h.Commit(t.Context(), c); err != nil {
		return s.judge(observation{call: "commit", err: err})
	}
	snap, err := h.Load(t.Context(), lashstore.LoadOptions{})
	if err != nil {
		return s.judge(observation{call: "load what was committed", err: err})
	}
	want := s.load.components(s.head + 1)
	got := make(map[string][]byte)
	for key, comp := range snap.Checkpoint.Components {
		got[key] = comp.Bytes
	}
	if err := differ("components", want, got); err != nil {
		return err
	}
	if snap.Revision != s.head+1 || len(snap.Graph.Nodes) != len(s.load.nodes(s.head+1))-1 {
		return fmt.Errorf("acknowledged as revision %d, and there are %d nodes at revision %d", s.head+1, len(snap.Graph.Nodes), snap.Revision)
	}
	call := fmt.Sprintf("load %s at %d", lashstore.ScopeNoGraph, s.head)
	o := &observer{}
	o.see(call, func() (any, error) {
		old, err := h.Load(t.Context(), lashstore.LoadOptions{Revision: s.head, Scope: lashstore.ScopeNoGraph})
		if old != nil {
			old.Usage = nil
		}
		return old, err
	})
	if o.all[0].err != nil {
		return s.judge(o.all[0])
	}
	return nil
}
