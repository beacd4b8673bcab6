package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metricsPath is where metrics are, as Prometheus asks by default.
const metricsPath = "/metrics"

// Bounds of what a client of the metrics can take up. An answer has some 20 KiB.
const (
	metricsHeaderTimeout = 5 * time.Second
	metricsWriteTimeout  = 20 * time.Second
	metricsIdleTimeout   = 2 * time.Minute
	metricsHeaderBytes   = 16 << 10
	metricsInFlight      = 4
	// metricsStop is how long answers may still take when the worker is told to stop.
	metricsStop = time.Second
)

// errMetricsAddress: metrics cannot be served where they should be.
var errMetricsAddress = errors.New("cannot serve metrics")

// serveMetrics serves until the context is over, which is no error.
func serveMetrics(ctx context.Context, listener net.Listener, from prometheus.Gatherer) error {
	mux := http.NewServeMux()
	mux.Handle("GET "+metricsPath, promhttp.HandlerFor(from, promhttp.HandlerOpts{MaxRequestsInFlight: metricsInFlight}))
	server := &http.Server{
		Handler: mux, ReadHeaderTimeout: metricsHeaderTimeout, ReadTimeout: metricsHeaderTimeout,
		WriteTimeout: metricsWriteTimeout, IdleTimeout: metricsIdleTimeout, MaxHeaderBytes: metricsHeaderBytes,
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	select {
	case err := <-ended:
		return fmt.Errorf("%w on %s: %w", errMetricsAddress, listener.Addr(), err)
	case <-ctx.Done():
	}
	stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), metricsStop)
	defer cancel()
	err := server.Shutdown(stopCtx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = server.Close() // a client that reads slowly does not hold up the end
	}
	if why := <-ended; !errors.Is(why, http.ErrServerClosed) {
		err = errors.Join(err, why)
	}
	return err
}
