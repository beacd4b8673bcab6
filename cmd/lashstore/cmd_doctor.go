package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas/s3cas"
)

// Areas of checks.
const (
	areaDirectory = "directory"
	areaBucket    = "bucket"
	areaStore     = "store"
)

// doctorCheck is one thing that was looked at.
type doctorCheck struct {
	Area   string       `json:"area"`
	Name   string       `json:"name"`
	Status s3cas.Status `json:"status"`
	Detail string       `json:"detail"`
	Hint   string       `json:"hint,omitempty"` // what to do
}

// doctorDocument is what "doctor" prints.
type doctorDocument struct {
	Dir      string        `json:"dir"`
	Tenant   string        `json:"tenant"`
	Bucket   string        `json:"bucket,omitempty"`
	Checks   []doctorCheck `json:"checks"`
	Warnings int           `json:"warnings"`
	Failed   int           `json:"failed"`
}

// doctor is one examination.
type doctor struct {
	app     *app
	doc     doctorDocument
	found   bool // the data directory is there
	catalog bool // and a catalog of the tenant in it, which can be read
}

func (a *app) doctorCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Check the data directory and the bucket, and say how to mend what is wrong",
		Long: `Check the data directory, the bucket and the way through both, and say what is
wrong and how to mend it. Run it with the same --dir, --tenant and --bucket as the
commands that fail.

Probe files and objects are written and removed again. Folders that --bucket and
--cache-dir name are made; nothing else is changed. The exit code is 1 if a check
failed, and 0 if there are warnings only.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.doctor(cmd.Context()) },
	}
}

func (a *app) doctor(ctx context.Context) error {
	b, err := a.flags.parseBucket()
	if err != nil {
		return err
	}
	d := &doctor{app: a, doc: doctorDocument{Dir: a.flags.dir, Tenant: a.tenant(), Bucket: b.String(), Checks: []doctorCheck{}}}
	if abs, err := filepath.Abs(a.flags.dir); err == nil {
		d.doc.Dir = abs
	}
	d.checkDirectory()
	if err := d.checkTier(ctx, b); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err // what came after it says nothing
	}
	for _, c := range d.doc.Checks {
		switch c.Status {
		case s3cas.StatusWarning:
			d.doc.Warnings++
		case s3cas.StatusFailed:
			d.doc.Failed++
		default: // nothing to be done about
		}
	}
	if err := a.print(d.doc, d.show); err != nil || d.doc.Failed == 0 {
		return err
	}
	return fmt.Errorf("%w: %s of %d failed", errUnhealthy, plural(d.doc.Failed, "check"), len(d.doc.Checks))
}

// checkTier looks at what holds the large content, and at the store over both.
func (d *doctor) checkTier(ctx context.Context, b bucket) error {
	t, err := d.app.openTier(ctx, b, false)
	if errors.Is(err, lashstore.ErrInvalid) {
		return err // the command line, or the AWS configuration beside it, is wrong
	}
	if err != nil {
		d.add(areaBucket, "open", broken(err, hintOf(err)))
		return nil
	}
	if t.s3 != nil {
		for _, c := range t.s3.Diagnose(ctx) {
			d.doc.Checks = append(d.doc.Checks, doctorCheck{
				Area: areaBucket, Name: c.Name, Status: c.Status, Detail: c.Detail, Hint: c.Hint,
			})
		}
	}
	usable := !slices.ContainsFunc(d.doc.Checks, func(c doctorCheck) bool {
		return c.Area == areaBucket && c.Status == s3cas.StatusFailed
	})
	sound := d.checkStore(ctx, t)
	switch {
	case !usable:
		d.add(areaStore, "round_trip", skipped("needs the bucket"))
	case !sound:
		d.add(areaStore, "round_trip", skipped("needs the catalog"))
	case t.driver == nil && !d.catalog:
		// Nothing is to be made in a directory that may be somebody else's.
		d.add(areaStore, "round_trip", skipped("needs data: the first write makes the folder for content"))
	default:
		d.roundTrip(ctx, t)
	}
	return t.Close()
}

// add notes the result of a check.
func (d *doctor) add(area, name string, c doctorCheck) {
	c.Area, c.Name = area, name
	d.doc.Checks = append(d.doc.Checks, c)
}

func healthy(format string, args ...any) doctorCheck {
	return doctorCheck{Status: s3cas.StatusOK, Detail: fmt.Sprintf(format, args...)}
}

func skipped(why string) doctorCheck {
	return doctorCheck{Status: s3cas.StatusSkipped, Detail: why}
}

func doubtful(detail, hint string) doctorCheck {
	return doctorCheck{Status: s3cas.StatusWarning, Detail: detail, Hint: hint}
}

func broken(err error, hint string) doctorCheck {
	return doctorCheck{Status: s3cas.StatusFailed, Detail: err.Error(), Hint: hint}
}

// hintOf says what to do about an error that does not say it itself.
func hintOf(err error) string {
	switch {
	case errors.Is(err, lashstore.ErrDiskFull):
		return "free space, or choose another place"
	case errors.Is(err, lashstore.ErrReadOnly):
		return "give this user the right to write there, or choose another place"
	case errors.Is(err, lashstore.ErrSchemaVersion):
		return "use the version of this program that wrote it, or a newer one"
	case errors.Is(err, lashstore.ErrCorruptDatabase), errors.Is(err, lashstore.ErrCorruptRecord):
		return "keep a copy of the directory as it is, and restore it from a backup"
	default:
		return ""
	}
}

func (d *doctor) show(w *tableWriter) {
	w.row("directory", d.doc.Dir)
	w.row("tenant", d.doc.Tenant)
	if d.doc.Bucket != "" {
		w.row("bucket", d.doc.Bucket)
	}
	w.line("")
	w.row("STATUS", "AREA", "CHECK", "DETAIL")
	for _, c := range d.doc.Checks {
		w.row(c.Status, c.Area, c.Name, c.Detail)
		if c.Hint != "" {
			w.row("", "", "", "→ "+c.Hint)
		}
	}
	w.line("")
	switch {
	case d.doc.Failed > 0:
		w.row(plural(d.doc.Failed, "check") + " failed, " + plural(d.doc.Warnings, "warning"))
	case d.doc.Warnings > 0:
		w.row("it works, with " + plural(d.doc.Warnings, "warning"))
	default:
		w.row("all is well")
	}
}
