package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/lashstore/lashstore"
)

// defaultCollectWorkers is what the store takes by itself.
const defaultCollectWorkers = 4

// tenantCollected is one collection, as it is printed.
type tenantCollected struct {
	Tenant string                  `json:"tenant"`
	Report lashstore.CollectReport `json:"report"`
	Error  *failure                `json:"error,omitempty"` // of what is refused or failed
	// cause is the error behind a refusal, which its reason does not name.
	cause string
}

// collectDocument is what "gc run" prints.
type collectDocument struct {
	Collections []tenantCollected `json:"collections"`
}

// collectFlags are those of the commands that collect.
type collectFlags struct {
	workers int
	grace   time.Duration
}

func (c *collectFlags) register(f *pflag.FlagSet) {
	f.IntVar(&c.workers, "workers", defaultCollectWorkers,
		fmt.Sprintf("shards of a tenant that are worked on at a time, 1 to %d", lashstore.MaxCollectWorkers))
	f.DurationVar(&c.grace, "grace", lashstore.DefaultGrace, "how long content is kept that nothing refers to; 0 deletes at once")
}

// options checks the flags.
func (c *collectFlags) options() (lashstore.CollectOptions, error) {
	opts := lashstore.CollectOptions{Grace: &c.grace, Workers: c.workers}
	if c.workers < 1 {
		return opts, lashstore.Invalid("workers", c.workers, "is not within 1 to %d", lashstore.MaxCollectWorkers)
	}
	return opts, opts.Validate()
}

func (a *app) gcRunCommand() *cobra.Command {
	var flags collectFlags
	var dryRun, audit bool
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Collect once and report",
		Long: `Collect once, all tenants or the one that --tenant names, and report what was done.
A tenant that cannot be collected does not keep the others from it.

With --audit, every session is compared with the references that are known of it,
what is missing is restored, and the catalog is compared with what the bucket or
folder holds. It reads every session's database and lists the whole tier. With
--dry-run nothing is changed, and what would be done is reported.

Exit codes, beside those that all commands have:
  0  all that was due is deleted, or nothing was due
  6  a collection was refused: nothing of that tenant was deleted, on purpose
  7  a collection failed or left something undone: the next one goes on`,
		Example: `  lashstore gc run
  lashstore gc run --tenant acme --dry-run --audit
  lashstore gc run --audit --grace 72h -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			opts, err := flags.options()
			if err != nil {
				return err
			}
			opts.DryRun, opts.Audit = dryRun, audit
			return a.gcRun(cmd.Context(), opts)
		},
	}
	flags.register(cmd.Flags())
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "change nothing")
	cmd.Flags().BoolVar(&audit, "audit", false, "also compare sessions, catalog and stored objects")
	return cmd
}

func (a *app) gcRun(ctx context.Context, opts lashstore.CollectOptions) error {
	tenants, err := a.someTenants()
	if err != nil {
		return err
	}
	return a.withTier(ctx, opts.DryRun, func(t tier) error {
		doc := collectDocument{Collections: []tenantCollected{}}
		for _, tenant := range tenants {
			if ctx.Err() != nil {
				break
			}
			doc.Collections = append(doc.Collections, a.collectTenant(ctx, t, tenant, opts))
		}
		if err := a.print(doc, doc.show); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("collect: %w", err)
		}
		return doc.verdict()
	})
}

// collectTenant runs one collection.
func (a *app) collectTenant(ctx context.Context, t tier, tenant string, opts lashstore.CollectOptions) tenantCollected {
	c := tenantCollected{Tenant: tenant}
	err := a.onTenant(ctx, t, tenant, opts.DryRun, func(store collectingStore) (err error) {
		progress, done := a.collectProgress(tenant)
		defer done()
		opts.Progress = progress
		c.Report, err = store.Collect(ctx, opts)
		return err
	})
	return c.concluded(err, a.now())
}

// concluded notes how a collection ended, which may have been before it began.
func (c tenantCollected) concluded(err error, now time.Time) tenantCollected {
	if err == nil {
		return c
	}
	if c.Report.StartedAt.IsZero() {
		c.Report.StartedAt = now.UTC()
	}
	if c.Report.Outcome != lashstore.CollectRefused {
		c.Report.Outcome, c.Report.Reason = lashstore.CollectFailed, err.Error()
	}
	if refused, ok := errors.AsType[*lashstore.CollectionRefusedError](err); ok && refused.Err != nil {
		c.cause = refused.Err.Error()
	}
	f := newFailure(err)
	c.Error = &f
	return c
}

// verdict is the error of a run, for its exit code: what was wrong with which tenant
// is in the document.
func (d collectDocument) verdict() error {
	var refused, undone []string
	for _, c := range d.Collections {
		switch c.Report.Outcome {
		case lashstore.CollectRefused:
			refused = append(refused, c.Tenant)
		case lashstore.CollectFailed, lashstore.CollectIncomplete:
			undone = append(undone, c.Tenant)
		default: // all that was due is done
		}
	}
	switch {
	case len(refused) > 0 && len(undone) > 0:
		return fmt.Errorf("%w: %s; %w: %s", lashstore.ErrCollectionRefused, someOf(refused), errUncollected, someOf(undone))
	case len(refused) > 0:
		return fmt.Errorf("%w: %s", lashstore.ErrCollectionRefused, someOf(refused))
	case len(undone) > 0:
		return fmt.Errorf("%w: %s", errUncollected, someOf(undone))
	default:
		return nil
	}
}

// someOf names tenants, or sessions, that may be many.
func someOf[S ~string](names []S) string {
	const most = 10
	texts := make([]string, 0, most)
	for _, n := range names[:min(len(names), most)] {
		texts = append(texts, string(n))
	}
	if more := len(names) - most; more > 0 {
		return strings.Join(texts, ", ") + fmt.Sprintf(" and %s more", count(more))
	}
	return strings.Join(texts, ", ")
}

// collectProgress returns what shows how far a collection is, a bar for each phase,
// and what ends the show. If nobody watches, there is nothing to call.
func (a *app) collectProgress(tenant string) (report func(lashstore.CollectProgress), done func()) {
	if !a.showsProgress() {
		return nil, func() {}
	}
	show, done := a.phaseBars(tenant)
	return func(p lashstore.CollectProgress) { show(string(p.Phase), p.Done, p.Total) }, done
}

// errUncollected: a collection left something undone.
var errUncollected = errors.New("collection failed or incomplete")
