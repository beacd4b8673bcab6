package local

import (
	"errors"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/metadata"
)

// OSProcesses is the process table of the operating system.
var OSProcesses lashstore.ProcessTable = osProcesses{}

// Gated returns options with which gate holds writers back, and with which nothing is
// settled in the background.
func (o Options) Gated(gate metadata.Gate) Options {
	o.gate = gate
	return o
}

// Abandon closes the files of a store whose process is taken to have died: nothing is
// settled, and no call is waited for but those that use a file.
func (s *Store) Abandon() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	return errors.Join(s.cache.close(), s.catalog.Close(), s.closeOwned())
}
