package metadata

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/lashstore/lashstore"
)

// S87: no id leads out of the folder, and ids that sanitise alike have different
// files.
func TestSessionPath(t *testing.T) {
	t.Parallel()
	ids := []lashstore.SessionID{
		"../weird/session", "/etc/passwd", "..", ".", "a/b", "a_b", "A_b", "a b", "___", "日本", "日木", "CON",
		lashstore.SessionID(strings.Repeat("x", 256)), lashstore.SessionID(strings.Repeat("x", 255)),
	}
	seen := make(map[string]lashstore.SessionID)
	for _, id := range ids {
		p := SessionPath(id, "0123456789abcdef")
		if p != SessionPath(id, "0123456789abcdef") {
			t.Errorf("%q has two paths", id)
		}
		parts := strings.Split(p, string(filepath.Separator))
		if len(parts) != 3 || parts[0] != "sessions" || len(parts[1]) != 2 || !filepath.IsLocal(p) {
			t.Errorf("%q lies at %q", id, p)
		}
		if name := parts[len(parts)-1]; !strings.HasSuffix(name, "-01234567.db") || len(name) > 128 {
			t.Errorf("%q has the file name %q", id, name)
		}
		if other, dup := seen[strings.ToLower(p)]; dup {
			t.Errorf("%q and %q share %q", id, other, p)
		}
		seen[strings.ToLower(p)] = id
	}
	if SessionPath("s", "0123456789abcdef") == SessionPath("s", "fedcba9876543210") {
		t.Error("two incarnations share a file")
	}
}

// Tenant ids are used as paths and key prefixes as they are.
func TestValidateTenant(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"ab", "default", "a-1", "0a", strings.Repeat("x", 63)} {
		if err := ValidateTenant(id); err != nil {
			t.Errorf("%q: %v", id, err)
		}
	}
	for _, id := range []string{"", "a", "-a", "A", "a/b", "..", "a.b", "a\x00b", "a\n", strings.Repeat("x", 64), "ä"} {
		if err := ValidateTenant(id); err == nil {
			t.Errorf("%q is accepted", id)
		}
	}
}
