package localstack

import (
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
)

//go:embed requirements.txt
var requirements []byte

// Tools says where servers are installed, and with what.
type Tools struct {
	// Dir is where the built servers are kept.
	Dir string
	// Go and Python are the programs to build with; empty means "go" and "python3".
	Go, Python string
	// Log is told what is going on and gets the output of the builds; nil drops it.
	Log io.Writer
}

func (t Tools) withDefaults() (Tools, error) {
	if t.Go == "" {
		t.Go = "go"
	}
	if t.Python == "" {
		t.Python = "python3"
	}
	if t.Log == nil {
		t.Log = io.Discard
	}
	// Servers run in their own folders, and GOBIN must be absolute.
	dir, err := filepath.Abs(t.Dir)
	if err != nil {
		return Tools{}, fmt.Errorf("find the folder %s: %w", t.Dir, err)
	}
	t.Dir = dir
	return t, nil
}

func (t Tools) say(format string, args ...any) {
	_, _ = fmt.Fprintf(t.Log, format+"\n", args...)
}

// goProgram returns the path of a program built from a Go module, which it builds
// the first time. An unfinished build leaves nothing under that path.
func (t Tools) goProgram(ctx context.Context, name, module, version string) (string, error) {
	built := filepath.Join(t.Dir, name+"-"+version)
	if _, err := os.Stat(built); err == nil {
		return built, nil
	}
	if err := t.look(t.Go, "install Go 1.26 or newer"); err != nil {
		return "", err
	}
	scratch, err := t.scratch(name)
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(scratch) }() // what is left there harms nothing
	t.say("Building %s %s; this is done once and takes some minutes (about 3 on 2 cores for MinIO).", name, version)
	env := append(os.Environ(), "GOBIN="+scratch, "CGO_ENABLED=0")
	if err := t.run(ctx, env, t.Go, "install", module+"@"+version); err != nil {
		return "", fmt.Errorf("build %s %s: %w", name, version, err)
	}
	if err := os.Rename(filepath.Join(scratch, path.Base(module)), built); err != nil {
		return "", fmt.Errorf("build %s %s: %w", name, version, err)
	}
	return built, nil
}

// requirementsName is the copy of requirements.txt in an environment: what was
// installed there.
const requirementsName = "requirements.txt"

// pythonEnv returns the interpreter of a virtual environment with the packages of
// requirements.txt, which it makes the first time and when that file has changed.
func (t Tools) pythonEnv(ctx context.Context, name, version string) (string, error) {
	env := filepath.Join(t.Dir, "venv-"+name+"-"+version)
	python := filepath.Join("bin", "python")
	if got, err := os.ReadFile(filepath.Join(env, requirementsName)); err == nil && string(got) == string(requirements) { //nolint:gosec // the folder is the caller's
		return filepath.Join(env, python), nil
	}
	if err := t.look(t.Python, "install Python 3.10 to 3.13 with its venv module (on Debian: python3 and python3-venv)"); err != nil {
		return "", err
	}
	scratch, err := t.scratch("venv-" + name)
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(scratch) }() // what is left there harms nothing
	t.say("Installing %s %s into a Python environment; this is done once and takes about a minute.", name, version)
	list := filepath.Join(scratch, requirementsName)
	if err := t.run(ctx, nil, t.Python, "-m", "venv", scratch); err != nil {
		return "", fmt.Errorf("make a Python environment for %s: %w", name, err)
	}
	if err := os.WriteFile(list, requirements, 0o600); err != nil {
		return "", fmt.Errorf("install %s: %w", name, err)
	}
	if err := t.run(ctx, nil, filepath.Join(scratch, python), "-m", "pip", "install", "--quiet", "--no-input",
		"--disable-pip-version-check", "--require-hashes", "--requirement", list); err != nil {
		return "", fmt.Errorf("install %s %s: %w", name, version, err)
	}
	// Only the interpreter and modules are used, which, unlike scripts, can be moved.
	if err := errors.Join(os.RemoveAll(env), os.Rename(scratch, env)); err != nil {
		return "", fmt.Errorf("install %s %s: %w", name, version, err)
	}
	return filepath.Join(env, python), nil
}

// look finds out whether a program is there.
func (t Tools) look(program, advice string) error {
	if _, err := exec.LookPath(program); err != nil {
		return fmt.Errorf("%w: %s: %w; %s", ErrMissingProgram, program, err, advice)
	}
	return nil
}

// scratch makes a folder of its own beside what is built, so that a rename is
// enough to put that in place.
func (t Tools) scratch(name string) (string, error) {
	dir := filepath.Join(t.Dir, name+".tmp-"+rand.Text()[:8])
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("make a folder for %s: %w", name, err)
	}
	return dir, nil
}

// run runs a program to its end; nil env means this process's.
func (t Tools) run(ctx context.Context, env []string, program string, args ...string) error {
	cmd := exec.CommandContext(ctx, program, args...) //nolint:gosec // the caller names the programs
	cmd.Env, cmd.Stdout, cmd.Stderr = env, t.Log, t.Log
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s %s: %w", filepath.Base(program), args[0], errors.Join(err, ctx.Err()))
	}
	return nil
}
