package integration_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/internal/testenv"
	"github.com/lashstore/lashstore/local"
)

// killsPerDirectory is how often the processes on one directory are killed, so that
// recoveries are killed too.
const killsPerDirectory = 5

// trial is a directory whose processes are killed.
type trial struct {
	t      *testing.T
	dir    string
	rand   *rand.Rand
	ledger *ledger
	rounds int
}

func newTrial(t *testing.T, seed uint64) *trial {
	t.Helper()
	tr := &trial{t: t, dir: t.TempDir(), rand: rand.New(rand.NewPCG(seed, 1)), ledger: newLedger(seed)}
	t.Cleanup(func() {
		if keep := os.Getenv("LASHSTORE_KEEP"); keep != "" && t.Failed() {
			tr.copyTo(filepath.Join(keep, strings.ReplaceAll(t.Name(), "/", "_")))
		}
	})
	return tr
}

// task is what the next process does. The sessions of its group are its own.
func (tr *trial) task(group string) writerTask {
	tr.rounds++
	task := writerTask{
		Dir: tr.dir, Seed: tr.ledger.seed, Name: fmt.Sprintf("%s%d", group, tr.rounds), Lifecycle: true,
		Sessions: []lashstore.SessionID{lashstore.SessionID(group + "/one"), lashstore.SessionID(group + "/two")},
	}
	for _, id := range tr.ledger.unfinished() {
		if tr.rand.IntN(2) == 0 {
			task.Unfinished = append(task.Unfinished, id)
		}
	}
	return task
}

// trigger says when a process is to be killed from outside.
type trigger struct {
	lines int           // after so many acknowledgements
	delay time.Duration // and then so long
}

// random is a moment in the middle of the work or, one time in three, early, when
// the process is still recovering from the kill before.
func (tr *trial) random() trigger {
	if tr.rand.IntN(3) == 0 {
		return trigger{delay: time.Duration(tr.rand.IntN(120_000)) * time.Microsecond}
	}
	return trigger{lines: 1 + tr.rand.IntN(80), delay: time.Duration(tr.rand.IntN(8_000)) * time.Microsecond}
}

// run notes what a process acknowledges until it is dead, killing it when the
// trigger says so; without a trigger it kills itself.
func (tr *trial) run(task writerTask, when *trigger) {
	tr.t.Helper()
	p := start(tr.t, "crash-writer", task)
	limit := time.AfterFunc(patience, p.kill)
	defer limit.Stop()
	pull := func() {
		timer := time.AfterFunc(when.delay, p.kill)
		tr.t.Cleanup(func() { timer.Stop() })
	}
	if when != nil && when.lines == 0 {
		pull()
	}
	for n := 1; ; n++ {
		var line ack
		err := p.lines.Decode(&line)
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = tr.ledger.note(line)
		}
		if err != nil {
			tr.t.Fatalf("round %d: %v\n%s", tr.rounds, err, p.stderr.String())
		}
		if when != nil && n == when.lines {
			pull()
		}
	}
	if err := p.killed(); err != nil {
		tr.t.Fatalf("round %d: %v", tr.rounds, err)
	}
	if !limit.Stop() {
		tr.t.Fatalf("round %d: the process was not dead after %s: %+v", tr.rounds, patience, task)
	}
}

// check checks a copy, so that the next process meets the directory just as the
// dead one left it.
func (tr *trial) check() {
	tr.t.Helper()
	dir := filepath.Join(tr.t.TempDir(), "copy")
	tr.copyTo(dir)
	tr.checkIn(dir)
	if err := os.RemoveAll(dir); err != nil {
		tr.t.Fatal(err)
	}
}

func (tr *trial) checkIn(dir string) {
	tr.t.Helper()
	if err := tr.ledger.check(tr.t.Context(), dir); err != nil {
		state, _ := json.Marshal(tr.ledger.unfinished())
		tr.t.Fatalf("after kill %d: %v\n(unfinished deletions: %s)", tr.rounds, err, state)
	}
}

