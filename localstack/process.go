package localstack

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Process identifies a process beyond its id, which may be used again by another.
type Process struct {
	PID int `json:"pid"`
	// Started is when the process started, as text that the system gives the same
	// way each time: clock ticks since boot (/proc), or a date (ps).
	Started string `json:"started"`
}

// How long a server is given to end, and how often one looks.
const (
	// termTimeout is three times what LocalStack, the slowest, takes (4.7 s).
	termTimeout = 15 * time.Second
	killTimeout = 5 * time.Second
	pollEvery   = 50 * time.Millisecond
)

// identify describes a process that runs. A zombie does not run.
func identify(pid int) (p Process, exists bool, err error) {
	if pid <= 0 {
		return Process{}, false, nil
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	switch {
	case err == nil:
		return parseStat(pid, string(stat))
	case errors.Is(err, syscall.ESRCH):
		return Process{}, false, nil // it ended while it was read
	case !errors.Is(err, fs.ErrNotExist):
		return Process{}, false, fmt.Errorf("look at process %d: %w", pid, err)
	}
	if _, err := os.Stat("/proc/self/stat"); err == nil {
		return Process{}, false, nil // there is a /proc, without this process
	}
	return identifyByPS(pid)
}

// parseStat reads /proc/PID/stat (man 5 proc): state is field 3, starttime field 22.
// Field 2, the command in parentheses, may hold anything.
func parseStat(pid int, stat string) (Process, bool, error) {
	const state, starttime = 0, 22 - 3
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) <= starttime {
		return Process{}, false, fmt.Errorf("look at process %d: /proc has %d fields after the command", pid, len(fields))
	}
	if fields[state] == "Z" || fields[state] == "X" {
		return Process{}, false, nil
	}
	return Process{PID: pid, Started: fields[starttime]}, true, nil
}

// identifyByPS is for systems without /proc.
func identifyByPS(pid int) (Process, bool, error) {
	//nolint:noctx,gosec // it ends at once, and its argument is a number
	out, err := exec.Command("ps", "-o", "stat=,lstart=", "-p", strconv.Itoa(pid)).Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return Process{}, false, nil // ps says so of an unknown process
	}
	if err != nil {
		return Process{}, false, fmt.Errorf("look at process %d: %w", pid, err)
	}
	state, started, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	if state == "" || strings.HasPrefix(state, "Z") {
		return Process{}, false, nil
	}
	return Process{PID: pid, Started: strings.TrimSpace(started)}, true, nil
}

// alive reports whether p still runs: the same process, not one with its id.
func (p Process) alive() (bool, error) {
	now, exists, err := identify(p.PID)
	return exists && now == p, err
}

// end asks the process to end, and forces it to when it has not done so in time or
// ctx is done. It returns when the process is gone.
func (p Process) end(ctx context.Context, term, kill time.Duration) error {
	// One of our own children stays a zombie until somebody asks how it ended.
	defer func() { _, _ = syscall.Wait4(p.PID, nil, syscall.WNOHANG, nil) }()
	if err := p.signal(syscall.SIGTERM); err != nil {
		return err
	}
	termCtx, cancel := context.WithTimeout(ctx, term)
	gone, err := p.gone(termCtx)
	cancel()
	if gone || err != nil {
		return err
	}
	if err := p.signal(syscall.SIGKILL); err != nil {
		return err
	}
	killCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), kill)
	defer cancel()
	if gone, err = p.gone(killCtx); err == nil && !gone {
		err = fmt.Errorf("process %d: %w", p.PID, ErrStillRunning)
	}
	return err
}

// signal sends a signal if p still runs.
func (p Process) signal(sig syscall.Signal) error {
	alive, err := p.alive()
	if !alive || err != nil {
		return err
	}
	if err := syscall.Kill(p.PID, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("send %s to process %d: %w", sig, p.PID, err)
	}
	return nil
}

// gone waits until p runs no more, or until ctx is done.
func (p Process) gone(ctx context.Context) (bool, error) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		alive, err := p.alive()
		if !alive || err != nil {
			return err == nil, err
		}
		select {
		case <-ctx.Done():
			return false, nil
		case <-tick.C:
		}
	}
}
