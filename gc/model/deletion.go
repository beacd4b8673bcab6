package model

// delete adds the steps of a session's deletion. Each depends on what the ones before
// left behind and on nothing else, so a deletion that crashes after any of them is
// resumed by anyone, and several may run at once.
//
// Nothing here depends on which of the two marks comes first, since the catalog's only
// has to be there when the edges go: that refuses new ones. A session that expires is
// marked in its own database first.
func (x *expansion) delete(s State, i uint8) {
	e := s.sessions[i]
	to := func(g stage) State {
		n := s
		n.sessions[i].stage = g
		return n
	}
	switch e.stage {
	case live:
		x.add(DeleteMark, i, 0, to(deleting))
	case deleting:
		x.markOwn(s, i, marked)
		if x.Bug == DeleteBeforeMark {
			n := to(stripped)
			n.edges = n.edges.without(i)
			x.add(DeleteRelease, i, 0, n)
		}
	case stripped:
		x.markOwn(s, i, released)
	case marked:
		n := to(released)
		n.edges = n.edges.without(i)
		x.add(DeleteRelease, i, 0, n)
		if x.Bug == SameHolder {
			n.sessions[i].late = true
			x.add(DeleteReleaseSlow, i, 0, n)
		}
	case released:
		x.add(DeleteFiles, i, 0, to(deleted))
	case deleted:
		if e.phase == idle {
			n := s
			n.sessions[i] = session{stage: live, late: e.late}
			x.add(Recreate, i, 0, n)
		}
	default:
	}
	// A late release names the incarnation that it was begun for. That holder is gone,
	// and its successor is another; only a bug makes them the same.
	if e.late {
		n := s
		n.sessions[i].late = false
		n.edges = n.edges.without(i)
		x.add(DeleteLate, i, 0, n)
	}
}

// markOwn marks the session's own database, under its write lock: no commit is under
// way, and from here on none begins.
func (x *expansion) markOwn(s State, i uint8, g stage) {
	if s.sessions[i].lock != free {
		return
	}
	e := &s.sessions[i]
	e.stage, e.holds, e.outbox = g, false, false
	x.add(DeleteMarkOwn, i, 0, s)
}