// copyTo copies the directory; blobs, which never change, are linked.
func (tr *trial) copyTo(dir string) {
	tr.t.Helper()
	if err := copyTree(tr.dir, dir); err != nil {
		tr.t.Fatal(err)
	}
}

func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		if entry.IsDir() {
			return os.MkdirAll(target, 0o700)
		}
		if strings.HasPrefix(rel, "blobs"+string(filepath.Separator)) && os.Link(path, target) == nil {
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(target, content, 0o600)
	})
}

// What was acknowledged would be lost, or half of what was not would be left
// behind, if a process that is killed at any moment did not leave all that a new one
// needs.
func TestKilledAtRandom(t *testing.T) {
	t.Parallel()
	seed, directories := testenv.Seed(t), 4
	if testenv.InCI() {
		directories = 42 // 210 kills
	}
	for i := range directories {
		t.Run(fmt.Sprintf("%02d", i), func(t *testing.T) {
			t.Parallel()
			tr := newTrial(t, seed+uint64(i))
			for range killsPerDirectory {
				when := tr.random()
				tr.run(tr.task("a"), &when)
				tr.check()
			}
			tr.checkIn(tr.dir)
		})
	}
}

// A process that dies while others work on the same directory must take nothing of
// theirs with it, and leave no lock behind.
func TestKilledBesideAnother(t *testing.T) {
	t.Parallel()
	seed, directories := testenv.Seed(t), 1
	if testenv.InCI() {
		directories = 6
	}
	for i := range directories {
		t.Run(fmt.Sprintf("%02d", i), func(t *testing.T) {
			t.Parallel()
			tr := newTrial(t, seed+uint64(i))
			for range killsPerDirectory {
				tr.runBeside()
				tr.check()
			}
			tr.checkIn(tr.dir)
		})
	}
}

// runBeside runs two processes and kills one after the other, the second only when
// it has acknowledged something after the death of the first.
func (tr *trial) runBeside() {
	tr.t.Helper()
	first, second := start(tr.t, "crash-writer", tr.task("a")), start(tr.t, "crash-writer", tr.task("b"))
	limit := time.AfterFunc(2*patience, func() { first.kill(); second.kill() })
	defer limit.Stop()
	read := func(p *process) bool {
		var line ack
		err := p.lines.Decode(&line)
		if err == nil {
			err = tr.ledger.note(line)
		}
		if err != nil && !errors.Is(err, io.EOF) {
			tr.t.Fatalf("round %d: %v\n%s", tr.rounds, err, p.stderr.String())
		}
		return err == nil
	}
	for range 1 + tr.rand.IntN(60) {
		read(first)
		read(second)
	}
	first.kill()
	for read(first) {
	}
	for range 40 {
		if !read(second) {
			tr.t.Fatalf("round %d: the other process ended too: %s", tr.rounds, second.stderr.String())
		}
	}
	second.kill()
	for read(second) {
	}
	if err := errors.Join(first.killed(), second.killed()); err != nil {
		tr.t.Fatalf("round %d: %v", tr.rounds, err)
	}
}

// Between two steps of a commit, a settlement, a creation or a deletion lies what
// random kills rarely hit; a process that dies exactly there must lose nothing.
func TestKilledAtStep(t *testing.T) {
	t.Parallel()
	seed, rounds := testenv.Seed(t), 2
	if testenv.InCI() {
		rounds = 2 * killsPerDirectory
	}
	for _, step := range append(local.CommitSteps(), local.LifecycleSteps()...) {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			tr := newTrial(t, seed)
			for i := range rounds {
				task := tr.task("a")
				task.KillStep, task.KillCount = step, 1
				if i%2 == 0 {
					task.KillCount += tr.rand.Int64N(6)
				}
				tr.run(task, nil)
				tr.check()
			}
			tr.checkIn(tr.dir)
		})
	}
}
