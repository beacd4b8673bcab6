package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/lashstore/lashstore"
)

// environment is what the command takes from its process. Tests pass their own.
type environment struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	lookupEnv      func(string) (string, bool)
	now            func() time.Time
	executable     func() (string, error) // path of this program
	workDir        func() (string, error)
}

// app is one run of the command.
type app struct {
	environment
	flags   globalFlags
	started bool // the command line has been understood
}

// globalFlags are those that every command has.
type globalFlags struct {
	dir        string
	tenant     string
	durability choice
	profile    choice
	output     choice
}

// Values of choices.
const (
	outputTable      = "table"
	outputJSON       = "json"
	durabilityFull   = "full"
	durabilityNormal = "normal"
)

// defaultDir is where data lies unless the caller says otherwise.
const defaultDir = "./lashstore-data"

const longHelp = `lashstore keeps the sessions of AI agents: history, checkpoints, queued work and
blobs, in a directory.

Settings come from flags, then from the environment: LASHSTORE_DIR,
LASHSTORE_TENANT, LASHSTORE_DURABILITY, LASHSTORE_PROFILE, LASHSTORE_OUTPUT.

Exit codes:
  0  done
  1  failure
  2  the command line or the input is wrong
  3  not found
  4  conflict: busy, held by another, or changed meanwhile
  5  stored data is damaged

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
	a.flags = globalFlags{
		durability: choice{value: durabilityFull, allowed: []string{durabilityFull, durabilityNormal}},
		profile: choice{value: string(lashstore.ProfileBalanced), allowed: []string{
			string(lashstore.ProfileLowLatency), string(lashstore.ProfileBalanced), string(lashstore.ProfileCompact),
		}},
		output: choice{value: outputTable, allowed: []string{outputTable, outputJSON}},
	}
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
			a.started = true
			return nil
		},
	}
	f := root.PersistentFlags()
	f.StringVar(&a.flags.dir, "dir", defaultDir, "data directory")
	f.StringVar(&a.flags.tenant, "tenant", "", "tenant whose data is meant (default \"default\")")
	f.Var(&a.flags.durability, "durability", "what an acknowledged write survives: full (power loss) or normal (the process)")
	f.Var(&a.flags.profile, "profile", "low_latency, balanced or compact")
	f.VarP(&a.flags.output, "output", "o", "table or json")
	root.AddCommand(a.demoCommand(), a.demoWorkerCommand(), a.sessionCommand(), a.blobCommand(),
		a.importCommand(), a.exportCommand(), a.versionCommand())
	return root
}

// applyEnvironment sets the global flags that the command line did not, from the
// environment. A configuration file will come after it, for what is still unset.
func (a *app) applyEnvironment(flags *pflag.FlagSet) error {
	for _, name := range []string{"dir", "tenant", "durability", "profile", "output"} {
		f := flags.Lookup(name)
		key := "LASHSTORE_" + strings.ToUpper(name)
		value, ok := a.lookupEnv(key)
		if f == nil || f.Changed || !ok || value == "" {
			continue
		}
		if err := f.Value.Set(value); err != nil {
			return fmt.Errorf("environment variable %s=%q %w", key, value, err)
		}
	}
	return nil
}

// choice is a flag with a fixed set of values.
type choice struct {
	value   string
	allowed []string
}

func (c *choice) String() string { return c.value }

// Type is what help shows as the flag's value.
func (c *choice) Type() string { return strings.Join(c.allowed, "|") }

// Set accepts one of the allowed values.
func (c *choice) Set(s string) error {
	if slices.Contains(c.allowed, s) {
		c.value = s
		return nil
	}
	return errors.New("must be " + strings.Join(c.allowed[:len(c.allowed)-1], ", ") + " or " + c.allowed[len(c.allowed)-1])
}

// isTerminal reports whether a stream of the process is a terminal.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
