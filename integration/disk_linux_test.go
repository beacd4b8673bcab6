package integration_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/internal/testenv"
	"github.com/lashstore/lashstore/local"
)

// diskSize is small enough to be filled at once, and large enough for the databases
// of a store at work.
const diskSize = "24m"

// fillDisk writes a file that leaves at most spare bytes free.
func fillDisk(t *testing.T, disk string, spare int64) {
	t.Helper()
	var st syscall.Statfs_t
	if err := syscall.Statfs(disk, &st); err != nil {
		t.Fatal(err)
	}
	n := int64(st.Bavail)*st.Bsize - spare
	if n <= 0 {
		return
	}
	f, err := os.OpenFile(filepath.Join(disk, "ballast"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.CopyN(f, zeros{}, n)
	if err := errors.Join(err, f.Close()); err != nil && !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func freeDisk(t *testing.T, disk string) {
	t.Helper()
	if err := os.Remove(filepath.Join(disk, "ballast")); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
}

// A write for which no space is left must say so and leave nothing half-written,
// wherever in it the space ends, and everything must work again when there is space.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	if !testenv.MountNamespace(t) {
		return
	}
	disk := testenv.Tmpfs(t, diskSize)
	f := newFullDisk(t, disk)
	rounds := 30
	if testenv.InCI() {
		rounds = 200
	}
	for range rounds {
		spare := int64(f.rand.IntN(96)) << 10
		if f.rand.IntN(4) == 0 {
			spare = 0
		}
		f.round(spare)
	}
	t.Logf("%d writes were refused, %d went through", f.refused, f.passed)
	if f.refused == 0 || f.passed == 0 {
		t.Error("the disk was never full, or always")
	}
}

// fullDisk is a store on a disk that is filled and freed.
type fullDisk struct {
	t               *testing.T
	disk            string
	rand            *rand.Rand
	ledger          *ledger
	id              lashstore.SessionID
	number          int
	refused, passed int
}

func newFullDisk(t *testing.T, disk string) *fullDisk {
	t.Helper()
	seed := testenv.Seed(t)
	f := &fullDisk{t: t, disk: disk, rand: rand.New(rand.NewPCG(seed, 4)), ledger: newLedger(seed), id: "main"}
	f.ledger.entries[f.id] = entry{epoch: 1}
	if err := f.use(func(_ context.Context, s *local.Store) error {
		h := create(t, s, f.ledger.workload(f.id))
		f.ledger.entries[f.id] = entry{epoch: 1, created: true, incarnation: h.Incarnation()}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fullDisk) dir() string { return filepath.Join(f.disk, "data") }

func (f *fullDisk) options() local.Options {
	return local.Options{Retention: lashstore.Retention{Revisions: retained}}
}

// use opens the store, runs fn and closes it.
func (f *fullDisk) use(fn func(context.Context, *local.Store) error) error {
	ctx := f.t.Context()
	s, err := local.Open(ctx, f.dir(), f.options())
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	return errors.Join(fn(ctx, s), s.Close())
}

// note counts the outcome of a write, which may be refused for want of space only.
func (f *fullDisk) note(what string, err error) bool {
	f.t.Helper()
	switch {
	case err == nil:
		f.passed++
	case errors.Is(err, lashstore.ErrDiskFull):
		f.refused++
	default:
		f.t.Errorf("round %d, %s on a full disk: %v, want ErrDiskFull", f.number, what, err)
	}
	return err == nil
}

// round writes on a full disk, with the store open before or opened on it, and then
// checks everything on a disk with space.
func (f *fullDisk) round(spare int64) {
	f.t.Helper()
	f.number++
	fillFirst := f.rand.IntN(2) == 0
	if fillFirst {
		fillDisk(f.t, f.disk, spare)
	}
	err := f.use(func(ctx context.Context, s *local.Store) error {
		if !fillFirst {
			if _, err := s.OpenSession(ctx, f.id, lashstore.OpenOptions{}); err != nil {
				return err
			}
			fillDisk(f.t, f.disk, spare)
		}
		f.writes(ctx, s)
		return nil
	})
	if err != nil {
		f.note("open or close", err)
	}
	freeDisk(f.t, f.disk)
	if err := f.ledger.check(f.t.Context(), f.dir()); err != nil {
		f.t.Fatalf("round %d, after %d bytes were left (filled first: %t): %v", f.number, spare, fillFirst, err)
	}
	err = f.use(func(ctx context.Context, s *local.Store) error {
		h, err := s.OpenSession(ctx, f.id, lashstore.OpenOptions{})
		if err != nil {
			return err
		}
		return runTurns(ctx, h, f.ledger.workload(f.id), "main", 1)
	})
	if err != nil {
		f.t.Fatalf("round %d, with space again: %v", f.number, err)
	}
	f.acked()
}

func (f *fullDisk) acked() {
	e := f.ledger.entries[f.id]
	e.acked++
	f.ledger.entries[f.id] = e
}

// writes tries each kind of write.
func (f *fullDisk) writes(ctx context.Context, s *local.Store) {
	f.t.Helper()
	incompressible := make([]byte, 64<<10)
	for i := range incompressible {
		incompressible[i] = byte(f.rand.Uint32())
	}
	_, err := s.PutBlob(ctx, bytes.NewReader(incompressible), lashstore.PutBlobOptions{})
	f.note("put blob", err)
	id := lashstore.SessionID(fmt.Sprintf("side-%d", f.number))
	side := workload{Seed: f.ledger.seed, Session: id, Epoch: 1}
	f.ledger.entries[id] = entry{epoch: 1}
	if _, _, err := s.CreateSession(ctx, lashstore.CreateSession{Meta: side.meta()}); f.note("create session", err) {
		f.ledger.entries[id] = entry{epoch: 1, created: true, incarnation: f.incarnation(ctx, s, id)}
	}
	h, err := s.OpenSession(ctx, f.id, lashstore.OpenOptions{})
	if f.note("open session", err) {
		e := f.ledger.entries[f.id]
		for f.note("turn", runTurns(ctx, h, f.ledger.workload(f.id), "main", 1)) {
			f.acked()
			if f.ledger.entries[f.id].acked > e.acked+20 {
				break
			}
		}
	}
	e := f.ledger.entries[id]
	e.deleting = true
	f.ledger.entries[id] = e
	if f.note("delete session", s.DeleteSession(ctx, id)) {
		e.deleted = e.created
	}
	f.ledger.entries[id] = e
	_, err = s.ListSessions(ctx, lashstore.ListSessions{})
	f.note("list sessions", err)
}

func (f *fullDisk) incarnation(ctx context.Context, s *local.Store, id lashstore.SessionID) lashstore.Incarnation {
	h, err := s.OpenSession(ctx, id, lashstore.OpenOptions{})
	if err != nil {
		f.note("open the new session", err)
		return ""
	}
	return h.Incarnation()
}

// On a file system that cannot be written, writes must say so and reads must work,
// and not by writing either.
func TestReadOnlyDisk(t *testing.T) {
	t.Parallel()
	if !testenv.MountNamespace(t) {
		return
	}
	s, disk := newSample(t), testenv.Tmpfs(t, diskSize)
	dir := filepath.Join(disk, "data")
	if err := copyTree(s.dir, dir); err != nil {
		t.Fatal(err)
	}
	writer := open(t, dir, s.options()) // opened while it could be written
	h, err := writer.OpenSession(t.Context(), s.load.Session, lashstore.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(h.Close(), writer.Close()); err != nil {
		t.Fatal(err)
	}
	testenv.Remount(t, disk, diskSize, true)
	before := fingerprint(t, dir)
	if _, err := local.Open(t.Context(), dir, s.options()); !errors.Is(err, lashstore.ErrReadOnly) || !strings.Contains(err.Error(), disk) {
		t.Errorf("open for writing: %v, want ErrReadOnly and the path", err)
	}
	s.checkReadOnly(t, dir)
	_, err = local.Open(t.Context(), filepath.Join(disk, "new"), local.Options{})
	if !errors.Is(err, lashstore.ErrReadOnly) {
		t.Errorf("open a new directory: %v, want ErrReadOnly", err)
	}
	if err := differ("the disk", before, fingerprint(t, dir)); err != nil {
		t.Error(err)
	}
	testenv.Remount(t, disk, diskSize, false)
	if err := useCatalog(t.Context(), s, dir); err != nil {
		t.Errorf("writable again: %v", err)
	}
}
