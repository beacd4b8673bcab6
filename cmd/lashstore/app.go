package main

import (
	"context"
	"io"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// environment is what the command takes from its process. Tests pass their own.
type environment struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	lookupEnv      func(string) (string, bool)
	now            func() time.Time
	executable     func() (string, error) // path of this program
	workDir        func() (string, error)
	terminal       func(stream any) bool // whether a stream of the process is a terminal
	volume         func(folder string) (volume, error)
	openFiles      func() (uint64, error) // how many files the process may have open
}

// app is one run of the command.
type app struct {
	environment
	flags   globalFlags
	started bool // the command line has been understood
	// metrics is where stores and buckets register what they count; nil: nowhere.
	metrics prometheus.Registerer
}

// defaultDir is where data lies unless the caller says otherwise.
const defaultDir = "./lashstore-data"

const longHelp = `lashstore keeps the sessions of AI agents: history, checkpoints, queued work and
blobs, in a directory. With --bucket, large content goes to a bucket of S3 or of a
server that speaks its protocol, and the directory keeps the rest.

Settings come from flags, then from the environment: --cache-dir is also
LASHSTORE_CACHE_DIR, and so on. Credentials for S3 are never settings of this
program: they come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, from the
profile that AWS_PROFILE names, or from the role of the machine.

Exit codes:
  0  done
  1  failure
  2  the command line or the input is wrong
  3  not found
  4  conflict: busy, held by another, changed meanwhile, or the wrong bucket
  5  stored data is damaged
  6  a collection was refused: something could not be read or trusted
  7  a collection failed or left something undone
  8  a verification found damage and repaired all of it

With -o json, results are JSON documents on standard output, and an error is a
JSON document with "code" and "message" on standard error.`

// execute runs one command line and returns the exit code.
func execute(ctx context.Context, env environment, args []string) int {
	a := &app{environment: env}
	root := a.rootCommand()
	root.SetArgs(args)
	root.SetIn(env.stdin)
	root.SetOut(env.stdout)
	root.SetErr(env.stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	if !a.started {
		// Before a command runs, only its arguments can be wrong. The output format may
		// not have been read by then, so look for it.
		err = &usageError{err}
		a.guessOutput(args)
	}
	return a.report(err)
}

// guessOutput finds the output format for an error in the command line itself.
func (a *app) guessOutput(args []string) {
	if v, ok := a.lookupEnv("LASHSTORE_OUTPUT"); ok && v == outputJSON && a.flags.output.value == outputTable {
		a.flags.output.value = v
	}
	joined := " " + strings.Join(args, " ") + " "
	for _, form := range []string{" -o json ", " -ojson ", " -o=json ", " --output json ", " --output=json "} {
		if strings.Contains(joined, form) {
			a.flags.output.value = outputJSON
		}
	}
}

func (a *app) rootCommand() *cobra.Command {
	a.flags = newGlobalFlags()
	root := &cobra.Command{
		Use:           "lashstore",
		Short:         "A durable session store for AI agents",
		Long:          longHelp,
		Version:       buildVersion(),
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.applyEnvironment(cmd.Flags()); err != nil {
				return err
			}
			if err := a.flags.checkCombination(cmd.Flags()); err != nil {
				return err
			}
			a.started = true
			return nil
		},
	}
	a.flags.register(root.PersistentFlags())
	root.AddCommand(a.demoCommand(), a.demoWorkerCommand(), a.sessionCommand(), a.blobCommand(),
		a.importCommand(), a.exportCommand(), a.gcCommand(), a.fsckCommand(), a.doctorCommand(), a.versionCommand())
	return root
}

// isTerminal reports whether a stream of the process is a terminal.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
