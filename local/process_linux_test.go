package local_test

import (
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/local"
)

// A process that was killed but not yet waited for will never act again and must
// count as dead; one that runs must not.
func TestProcessTable(t *testing.T) {
	t.Parallel()
	mine := local.ProcessLiveness()
	if mine.Kind != lashstore.LivenessLocalProcess {
		t.Fatal("no evidence on Linux")
	}
	must(t, mine.Validate())
	cmd := exec.CommandContext(t.Context(), "sleep", "600")
	must(t, cmd.Start())
	start, exists, err := local.OSProcesses.StartTime(int64(cmd.Process.Pid))
	if err != nil || !exists || start < mine.ProcessStart {
		t.Errorf("running: start %d, exists %t, %v", start, exists, err)
	}
	dead := mine
	dead.PID, dead.ProcessStart = int64(cmd.Process.Pid), start
	if lashstore.DefinitelyDead(dead, mine, local.OSProcesses) || lashstore.DefinitelyDead(mine, mine, local.OSProcesses) {
		t.Error("a running process counts as dead")
	}
	must(t, cmd.Process.Signal(syscall.SIGKILL))
	// Wait for its end without collecting it: it stays a zombie.
	must(t, unix.Waitid(unix.P_PID, cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil))
	if !lashstore.DefinitelyDead(dead, mine, local.OSProcesses) {
		t.Error("a killed process that was not waited for does not count as dead")
	}
	if err := cmd.Wait(); err == nil {
		t.Error("the child ended by itself")
	}
	if !lashstore.DefinitelyDead(dead, mine, local.OSProcesses) {
		t.Error("a process that is gone does not count as dead")
	}
}

// A closed store must leave no file open: a service opens one for each tenant.
func TestCloseLeavesNoFileOpen(t *testing.T) { //nolint:paralleltest // it counts the files of the process
	opened := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		must(t, err)
		return len(entries)
	}
	dir := t.TempDir()
	cycle := func() {
		s, err := local.Open(t.Context(), dir, local.Options{}) // the default driver, and flushes
		must(t, err)
		h, f := create(t, s, "s")
		head, err := h.Head(t.Context())
		must(t, err)
		_, err = h.Commit(t.Context(), state(head.Revision, f, noise(uint64(head.Revision), 100_000)))
		must(t, err)
		must(t, s.Close())
	}
	cycle()
	before := opened()
	for range 5 {
		cycle()
	}
	if after := opened(); after > before {
		t.Errorf("%d files open before, %d after five more stores", before, after)
	}
}
