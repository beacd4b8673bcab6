package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/transcript"
)

// imported is one entry of what "import" prints.
type imported struct {
	File string `json:"file"`
	transcript.ImportResult
}

// importDocument is what "import" prints.
type importDocument struct {
	Imports []imported `json:"imports"`
}

func (a *app) importCommand() *cobra.Command {
	var session string
	cmd := &cobra.Command{
		Use:   "import [--session ID] FILE…",
		Short: "Import chat transcripts and agent trajectories",
		Long: `Import chat transcripts (JSON Lines of messages) and agent trajectories (one JSON
object with "history" and "trajectory"); which of them a file is, is seen from
its content. "-" is standard input.

Each file becomes a session, named like the file without its extension. All
files are checked before the first is imported, and an import that fails leaves
nothing behind. Importing the same file again changes nothing.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if session != "" && len(args) > 1 {
				return usagef("--session goes with one file, not %d", len(args))
			}
			return a.importFiles(cmd.Context(), args, session)
		},
	}
	cmd.Flags().StringVar(&session, "session", "", "session to import into (default the file's name without extension)")
	return cmd
}

// job is one file to import.
type job struct {
	id   lashstore.SessionID
	plan *transcript.Plan
}

func (a *app) importFiles(ctx context.Context, names []string, session string) (err error) {
	jobs := make([]job, 0, len(names))
	taken := make(map[lashstore.SessionID]string, len(names))
	for _, name := range names {
		id, err := importID(name, session)
		if err != nil {
			return err
		}
		if other, dup := taken[id]; dup {
			return usagef("%s and %s would both become session %q", other, name, id)
		}
		taken[id] = name
		src, err := a.openSource(ctx, name)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, src.Close()) }()
		plan, err := transcript.Scan(ctx, src.Source)
		if err != nil {
			return err
		}
		jobs = append(jobs, job{id: id, plan: plan})
	}
	return a.withStore(ctx, false, func(store lashstore.Store) error { return a.importJobs(ctx, store, jobs) })
}

// importID is the session that a file becomes.
func importID(name, session string) (lashstore.SessionID, error) {
	id := lashstore.SessionID(session)
	if session == "" {
		if name == stdio {
			return "", usagef("standard input has no name; give the session one with --session")
		}
		base := filepath.Base(name)
		id = lashstore.SessionID(strings.TrimSuffix(base, filepath.Ext(base)))
	}
	if err := id.Validate(); err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	return id, nil
}

// importJobs imports one file after the other and prints what was done, also if
// it stops in the middle.
func (a *app) importJobs(ctx context.Context, store lashstore.Store, jobs []job) error {
	holder, err := owner("lashstore-import")
	if err != nil {
		return err
	}
	cwd, _ := a.workDir() // for display only
	doc := importDocument{Imports: []imported{}}
	var failed error
	for i, j := range jobs {
		bar := a.bar(int64(j.plan.Steps), string(j.id), progressbar.OptionShowCount(),
			progressbar.OptionSetItsString("steps"), progressbar.OptionShowIts())
		res, err := transcript.Import(ctx, store, j.plan, j.id, transcript.ImportOptions{
			Owner: holder, Now: a.now, Cwd: cwd,
			Progress: func(p transcript.Progress) { _ = bar.Set(p.Steps) }, // a bar that fails is no reason to stop
		})
		_ = bar.Finish() // likewise
		if err != nil {
			failed = err
			if len(jobs) > 1 {
				failed = fmt.Errorf("%w (%d of %d files imported)", err, i, len(jobs))
			}
			break
		}
		doc.Imports = append(doc.Imports, imported{File: j.plan.Source.Name, ImportResult: res})
	}
	if failed != nil && len(doc.Imports) == 0 {
		return failed
	}
	return errors.Join(failed, a.print(doc, func(w *tableWriter) { showImports(w, doc) }))
}

func showImports(w *tableWriter, doc importDocument) {
	w.row("SESSION", "FORMAT", "MESSAGES", "STEPS", "REVISION", "RESULT")
	for _, r := range doc.Imports {
		result := "imported"
		switch {
		case r.SkippedSteps == r.Steps:
			result = "was imported before"
		case r.SkippedSteps > 0:
			result = fmt.Sprintf("completed from step %d", r.SkippedSteps+1)
		}
		w.row(r.SessionID, r.Format, count(r.Messages), count(r.Steps), r.Revision, result)
	}
}

// input is a source with what must be closed.
type input struct {
	transcript.Source
	close func() error
}

func (i input) Close() error { return i.close() }

// openSource opens a file. A transcript is read more than once, so what cannot be
// (standard input, a pipe) is copied to a temporary file first.
func (a *app) openSource(ctx context.Context, name string) (input, error) {
	if name == stdio {
		return spool(ctx, "standard input", a.interruptible(ctx))
	}
	f, err := openRegular(name)
	if err != nil {
		return input{}, err
	}
	total, err := contentBytes(f)
	if err != nil {
		return input{}, errors.Join(err, f.Close())
	}
	if total == unknownBytes {
		in, err := spool(ctx, name, f)
		return in, errors.Join(err, f.Close())
	}
	return input{Source: transcript.Source{Name: name, Reader: f, Size: total}, close: f.Close}, nil
}

func spool(ctx context.Context, name string, r io.Reader) (input, error) {
	f, err := os.CreateTemp("", "lashstore-import-*")
	if err != nil {
		return input{}, err
	}
	remove := func() error { return errors.Join(f.Close(), os.Remove(f.Name())) }
	n, err := io.Copy(f, r)
	if err = errors.Join(err, ctx.Err()); err != nil {
		return input{}, errors.Join(fmt.Errorf("read %s: %w", name, err), remove())
	}
	return input{Source: transcript.Source{Name: name, Reader: f, Size: n}, close: remove}, nil
}
