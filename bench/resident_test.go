package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/local"
)

// residentEnv names the folder of the store that a child process is to measure.
const residentEnv = "LASHSTORE_BENCH_RESIDENT"

// resident is what a child process says of its memory, in bytes.
type resident struct {
	Sessions int
	RSS      int64
	Heap     int64
}

// measureResident runs this program again, so that nothing else counts.
func measureResident(dir string) (got resident) {
	cmd := exec.CommandContext(context.Background(), os.Args[0])
	cmd.Env = append(os.Environ(), residentEnv+"="+dir)
	cmd.Stderr = os.Stderr
	check(json.Unmarshal(must(cmd.Output()), &got))
	return got
}

// reportResident lists all sessions of a store and prints what memory that took. The
// store is open at that time.
func reportResident(dir string) error {
	store, err := local.Open(context.Background(), dir, local.Options{})
	if err != nil {
		return err
	}
	var got resident
	for list := (lashstore.ListSessions{Limit: lashstore.MaxListLimit}); ; {
		page, err := store.ListSessions(context.Background(), list)
		if err != nil {
			return err
		}
		got.Sessions += len(page.Sessions)
		if list.Cursor = page.NextCursor; list.Cursor == "" {
			break
		}
	}
	// No collection is forced: what a process that goes on would have.
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	got.Heap = int64(stats.HeapInuse)
	if got.RSS, err = statusBytes("VmRSS:"); err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(got); err != nil {
		return err
	}
	return store.Close()
}

// statusBytes reads a size of this process (proc(5), /proc/PID/status, in KiB).
func statusBytes(field string) (int64, error) {
	raw, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	for line := range bytes.Lines(raw) {
		fields := bytes.Fields(line)
		if len(fields) >= 2 && string(fields[0]) == field {
			n, err := strconv.ParseInt(string(fields[1]), 10, 64)
			return n << 10, err
		}
	}
	return 0, fmt.Errorf("/proc/self/status has no %s", field)
}
