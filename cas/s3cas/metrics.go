package s3cas

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lashstore/lashstore/cas"
)

// metrics counts what the package's documentation lists; nil counts nothing.
type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	retries  prometheus.Counter
	bytes    *prometheus.CounterVec
	inFlight prometheus.Gauge
}

// durationBuckets reach from a server on this machine (0.5 ms, spec 03) to a request
// that used all its attempts.
func durationBuckets() []float64 {
	return []float64{0.5e-3, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 0.1, 0.25, 0.5, 1, 2.5, 10, 30, 120}
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	if reg == nil {
		return nil, nil //nolint:nilnil // counting nothing is not an error
	}
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lashstore_s3_requests_total", Help: "Requests to the object store.",
		}, []string{"op", "result"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "lashstore_s3_request_seconds", Help: "Duration of requests to the object store.",
			Buckets: durationBuckets(),
		}, []string{"op"}),
		retries: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "lashstore_s3_retries_total", Help: "Attempts that were repeated and transfers that were continued.",
		}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lashstore_s3_bytes_total", Help: "Bytes of objects sent to and received from the object store.",
		}, []string{"direction"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "lashstore_s3_in_flight", Help: "Requests that wait for the answer of the object store.",
		}),
	}
	err := errors.Join(cas.Register(reg, &m.requests), cas.Register(reg, &m.seconds), cas.Register(reg, &m.retries),
		cas.Register(reg, &m.bytes), cas.Register(reg, &m.inFlight))
	if err != nil {
		return nil, fmt.Errorf("register the metrics of package s3cas: %w", err)
	}
	return m, nil
}

// start notes the beginning of a request; the result notes its end.
func (m *metrics) start(op operation, now func() time.Time) func(error) {
	if m == nil {
		return func(error) {}
	}
	m.inFlight.Inc()
	began := now()
	return func(err error) {
		m.inFlight.Dec()
		m.seconds.WithLabelValues(string(op)).Observe(now().Sub(began).Seconds())
		m.requests.WithLabelValues(string(op), resultOf(err)).Inc()
	}
}

func (m *metrics) countRetry() {
	if m != nil {
		m.retries.Inc()
	}
}

func (m *metrics) addSent(n int) {
	if m != nil {
		m.bytes.WithLabelValues("sent").Add(float64(n))
	}
}

func (m *metrics) addReceived(n int) {
	if m != nil {
		m.bytes.WithLabelValues("received").Add(float64(n))
	}
}

// resultOf is bounded: reasons are a fixed set.
func resultOf(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, cas.ErrObjectNotFound):
		return "not_found"
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return "canceled"
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return string(e.Reason)
	}
	return string(ReasonOther)
}
