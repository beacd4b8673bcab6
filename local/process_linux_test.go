package local_test

import (
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
