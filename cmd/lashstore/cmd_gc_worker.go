package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/lashstore/lashstore"
)

const (
	defaultGCInterval    = 5 * time.Minute
	defaultAuditInterval = 24 * time.Hour
	// minGCInterval keeps a worker from doing nothing but looking for work.
	minGCInterval = 10 * time.Millisecond
)

// workerFlags are those of "gc worker".
type workerFlags struct {
	collectFlags
	interval, auditInterval time.Duration
	metricsAddr             string
}

// gcLine is what "gc worker" writes for a collection with -o json, in one line.
type gcLine struct {
	Time time.Time `json:"time"`
	tenantCollected
}

func (a *app) gcWorkerCommand() *cobra.Command {
	var flags workerFlags
	cmd := &cobra.Command{
		Use:   "worker",
		Short: "Collect again and again until told to stop",
		Long: `Collect all tenants, or the one that --tenant names, at once and then every
--interval, give or take a tenth. New tenants are found as they appear. A tenant is
audited when its last audit that passed began longer ago than --audit-interval, when
an audit was interrupted, and when nothing may be deleted before an audit has passed,
as after its catalog was put back from a backup. An audit that does not pass is tried
again after the interval, then more and more rarely, down to once an hour.

Each collection that did something is a line on standard output, a JSON document
with -o json. What goes wrong with a tenant is in its line, and the worker goes on.
SIGTERM and SIGINT end it with exit code 0 within seconds; it may be killed as well.
Any number of workers may run at once: they share the work.

--metrics-addr serves Prometheus metrics under /metrics. They name no tenant, but
anyone who can reach the address can read them.`,
		Example: `  lashstore gc worker
  lashstore gc worker --interval 1m --audit-interval 12h --metrics-addr 127.0.0.1:9109 -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.gcWorker(cmd.Context(), flags) },
	}
	f := cmd.Flags()
	flags.register(f)
	f.DurationVar(&flags.interval, "interval", defaultGCInterval, "time between collections")
	f.DurationVar(&flags.auditInterval, "audit-interval", defaultAuditInterval, "time between audits of a tenant; 0: only where one is needed")
	f.StringVar(&flags.metricsAddr, "metrics-addr", "", "`HOST:PORT` where metrics are served (default none)")
	return cmd
}

// options checks the flags.
func (w *workerFlags) options() (lashstore.CollectOptions, error) {
	opts, err := w.collectFlags.options()
	if err == nil && w.interval < minGCInterval {
		err = lashstore.Invalid("interval", w.interval, "is shorter than %s", minGCInterval)
	}
	if err == nil && w.auditInterval < 0 {
		err = lashstore.Invalid("audit-interval", w.auditInterval, "must not be negative")
	}
	return opts, err
}

func (a *app) gcWorker(ctx context.Context, flags workerFlags) (err error) {
	opts, err := flags.options()
	if err == nil && a.flags.tenant != "" {
		err = a.forTenant(a.flags.tenant).validTenant() // it may be made later
	}
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	if flags.metricsAddr != "" {
		listener, err := listenForMetrics(ctx, flags.metricsAddr)
		if err != nil {
			return err
		}
		registry, err := newRegistry()
		if err != nil {
			return errors.Join(err, listener.Close())
		}
		a.metrics = registry
		if err := a.tell("metrics at http://%s%s", listener.Addr(), metricsPath); err != nil {
			return errors.Join(err, listener.Close())
		}
		group.Go(func() error { return serveMetrics(ctx, listener, registry) })
	}
	group.Go(func() error {
		return a.withTier(ctx, false, func(t tier) error { return a.collectLoop(t, flags, opts).run(ctx) })
	})
	return group.Wait()
}

// newRegistry counts what the process takes beside what it does.
func newRegistry() (*prometheus.Registry, error) {
	registry := prometheus.NewRegistry()
	err := errors.Join(registry.Register(collectors.NewGoCollector()),
		registry.Register(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})))
	if err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	return registry, nil
}

// tell writes a line for people, not a result.
func (a *app) tell(format string, args ...any) error {
	_, err := fmt.Fprintf(a.stderr, "lashstore: "+format+"\n", args...)
	return err
}

// collectLoop wires the loop.
func (a *app) collectLoop(t tier, flags workerFlags, opts lashstore.CollectOptions) *collectLoop {
	return &collectLoop{
		interval: flags.interval, auditInterval: flags.auditInterval, opts: opts,
		tenants: a.someTenants,
		open: func(ctx context.Context, tenant string, use func(lashstore.Collector) error) error {
			// Opened anew for each round, it is the catalog that lies there now.
			return a.onTenant(ctx, t, tenant, false, func(store collectingStore) error { return use(store) })
		},
		show: a.showCollected,
		warn: func(err error) { _ = a.report(err) }, // its exit code is for commands that end
		now:  a.now, jitter: randomUpTo, wait: waitFor,
	}
}

// showCollected writes a collection in a line.
func (a *app) showCollected(c tenantCollected) error {
	now := a.now().UTC()
	if a.flags.output.value == outputJSON {
		enc := json.NewEncoder(a.stdout)
		enc.SetEscapeHTML(false)
		return enc.Encode(gcLine{Time: now, tenantCollected: c})
	}
	_, err := fmt.Fprintln(a.stdout, timestamp(now), printable(c.summary()))
	return err
}

// randomUpTo is a random duration from 0 up to a limit.
func randomUpTo(limit time.Duration) time.Duration {
	if limit <= 0 {
		return 0
	}
	n, err := rand.Int(rand.Reader, big.NewInt(int64(limit)))
	if err != nil {
		return 0 // the system's generator never fails; the loop would go on without
	}
	return time.Duration(n.Int64())
}

// listenForMetrics opens the address, so that a wrong one is known at once.
func listenForMetrics(ctx context.Context, addr string) (net.Listener, error) {
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return nil, lashstore.Invalid("metrics-addr", addr, "is not HOST:PORT")
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errMetricsAddress, err)
	}
	return listener, nil
}
