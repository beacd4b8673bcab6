package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/lashstore/lashstore"
)

const (
	// jitterShare is the part of the interval by which it varies, so that workers that
	// were started together do not stay together.
	jitterShare = 10
	// maxAuditRetry bounds how long an audit waits that did not pass. What keeps it from
	// passing is mostly for people to mend, and it reads every session.
	maxAuditRetry = time.Hour
)

// collectLoop collects tenants round after round. All that touches the world is a
// field.
type collectLoop struct {
	interval      time.Duration            // between rounds
	auditInterval time.Duration            // between audits of a tenant; 0: only where they must be
	opts          lashstore.CollectOptions // of each collection
	// tenants lists them anew for each round.
	tenants func() ([]string, error)
	// open opens a tenant for the time of a call.
	open func(ctx context.Context, tenant string, use func(lashstore.Collector) error) error
	// show writes down a collection that did something. Its error ends the loop.
	show func(tenantCollected) error
	// warn writes down what concerns no tenant.
	warn   func(error)
	now    func() time.Time
	jitter func(limit time.Duration) time.Duration // from 0 up to the limit
	wait   func(ctx context.Context, d time.Duration) error

	retries map[string]auditRetry // of tenants whose last audit did not pass
	warned  string                // what was last said, if it still holds
}

// auditRetry is when an audit that did not pass may be tried again.
type auditRetry struct {
	pause time.Duration
	after time.Time
}

// run collects until the context is over, which is no error.
func (l *collectLoop) run(ctx context.Context) error {
	l.retries = make(map[string]auditRetry)
	for {
		if err := l.round(ctx); err != nil {
			return err
		}
		width := l.interval / jitterShare
		if err := l.wait(ctx, l.interval-width+l.jitter(2*width)); err != nil {
			if over(ctx) {
				return nil
			}
			return err
		}
	}
}

// round collects each tenant once. What is wrong with one is shown, and is no reason
// to leave out the others.
func (l *collectLoop) round(ctx context.Context) error {
	tenants, err := l.tenants()
	if err != nil {
		if text := err.Error(); text != l.warned { // that nothing has changed is no news
			l.warn(err)
			l.warned = text
		}
		return nil
	}
	l.warned = ""
	maps.DeleteFunc(l.retries, func(tenant string, _ auditRetry) bool { return !slices.Contains(tenants, tenant) })
	for _, tenant := range tenants {
		if over(ctx) {
			return nil
		}
		c, did := l.tenant(ctx, tenant)
		if over(ctx) && c.Error != nil { // interrupted: the next worker goes on
			return nil
		}
		if did {
			if err := l.show(c); err != nil {
				return fmt.Errorf("write a report: %w", err)
			}
		}
	}
	return nil
}

// tenant collects one tenant and reports whether that is worth a line.
func (l *collectLoop) tenant(ctx context.Context, tenant string) (c tenantCollected, did bool) {
	c.Tenant = tenant
	opts, idle := l.opts, false
	err := l.open(ctx, tenant, func(k lashstore.Collector) error {
		st, err := k.CollectionStatus(ctx)
		if err != nil {
			return err
		}
		opts.Audit = l.auditDue(tenant, st)
		if idle = st.Stopped != "" && !opts.Audit; idle {
			return nil // it would be refused, as was said when the audit did not pass
		}
		c.Report, err = k.Collect(ctx, opts)
		return err
	})
	c = c.concluded(err, l.now())
	if opts.Audit {
		l.audited(tenant, err == nil && c.Report.Outcome != lashstore.CollectIncomplete)
	}
	if err != nil {
		return c, true
	}
	return c, !idle && (opts.Audit || c.Report.Outcome != lashstore.CollectNothing)
}

// auditDue reports whether a tenant needs an audit now: nothing is deleted before one
// has passed, one was interrupted, or the last is long ago.
func (l *collectLoop) auditDue(tenant string, st lashstore.CollectionStatus) bool {
	if l.now().Before(l.retries[tenant].after) {
		return false
	}
	marking := slices.ContainsFunc(st.Leases, func(s lashstore.ShardLease) bool { return s.Shard < 0 })
	if marking {
		return false // by another worker
	}
	return st.Stopped != "" || st.AuditRunning || l.auditInterval > 0 && l.now().Sub(st.AuditedAt) >= l.auditInterval
}

// audited notes when the next audit may be tried.
func (l *collectLoop) audited(tenant string, passed bool) {
	if passed {
		delete(l.retries, tenant)
		return
	}
	limit := maxAuditRetry
	if l.auditInterval > 0 {
		limit = min(limit, l.auditInterval)
	}
	pause := min(max(2*l.retries[tenant].pause, l.interval), limit)
	l.retries[tenant] = auditRetry{pause: pause, after: l.now().Add(pause)}
}

// over reports whether the loop has been told to stop.
func over(ctx context.Context) bool { return ctx.Err() != nil }

// waitFor waits, and fails with the context.
func waitFor(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
