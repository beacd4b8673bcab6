package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/lashstore/lashstore"
)

var (
	// errDamaged: a verification found damage that is left.
	errDamaged = errors.New("damage was found")
	// errRepaired: a verification found damage and repaired all of it.
	errRepaired = errors.New("damage was found, and all of it repaired")
	// errUnverified: a verification could not look at everything.
	errUnverified = errors.New("not everything could be verified")
)

// tenantVerified is one verification, as it is printed.
type tenantVerified struct {
	Tenant string                 `json:"tenant"`
	Report lashstore.VerifyReport `json:"report"`
	Error  *failure               `json:"error,omitempty"` // of one that could not go on
	err    error
}

// verifyDocument is what "fsck" prints.
type verifyDocument struct {
	Verifications []tenantVerified `json:"verifications"`
}

func (a *app) fsckCommand() *cobra.Command {
	opts := lashstore.VerifyOptions{Workers: defaultCollectWorkers}
	cmd := &cobra.Command{
		Use:   "fsck",
		Short: "Verify that all data is there and is what was stored",
		Long: `Verify tenants end to end, all of them or the one that --tenant names: that their
databases are sound, that references and sessions agree, and that every object that
something needs is there and is what was stored. What is lost is named with the
sessions, revisions and names that it belongs to.

It runs beside writers. Nothing is changed without --repair, which restores
references and rows of the catalog from what the sessions know, and marks lost
objects: the next commit or upload of equal content stores them again. It deletes
nothing.

Reading everything takes as long as reading takes. --sample 0.01 reads one object in
a hundred, and still looks whether all of them are there. --content puts every
content together too.

Exit codes, beside those that all commands have:
  0  all that was looked at is sound
  1  nothing was found damaged, but not everything could be looked at
  5  something is damaged, and is not repaired
  8  damage was found, and all of it repaired`,
		Example: `  lashstore fsck
  lashstore fsck --tenant acme --sample 0.01 -o json
  lashstore fsck --repair`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if opts.Workers < 1 {
				return lashstore.Invalid("workers", opts.Workers, "is not within 1 to %d", lashstore.MaxVerifyWorkers)
			}
			if cmd.Flags().Changed("sample") && opts.Sample == 0 {
				return lashstore.Invalid("sample", opts.Sample, "is not greater than 0 and at most 1")
			}
			if err := opts.Validate(); err != nil {
				return err
			}
			return a.fsck(cmd.Context(), opts)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&opts.Repair, "repair", false, "repair what can be repaired")
	f.BoolVar(&opts.Content, "content", false, "also put every content together and check the digest of the whole")
	f.Float64Var(&opts.Sample, "sample", 0, "share of objects and contents to read, such as 0.01 (default all)")
	f.Uint64Var(&opts.Seed, "seed", 0, "`NUMBER` that chooses the sample (default a random one, which is reported)")
	f.IntVar(&opts.Workers, "workers", opts.Workers, fmt.Sprintf("objects or sessions read at a time, 1 to %d", lashstore.MaxVerifyWorkers))
	return cmd
}

func (a *app) fsck(ctx context.Context, opts lashstore.VerifyOptions) error {
	tenants, err := a.someTenants()
	if err != nil {
		return err
	}
	return a.withTier(ctx, !opts.Repair, func(t tier) error {
		doc := verifyDocument{Verifications: []tenantVerified{}}
		for _, tenant := range tenants {
			if ctx.Err() != nil {
				break
			}
			doc.Verifications = append(doc.Verifications, a.fsckTenant(ctx, t, tenant, opts))
		}
		if err := a.print(doc, doc.show); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("verify: %w", err)
		}
		return doc.verdict()
	})
}

// fsckTenant runs one verification. A tenant whose catalog cannot be opened does not
// keep the others from being verified.
func (a *app) fsckTenant(ctx context.Context, t tier, tenant string, opts lashstore.VerifyOptions) tenantVerified {
	v := tenantVerified{Tenant: tenant}
	v.err = a.onTenant(ctx, t, tenant, !opts.Repair, func(store collectingStore) (err error) {
		progress, done := a.verifyProgress(tenant)
		defer done()
		opts.Progress = progress
		v.Report, err = store.Verify(ctx, opts)
		return err
	})
	if v.err == nil {
		return v
	}
	f := newFailure(v.err)
	v.Error = &f
	if v.Report.StartedAt.IsZero() {
		v.Report.StartedAt = a.now().UTC()
	}
	if _, exit := classify(v.err); exit == exitCorrupt || v.Report.Damaged > 0 {
		v.Report.Outcome = lashstore.VerifyDamaged
	} else {
		v.Report.Outcome = lashstore.VerifyIncomplete
	}
	return v
}

// verdict is the error of a run, for its exit code: the worst of all tenants.
func (d verifyDocument) verdict() error {
	of := make(map[lashstore.VerifyOutcome][]string)
	for _, v := range d.Verifications {
		of[v.Report.Outcome] = append(of[v.Report.Outcome], v.Tenant)
	}
	for _, kind := range []struct {
		outcome lashstore.VerifyOutcome
		err     error
	}{
		{lashstore.VerifyDamaged, errDamaged}, {lashstore.VerifyIncomplete, errUnverified}, {lashstore.VerifyRepaired, errRepaired},
	} {
		if tenants := of[kind.outcome]; len(tenants) > 0 {
			return fmt.Errorf("%w: tenant %s", kind.err, someOf(tenants))
		}
	}
	return nil
}

// verifyProgress returns what shows how far a verification is, a bar for each phase,
// and what ends the show.
func (a *app) verifyProgress(tenant string) (report func(lashstore.VerifyProgress), done func()) {
	if !a.showsProgress() {
		return nil, func() {}
	}
	show, done := a.phaseBars(tenant)
	return func(p lashstore.VerifyProgress) { show(string(p.Phase), p.Done, p.Total) }, done
}
