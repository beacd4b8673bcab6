package local

import (
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
)

// metrics counts the operations of a store. Its methods work on nil.
type metrics struct {
	operations *prometheus.CounterVec
	seconds    *prometheus.HistogramVec
	settled    *prometheus.CounterVec
	content    *prometheus.CounterVec
	now        func() time.Time
}

// newMetrics registers the collectors; without a registerer there are none, and
// stores with the same registerer have the same.
func newMetrics(reg prometheus.Registerer, now func() time.Time) (*metrics, error) {
	if reg == nil {
		return nil, nil //nolint:nilnil // the methods work on nil
	}
	m := &metrics{
		operations: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lashstore_operations_total",
			Help: "Operations of the store by name and by the code of their outcome (ok, or an error code).",
		}, []string{"op", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "lashstore_operation_seconds",
			Help:    "Duration of operations of the store by name.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 2.5, 14), // 0.1 ms to 15 s
		}, []string{"op"}),
		settled: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lashstore_settlements_total",
			Help: "Sessions whose catalog entries were brought up to date in the background, by outcome.",
		}, []string{"code"}),
		content: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lashstore_content_bytes_total",
			Help: "Bytes of large content that were committed or uploaded: found in what it follows, stored as deltas, or stored whole.",
		}, []string{"form"}),
		now: now,
	}
	err := errors.Join(cas.Register(reg, &m.content), cas.Register(reg, &m.operations), cas.Register(reg, &m.seconds), cas.Register(reg, &m.settled))
	if err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	return m, nil
}

// start times an operation; the function it returns counts it.
func (m *metrics) start(op string) func(error) {
	if m == nil {
		return func(error) {}
	}
	began := m.now()
	return func(err error) {
		m.operations.WithLabelValues(op, outcome(err)).Inc()
		m.seconds.WithLabelValues(op).Observe(m.now().Sub(began).Seconds())
	}
}

func (m *metrics) countSettled(err error) {
	if m != nil {
		m.settled.WithLabelValues(outcome(err)).Inc()
	}
}

// staged counts how content was stored.
func (m *metrics) staged(r cas.SplitResult) {
	if m == nil {
		return
	}
	m.content.WithLabelValues("reused").Add(float64(r.ReusedBytes))
	m.content.WithLabelValues("delta").Add(float64(r.DeltaBytes))
	m.content.WithLabelValues("whole").Add(float64(r.WholeBytes))
}

func outcome(err error) string {
	if err == nil {
		return "ok"
	}
	return lashstore.Code(err)
}
