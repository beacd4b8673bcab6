package metadata

import (
	"os"
	"path/filepath"
	"testing"
)

// A file beside a database that is gone belongs to it: of a deleted session it is to be
// removed, of one that exists or is not known it is nobody's business.
func TestStraysBesideADatabase(t *testing.T) {
	t.Parallel()
	b := setup(t)
	dir := filepath.Dir(b.catalog.db.path)
	own := filepath.Join(dir, SessionPath(testSession, b.inc))
	unknown := filepath.Join(dir, SessionPath("unknown", "00112233445566778899aabbccddeeff"))
	for _, path := range []string{own, unknown} {
		must(t, os.MkdirAll(filepath.Dir(path), 0o700))
		must(t, os.WriteFile(path+"-shm", nil, 0o600))
	}
	strays := func() (deleted int) {
		t.Helper()
		must(t, b.catalog.Strays(t.Context(), func(path string, gone bool) error {
			if !gone {
				t.Errorf("%s counts as a stray", path)
			}
			same(t, "path", path, own)
			deleted++
			return nil
		}))
		return deleted
	}
	same(t, "while the session lives", strays(), 0)
	must(t, b.catalog.SetState(t.Context(), testSession, b.inc, SessionDeleted))
	must(t, os.RemoveAll(own))
	if strays() == 0 {
		t.Error("the file of a deleted session was not found")
	}
}
