package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/lashstore/lashstore"
)

// shownFindings is how many findings, and how many errors, people are shown.
const shownFindings = 20

// show writes a block for each tenant.
func (d collectDocument) show(w *tableWriter) {
	for i, c := range d.Collections {
		if i > 0 {
			w.line("")
		}
		c.show(w)
	}
}

func (c tenantCollected) show(w *tableWriter) {
	r := c.Report
	w.row("tenant", c.Tenant)
	outcome := outcomeText(r.Outcome)
	if r.DryRun {
		outcome += " (dry run: nothing was changed)"
	}
	w.row("outcome", outcome)
	if r.Reason != "" {
		w.row("reason", r.Reason)
	}
	if c.cause != "" {
		w.row("cause", c.cause)
	}
	if c.Error != nil && c.Error.Hint != "" {
		w.row("", "→ "+c.Error.Hint)
	}
	if released := releasedText(r); len(released) > 0 {
		w.row("released", strings.Join(released, ", "))
	}
	if r.Condemned > 0 {
		w.row("condemned", amount(r.Condemned, r.CondemnedBytes)+", until the grace period of "+span(r.Grace)+" is over")
	}
	if r.Doomed > 0 {
		w.row("doomed", amount(r.Doomed, r.DoomedBytes))
	}
	if r.Deleted > 0 {
		w.row("deleted", amount(r.Deleted, r.DeletedBytes))
	}
	if r.Pending > 0 {
		w.row("pending", plural(int(r.Pending), "object"), "still to be deleted")
	}
	showAudit(w, r)
	for _, e := range r.Errors[:min(len(r.Errors), shownFindings)] {
		w.row("error", e)
	}
	if more := len(r.Errors) - shownFindings; more > 0 {
		w.row("error", fmt.Sprintf("and %s more: see -o json", count(more)))
	}
	w.row("took", span(r.Duration))
}

// showAudit writes what an audit found.
func showAudit(w *tableWriter, r lashstore.CollectReport) {
	if r.Mark == nil || r.Sweep == nil {
		return
	}
	w.row("marked", plural(int(r.Mark.Sessions), "session")+", "+plural(int(r.Mark.Objects), "reference")+" held")
	if r.Sweep.Rows > 0 || r.ListRequests > 0 {
		w.row("swept", amount(r.Sweep.Objects, r.Sweep.ObjectBytes)+" in the tier, "+plural(int(r.Sweep.Rows), "row")+" in the catalog")
		w.row("retained", plural(int(r.Retained), "object")+" for "+plural(int(r.Roots), "holder"))
	}
	notes := auditNotes(r)
	if len(notes) > 0 {
		w.row("normal", strings.Join(notes, ", "))
	}
	if faults := auditFaults(r); len(faults) > 0 {
		w.row("faults", strings.Join(faults, ", "))
	}
	findings := append(append([]lashstore.Finding{}, r.Mark.Faults...), r.Sweep.Damage...)
	for _, f := range findings[:min(len(findings), shownFindings)] {
		w.row("finding", findingText(f))
	}
	if more := len(findings) - shownFindings; more > 0 {
		w.row("finding", fmt.Sprintf("and %s more: see -o json", count(more)))
	}
}

func outcomeText(o lashstore.CollectOutcome) string {
	return strings.ReplaceAll(string(o), "_", " ")
}

// quantity is a number of things of a kind.
type quantity struct {
	n    int64
	noun string // its plural has an s at the end
	rest string // what comes after the noun
}

// texts are the quantities that are not zero.
func texts(all ...quantity) (out []string) {
	for _, q := range all {
		if q.n > 0 {
			out = append(out, strings.TrimSpace(plural(int(q.n), q.noun)+" "+q.rest))
		}
	}
	return out
}

func releasedText(r lashstore.CollectReport) []string {
	return texts(quantity{r.SessionsExpired, "session", "expired"}, quantity{r.SessionsRemoved, "interrupted deletion", "completed"},
		quantity{r.UploadsExpired, "upload", "expired"})
}

// auditNotes is what an audit finds in a store that is well.
func auditNotes(r lashstore.CollectReport) []string {
	return texts(quantity{r.Mark.AttachmentsExpired, "uncommitted attachment", "expired"}, quantity{r.Mark.SurplusEdges, "reference", "too many"}, quantity{r.Sweep.Unreferenced, "object", "newly condemned"},
		quantity{r.Sweep.Unknown, "unknown object", ""}, quantity{r.Sweep.UnknownYoung, "unknown object", "within the grace period"},
		quantity{r.Sweep.Foreign, "foreign key", "left alone"})
}

// auditFaults is what an audit finds in a store that is not, or that was restored.
func auditFaults(r lashstore.CollectReport) []string {
	return texts(quantity{r.Mark.MissingEdges, "missing reference", ""}, quantity{r.Mark.MissingRows, "missing row", ""},
		quantity{r.Mark.OtherObjects, "other object", "in session than in catalog"}, quantity{r.Mark.LostSessions, "lost session", ""},
		quantity{r.Mark.FoundSessions, "found session", ""}, quantity{r.Sweep.Missing, "missing object", ""},
		quantity{r.Sweep.WrongSize, "object", "of the wrong size"})
}

// findingText is a finding in a line.
func findingText(f lashstore.Finding) string {
	parts := []string{strings.ReplaceAll(string(f.Kind), "_", " ")}
	switch {
	case f.Key != "":
		parts = append(parts, f.Key)
	case !f.Digest.IsZero():
		parts = append(parts, f.Digest.String())
	}
	if len(f.Sessions) > 0 {
		text := "needed by " + someOf(f.Sessions)
		if f.Key == "" && f.Digest.IsZero() {
			text = "session " + someOf(f.Sessions)
		}
		if f.More > 0 {
			text += " and " + count(f.More) + " more"
		}
		parts = append(parts, text)
	}
	if f.Detail != "" {
		parts = append(parts, f.Detail)
	}
	if f.Repaired {
		parts = append(parts, "repaired")
	}
	return strings.Join(parts, "; ")
}

// summary is a collection in a line.
func (c tenantCollected) summary() string {
	r := c.Report
	head := []string{c.Tenant, outcomeText(r.Outcome)}
	for _, why := range []string{r.Reason, c.cause} {
		if why != "" {
			head = append(head, why)
		}
	}
	parts := append([]string{strings.Join(head, ": ")}, releasedText(r)...)
	if r.Deleted > 0 {
		parts = append(parts, "deleted "+amount(r.Deleted, r.DeletedBytes))
	}
	if r.Condemned > 0 {
		parts = append(parts, "condemned "+amount(r.Condemned, r.CondemnedBytes))
	}
	if r.Mark != nil && r.Sweep != nil {
		audit := "audit of " + plural(int(r.Mark.Sessions), "session") + " and " + amount(r.Sweep.Objects, r.Sweep.ObjectBytes)
		switch faults := auditFaults(r); {
		case len(faults) > 0:
			audit += " found " + strings.Join(faults, ", ")
		case c.Error == nil && r.Outcome != lashstore.CollectIncomplete:
			audit += " found no fault"
		}
		parts = append(parts, audit)
	}
	return strings.Join(parts, "; ")
}

// amount is a number of objects and what they take.
func amount(objects, bytes int64) string {
	return plural(int(objects), "object") + " (" + size(bytes) + ")"
}

// span is a duration as precise as people want it.
func span(d time.Duration) string {
	if d >= time.Second {
		return d.Round(time.Second / 10).String()
	}
	return d.Round(time.Millisecond).String()
}
