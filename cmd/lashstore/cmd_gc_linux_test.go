package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/internal/testenv"
)

// On a disk that cannot be written, what only reads works, and the rest says why it
// does not.
func TestGCOnAReadOnlyDisk(t *testing.T) {
	t.Parallel()
	if !testenv.MountNamespace(t) {
		return
	}
	const diskSize = "16m"
	disk := testenv.Tmpfs(t, diskSize)
	c := newConsole(t)
	c.dir = filepath.Join(disk, "data")
	c.ok(t, "hello", "blob put")
	c.ok(t, "", "gc run")
	testenv.Remount(t, disk, diskSize, true)
	o := c.run(t, "", "gc", "run", "-o", "json")
	doc := decode[collectDocument](t, o.stdout)
	if o.exit != exitUndone || len(doc.Collections) != 1 || doc.Collections[0].Error == nil || doc.Collections[0].Error.Code != "read_only" ||
		doc.Collections[0].Report.Outcome != lashstore.CollectFailed {
		t.Errorf("run: %+v", o)
	}
	if o := c.run(t, "", "gc", "undelete", "--all", "-o", "json"); o.exit != exitFailure || !strings.Contains(o.stderr, `"read_only"`) {
		t.Errorf("undelete: %+v", o)
	}
	for _, line := range []string{"gc status", "gc run --dry-run", "gc run --dry-run --audit"} {
		if o := c.run(t, "", strings.Fields(line)...); o.exit != exitOK || o.stderr != "" {
			t.Errorf("%s: %+v", line, o)
		}
	}
}
