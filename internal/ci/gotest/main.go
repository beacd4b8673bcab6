// Command gotest runs "go test" with the given arguments and says at the end what
// was run. Output of passing tests is left out; skipped tests are listed with
// their reasons. It exits non-zero if a test failed, a package did not build, or
// no test ran at all, which plain go test reports as success.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

func run(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()

	//nolint:gosec // the arguments are those of the caller, who could run go as well
	cmd := exec.CommandContext(ctx, "go", append([]string{"test", "-json"}, args...)...)
	cmd.Stderr = stderr
	// Interrupt rather than kill, so that go test removes its working directory.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		_, _ = fmt.Fprintln(stderr, "gotest:", err)
		return 1
	}
	if err := cmd.Start(); err != nil {
		_, _ = fmt.Fprintln(stderr, "gotest:", err)
		return 1
	}
	t := newTally(stdout)
	lines := bufio.NewReader(pipe)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			t.line(line)
		}
		if err != nil {
			break // io.EOF; whatever else it is, Wait has the better message
		}
	}
	err = cmd.Wait()
	ok := t.finish()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		_, _ = fmt.Fprintln(stderr, "gotest:", err)
	}
	if err != nil || !ok {
		return 1
	}
	return 0
}
