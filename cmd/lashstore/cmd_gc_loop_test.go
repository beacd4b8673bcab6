package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lashstore/lashstore"
)

// collecting is a tenant whose collections end as a test says.
type collecting struct {
	lashstore.Collector
	status  lashstore.CollectionStatus
	outcome lashstore.CollectOutcome
	err     error
	audits  []bool // of each collection: whether it was an audit
	during  func() // called by each collection
}

func (c *collecting) CollectionStatus(context.Context) (lashstore.CollectionStatus, error) {
	return c.status, nil
}

func (c *collecting) Collect(ctx context.Context, opts lashstore.CollectOptions) (lashstore.CollectReport, error) {
	c.audits = append(c.audits, opts.Audit)
	if c.during != nil {
		c.during()
	}
	if ctx.Err() != nil {
		return lashstore.CollectReport{Outcome: lashstore.CollectFailed}, ctx.Err()
	}
	return lashstore.CollectReport{Outcome: c.outcome}, c.err
}

// loopTest is a loop whose world is in memory. Between rounds it calls next, which
// gets the number of rounds so far and ends the loop with false.
type loopTest struct {
	*collectLoop
	names    []string
	world    map[string]*collecting
	clock    time.Time
	pauses   []time.Duration
	shown    []string
	warnings []error
	next     func(rounds int) bool
}

var errNotToBeOpened = errors.New("cannot be opened")

func newLoopTest() *loopTest {
	l := &loopTest{
		names: []string{"aa"}, world: map[string]*collecting{"aa": {outcome: lashstore.CollectNothing}},
		clock: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), next: func(int) bool { return false },
	}
	l.collectLoop = &collectLoop{
		interval: 10 * time.Minute, auditInterval: 24 * time.Hour,
		tenants: func() ([]string, error) { return l.names, nil },
		open: func(_ context.Context, tenant string, use func(lashstore.Collector) error) error {
			k := l.world[tenant]
			if k == nil {
				return errNotToBeOpened
			}
			return use(k)
		},
		show: func(c tenantCollected) error {
			l.shown = append(l.shown, c.summary())
			return nil
		},
		warn:   func(err error) { l.warnings = append(l.warnings, err) },
		now:    func() time.Time { return l.clock },
		jitter: func(limit time.Duration) time.Duration { return limit / 4 },
	}
	return l
}

// play runs the loop until next ends it.
func (l *loopTest) play(t *testing.T) error {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	l.wait = func(ctx context.Context, d time.Duration) error {
		l.pauses = append(l.pauses, d)
		l.clock = l.clock.Add(l.interval)
		if !l.next(len(l.pauses)) {
			cancel()
		}
		return ctx.Err()
	}
	return l.run(ctx)
}

