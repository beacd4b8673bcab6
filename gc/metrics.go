package gc

import (
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
)

// Metrics counts what collections do. Its methods work on nil.
type Metrics struct {
	runs    *prometheus.CounterVec
	seconds prometheus.Counter
	objects *prometheus.CounterVec
	bytes   *prometheus.CounterVec
	faults  *prometheus.CounterVec
	waiting prometheus.Gauge
}

// NewMetrics registers the collectors; with the same registerer, it returns the same.
func NewMetrics(reg prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		runs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lashstore_gc_runs_total",
			Help: "Collections by kind (run, audit, dry_run) and outcome.",
		}, []string{"kind", "outcome"}),
		seconds: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "lashstore_gc_seconds_total",
			Help: "Time spent collecting.",
		}),
		objects: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lashstore_gc_objects_total",
			Help: "Objects by what became of them: doomed, deleted, failed (not deleted by the tier).",
		}, []string{"step"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lashstore_gc_bytes_total",
			Help: "Stored bytes by what became of them: doomed, deleted.",
		}, []string{"step"}),
		faults: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lashstore_gc_faults_total",
			Help: "What audits found that must not be: missing_edges, missing_rows, other_objects, lost_sessions, found_sessions, missing, wrong_size.",
		}, []string{"kind"}),
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "lashstore_gc_condemned_bytes",
			Help: "Stored bytes that waited for the end of their grace period when the last collection ended.",
		}),
	}
	err := errors.Join(cas.Register(reg, &m.runs), cas.Register(reg, &m.seconds), cas.Register(reg, &m.objects),
		cas.Register(reg, &m.bytes), cas.Register(reg, &m.faults), cas.Register(reg, &m.waiting))
	if err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	return m, nil
}

// count adds a report.
func (m *Metrics) count(r *lashstore.CollectReport, took time.Duration) {
	if m == nil {
		return
	}
	kind := "run"
	switch {
	case r.DryRun:
		kind = "dry_run"
	case r.Mark != nil:
		kind = "audit"
	}
	m.runs.WithLabelValues(kind, string(r.Outcome)).Inc()
	m.seconds.Add(took.Seconds())
	m.waiting.Set(float64(r.CondemnedBytes))
	if r.DryRun {
		return
	}
	m.objects.WithLabelValues("doomed").Add(float64(r.Doomed))
	m.objects.WithLabelValues("deleted").Add(float64(r.Deleted))
	m.objects.WithLabelValues("failed").Add(float64(r.Pending))
	m.bytes.WithLabelValues("doomed").Add(float64(r.DoomedBytes))
	m.bytes.WithLabelValues("deleted").Add(float64(r.DeletedBytes))
	if r.Mark != nil {
		m.faults.WithLabelValues("missing_edges").Add(float64(r.Mark.MissingEdges))
		m.faults.WithLabelValues("missing_rows").Add(float64(r.Mark.MissingRows))
		m.faults.WithLabelValues("other_objects").Add(float64(r.Mark.OtherObjects))
		m.faults.WithLabelValues("lost_sessions").Add(float64(r.Mark.LostSessions))
		m.faults.WithLabelValues("found_sessions").Add(float64(r.Mark.FoundSessions))
	}
	if r.Sweep != nil {
		m.faults.WithLabelValues("missing").Add(float64(r.Sweep.Missing))
		m.faults.WithLabelValues("wrong_size").Add(float64(r.Sweep.WrongSize))
	}
}
