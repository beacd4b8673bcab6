package gc_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
	"github.com/lashstore/lashstore/cas/castest"
	"github.com/lashstore/lashstore/cas/memcas"
	"github.com/lashstore/lashstore/gc"
	"github.com/lashstore/lashstore/metadata"
)

// A report that miscounts hides what happened.
func TestReport(t *testing.T) {
	t.Parallel()
	x := busy(t)
	began := x.clock.Now()
	x.once(gc.StepCollecting, func() { x.clock.Advance(time.Second) })
	report := x.collect(audit())
	row, _ := x.blob("kept")
	size := row.StoredBytes // of each content
	want := lashstore.CollectReport{
		Outcome: lashstore.CollectSwept, StartedAt: began, Duration: time.Second,
		// a, b and surplus hold new a, shared, new b and kept.
		Roots: 3, Retained: 4,
		UploadsExpired: 1,
		// old a, old b, the upload, what was reserved and never stored, and the unknown.
		Doomed: 5, DoomedBytes: 3*size + 7, Deleted: 5, DeletedBytes: 3*size + 7,
		ListRequests: gc.ShardCount,
		Mark:         &lashstore.MarkReport{Sessions: 3, Objects: 4, SurplusEdges: 1},
		Sweep: &lashstore.SweepReport{
			Objects: 8, ObjectBytes: 7 * size, Rows: 8, Unknown: 1, UnknownBytes: 7,
		},
	}
	want.DeleteRequests = report.DeleteRequests // as many as shards had something
	if diff := cmp.Diff(want, report); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
	if n := report.DeleteRequests; n < 1 || n > 5 {
		t.Errorf("%d requests to delete five objects", n)
	}
	st := x.status()
	wantStatus := lashstore.CollectionStatus{
		RanAt: x.clock.Now(), AuditedAt: began.Add(time.Second), Objects: 4, ObjectBytes: 4 * size,
		Totals: lashstore.CollectTotals{Runs: 1, Audits: 1, Deleted: 5, DeletedBytes: 3*size + 7},
	}
	if diff := cmp.Diff(wantStatus, st); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
	x.exact()
}

// What is counted by others than the report must be the same.
func TestMetrics(t *testing.T) {
	t.Parallel()
	x := setup(t)
	reg := x.registry()
	x.commit("s", "old", "lost")
	x.commit("s", "new", "lost")
	dry := now()
	dry.DryRun = true
	x.collect(dry)
	x.collect(now())
	must(t, x.tier.Delete(t.Context(), []string{x.key("lost")}))
	x.surplus("s", "too many")
	x.collect(audit())
	x.commit("s", "newer", "lost")
	x.driver.Script(castest.Delete, castest.FailBefore(nil))
	x.collect(now())
	x.jump(-time.Hour)
	x.refused(now(), "set back")
	x.jump(time.Hour)
	x.commit("s", "newest")
	x.collect(lashstore.CollectOptions{})

	labelled := func(name, label, value string) float64 { return metric(t, reg, name, map[string]string{label: value}) }
	for _, m := range []struct {
		kind, outcome string
		want          float64
	}{
		{"dry_run", "nothing_to_do", 0},
		{"dry_run", "swept", 1},
		{"run", "swept", 2},
		{"audit", "swept", 1},
		{"run", "incomplete", 1},
		{"run", "refused", 1},
	} {
		got := metric(t, reg, "lashstore_gc_runs_total", map[string]string{"kind": m.kind, "outcome": m.outcome})
		if m.want != got {
			t.Errorf("runs of kind %q that ended %q: got %v, want %v", m.kind, m.outcome, got, m.want)
		}
	}
	row, _ := x.blob("newest")
	size := float64(row.StoredBytes)
	equal(t, "doomed", labelled("lashstore_gc_objects_total", "step", "doomed"), 3) // old, too many, new
	equal(t, "failed", labelled("lashstore_gc_objects_total", "step", "failed"), 1)
	equal(t, "missing", labelled("lashstore_gc_faults_total", "kind", "missing"), 1)
	equal(t, "doomed bytes", labelled("lashstore_gc_bytes_total", "step", "doomed"), 2*size)
	equal(t, "condemned bytes", metric(t, reg, "lashstore_gc_condemned_bytes", nil), 2*size) // newer, lost
}

// metric reads a counter or gauge.
func metric(t *testing.T, reg *prometheus.Registry, name string, labels map[string]string) float64 {
	t.Helper()
	families, err := reg.Gather()
	must(t, err)
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
	next:
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if want, ok := labels[l.GetName()]; ok && want != l.GetValue() {
					continue next
				}
			}
			return m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return 0
}

// A collector without a part that it needs is refused, not one that panics some day.
func TestNewWantsAllParts(t *testing.T) {
	t.Parallel()
	x := setup(t)
	tier, err := cas.New(memcas.New(), cas.Options{})
	must(t, err)
	x.catalog(func(k *metadata.Catalog) {
		whole := gc.Options{
			Catalog: k, Tier: tier, Delete: func(context.Context, metadata.SessionRow) error { return nil },
			OpenSession: func(context.Context, metadata.SessionRow, bool) (*metadata.SessionDB, error) {
				return nil, errors.ErrUnsupported
			},
			Identify: func(context.Context, string) (metadata.Identity, error) {
				return metadata.Identity{}, errors.ErrUnsupported
			},
			Now: x.clock.Now, Elapsed: x.opts.Elapsed, Rand: x.rand, Logger: slog.New(slog.DiscardHandler),
		}
		_, err := gc.New(whole)
		must(t, err)
		for name, without := range map[string]func(*gc.Options){
			"catalog": func(o *gc.Options) { o.Catalog = nil }, "tier": func(o *gc.Options) { o.Tier = nil },
			"delete": func(o *gc.Options) { o.Delete = nil }, "open_session": func(o *gc.Options) { o.OpenSession = nil },
			"identify": func(o *gc.Options) { o.Identify = nil }, "now": func(o *gc.Options) { o.Now = nil },
			"elapsed": func(o *gc.Options) { o.Elapsed = nil }, "rand": func(o *gc.Options) { o.Rand = nil },
			"logger": func(o *gc.Options) { o.Logger = nil },
		} {
			o := whole
			without(&o)
			_, err := gc.New(o)
			var invalid *lashstore.InvalidError
			if !errors.As(err, &invalid) || invalid.Field != name {
				t.Errorf("without %s: %v", name, err)
			}
		}
	})
}

// A source of randomness that fails must not give an audit the name of another.
func TestAuditWithoutRandomness(t *testing.T) {
	t.Parallel()
	x := setup(t)
	x.commit("s", "content")
	x.close()
	x.opts.Rand = failing{}
	x.open()
	report, err := x.store.Collect(t.Context(), audit())
	if !errors.Is(err, errNoRandomness) {
		t.Errorf("got %v", err)
	}
	equal(t, "outcome", report.Outcome, lashstore.CollectFailed)
	x.close()
	x.opts.Rand = x.rand
	x.open()
	x.collect(audit())
	x.exact()
}

var errNoRandomness = errors.New("no randomness")

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errNoRandomness }