func TestGCLoopRounds(t *testing.T) {
	t.Parallel()
	l := newLoopTest()
	l.world["aa"].status.AuditedAt = l.clock
	l.world["bb"] = &collecting{outcome: lashstore.CollectSwept, status: lashstore.CollectionStatus{AuditedAt: l.clock}}
	listing := errors.New("cannot be listed")
	l.next = func(rounds int) bool {
		switch rounds {
		case 1: // a tenant appears, and one that is broken before it
			l.names = []string{"aa", "ab", "bb"}
		case 2, 5:
			l.tenants = func() ([]string, error) { return nil, listing }
		case 4:
			l.tenants = func() ([]string, error) { return nil, nil }
		}
		return rounds < 6
	}
	if err := l.play(t); err != nil {
		t.Fatalf("told to stop: %v", err)
	}
	want := []string{"ab: failed: " + errNotToBeOpened.Error(), "bb: swept"}
	if diff := cmp.Diff(want, l.shown); diff != "" {
		t.Errorf("shown (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(slices.Repeat([]time.Duration{9*time.Minute + 30*time.Second}, 6), l.pauses); diff != "" {
		t.Errorf("pauses (-want +got):\n%s", diff)
	}
	// In rounds 3 and 4 it is the same, in round 6 it is so again.
	if len(l.warnings) != 2 || !errors.Is(l.warnings[0], listing) || !errors.Is(l.warnings[1], listing) {
		t.Errorf("warned: %v", l.warnings)
	}
	if diff := cmp.Diff([]bool{false, false}, l.world["aa"].audits); diff != "" {
		t.Errorf("collections of aa (-want +got):\n%s", diff)
	}
}

func TestGCLoopAuditDue(t *testing.T) {
	t.Parallel()
	marking := []lashstore.ShardLease{{Shard: 3}, {Shard: -1, Worker: "other"}}
	for name, tt := range map[string]struct {
		ago   time.Duration // since the last audit
		st    lashstore.CollectionStatus
		never bool // no audits on schedule
		want  bool
	}{
		"fresh":                        {ago: time.Hour},
		"old":                          {ago: 24 * time.Hour, want: true},
		"none yet":                     {ago: 1 << 62, want: true},
		"from the future":              {ago: -time.Hour},
		"old, without a schedule":      {ago: 240 * time.Hour, never: true},
		"stopped":                      {ago: time.Hour, st: lashstore.CollectionStatus{Stopped: "restored"}, want: true},
		"stopped, without a schedule":  {ago: time.Hour, never: true, st: lashstore.CollectionStatus{Stopped: "restored"}, want: true},
		"interrupted":                  {ago: time.Hour, st: lashstore.CollectionStatus{AuditRunning: true}, want: true},
		"another worker sweeps":        {ago: time.Hour, st: lashstore.CollectionStatus{AuditRunning: true, Leases: marking[:1]}, want: true},
		"another worker marks":         {ago: time.Hour, st: lashstore.CollectionStatus{AuditRunning: true, Leases: marking}},
		"old, and another one marks":   {ago: 48 * time.Hour, st: lashstore.CollectionStatus{Leases: marking}},
		"stopped, and another marks":   {st: lashstore.CollectionStatus{Stopped: "restored", Leases: marking}},
		"a shard is held by a sweeper": {ago: 25 * time.Hour, st: lashstore.CollectionStatus{Leases: marking[:1]}, want: true},
	} {
		l := newLoopTest()
		if tt.st.AuditedAt = l.clock.Add(-tt.ago); tt.ago == 1<<62 {
			tt.st.AuditedAt = time.Time{}
		}
		if tt.never {
			l.auditInterval = 0
		}
		if got := l.auditDue("aa", tt.st); got != tt.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// An audit that does not pass is tried again, ever more rarely; in between nothing is
// asked that would be refused, and nothing is repeated to whoever reads the log.
func TestGCLoopAuditsThatDoNotPass(t *testing.T) {
	t.Parallel()
	l := newLoopTest()
	k := l.world["aa"]
	k.status.Stopped = "a session cannot be read"
	k.outcome, k.err = lashstore.CollectRefused, fmt.Errorf("collect: %w", &lashstore.CollectionRefusedError{Reason: "a session cannot be read"})
	var tried []int
	const mended = 25
	l.next = func(rounds int) bool {
		if len(k.audits) > len(tried) {
			tried = append(tried, rounds)
		}
		if rounds == mended {
			k.outcome, k.err = lashstore.CollectSwept, nil
			k.during = func() { k.status = lashstore.CollectionStatus{AuditedAt: l.clock} }
		}
		return rounds < mended+10
	}
	if err := l.play(t); err != nil {
		t.Fatal(err)
	}
	// After 10, 20 and 40 minutes, and then every hour.
	first := []int{1, 2, 4, 8, 14, 20, 26}
	if diff := cmp.Diff(first, tried[:min(len(tried), len(first))]); diff != "" {
		t.Errorf("tried in rounds (-want +got):\n%s", diff)
	}
	if refused := slices.Index(l.shown, "aa: swept"); refused != len(first)-1 {
		t.Errorf("shown: %q", l.shown)
	}
	if slices.Contains(k.audits[len(first):], true) || len(k.audits) != len(first)+9 {
		t.Errorf("audits: %v", k.audits)
	}
	if len(l.retries) != 0 {
		t.Errorf("still to be tried: %v", l.retries)
	}
}

// An audit that others work on too is not begun anew in each round.
func TestGCLoopIncompleteAudit(t *testing.T) {
	t.Parallel()
	l := newLoopTest()
	l.world["aa"].outcome = lashstore.CollectIncomplete
	l.next = func(rounds int) bool {
		if rounds == 2 {
			l.names = nil // the tenant goes, and what is remembered of it
		}
		return rounds < 3
	}
	if err := l.play(t); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]bool{true, true}, l.world["aa"].audits); diff != "" || len(l.retries) != 0 {
		t.Errorf("%s%v", diff, l.retries)
	}
}

// What is interrupted is no failure, and the next tenant is not begun.
func TestGCLoopStopsInACollection(t *testing.T) {
	t.Parallel()
	l := newLoopTest()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	l.names = []string{"aa", "bb"}
	l.world["aa"].during = cancel
	l.world["bb"] = &collecting{outcome: lashstore.CollectSwept}
	l.wait = func(ctx context.Context, _ time.Duration) error { return ctx.Err() }
	if err := l.run(ctx); err != nil || len(l.shown) > 0 || len(l.world["bb"].audits) > 0 {
		t.Errorf("%v, shown %q, bb %v", err, l.shown, l.world["bb"].audits)
	}
}

// Without anyone to tell, the loop ends: a worker whose reports are lost looks alive.
func TestGCLoopEndsWithItsOutput(t *testing.T) {
	t.Parallel()
	l := newLoopTest()
	broken := errors.New("broken pipe")
	l.show = func(tenantCollected) error { return broken }
	if err := l.play(t); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
}

func TestWaitFor(t *testing.T) {
	t.Parallel()
	if err := waitFor(t.Context(), 0); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := waitFor(ctx, time.Hour); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestRandomUpTo(t *testing.T) {
	t.Parallel()
	seen := make(map[time.Duration]bool)
	for range 100 {
		d := randomUpTo(time.Hour)
		if d < 0 || d >= time.Hour {
			t.Fatalf("%s", d)
		}
		seen[d] = true
	}
	if len(seen) < 2 || randomUpTo(0) != 0 {
		t.Errorf("%d values, %s", len(seen), randomUpTo(0))
	}
}
