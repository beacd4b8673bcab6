// Package bench measures the embedded store, each time beside a baseline that it
// cannot beat: the same rows written with the same driver and settings by prepared
// statements in one transaction, or the same bytes written to a file, flushed and
// renamed. Store and baseline take turns within one benchmark, so that whatever
// else the machine does meanwhile slows both alike.
//
// Metrics, besides those of package testing:
//
//	of-baseline     rate of the store as a share of the baseline's, over the whole
//	                run; 1 means as fast. Budgets are shares of this kind.
//	of-baseline-p50 the same of the medians, which a few slow flushes do not move
//	p50-us, p99-us  quantiles of single operations, in microseconds
//	base-p50-us     median of the baseline
//
// Run them with `make bench`, which writes bench/out/latest.txt. Preparation is
// shared and cheap, so that one iteration of everything takes about a minute;
// LASHSTORE_BENCH_FULL=1 takes the sizes of the budgets where those are larger.
// docs/performance.md explains the numbers of the last full run.
package bench
