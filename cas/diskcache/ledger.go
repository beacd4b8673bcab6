package diskcache

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// pageBytes is the unit in which file systems give out space.
const pageBytes = 4096

// costOf is what a file of a size takes: its pages, and one more for its share of
// folders and file records.
func costOf(fileBytes int64) int64 {
	return (fileBytes+pageBytes-1)/pageBytes*pageBytes + pageBytes
}

const (
	// Eviction starts at 90 % of the limit and goes down to 80 %, so that what is
	// written meanwhile finds room and one walk of the folder serves many blocks.
	highPercent, lowPercent = 90, 80
	// recountShare is the part of the limit (1/20) after whose writing the folder is
	// counted again, for what other processes wrote.
	recountShare = 20
)

// ledger keeps count of the bytes on disk. Between two counts of the folder it may be
// too high, never too low, but for what other processes write.
type ledger struct {
	max   int64
	gauge prometheus.Gauge
	first chan struct{} // closed when the folder has been counted once

	mu       sync.Mutex // guards all below
	counted  bool       // the folder has been counted once
	total    int64
	counting bool
	pending  int64 // reserved for files that are being written
	added    int64 // reserved since the last count began, and pending then
}

// ready reports whether anything may be stored yet.
func (l *ledger) ready() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counted
}

// reserve takes room for a file; settle it when the file is written, or not. due
// reports that the folder should be walked.
func (l *ledger) reserve(cost int64) (ok, due bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.counted || l.total+cost > l.max {
		return false, true
	}
	l.setLocked(l.total + cost)
	l.added += cost
	l.pending += cost
	return true, l.total > l.max/100*highPercent || l.added > l.max/recountShare
}

// settle notes that a reserved file is there for a walk to be seen, or will never be.
func (l *ledger) settle(cost int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pending -= cost
}

// release gives back the room of a file that was removed or never written. While the
// folder is counted nobody knows whether the count has seen the file: then it stays in
// the books until the next count.
func (l *ledger) release(cost int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.counted && !l.counting {
		l.setLocked(max(0, l.total-cost))
	}
}

// beginCount notes that a walk of the folder begins.
func (l *ledger) beginCount() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counting, l.added = true, l.pending
}

// endCount notes what the walk found. What was written meanwhile may have been seen or
// not, and is added.
func (l *ledger) endCount(found int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.counted {
		l.counted = true
		close(l.first)
	}
	l.counting = false
	l.setLocked(found + l.added)
}

// abortCount forgets a walk that did not reach its end.
func (l *ledger) abortCount() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counting = false
}

// close takes the cache out of the gauge, which others may share.
func (l *ledger) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.setLocked(0)
}

func (l *ledger) setLocked(total int64) {
	l.gauge.Add(float64(total - l.total))
	l.total = total
}

// excess is how much of the blocks that a walk found has to go; 0 if eviction need not
// begin. It goes by what was found and not by the books, which are too high at first.
func (l *ledger) excess(found int64) int64 {
	if found <= l.max/100*highPercent {
		return 0
	}
	return found - l.max/100*lowPercent
}
