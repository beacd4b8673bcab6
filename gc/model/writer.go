package model

// write adds the steps of a session's writer: reserve, upload, commit.
func (x *expansion) write(s State, i uint8) {
	e := s.sessions[i]
	g := e.generation
	to := func(s State, p phase) State {
		s.sessions[i].phase = p
		return s
	}
	switch e.phase {
	case idle:
		x.reserveSession(s, i)
	case reserved:
		n := to(s, uploading)
		n.puts = n.puts.with(g)
		x.add(PutStart, i, g, n)
	case uploading:
		if s.objects.has(g) { // perhaps by the PUT of another: same name, same bytes
			x.add(PutAcknowledged, i, g, to(s, uploaded))
		}
	case uploaded:
		x.add(MarkPresent, i, g, to(s.markPresent(g), ready))
	case ready, unchecked:
		x.lockAndReread(s, i)
	case committing:
		n := s
		n.sessions[i] = session{stage: e.stage, holds: true, outbox: e.outbox, late: e.late}
		x.add(Commit, i, g, n)
	case adopting:
	}
	if e.phase != idle {
		n := s.rest(i)
		if e.lock == byWriter {
			n.sessions[i].lock = free
		}
		x.add(Crash, i, g, n)
	}
}

// rest makes a session's writer idle.
func (s State) rest(i uint8) State {
	s.sessions[i].phase, s.sessions[i].generation = idle, 0
	return s
}

// accepts reports whether the catalog gives a session edges: while its holder may be
// there. A catalog that refuses as soon as the session is marked does less, and what
// it does is part of this.
func (x *expansion) accepts(g stage) bool {
	switch g {
	case live, deleting, marked:
		return true
	case released, deleted:
		return x.Bug == ReserveDeleted
	default:
		return false
	}
}

func (x *expansion) reserveSession(s State, i uint8) {
	if !x.accepts(s.sessions[i].stage) {
		return
	}
	n, a, ok := x.reserve(s, i)
	if !ok {
		return
	}
	e := &n.sessions[i]
	e.phase, e.generation = reserved, n.row.generation
	if n.row.present {
		e.phase = ready
	}
	x.add(a, i, e.generation, n)
}

// lockAndReread begins a session's write transaction, in which the reservation is
// read again. The transaction ends in write, so that what happens in the catalog
// between the two is seen.
func (x *expansion) lockAndReread(s State, i uint8) {
	e := s.sessions[i]
	if e.lock != free {
		return
	}
	n := s
	n.sessions[i].lock, n.sessions[i].phase = byWriter, committing
	switch {
	case !e.stage.serves(): // its database says that it is deleted
		x.add(Retry, i, e.generation, s.rest(i))
	case e.phase == unchecked || x.Bug == NoReread:
		x.add(LockUnread, i, e.generation, n)
	case s.verified(i, e.generation):
		x.add(LockAndReread, i, e.generation, n)
	default:
		x.add(Retry, i, e.generation, s.rest(i))
	}
}

// letGo adds how a session loses its edge: by a commit that no longer refers to the
// digest, which the outbox remembers, and by the audit, which finds an edge that the
// session does not need. Both look again at what the session holds once they have
// its lock.
func (x *expansion) letGo(s State, i uint8) {
	e := s.sessions[i]
	if !e.stage.serves() {
		return
	}
	if e.phase == idle && e.holds && e.lock == free {
		n := s
		n.sessions[i].holds, n.sessions[i].outbox = false, true
		if x.Bug == ReleaseBefore {
			n.edges = n.edges.without(i)
			crashed := s
			crashed.edges = n.edges
			x.add(DropThenCrash, i, 0, crashed)
		}
		x.add(Drop, i, 0, n)
	}
	if x.Bug == NoLock {
		x.letGoUnlocked(s, i)
		return
	}
	n := s
	switch e.lock {
	case free:
		if e.outbox {
			n.sessions[i].lock = bySettler
			x.add(SettleLock, i, 0, n)
		}
		if s.edges.has(i) && !e.holds {
			n.sessions[i].lock = byAudit
			x.add(AuditLock, i, 0, n)
		}
	case bySettler:
		n = n.release(i)
		n.sessions[i].lock, n.sessions[i].outbox = free, false
		x.add(Settle, i, 0, n)
	case byAudit:
		n = n.release(i)
		n.sessions[i].lock = free
		x.add(AuditRelease, i, 0, n)
	case byWriter:
	}
}

// release removes the edge of a session that does not hold the digest.
func (s State) release(i uint8) State {
	if !s.sessions[i].holds {
		s.edges = s.edges.without(i)
	}
	return s
}

func (x *expansion) letGoUnlocked(s State, i uint8) {
	e := s.sessions[i]
	if e.holds {
		return
	}
	n := s
	n.edges = n.edges.without(i)
	if s.edges.has(i) {
		x.add(AuditRelease, i, 0, n)
	}
	if e.outbox {
		n.sessions[i].outbox = false
		x.add(Settle, i, 0, n)
	}
}
