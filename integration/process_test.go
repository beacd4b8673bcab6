package integration_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// patience is how long a test waits for a process before it gives it up: far longer
// than any of them takes on a busy machine.
const patience = 60 * time.Second

// process is a process that a test started.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout io.ReadCloser
	lines  *json.Decoder
	stderr bytes.Buffer
	ended  bool
}

// start starts this program again in a role, with a task. It is killed, at the
// latest, when the test ends.
func start(t *testing.T, role string, task any) *process {
	t.Helper()
	cmd := exec.Command(os.Args[0]) //nolint:noctx // launch sees to its end
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	p := launch(t, cmd)
	p.send(task)
	return p
}

// launch starts a program that writes JSON. It is killed, at the latest, when the
// test ends.
func launch(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{t: t, cmd: cmd}
	p.cmd.Stderr = &p.stderr
	var err error
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if p.stdout, err = p.cmd.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	p.lines = json.NewDecoder(p.stdout)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !p.ended {
			p.kill()
			_ = p.cmd.Wait() // it was killed
		}
	})
	return p
}

// send writes one value to the process's standard input.
func (p *process) send(v any) {
	p.t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		p.t.Fatal(err)
	}
	if _, err := p.stdin.Write(append(raw, '\n')); err != nil && !errors.Is(err, syscall.EPIPE) {
		p.t.Fatal(err)
	}
}

// proceed lets a process that waits go on.
func (p *process) proceed() {
	p.t.Helper()
	p.send("go")
}

// next reads the process's next line into v.
func (p *process) next(v any) {
	p.t.Helper()
	timer := time.AfterFunc(patience, p.kill)
	defer timer.Stop()
	if err := p.lines.Decode(v); err != nil {
		p.t.Fatalf("read from the %v process: %v\n%s", p.cmd.Env[len(p.cmd.Env)-1], err, p.stderr.String())
	}
}

// rest reads lines until the process ends, and then requires that it ended well.
func rest[T any](p *process) []T {
	p.t.Helper()
	timer := time.AfterFunc(patience, p.kill)
	defer timer.Stop()
	var all []T
	for {
		var v T
		err := p.lines.Decode(&v)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			p.t.Fatalf("read a line: %v\n%s", err, p.stderr.String())
		}
		all = append(all, v)
	}
	p.finish()
	return all
}

// finish waits for a process that ends by itself.
func (p *process) finish() {
	p.t.Helper()
	p.ended = true
	if err := p.cmd.Wait(); err != nil {
		p.t.Fatalf("%v: %v\n%s", p.cmd.Env[len(p.cmd.Env)-1], err, p.stderr.String())
	}
}

// kill ends the process without notice.
func (p *process) kill() { _ = p.cmd.Process.Signal(syscall.SIGKILL) } // it may have ended

// killed waits for a process that is to die by SIGKILL, its own or ours; anything
// else means that it failed before.
func (p *process) killed() error {
	p.ended = true
	err := p.cmd.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() && status.Signal() == syscall.SIGKILL {
			return nil
		}
	}
	return fmt.Errorf("ended by itself: %w\n%s", err, p.stderr.String())
}

// together starts n processes in a role and lets them go at once, when all of them
// have said that they are ready.
func together(t *testing.T, role string, n int, task func(i int) any) []*process {
	t.Helper()
	procs := make([]*process, n)
	for i := range procs {
		procs[i] = start(t, role, task(i))
	}
	for _, p := range procs {
		var ready string
		p.next(&ready)
	}
	for _, p := range procs {
		p.proceed()
	}
	return procs
}
