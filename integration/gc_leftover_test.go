package integration_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/internal/testenv"
	"github.com/lashstore/lashstore/local"
	"github.com/lashstore/lashstore/metadata"
)

// Who creates a session while another process deletes it makes its file after all was
// removed, and may die before it notices. Nobody would ever remove that file.
func TestAuditRemovesTheFileOfADeletedSession(t *testing.T) {
	t.Parallel()
	dir, load := t.TempDir(), workload{Seed: testenv.Seed(t), Session: "deleted", Epoch: 1}
	path := func(h lashstore.Session) string {
		return filepath.Join(dir, "tenants", local.DefaultTenant, metadata.SessionPath(h.ID(), h.Incarnation()))
	}
	s := open(t, dir, local.Options{})
	kept := create(t, s, workload{Session: "kept", Epoch: 1})
	gone := create(t, s, load)
	left, err := os.ReadFile(path(gone))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteSession(t.Context(), load.Session); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path(gone), left, 0o600); err != nil {
		t.Fatal(err)
	}
	collect := func(opts lashstore.CollectOptions) {
		t.Helper()
		report, err := s.Collect(t.Context(), opts)
		if err != nil || report.Outcome != lashstore.CollectNothing || report.Mark.FoundSessions > 0 {
			t.Errorf("%v: %+v %+v", err, report, report.Mark)
		}
	}
	collect(lashstore.CollectOptions{Audit: true, DryRun: true})
	if _, err := os.Stat(path(gone)); err != nil {
		t.Errorf("a dry run: %v", err)
	}
	collect(lashstore.CollectOptions{Audit: true})
	if _, err := os.Stat(path(gone)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file of the deleted session: %v", err)
	}
	if _, err := kept.Head(t.Context()); err != nil {
		t.Errorf("the other session: %v", err)
	}
}
