// Command s3server starts and stops S3 servers on this machine for development and
// tests (package localstack). Its results go to standard output, everything else to
// standard error.
//
//	s3server start   [-server NAME] [-dir DIR] [-port N] [-tools DIR]
//	s3server env     [-server NAME] [-dir DIR]
//	s3server stop    [-server NAME] [-dir DIR]          without a name: all
//	s3server status  [-dir DIR]
//	s3server install [-servers A,B] [-tools DIR]
//	s3server exec    [-servers A,B] [-tools DIR] -- COMMAND [ARGUMENT...]
//
// exec starts servers on free ports with folders that are thrown away, runs the
// command with LASHSTORE_TEST_S3_SERVERS set, stops the servers and exits with the
// command's code. The exit code is otherwise 0, 1 after an error, 2 for wrong usage.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"github.com/lashstore/lashstore/localstack"
)

func main() {
	// A server tied to this process is tied to the thread that started it, on Linux.
	runtime.LockOSThread()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code) //nolint:forbidigo // this is the program
}

// Exit codes.
const (
	exitError = 1
	exitUsage = 2
)

// errUsage says that the command line is wrong.
var errUsage = errors.New("usage: s3server start|env|stop|status|install|exec [flags] (s3server COMMAND -h)")

// call is one command line.
type call struct {
	server, servers, dir, tools, goProgram string
	port                                   int
	rest                                   []string
	stdout, stderr                         io.Writer
}

func (c *call) toolbox() localstack.Tools {
	return localstack.Tools{Dir: c.tools, Go: c.goProgram, Log: c.stderr}
}

// folder is that of a named server.
func (c *call) folder(server string) string { return filepath.Join(c.dir, server) }

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	commands := map[string]func(context.Context, *call) (int, error){
		"start": start, "env": env, "stop": stop, "status": status, "install": install, "exec": execute,
	}
	var code int
	err := errUsage
	if len(args) > 0 && commands[args[0]] != nil {
		var c *call
		if c, err = parse(args, stdout, stderr); err == nil {
			code, err = commands[args[0]](ctx, c)
		}
	}
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case errors.Is(err, errUsage):
		_, _ = fmt.Fprintln(stderr, "s3server:", err)
		return exitUsage
	case err != nil:
		_, _ = fmt.Fprintln(stderr, "s3server:", err)
		return exitError
	}
	return code
}

func parse(args []string, stdout, stderr io.Writer) (*call, error) {
	c := &call{stdout: stdout, stderr: stderr}
	flags := flag.NewFlagSet("s3server "+args[0], flag.ContinueOnError)
	flags.SetOutput(stderr)
	all := strings.Join(localstack.Servers(), ",")
	flags.StringVar(&c.server, "server", "", "one of "+all+" (default "+localstack.DefaultServer+"; for stop all that run)")
	flags.StringVar(&c.servers, "servers", all, "for install and exec: names with commas between")
	flags.StringVar(&c.dir, "dir", ".localstack", "where each server has its folder")
	flags.StringVar(&c.tools, "tools", ".tools", "where built servers are kept")
	flags.StringVar(&c.goProgram, "go", "go", "the go command to build with")
	flags.IntVar(&c.port, "port", 0, "for start: the port (default a free one)")
	if err := flags.Parse(args[1:]); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil, err
		}
		return nil, errUsage // what is wrong has been printed
	}
	c.rest = flags.Args()
	if args[0] != "exec" && len(c.rest) > 0 {
		return nil, fmt.Errorf("unexpected %q: %w", c.rest[0], errUsage)
	}
	if c.port < 0 || c.port > 65535 {
		return nil, fmt.Errorf("port %d is not in 0 to 65535: %w", c.port, errUsage)
	}
	if c.server == "" && args[0] != "stop" {
		c.server = localstack.DefaultServer
	}
	return c, nil
}

func start(ctx context.Context, c *call) (int, error) {
	r, started, err := localstack.Start(ctx, localstack.StartOptions{
		Server: c.server, Dir: c.folder(c.server), Port: c.port, Tools: c.toolbox(),
	})
	if err != nil {
		return 0, err
	}
	verb := "runs already"
	if started {
		verb = "runs now"
	}
	_, _ = fmt.Fprintf(c.stderr, "%s %s %s at %s, data in %s\n", r.Server, r.Version, verb, r.Endpoint, c.folder(c.server))
	return 0, r.WriteEnv(c.stdout)
}

func env(_ context.Context, c *call) (int, error) {
	r, err := localstack.Find(c.folder(c.server))
	if err != nil {
		return 0, fmt.Errorf("%w (start it with make s3 SERVER=%s)", err, c.server)
	}
	return 0, r.WriteEnv(c.stdout)
}

func stop(ctx context.Context, c *call) (int, error) {
	folders := []string{c.folder(c.server)}
	if c.server == "" {
		var err error
		if folders, err = localstack.All(c.dir); err != nil {
			return 0, err
		}
	}
	var errs []error
	for _, folder := range folders {
		stopped, err := localstack.Stop(ctx, folder)
		errs = append(errs, err)
		if stopped {
			_, _ = fmt.Fprintf(c.stderr, "stopped the server in %s\n", folder)
		}
	}
	return 0, errors.Join(errs...)
}

func status(_ context.Context, c *call) (int, error) {
	folders, err := localstack.All(c.dir)
	if err != nil {
		return 0, err
	}
	for _, folder := range folders {
		r, err := localstack.Find(folder)
		switch {
		case errors.Is(err, localstack.ErrNotRunning):
			_, err = fmt.Fprintf(c.stdout, "%s\tstopped\n", folder)
		case err == nil:
			_, err = fmt.Fprintf(c.stdout, "%s\tpid %d\t%s %s\t%s\n", folder, r.Process.PID, r.Server, r.Version, r.Endpoint)
		}
		if err != nil {
			return 0, err
		}
	}
	return 0, nil
}

func install(ctx context.Context, c *call) (int, error) {
	for server := range strings.SplitSeq(c.servers, ",") {
		version, err := localstack.Install(ctx, server, c.toolbox())
		if err != nil {
			return 0, err
		}
		_, _ = fmt.Fprintf(c.stdout, "%s %s\n", server, version)
	}
	return 0, nil
}
