package model

// upload adds the steps of an upload that belongs to no session. Its hold expires at
// any moment, also while the upload runs: a model in which time may do everything
// needs no clock. Crashing is being idle; the hold stays until it expires.
func (x *expansion) upload(s State) {
	g := s.upload.generation
	to := func(s State, p phase) State {
		s.upload.phase = p
		return s
	}
	switch s.upload.phase {
	case idle:
		if n, a, ok := x.reserve(s, upload); ok {
			if !n.row.present {
				n.upload.phase, n.upload.generation = reserved, n.row.generation
			}
			x.add(a, upload, n.row.generation, n)
		}
	case reserved:
		n := to(s, uploading)
		n.puts = n.puts.with(g)
		x.add(PutStart, upload, g, n)
	case uploading:
		if s.objects.has(g) {
			x.add(PutAcknowledged, upload, g, to(s, uploaded))
		}
	case uploaded:
		n := to(s.markPresent(g), idle)
		n.upload.generation = 0
		x.add(MarkPresent, upload, g, n)
	default:
	}
	if s.upload.phase != idle {
		n := to(s, idle)
		n.upload.generation = 0
		x.add(Crash, upload, g, n)
	}
	if s.edges.has(upload) {
		n := s
		if x.Bug == ExpireHeld && s.row.exists {
			n = n.doom()
		}
		n.edges = n.edges.without(upload)
		x.add(Expire, upload, 0, n)
	}
}

// adopt adds how a session takes over what an upload protects, without its bytes: it
// reads the upload's record, reserves for itself, and commits like any writer. The
// upload may expire between any two of these.
func (x *expansion) adopt(s State, i uint8) {
	e := s.sessions[i]
	switch {
	case !x.accepts(e.stage):
		return
	case e.phase == idle && s.edges.has(upload) && s.row.exists && s.row.present:
		n := s
		n.sessions[i].phase, n.sessions[i].generation = adopting, s.row.generation
		x.add(Adopt, i, s.row.generation, n)
	case e.phase == adopting:
		n, _, ok := x.reserve(s, i)
		if !ok {
			return
		}
		// The session goes on with the generation that it read, whatever the row has by
		// now: to find out is the business of the commit.
		n.sessions[i].phase = ready
		if x.Bug == AdoptNoReread {
			n.sessions[i].phase = unchecked
		}
		x.add(AdoptReserve, i, e.generation, n)
	}
}
