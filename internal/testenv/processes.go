package testenv

import (
	"sync"

	"github.com/lashstore/lashstore"
)

var _ lashstore.ProcessTable = (*ProcessTable)(nil)

// ProcessTable is a table of the processes that a test says are running.
type ProcessTable struct {
	mu      sync.Mutex
	started map[int64]uint64
	err     error
}

// NewProcessTable returns an empty table.
func NewProcessTable() *ProcessTable { return &ProcessTable{started: make(map[int64]uint64)} }

// Start says that a process runs since start.
func (p *ProcessTable) Start(pid int64, start uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.started[pid] = start
}

// Exit says that a process runs no more.
func (p *ProcessTable) Exit(pid int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.started, pid)
}

// Fail makes every question fail with err, or with nil be answered again.
func (p *ProcessTable) Fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = err
}

// StartTime implements [lashstore.ProcessTable].
func (p *ProcessTable) StartTime(pid int64) (start uint64, exists bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	start, exists = p.started[pid]
	return start, exists, p.err
}
