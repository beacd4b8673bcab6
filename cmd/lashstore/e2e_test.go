package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lashstore/lashstore"
)

// The tests of this file run the real program in real processes.

func TestMain(m *testing.M) {
	code := m.Run()
	if program.dir != "" {
		_ = os.RemoveAll(program.dir) // what stays is in the system's temporary directory
	}
	os.Exit(code)
}

// program is this command, built once for all tests.
var program struct {
	once sync.Once
	dir  string
	path string
	err  error
}

func binary(t *testing.T) string {
	t.Helper()
	program.once.Do(func() {
		//nolint:usetesting // it outlives the test that happens to come first
		if program.dir, program.err = os.MkdirTemp("", "lashstore-test-*"); program.err != nil {
			return
		}
		program.path = filepath.Join(program.dir, "lashstore")
		if runtime.GOOS == "windows" {
			program.path += ".exe"
		}
		out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program.path, ".").CombinedOutput()
		if err != nil {
			program.err = fmt.Errorf("%w: %s", err, out)
		}
	})
	if program.err != nil {
		t.Fatalf("build: %v", program.err)
	}
	return program.path
}

// shell runs the program on one data directory.
type shell struct {
	path, dir, tmp string
	env            []string
}

func newShell(t *testing.T) *shell {
	t.Helper()
	return &shell{path: binary(t), dir: filepath.Join(t.TempDir(), "data"), tmp: t.TempDir()}
}

func (s *shell) command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), s.path, args...)
	cmd.Env = []string{"LASHSTORE_DIR=" + s.dir, "TMPDIR=" + s.tmp, "TMP=" + s.tmp, "PATH=" + os.Getenv("PATH"), "HOME=" + s.tmp}
	cmd.Env = append(cmd.Env, s.env...)
	return cmd
}

func (s *shell) run(t *testing.T, stdin io.Reader, args ...string) outcome {
	t.Helper()
	cmd := s.command(t, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &stdout, &stderr
	err := cmd.Run()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		t.Fatal(err)
	}
	return outcome{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// ok runs a command that must succeed and returns its output.
func (s *shell) ok(t *testing.T, args ...string) string {
	t.Helper()
	o := s.run(t, nil, args...)
	if o.exit != exitOK || o.stderr != "" {
		t.Fatalf("lashstore %s: exit %d\n%s%s", strings.Join(args, " "), o.exit, o.stdout, o.stderr)
	}
	return o.stdout
}

func decode[T any](t *testing.T, text string) T {
	t.Helper()
	var v T
	dec := json.NewDecoder(strings.NewReader(text))
	if err := dec.Decode(&v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		t.Errorf("more than one document: %s", text)
	}
	return v
}

// noFiles checks that nothing was left in a directory.
func noFiles(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) > 0 {
		t.Errorf("left in %s: %v, %v", dir, entries, err)
	}
}

// Without any setting, data lies in a folder of the working directory.
func TestDefaultDirectory(t *testing.T) {
	t.Parallel()
	s, work := newShell(t), t.TempDir()
	for _, args := range [][]string{{"session", "create", "support/4711"}, {"session", "show", "support/4711"}, {"session", "ls"}} {
		cmd := s.command(t, args...)
		cmd.Dir, cmd.Env = work, append(cmd.Env, "LASHSTORE_DIR=")
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "support/4711") {
			t.Fatalf("lashstore %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	if _, err := os.Stat(filepath.Join(work, "lashstore-data", "tenants", "default", "catalog.db")); err != nil {
		t.Error(err)
	}
}

// The guided tour is the first thing that anybody runs.
func TestDemo(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	doc := decode[demoDocument](t, s.ok(t, "demo", "-o", "json"))
	noFiles(t, s.tmp)
	if _, err := os.Stat(s.dir); !errors.Is(err, os.ErrNotExist) || doc.Kept {
		t.Errorf("the demonstration must not touch %s (%v)", s.dir, err)
	}
	var workers []int
	for _, turn := range doc.Turns {
		workers = append(workers, turn.Worker)
	}
	if diff := cmp.Diff([]int{1, 1, 2, 2, 2}, workers); diff != "" {
		t.Errorf("workers (-want +got):\n%s", diff)
	}
	k, r := doc.Killed, doc.Reclaimed
	if k.Turn != demoPausedTurn || k.PID == r.PID || r.From != "worker-1" || r.FencingToken != 2 || k.ClaimID == r.ClaimID {
		t.Errorf("killed %+v, reclaimed %+v", k, r)
	}
	st := doc.Storage
	if !doc.Verified || doc.QueueLeft != 0 || st.LogicalBytes < demoTurns*demoStateBytes ||
		st.SavedByEqual != (demoTurns-1)*demoToolBytes || st.DiskBytes <= 0 ||
		st.LogicalBytes != st.SavedByEqual+st.SavedByStorage+st.DiskBytes ||
		st.DiskBytes >= 2*demoStateBytes { // later states cost what changed, not what they are
		t.Errorf("%+v", doc)
	}
}

func TestDemoKeepsAGivenDirectory(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	for range 2 {
		if out := s.ok(t, "demo", "--dir", s.dir); !strings.Contains(out, "nothing was lost and nothing ran twice") {
			t.Errorf("output:\n%s", out)
		}
	}
	page := decode[lashstore.SessionPage](t, s.ok(t, "session", "ls", "-o", "json"))
	if len(page.Sessions) != 2 || page.Sessions[0].HeadRevision != demoTurns {
		t.Errorf("sessions: %+v", page)
	}
}

// tokens lists the tokens of JSON text, numbers as they are written.
func tokens(t *testing.T, text []byte) []string {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var list []string
	for {
		tok, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatalf("%v in %.200s", err, text)
		}
		list = append(list, fmt.Sprintf("%T %v", tok, tok))
	}
}

// messages reads the messages of a file with encoding/json alone.
func messages(t *testing.T, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if filepath.Ext(file) != ".traj" {
		return text
	}
	var doc struct {
		History []json.RawMessage `json:"history"`
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	return bytes.Join(rawBytes(doc.History), []byte("\n"))
}

func rawBytes(list []json.RawMessage) [][]byte {
	out := make([][]byte, 0, len(list))
	for _, raw := range list {
		out = append(out, raw)
	}
	return out
}

func TestImportAndExport(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	files := []string{filepath.Join("testdata", "chat.jsonl"), filepath.Join("testdata", "agent.traj")}
	dir := os.Getenv("LASHSTORE_TRAJECTORIES")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "data", "trajectories")
	}
	recorded, err := filepath.Glob(filepath.Join(dir, "*.traj"))
	if err != nil {
		t.Fatal(err)
	}
	files = append(files, recorded...) // package transcript counts the skip if there are none

	doc := decode[importDocument](t, s.ok(t, append([]string{"import", "-o", "json"}, files...)...))
	if len(doc.Imports) != len(files) {
		t.Fatalf("imported %+v", doc)
	}
	for i, file := range files {
		got := s.ok(t, "export", string(doc.Imports[i].SessionID))
		if diff := cmp.Diff(tokens(t, messages(t, file)), tokens(t, []byte(got))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", file, diff)
		}
		if n := strings.Count(got, "\n"); n != doc.Imports[i].Messages {
			t.Errorf("%s: %d lines for %d messages", file, n, doc.Imports[i].Messages)
		}
	}
	noFiles(t, s.tmp)

	s.ok(t, "session", "rm", "agent", "--yes")
	if o := s.run(t, nil, "export", "agent"); o.exit != exitNotFound || o.stdout != "" {
		t.Errorf("export of a deleted session: %+v", o)
	}
	s.ok(t, "import", files[1])
	s.ok(t, "export", "agent")
}

