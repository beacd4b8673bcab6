package diskcache

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lashstore/lashstore/cas"
)

// How a reader got a block.
const (
	blockHit    = "hit"    // from disk
	blockMiss   = "miss"   // from the tier, by a request of its own
	blockShared = "shared" // from the tier, by another reader's request or an earlier one's
	blockBypass = "bypass" // the rest of the range straight from the tier
)

// failure is a kind of trouble with the cache disk.
type failure string

const (
	failCorrupt failure = "corrupt" // a block failed its checks
	failRead    failure = "read"
	failWrite   failure = "write"
	failRemove  failure = "remove"
	failCount   failure = "count" // walking the folder
)

// metrics counts what caches do. Names and labels:
//
//	lashstore_diskcache_blocks_total{result}   blocks read: hit, miss, shared, bypass
//	lashstore_diskcache_bytes_total{result}    bytes of them that were handed out
//	lashstore_diskcache_fetched_bytes_total    bytes that were asked of the tier to fill blocks
//	lashstore_diskcache_evicted_blocks_total   blocks removed to keep the limit
//	lashstore_diskcache_evicted_bytes_total    what they took on disk
//	lashstore_diskcache_skipped_blocks_total   blocks not stored for want of room
//	lashstore_diskcache_errors_total{kind}     corrupt, read, write, remove, count
//	lashstore_diskcache_size_bytes             what the files take on disk
type metrics struct {
	blocks, bytes               *prometheus.CounterVec
	fetched                     prometheus.Counter
	evictedBlocks, evictedBytes prometheus.Counter
	skipped                     prometheus.Counter
	errors                      *prometheus.CounterVec
	size                        prometheus.Gauge
}

// newMetrics makes the metrics and registers them, unless reg is nil.
func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "lashstore_diskcache_" + name, Help: help})
	}
	vector := func(name, help, label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lashstore_diskcache_" + name, Help: help}, []string{label})
	}
	m := &metrics{
		blocks:        vector("blocks_total", "Blocks read through the disk cache.", "result"),
		bytes:         vector("bytes_total", "Bytes handed out by the disk cache.", "result"),
		fetched:       counter("fetched_bytes_total", "Bytes fetched from the tier to fill blocks."),
		evictedBlocks: counter("evicted_blocks_total", "Blocks removed to keep the size limit."),
		evictedBytes:  counter("evicted_bytes_total", "Disk space freed by eviction."),
		skipped:       counter("skipped_blocks_total", "Blocks not stored for want of room."),
		errors:        vector("errors_total", "Failures of the cache disk and damaged blocks.", "kind"),
		size: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "lashstore_diskcache_size_bytes", Help: "What the cached blocks take on disk.",
		}),
	}
	if reg == nil {
		return m, nil
	}
	err := errors.Join(
		cas.Register(reg, &m.blocks), cas.Register(reg, &m.bytes), cas.Register(reg, &m.fetched),
		cas.Register(reg, &m.evictedBlocks), cas.Register(reg, &m.evictedBytes), cas.Register(reg, &m.skipped),
		cas.Register(reg, &m.errors), cas.Register(reg, &m.size))
	if err != nil {
		return nil, fmt.Errorf("register the metrics of package diskcache: %w", err)
	}
	return m, nil
}

// logEvery bounds how often one kind of failure is logged: a broken disk fails with
// each read.
const logEvery = time.Minute

// reporter counts failures and logs some of them.
type reporter struct {
	metrics *metrics
	logger  *slog.Logger
	now     func() time.Time
	folder  string

	mu     sync.Mutex // guards logged
	logged map[failure]time.Time
}

// report takes note of a failure that no caller is told.
func (r *reporter) report(ctx context.Context, kind failure, err error) {
	if errors.Is(err, fs.ErrClosed) {
		return // the cache was closed under a call; its caller is told
	}
	r.metrics.errors.WithLabelValues(string(kind)).Inc()
	now := r.now()
	r.mu.Lock()
	last, known := r.logged[kind]
	due := !known || now.Sub(last) >= logEvery || now.Before(last)
	if due {
		r.logged[kind] = now
	}
	r.mu.Unlock()
	if due {
		r.logger.WarnContext(ctx, "disk cache failure; the tier is read instead",
			slog.String("kind", string(kind)), slog.String("folder", r.folder), slog.Any("error", err))
	}
}
