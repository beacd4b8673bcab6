package cas

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lashstore/lashstore"
)

// operation names what is done to an object, in metrics and in errors.
type operation string

const (
	opPut    operation = "put"
	opGet    operation = "get"
	opStat   operation = "stat"
	opDelete operation = "delete"
	opList   operation = "list"
)

// Metrics counts what stores do. A nil Metrics counts nothing. Names and labels:
//
//	lashstore_cas_operations_total{op, result}  calls; op is put, get, stat, delete or
//	                                            list, result is ok, not_found, corrupt,
//	                                            canceled or error
//	lashstore_cas_operation_seconds{op}         how long they took
//	lashstore_cas_bytes_total{op, form}         bytes that were put and got; form is raw
//	                                            (content) or stored (envelopes)
//	lashstore_cas_corrupt_objects_total         reads that found damage
type Metrics struct {
	operations *prometheus.CounterVec
	seconds    *prometheus.HistogramVec
	bytes      *prometheus.CounterVec
	corrupt    prometheus.Counter
}

// durationBuckets reach from a cached local read (50 µs) to a slow upload (10 s).
func durationBuckets() []float64 {
	return []float64{50e-6, 200e-6, 1e-3, 5e-3, 20e-3, 50e-3, 0.1, 0.25, 1, 2.5, 10}
}

// NewMetrics makes the metrics and registers them with reg. Stores that share a
// registerer share the metrics.
func NewMetrics(reg prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		operations: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lashstore_cas_operations_total", Help: "Operations on stored objects.",
		}, []string{"op", "result"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "lashstore_cas_operation_seconds", Help: "Duration of operations on stored objects.",
			Buckets: durationBuckets(),
		}, []string{"op"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lashstore_cas_bytes_total", Help: "Bytes put and got, as content (raw) and as envelopes (stored).",
		}, []string{"op", "form"}),
		corrupt: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "lashstore_cas_corrupt_objects_total", Help: "Reads that found a damaged object.",
		}),
	}
	err := errors.Join(Register(reg, &m.operations), Register(reg, &m.seconds), Register(reg, &m.bytes), Register(reg, &m.corrupt))
	if err != nil {
		return nil, fmt.Errorf("register the metrics of package cas: %w", err)
	}
	return m, nil
}

// Register registers a collector, or points it at the one of that name that is
// registered: several stores of a process count together.
func Register[C prometheus.Collector](reg prometheus.Registerer, c *C) error {
	err := reg.Register(*c)
	known, ok := errors.AsType[prometheus.AlreadyRegisteredError](err)
	if !ok {
		return err
	}
	same, ok := known.ExistingCollector.(C)
	if !ok {
		return err
	}
	*c = same
	return nil
}

// start notes the beginning of an operation; the result notes its end.
func (m *Metrics) start(op operation, now func() time.Time) func(error) {
	if m == nil {
		return func(error) {}
	}
	began := now()
	return func(err error) {
		m.seconds.WithLabelValues(string(op)).Observe(now().Sub(began).Seconds())
		m.operations.WithLabelValues(string(op), resultOf(err)).Inc()
		if op == opGet {
			m.countCorrupt(err)
		}
	}
}

// countCorrupt counts err if it reports damage.
func (m *Metrics) countCorrupt(err error) {
	if m != nil && errors.Is(err, lashstore.ErrCorruptBlob) {
		m.corrupt.Inc()
	}
}

// addBytes counts content and envelope of one object.
func (m *Metrics) addBytes(op operation, raw, stored int64) {
	if m == nil {
		return
	}
	m.bytes.WithLabelValues(string(op), "raw").Add(float64(raw))
	m.bytes.WithLabelValues(string(op), "stored").Add(float64(stored))
}

func resultOf(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, lashstore.ErrBlobNotFound):
		return "not_found"
	case errors.Is(err, lashstore.ErrCorruptBlob):
		return "corrupt"
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return "canceled"
	default:
		return "error"
	}
}
