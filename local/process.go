package local

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/lashstore/lashstore"
)

// osProcesses is the process table of the operating system, read from /proc. Where
// there is none, every question is an error, and so nobody is proven dead.
type osProcesses struct{}

// Positions in /proc/<pid>/stat, counted from the field after the command name,
// which may itself contain spaces and parentheses (proc(5): fields 3 and 22).
const (
	statState = 0
	statStart = 19
)

// StartTime returns the start time of a process in ticks since boot. A process that
// has ended but was not yet waited for counts as gone: it will never act again.
func (osProcesses) StartTime(pid int64) (start uint64, exists bool, err error) {
	return readStat("/proc/" + strconv.FormatInt(pid, 10) + "/stat")
}

func readStat(path string) (start uint64, exists bool, err error) {
	raw, err := os.ReadFile(path) //nolint:gosec // a path below /proc, made from a number
	if errors.Is(err, fs.ErrNotExist) {
		if _, procErr := os.Stat("/proc/self/stat"); procErr != nil {
			return 0, false, fmt.Errorf("read the process table: %w", procErr)
		}
		return 0, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("read the process table: %w", err)
	}
	end := strings.LastIndexByte(string(raw), ')')
	fields := strings.Fields(string(raw[end+1:]))
	if end < 0 || len(fields) <= statStart {
		return 0, false, fmt.Errorf("read the process table: %s has an unknown form", path)
	}
	if state := fields[statState]; state == "Z" || state == "X" {
		return 0, false, nil
	}
	start, err = strconv.ParseUint(fields[statStart], 10, 63)
	if err != nil {
		return 0, false, fmt.Errorf("read the process table: %s: %w", path, err)
	}
	return start, true, nil
}

// ProcessLiveness returns the evidence by which others on this machine can tell
// whether the calling process is alive. Where it cannot be had, it is opaque.
func ProcessLiveness() lashstore.Liveness {
	opaque := lashstore.Liveness{Kind: lashstore.LivenessOpaque}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return opaque
	}
	namespace, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return opaque
	}
	start, exists, err := readStat("/proc/self/stat")
	if err != nil || !exists {
		return opaque
	}
	host := "unknown-host"
	if id, err := os.ReadFile("/etc/machine-id"); err == nil && len(strings.TrimSpace(string(id))) > 0 {
		host = strings.TrimSpace(string(id))
	} else if name, err := os.Hostname(); err == nil && name != "" {
		host = name
	}
	return lashstore.Liveness{
		Kind:         lashstore.LivenessLocalProcess,
		HostID:       host,
		BootID:       strings.TrimSpace(string(boot)),
		PIDNamespace: namespace,
		PID:          int64(os.Getpid()),
		ProcessStart: start,
	}
}
