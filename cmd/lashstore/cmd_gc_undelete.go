package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/lashstore/lashstore"
)

// undeleted is what "gc undelete" prints.
type undeleted struct {
	Tenant string `json:"tenant"`
	lashstore.UndeleteReport
}

func (a *app) gcUndeleteCommand() *cobra.Command {
	var opts lashstore.UndeleteOptions
	var keep time.Duration
	cmd := &cobra.Command{
		Use:   "undelete DIGEST… | --all",
		Short: "Keep content for a while that nothing refers to any more",
		Long: `Keep content for a while that nothing refers to any more and that is not deleted
yet, as an upload would: "blob get" reads it, and a session may commit it again.
With --all, everything is kept that is condemned. It is about one tenant: the one
that --tenant names, or "default".

If some of the content is gone, nothing is kept, and the exit code is 3. Whoever
needs time first, for all tenants, stops what runs "gc run" and "gc worker".`,
		Example: `  lashstore gc undelete --all --for 72h --tenant acme
  lashstore gc undelete blake3:ea8f163db38682925e4491c5e58d4bb3506ef8c14eb78a86e908c5624a67200f`,
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, arg := range args {
				digest, err := lashstore.ParseDigest(arg)
				if err != nil {
					return err
				}
				opts.Digests = append(opts.Digests, digest)
			}
			if opts.All == (len(args) > 0) {
				return usagef("give digests or --all, and not both")
			}
			if opts.For = keep; keep <= 0 {
				return lashstore.Invalid("for", keep, "must be longer than 0")
			}
			if err := opts.Validate(); err != nil {
				return err
			}
			return a.gcUndelete(cmd.Context(), opts)
		},
	}
	cmd.Flags().BoolVar(&opts.All, "all", false, "everything that is condemned")
	cmd.Flags().DurationVar(&keep, "for", lashstore.DefaultUploadTTL, "how long it is kept")
	return cmd
}

func (a *app) gcUndelete(ctx context.Context, opts lashstore.UndeleteOptions) error {
	tenant := a.tenant()
	if err := a.forTenant(tenant).requireTenant(); err != nil {
		return err
	}
	return a.withTier(ctx, false, func(t tier) error {
		return a.onTenant(ctx, t, tenant, false, func(store collectingStore) error {
			report, err := store.Undelete(ctx, opts)
			if err != nil {
				return err
			}
			return a.print(undeleted{Tenant: tenant, UndeleteReport: report}, func(w *tableWriter) {
				w.row("kept " + amount(report.Objects, report.StoredBytes) + " of tenant " + tenant + " until " + timestamp(report.ExpiresAt))
			})
		})
	})
}
