package main

import (
	"fmt"
	"strings"

	"github.com/lashstore/lashstore"
)

// show writes a block for each tenant.
func (d verifyDocument) show(w *tableWriter) {
	for i, v := range d.Verifications {
		if i > 0 {
			w.line("")
		}
		v.show(w)
	}
}

func (v tenantVerified) show(w *tableWriter) {
	r := v.Report
	w.row("tenant", v.Tenant)
	w.row("sessions", count(r.Sessions), plural(int(r.Records), "record")+" checked, "+size(r.InlineBytes)+" of content among them")
	read := "all read"
	switch {
	case r.Sample > 0 && r.Sample < 1:
		read = fmt.Sprintf("%s read: a sample of %g with --seed %d", count(r.ObjectsRead), r.Sample, r.Seed)
	case r.ObjectsRead < r.Objects:
		read = count(r.ObjectsRead) + " read"
	}
	w.row("objects", count(r.Objects), size(r.ObjectBytes)+", "+read)
	whole := ""
	if r.Content {
		whole = fmt.Sprintf(", %s put together", count(r.ContentsRead))
	}
	w.row("contents", count(r.Contents), "manifests checked"+whole)
	w.row("read", size(r.BytesRead)+" in "+span(r.Duration))
	if notes := verifyNotes(r); len(notes) > 0 {
		w.row("normal", strings.Join(notes, ", "))
	}
	v.showFindings(w)
	v.showLost(w)
	for _, e := range r.Errors[:min(len(r.Errors), shownFindings)] {
		w.row("error", e)
	}
	if more := r.ErrorCount - int64(min(len(r.Errors), shownFindings)); more > 0 {
		w.row("error", "and "+count(more)+" more")
	}
	if v.err != nil {
		w.row("error", v.err)
	}
	if v.Error != nil && v.Error.Hint != "" {
		w.row("", "→ "+v.Error.Hint)
	}
	w.row("outcome", string(r.Outcome)+verifyAdvice(r))
}

// verifyNotes are what is no damage and worth knowing.
func verifyNotes(r lashstore.VerifyReport) (notes []string) {
	if r.SurplusReferences > 0 {
		notes = append(notes, plural(int(r.SurplusReferences), "reference")+" too many")
	}
	if r.Unknown > 0 {
		notes = append(notes, plural(int(r.Unknown), "object")+" that nothing knows")
	}
	if r.Foreign > 0 {
		notes = append(notes, plural(int(r.Foreign), "key")+" that are no objects")
	}
	return notes
}

func (v tenantVerified) showFindings(w *tableWriter) {
	all := v.Report.Damaged + v.Report.Repaired
	if all == 0 {
		return
	}
	w.line("")
	w.row("STATE", "FINDING", "SESSIONS", "WHAT")
	shown := v.Report.Findings[:min(len(v.Report.Findings), shownFindings)]
	for _, f := range shown {
		state := "damaged"
		if f.Repaired {
			state = "repaired"
		}
		what := f.Key
		if what == "" && !f.Digest.IsZero() {
			what = f.Digest.String()
		}
		if f.Detail != "" {
			what = strings.TrimPrefix(what+": "+f.Detail, ": ")
		}
		sessions := someOf(f.Sessions)
		if f.More > 0 {
			sessions = strings.TrimPrefix(sessions+" and "+plural(int(f.More), "other holder"), " and ")
		}
		w.row(state, strings.ReplaceAll(string(f.Kind), "_", " "), dash(sessions), what)
	}
	if more := all - int64(len(shown)); more > 0 {
		w.row("", fmt.Sprintf("and %s more: see -o json", count(more)))
	}
}

// showLost says in words what cannot be read any more, and to whom it belongs.
func (v tenantVerified) showLost(w *tableWriter) {
	r := v.Report
	if len(r.Lost) == 0 {
		return
	}
	w.line("")
	w.row("SESSION", "LOST", "NAME", "REVISIONS", "SIZE")
	for _, l := range r.Lost[:min(len(r.Lost), shownFindings)] {
		revisions := "-"
		switch {
		case l.LastRevision == 0:
		case l.FirstRevision == l.LastRevision:
			revisions = count(l.LastRevision)
		default:
			revisions = count(l.FirstRevision) + " to " + count(l.LastRevision)
		}
		w.row(l.SessionID, l.Use, dash(l.Name), revisions, size(l.SizeBytes))
	}
	if more := int64(len(r.Lost)-shownFindings) + r.LostMore; more > 0 {
		w.row("", fmt.Sprintf("and %s more: see -o json", count(more)))
	}
	w.line("")
}

// verifyAdvice says what to do now.
func verifyAdvice(r lashstore.VerifyReport) string {
	switch {
	case r.Outcome == lashstore.VerifyDamaged && !r.Repair:
		return ": --repair restores what can be, see docs/operations/fsck.md"
	case r.Outcome == lashstore.VerifyDamaged && r.Repair:
		return ": restore what is lost from a backup, or commit it again, see docs/operations/fsck.md"
	default:
		return ""
	}
}
