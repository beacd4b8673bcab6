package bench

import (
	"slices"
	"testing"
	"time"
)

// latencies are the durations of single operations.
type latencies []time.Duration

// time runs op and notes how long it took.
func (l *latencies) time(op func()) {
	began := time.Now()
	op()
	*l = append(*l, time.Since(began))
}

func (l latencies) total() (sum time.Duration) {
	for _, d := range l {
		sum += d
	}
	return sum
}

// quantile returns the smallest duration that a share q of them does not exceed.
func (l latencies) quantile(q float64) time.Duration {
	if len(l) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(l))
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

func us(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }
func ms(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }

// share is a/b, or 0 without b.
func share(a, b time.Duration) float64 {
	if b == 0 {
		return 0
	}
	return float64(a) / float64(b)
}

// beside measures ours and bare in turn, each first every other time. prepare runs
// before each turn and is not measured; it may be nil.
func beside(b *testing.B, prepare, ours, bare func()) {
	b.Helper()
	var store, base latencies
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		b.StopTimer()
		if prepare != nil {
			prepare()
		}
		if n%2 == 1 {
			base.time(bare)
		}
		b.StartTimer()
		store.time(ours)
		b.StopTimer()
		if n%2 == 0 {
			base.time(bare)
		}
		b.StartTimer()
	}
	b.ReportMetric(share(base.total(), store.total()), "of-baseline")
	b.ReportMetric(share(base.quantile(0.5), store.quantile(0.5)), "of-baseline-p50")
	b.ReportMetric(us(store.quantile(0.5)), "p50-us")
	b.ReportMetric(us(store.quantile(0.99)), "p99-us")
	b.ReportMetric(us(base.quantile(0.5)), "base-p50-us")
}
