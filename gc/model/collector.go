package model

// store adds the effects of requests that the object store has been sent. They come
// late, and any number of times.
func (x *expansion) store(s State) {
	s.puts.each(func(g uint8) {
		again := s
		again.objects = again.objects.with(g)
		once := again
		once.puts = once.puts.without(g)
		x.add(PutLands, 0, g, once)
		x.add(PutLandsAndRepeats, 0, g, again)
	})
	s.deletes.each(func(g uint8) {
		again := s
		again.objects = again.objects.without(g)
		once := again
		once.deletes = once.deletes.without(g)
		x.add(DeleteLands, 0, g, once)
		x.add(DeleteLandsAndRepeats, 0, g, again)
	})
}

// collect adds the collector's steps: condemn, doom, delete, sweep. There is no grace
// period, since nothing may rest on it: any time may pass between two steps.
func (x *expansion) collect(s State) {
	r := s.row
	if r.exists && !r.condemned && s.edges == 0 {
		n := s
		n.row.condemned = true
		x.add(Condemn, 0, r.generation, n)
	}
	if r.exists && r.condemned && (s.edges == 0 || x.Bug == NoClear) {
		x.add(Doom, 0, r.generation, s.doom())
	}
	s.doomed.each(func(g uint8) {
		n := s
		n.deletes = n.deletes.with(g)
		x.add(DeleteStart, 0, g, n)
		// The answer to a DELETE may come before its effect, or the effect twice.
		if s.deletes.has(g) || !s.objects.has(g) {
			n = s
			n.doomed = n.doomed.without(g)
			x.add(DeleteAcknowledged, 0, g, n)
		}
	})
	s.objects.each(func(g uint8) {
		if !r.exists || r.generation != g {
			n := s
			n.doomed = n.doomed.with(g)
			x.add(Sweep, 0, g, n)
		}
	})
}

// doom removes the row and queues its object for deletion, in one transaction.
func (s State) doom() State {
	s.doomed = s.doomed.with(s.row.generation)
	s.row = row{}
	return s
}