func TestMalformedImportLeavesNothing(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	good, bad := filepath.Join("testdata", "chat.jsonl"), filepath.Join(t.TempDir(), "bad.jsonl")
	if err := os.WriteFile(bad, []byte("{\"role\":\"user\",\"content\":\"x\"}\n{\"role\":\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	o := s.run(t, nil, "import", good, bad, "-o", "json")
	if f := decode[failure](t, o.stderr); o.exit != exitUsage || f.Line != 2 || f.File != bad || f.Code != "invalid" {
		t.Errorf("%+v", o)
	}
	s.ok(t, "session", "create", "other")
	if out := s.ok(t, "session", "ls", "-o", "json"); strings.Contains(out, `"chat"`) || strings.Contains(out, `"bad"`) {
		t.Errorf("sessions:\n%s", out)
	}
}

// A signal must end the import at once and leave no file behind.
func TestInterruptedImport(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("there are no signals to send")
	}
	s := newShell(t)
	cmd := s.command(t, "import", "--session", "x", "-")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// More than a pipe holds: when it has been written, the process is reading.
	const lines = 100_000
	if _, err := io.WriteString(stdin, strings.Repeat("{\"role\":\"user\"}\n", lines)); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	err = cmd.Wait()
	if cmd.ProcessState.ExitCode() != exitFailure || !strings.Contains(stderr.String(), "context canceled") {
		t.Errorf("%v: %s", err, stderr.String())
	}
	noFiles(t, s.tmp)
}

func TestBlobFiles(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	content := bytes.Repeat([]byte("0123456789abcde\x00"), 320<<10) // 5 MiB
	o := s.run(t, bytes.NewReader(content), "blob", "put")
	digest := strings.TrimSpace(o.stdout)
	if o.exit != exitOK || !strings.HasPrefix(digest, "blake3:") {
		t.Fatalf("%+v", o)
	}
	file := filepath.Join(t.TempDir(), "out")
	s.ok(t, "blob", "get", digest, "-f", file)
	got, err := os.ReadFile(file)
	if err != nil || !bytes.Equal(got, content) {
		t.Errorf("read back %d bytes, %v", len(got), err)
	}
	if out := s.ok(t, "blob", "get", digest); out != string(content) {
		t.Errorf("standard output has %d bytes", len(out))
	}
	if out := s.ok(t, "blob", "put", file); strings.TrimSpace(out) != digest {
		t.Errorf("put again: %s", out)
	}
	if out := s.ok(t, "blob", "stat", digest); !strings.Contains(out, "5,242,880") {
		t.Errorf("stat:\n%s", out)
	}
	missing := filepath.Join(t.TempDir(), "none", "out")
	if o := s.run(t, nil, "blob", "get", digest, "-f", missing); o.exit != exitFailure {
		t.Errorf("unwritable file: %+v", o)
	}
}
