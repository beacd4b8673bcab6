package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/lashstore/lashstore/localstack"
)

// waitDelay is how long a command may go on after it was told to end, before it is
// killed: a test run needs some seconds to stop its own processes.
const waitDelay = 10 * time.Second

// execute runs a command with servers of its own, and stops them whatever happens.
func execute(ctx context.Context, c *call) (code int, err error) {
	if len(c.rest) == 0 {
		return 0, fmt.Errorf("exec needs a command: %w", errUsage)
	}
	dir, err := os.MkdirTemp("", "lashstore-s3-")
	if err != nil {
		return 0, fmt.Errorf("make a folder for the servers: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	var folders []string
	defer func() {
		for _, folder := range folders {
			_, stopErr := localstack.Stop(context.WithoutCancel(ctx), folder)
			err = errors.Join(err, stopErr)
		}
	}()
	var servers []localstack.Running
	for server := range strings.SplitSeq(c.servers, ",") {
		folder := filepath.Join(dir, server)
		r, _, err := localstack.Start(ctx, localstack.StartOptions{Server: server, Dir: folder, Tied: true, Tools: c.toolbox()})
		if err != nil {
			return 0, err
		}
		folders, servers = append(folders, folder), append(servers, r)
		_, _ = fmt.Fprintf(c.stderr, "%s %s runs at %s\n", r.Server, r.Version, r.Endpoint)
	}
	const list = "servers.json"
	if err := localstack.WriteServers(dir, list, servers); err != nil {
		return 0, err
	}
	return c.command(ctx, localstack.TestServers+"="+filepath.Join(dir, list))
}

// command runs the command and returns its exit code.
func (c *call) command(ctx context.Context, variable string) (int, error) {
	cmd := exec.CommandContext(ctx, c.rest[0], c.rest[1:]...) //nolint:gosec // the caller's own command
	cmd.Env = append(os.Environ(), variable)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, c.stdout, c.stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = waitDelay
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.Exited() {
		return exit.ExitCode(), nil
	}
	if err != nil {
		return 0, fmt.Errorf("run %s: %w", c.rest[0], errors.Join(err, ctx.Err()))
	}
	return 0, nil
}
