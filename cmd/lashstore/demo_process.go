package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
)

// demoProcess is a worker process as its parent sees it.
type demoProcess struct {
	cmd    *exec.Cmd
	events *json.Decoder
	stdin  io.Closer
	stderr bytes.Buffer
	killed bool
}

// startWorker starts this program again, as a worker. The first one will pause.
func (d *demo) startWorker(ctx context.Context, number int) (*demoProcess, error) {
	self, err := d.app.executable()
	if err != nil {
		return nil, err
	}
	args := append([]string{"demo-worker"}, d.app.flags.arguments()...)
	args = append(args, "--output", outputTable, "--session", string(d.session), "--worker", fmt.Sprintf("worker-%d", number))
	if number == 1 {
		args = append(args, "--pause-in-turn", fmt.Sprint(demoPausedTurn))
	}
	p := &demoProcess{cmd: exec.CommandContext(ctx, self, args...)} //nolint:gosec // it is this program
	p.cmd.Stderr = &p.stderr
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.events = json.NewDecoder(out)
	return p, p.cmd.Start()
}

// watch calls back for each event until there are no more.
func (p *demoProcess) watch(on func(demoEvent) error) error {
	for {
		var e demoEvent
		err := p.events.Decode(&e)
		if errors.Is(err, io.EOF) || (err != nil && p.killed) {
			return nil
		}
		if err == nil {
			err = on(e)
		}
		if err != nil {
			return err
		}
	}
}

// kill ends the process without notice: SIGKILL, where there is such a thing.
func (p *demoProcess) kill() error {
	p.killed = true
	return p.cmd.Process.Kill()
}

// finish waits for the process. err is what watching it ended with.
func (p *demoProcess) finish(err error, wantKilled bool) error {
	if err != nil {
		err = errors.Join(err, p.cmd.Process.Kill())
	}
	wait := p.cmd.Wait()
	switch {
	case err != nil:
	case wantKilled && !p.killed:
		err = errors.New("worker ended before it could be killed")
	case !wantKilled && wait != nil:
		err = wait
	default:
		return nil
	}
	if text := strings.TrimSpace(p.stderr.String()); text != "" {
		err = fmt.Errorf("%w: %s", err, text)
	}
	return err
}
