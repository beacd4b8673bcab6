package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/lashstore/lashstore"
)

// tenantStatus is what is known of a tenant's collections.
type tenantStatus struct {
	Tenant string                      `json:"tenant"`
	Status *lashstore.CollectionStatus `json:"status,omitempty"`
	Error  *failure                    `json:"error,omitempty"` // instead of a status
}

// statusDocument is what "gc status" prints.
type statusDocument struct {
	Tenants []tenantStatus `json:"tenants"`
}

func (a *app) gcStatusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show what waits for collection and when it last ran",
		Long: `Show, of all tenants or the one that --tenant names, what is stored, what waits for
the end of its grace period (condemned), whose deletion is decided (doomed), when the
last collection ended and when the last audit that passed began.

STATE is "ok", "auditing" where an audit has begun that has not ended, or "stopped"
where nothing is deleted until an audit has passed; the reason is given below.
Nothing is written.`,
		Example: `  lashstore gc status
  lashstore gc status --tenant acme -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.gcStatus(cmd.Context()) },
	}
}

func (a *app) gcStatus(ctx context.Context) error {
	tenants, err := a.someTenants()
	if err != nil {
		return err
	}
	return a.withTier(ctx, true, func(t tier) error {
		doc := statusDocument{Tenants: []tenantStatus{}}
		var failed error
		for _, tenant := range tenants {
			var st lashstore.CollectionStatus
			err := a.onTenant(ctx, t, tenant, true, func(store collectingStore) (err error) {
				st, err = store.CollectionStatus(ctx)
				return err
			})
			if ctx.Err() != nil {
				return fmt.Errorf("collection status: %w", ctx.Err())
			}
			if err != nil {
				f := newFailure(err)
				doc.Tenants = append(doc.Tenants, tenantStatus{Tenant: tenant, Error: &f})
				failed = errors.Join(failed, fmt.Errorf("tenant %s: %w", tenant, err))
				continue
			}
			doc.Tenants = append(doc.Tenants, tenantStatus{Tenant: tenant, Status: &st})
		}
		return errors.Join(a.print(doc, doc.show), failed)
	})
}

func (d statusDocument) show(w *tableWriter) {
	w.row("TENANT", "STATE", "OBJECTS", "STORED", "CONDEMNED", "SIZE", "SINCE", "DOOMED", "UPLOADS", "LAST RUN", "LAST AUDIT")
	for _, t := range d.Tenants {
		if t.Status == nil {
			w.row(t.Tenant, "unreadable")
			continue
		}
		s := t.Status
		w.row(t.Tenant, stateOf(*s), count(s.Objects), size(s.ObjectBytes), count(s.Condemned), size(s.CondemnedBytes),
			timestamp(s.CondemnedSince), count(s.Doomed), count(s.Uploads), timestamp(s.RanAt), timestamp(s.AuditedAt))
	}
	for _, t := range d.Tenants {
		switch {
		case t.Error != nil:
			w.line("")
			w.line(t.Tenant + ": " + printable(t.Error.Message))
		case t.Status.Stopped != "":
			w.line("")
			w.line(t.Tenant + ": stopped: " + printable(t.Status.Stopped))
			w.line("→ see what \"lashstore gc run --audit --tenant " + t.Tenant + "\" says")
		}
		if t.Status == nil {
			continue
		}
		for i, l := range t.Status.Leases {
			if i == 0 {
				w.line("")
			}
			what := fmt.Sprintf("shard %d", l.Shard)
			if l.Shard < 0 {
				what = "the mark phase"
			}
			w.line(t.Tenant + ": " + what + " is held by " + printable(l.Worker) + " until " + timestamp(l.ExpiresAt))
		}
	}
}

// stateOf says in a word whether collections run.
func stateOf(s lashstore.CollectionStatus) string {
	switch {
	case s.Stopped != "":
		return "stopped"
	case s.AuditRunning:
		return "auditing"
	default:
		return "ok"
	}
}
