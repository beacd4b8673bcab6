// Command lashstore works on a lashstore data directory: sessions, blobs,
// transcripts, and a guided tour. Run it with --help; "lashstore demo" needs
// nothing set up.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// The first signal asks for an orderly end; a second one is not held back.
	context.AfterFunc(ctx, stop)
	return execute(ctx, environment{
		stdin:      os.Stdin,
		stdout:     os.Stdout,
		stderr:     os.Stderr,
		lookupEnv:  os.LookupEnv,
		now:        time.Now,
		executable: os.Executable,
		workDir:    os.Getwd,
		terminal:   isTerminal,
		volume:     volumeOf,
		openFiles:  openFileLimit,
	}, os.Args[1:])
}
