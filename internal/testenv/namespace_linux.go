package testenv

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// insideVariable is set, in the environment, for a test that runs in a namespace.
const insideVariable = "LASHSTORE_TEST_NAMESPACE"

// MountNamespace reports whether the test runs in a mount namespace of its own, in
// which [Tmpfs] works. If it does not, the test is run again in one, and its result
// becomes the caller's, who has nothing left to do. The test must not be a subtest.
func MountNamespace(t *testing.T) bool {
	t.Helper()
	if os.Getenv(insideVariable) == t.Name() {
		return true
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v") //nolint:gosec // it is this program
	cmd.Env = append(os.Environ(), insideVariable+"="+t.Name())
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWNS | syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	if err := probe(cmd.SysProcAttr); err != nil {
		Unavailable(t, "a mount namespace", err)
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("in its namespace: %v\n%s", err, out)
	}
	return false
}

// probe finds out whether a process with these attributes can be started.
func probe(attr *syscall.SysProcAttr) error {
	path, err := exec.LookPath("true")
	if err != nil {
		return err
	}
	cmd := exec.Command(path) //nolint:noctx,gosec // it ends at once, and is named above
	cmd.SysProcAttr = attr
	return cmd.Run()
}

// Tmpfs mounts an empty file system of a size, such as "8m", in a new folder. It
// goes with the namespace.
func Tmpfs(t *testing.T, size string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "disk")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Fatalf("mount a file system: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return dir
}

// Remount makes the file system at dir read-only, or writable again.
func Remount(t *testing.T, dir, size string, readOnly bool) {
	t.Helper()
	flags := uintptr(syscall.MS_REMOUNT)
	if readOnly {
		flags |= syscall.MS_RDONLY
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", flags, "size="+size); err != nil {
		t.Fatalf("remount a file system: %v", err)
	}
}
