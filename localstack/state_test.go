package localstack

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Keys must come back as they were, and nobody else may read them.
func TestStateRoundTrip(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	want := accounts{Root: randomAccount(), User: randomAccount()}
	if err := writeState(dir, credentialsName, want); err != nil {
		t.Fatal(err)
	}
	var got accounts
	if err := readState(dir, credentialsName, &got); err != nil || got != want {
		t.Errorf("read %v, %v; want %v", got, err, want)
	}
	info, err := os.Stat(filepath.Join(dir, credentialsName))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode of the credentials: %v, %v; want 0600", info.Mode(), err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*.tmp-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
}

// A file that was cut off or is another's must not be taken for credentials: new
// ones would be made, and the data be out of reach.
func TestDamagedState(t *testing.T) {
	t.Parallel()
	for name, content := range map[string]string{
		"empty":         "",
		"cut off":       `{"root":{"key":"a`,
		"another's":     `{"color":"blue"}`,
		"not an object": `[]`,
		"huge":          strings.Repeat(" ", maxStateBytes) + "{}",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, credentialsName), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := newSite(dir, minio{}, StartOptions{})
			if !errors.Is(err, ErrDamagedState) {
				t.Errorf("got %v, want ErrDamagedState", err)
			}
			if got, err := os.ReadFile(filepath.Join(dir, credentialsName)); err != nil || string(got) != content {
				t.Errorf("the damaged file was changed: %v", err)
			}
		})
	}
}

func TestAbsentState(t *testing.T) {
	t.Parallel()
	var r Running
	if err := readState(t.TempDir(), stateName, &r); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want fs.ErrNotExist", err)
	}
}

// Accounts end up in errors and logs by way of %v.
func TestAccountHidesItsSecret(t *testing.T) {
	t.Parallel()
	r := Running{User: Account{Key: "the-key", Secret: "the-secret"}}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(verb, r); strings.Contains(text, "the-secret") {
			t.Errorf("%s prints %s", verb, text)
		}
	}
}

// A second start of a folder would run two servers on the same data.
func TestLock(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	unlock, err := lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lock(dir); !errors.Is(err, ErrBusy) {
		t.Errorf("second lock: %v, want ErrBusy", err)
	}
	if _, err := Stop(t.Context(), dir); !errors.Is(err, ErrBusy) {
		t.Errorf("stop while it is locked: %v, want ErrBusy", err)
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	unlock, err = lock(dir)
	if err != nil {
		t.Fatalf("after the unlock: %v", err)
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
}
