package localstack

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// roleVariable makes this test's program be a server.
const roleVariable = "LASHSTORE_LOCALSTACK_ROLE"

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" { //nolint:forbidigo // a test plays a server
		os.Exit(play(role, os.Args[1])) //nolint:forbidigo // a test plays a server
	}
	os.Exit(m.Run()) //nolint:forbidigo // a test plays a server
}

// start starts this program as a server of the given role.
func startRole(t *testing.T, role string) (site, error) {
	t.Helper()
	s, err := newSite(t.TempDir(), minio{}, StartOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = launch(t.Context(), fake{role: role, t: t}, os.Args[0], s, StartOptions{Server: "fake"})
	return s, err
}

// A started server must be found, keep its folder for itself, and end when told.
func TestStartFindStop(t *testing.T) {
	t.Parallel()
	s, err := startRole(t, "server")
	if err != nil {
		t.Fatal(err)
	}
	r, err := Find(s.dir)
	if err != nil || r.Endpoint != s.endpoint || r.User != s.accounts.User {
		t.Errorf("find: %v, %v", r, err)
	}
	again, started, err := Start(t.Context(), StartOptions{Server: "minio", Dir: s.dir})
	if err != nil || started || again != r {
		t.Errorf("start again: %v, started %t, %v; want the one that runs", again, started, err)
	}
	if stopped, err := Stop(t.Context(), s.dir); !stopped || err != nil {
		t.Errorf("stop: %t, %v", stopped, err)
	}
	if alive, err := r.Process.alive(); alive || err != nil {
		t.Errorf("after the stop: alive %t, %v", alive, err)
	}
	if _, err := Find(s.dir); !errors.Is(err, ErrNotRunning) {
		t.Errorf("find after the stop: %v, want ErrNotRunning", err)
	}
	if stopped, err := Stop(t.Context(), s.dir); stopped || err != nil {
		t.Errorf("stop again: %t, %v", stopped, err)
	}
}

func TestStopWithoutFolder(t *testing.T) {
	t.Parallel()
	if stopped, err := Stop(t.Context(), filepath.Join(t.TempDir(), "absent")); stopped || err != nil {
		t.Errorf("%t, %v; want nothing to happen", stopped, err)
	}
}

// A server that ignores SIGTERM must not keep stop waiting for ever.
func TestStopForces(t *testing.T) {
	t.Parallel()
	s, err := startRole(t, "stubborn")
	if err != nil {
		t.Fatal(err)
	}
	r, err := Find(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // no patience
	if err := r.Process.end(ctx, termTimeout, time.Minute); err != nil {
		t.Fatal(err)
	}
	if alive, err := r.Process.alive(); alive || err != nil {
		t.Errorf("alive %t, %v", alive, err)
	}
}

// The id in a state file may belong to another process by now, which must not be
// ended, nor be taken for the server.
func TestStopSparesAnotherProcess(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), "sleep", "600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Wait() }) // the test's context kills it
	other, exists, err := identify(cmd.Process.Pid)
	if err != nil || !exists {
		t.Fatal(exists, err)
	}
	dir := t.TempDir()
	stale := Running{Server: "minio", Process: Process{PID: other.PID, Started: "1"}}
	if err := writeState(dir, stateName, stale); err != nil {
		t.Fatal(err)
	}
	if _, err := Find(dir); !errors.Is(err, ErrNotRunning) {
		t.Errorf("find: %v, want ErrNotRunning", err)
	}
	if stopped, err := Stop(t.Context(), dir); stopped || err != nil {
		t.Errorf("stop: %t, %v", stopped, err)
	}
	if alive, err := other.alive(); !alive || err != nil {
		t.Errorf("the other process: alive %t, %v", alive, err)
	}
	if _, err := os.Stat(filepath.Join(dir, stateName)); err == nil {
		t.Error("the stale state is still there")
	}
}

// A server that fails must be reported with what it said, and nothing be left.
func TestStartFails(t *testing.T) {
	t.Parallel()
	s, err := startRole(t, "failing")
	if !errors.Is(err, ErrNotReady) || !strings.Contains(err.Error(), "no luck today") {
		t.Errorf("got %v, want ErrNotReady with the log", err)
	}
	if _, err := Find(s.dir); !errors.Is(err, ErrNotRunning) {
		t.Errorf("find: %v, want ErrNotRunning", err)
	}
}

// A server that never answers must be ended when there is no more time.
func TestStartTimesOut(t *testing.T) {
	t.Parallel()
	s, err := newSite(t.TempDir(), minio{}, StartOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = launch(t.Context(), fake{role: "mute", t: t}, os.Args[0], s, StartOptions{Server: "fake", ReadyTimeout: time.Nanosecond})
	if !errors.Is(err, ErrNotReady) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want ErrNotReady and DeadlineExceeded", err)
	}
	if _, err := Find(s.dir); !errors.Is(err, ErrNotRunning) {
		t.Errorf("find: %v, want ErrNotRunning", err)
	}
}

func TestPortInUse(t *testing.T) {
	t.Parallel()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	port := l.Addr().(*net.TCPAddr).Port //nolint:forcetypeassert // that of a tcp4 listener
	_, err = newSite(t.TempDir(), minio{}, StartOptions{Port: port})
	if !errors.Is(err, ErrPortInUse) || !strings.Contains(err.Error(), "S3_PORT") {
		t.Errorf("got %v, want ErrPortInUse and what to do", err)
	}
}

func TestUnknownServer(t *testing.T) {
	t.Parallel()
	if _, _, err := Start(t.Context(), StartOptions{Server: "../s3", Dir: t.TempDir()}); !errors.Is(err, ErrUnknownServer) {
		t.Errorf("got %v, want ErrUnknownServer", err)
	}
}

func TestMissingProgram(t *testing.T) {
	t.Parallel()
	for _, server := range Servers() {
		tools := Tools{Dir: t.TempDir(), Go: "no-such-go", Python: "no-such-python"}
		if _, err := Install(t.Context(), server, tools); !errors.Is(err, ErrMissingProgram) {
			t.Errorf("%s: got %v, want ErrMissingProgram", server, err)
		}
	}
}

// Anything may stand in a command's name, which stands before what is read.
func TestParseStat(t *testing.T) {
	t.Parallel()
	tail := " 1 1 1 0 -1 4194560 1 0 0 0 1 2 0 0 20 0 9 0 4711 100 1 18446744073709551615"
	p, exists, err := parseStat(7, "7 (a) Z 9 (b) S"+tail)
	if want := (Process{PID: 7, Started: "4711"}); p != want || !exists || err != nil {
		t.Errorf("got %v, %t, %v; want %v", p, exists, err, want)
	}
	if _, exists, err := parseStat(7, "7 (x) Z"+tail); exists || err != nil {
		t.Errorf("a zombie: %t, %v; want that it does not run", exists, err)
	}
	if _, _, err := parseStat(7, "7 (x) S 1"); err == nil {
		t.Error("a short line was accepted")
	}
}

// The shell must get what the server was given.
func TestWriteEnvIsShell(t *testing.T) {
	t.Parallel()
	r := Running{
		Endpoint: "http://127.0.0.1:9000", Bucket: "b", Region: "us-east-1",
		User: Account{Key: "k", Secret: `it's $HOME; "x" ` + "`id`"},
	}
	var text bytes.Buffer
	if err := r.WriteEnv(&text); err != nil {
		t.Fatal(err)
	}
	script := text.String() + `printf '%s\n' "$AWS_SECRET_ACCESS_KEY" "$LASHSTORE_BUCKET"`
	out, err := exec.CommandContext(t.Context(), "sh", "-eu", "-c", script).Output()
	if err != nil {
		t.Fatal(err)
	}
	want := r.User.Secret + "\ns3://b?endpoint=http%3A%2F%2F127.0.0.1%3A9000&path_style=true&region=us-east-1\n"
	if string(out) != want {
		t.Errorf("the shell got %q, want %q", out, want)
	}
}

// The pins are in several places for the tools' sake; they must agree.
func TestVersionsAgree(t *testing.T) {
	t.Parallel()
	if want := "\nlocalstack-core==" + pinned(localstackVersion) + " "; !bytes.Contains(requirements, []byte(want)) {
		t.Errorf("requirements.txt has no line %q", want)
	}
	for _, p := range programs() {
		if p.version() == "" {
			t.Errorf("%T has no version", p)
		}
	}
}

// MinIO's own limits: a name of 3 to 20 characters, a secret of 8 to 40.
func TestAccountsFitMinIO(t *testing.T) {
	t.Parallel()
	a, b := minio{}.account(), minio{}.account()
	if len(a.Key) > 20 || len(a.Secret) < 20 || len(a.Secret) > 40 {
		t.Errorf("key of %d, secret of %d characters", len(a.Key), len(a.Secret))
	}
	if a.Key == b.Key || a.Secret == b.Secret {
		t.Error("two accounts are alike")
	}
}
