package integration_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/local"
)

// objectPath is the file of the sample's large component.
func (s *sample) objectPath(t *testing.T, dir string) string {
	t.Helper()
	name := strings.TrimPrefix(lashstore.DigestOf(s.load.components(s.head)[lashstore.ComponentExecutionState]).String(), "blake3:")
	files, err := filepath.Glob(filepath.Join(dir, "blobs", local.DefaultTenant, "b3", name[:2], name+".*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("object files of %s: %v, %v", name, files, err)
	}
	return files[0]
}

// rewrite replaces an object file. Copies of the sample share objects by links, so
// it must not be changed in place.
func rewrite(t *testing.T, path string, change func([]byte) []byte) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	content = change(append([]byte(nil), content...))
	if err := errors.Join(os.Remove(path), os.WriteFile(path, content, 0o600)); err != nil {
		t.Fatal(err)
	}
}

// An object whose bytes are not what was stored must never be served, and the
// revision that needs it must not load as if it had no such component.
func TestDamagedObject(t *testing.T) {
	t.Parallel()
	s := newSample(t)
	flip := func(at int) func([]byte) []byte {
		return func(b []byte) []byte { b[(at+len(b))%len(b)] ^= 4; return b }
	}
	cut := func(n int) func([]byte) []byte { return func(b []byte) []byte { return b[:max(0, min(n, len(b)+n))] } }
	for name, change := range map[string]func([]byte) []byte{
		"magic flipped": flip(0), "version flipped": flip(4), "kind flipped": flip(5), "codec flipped": flip(6),
		"reserved byte flipped": flip(7), "length flipped": flip(8), "checksum flipped": flip(12), "payload flipped": flip(40), "last byte flipped": flip(-1),
		"cut to nothing":  func([]byte) []byte { return nil },
		"cut to a header": func(b []byte) []byte { return b[:16] }, "cut in the header": func(b []byte) []byte { return b[:7] },
		"last byte cut":  cut(-1),
		"byte appended":  func(b []byte) []byte { return append(b, 0) },
		"doubled":        func(b []byte) []byte { return append(b, b...) },
		"other content":  func([]byte) []byte { return []byte("something else") },
		"missing":        nil,
		"a folder":       nil,
		"a symlink loop": nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := s.copy(t)
			path := s.objectPath(t, dir)
			switch {
			case change != nil:
				rewrite(t, path, change)
			case name == "a folder":
				replaceByFolder(t, path)
			case name == "a symlink loop":
				if err := errors.Join(os.Remove(path), os.Symlink(path, path)); err != nil {
					t.Fatal(err)
				}
			default:
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
			}
			store := open(t, dir, s.options())
			h, err := store.OpenSession(t.Context(), s.load.Session, lashstore.OpenOptions{})
			if err != nil {
				t.Fatal(err)
			}
			_, loadErr := h.Load(t.Context(), lashstore.LoadOptions{})
			_, openErr := readContent(h.OpenContent(t.Context(), lashstore.DigestOf(s.load.components(s.head)[lashstore.ComponentExecutionState])))
			for call, err := range map[string]error{"load": loadErr, "open content": openErr} {
				if !errors.Is(err, lashstore.ErrCorruptBlob) || !strings.Contains(err.Error(), strings.Split(filepath.Base(path), ".")[0]) {
					t.Errorf("%s: %v, want ErrCorruptBlob and the digest", call, err)
				}
			}
			if !strings.Contains(loadErr.Error(), lashstore.ComponentExecutionState) {
				t.Errorf("load: %v does not name the component", loadErr)
			}
			if snap, err := h.Load(t.Context(), lashstore.LoadOptions{HydrateLimit: 4096}); err != nil || len(snap.Graph.Nodes) == 0 {
				t.Errorf("the rest of the session: %v", err)
			}
		})
	}
}

// Files that someone put into the folders must neither be taken for data nor get in
// the way.
func TestGarbageBesideTheData(t *testing.T) {
	t.Parallel()
	s := newSample(t)
	dir := s.copy(t)
	tenant := filepath.Join(dir, "tenants", local.DefaultTenant)
	for _, path := range []string{
		filepath.Join(dir, "notes.txt"), filepath.Join(dir, "blobs", "README"), filepath.Join(dir, "blobs", ".tmp", "LEFT"),
		filepath.Join(dir, "blobs", local.DefaultTenant, "b3", "zz", "garbage"), filepath.Join(dir, "blobs", local.DefaultTenant, "b3", "garbage"),
		filepath.Join(tenant, "sessions", "garbage.db"), filepath.Join(tenant, "sessions", "00", "x-0.db-wal"), filepath.Join(tenant, "catalog.db.bak"),
		s.objectPath(t, dir) + "0",
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		overwrite("garbage")(t, path)
	}
	for _, o := range s.observe(t.Context(), dir) {
		if o.err != nil {
			t.Errorf("%s: %v", o.call, o.err)
		} else if err := s.judge(o); err != nil {
			t.Error(err)
		}
	}
	if err := useCatalog(t.Context(), s, dir); err != nil {
		t.Errorf("write beside garbage: %v", err)
	}
}
