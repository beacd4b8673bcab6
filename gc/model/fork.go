package model

// Who takes part in a fork.
const (
	parent = 0
	child  = 1
)

// fork adds the steps of a fork: read the parent, copy its edge, write the child's
// database, admit the child. Nothing locks the parent meanwhile.
//
// A child that is entered in the catalog and not admitted is anyone's: whoever finds
// its database complete admits it, and the collector gives it up at any moment,
// which takes its entry and its edges in one transaction. A fork that was given up is
// another incarnation, and another file, than the next one.
func (x *expansion) fork(s State) {
	p, c := s.sessions[parent], s.sessions[child]
	switch s.fork.phase {
	case noFork:
		if c.stage == absent && p.stage.serves() && p.holds && s.row.exists {
			n := s
			n.fork.phase, n.fork.generation = forkRead, s.row.generation
			x.add(ForkStart, child, s.row.generation, n)
		}
	case forkRead:
		if x.Bug == ForkAfter {
			x.forkWrite(s)
		} else {
			x.forkCopy(s)
		}
	case forkHalf:
		if x.Bug == ForkAfter {
			x.forkCopy(s)
		} else {
			x.forkWrite(s)
		}
	case forkFull:
		x.forkAdmit(s)
	}
	if s.fork.phase != noFork {
		x.add(ForkCrash, child, 0, s.forkEnds())
	}
	if c.stage == creating {
		if c.holds {
			n := s
			n.sessions[child].stage = live
			x.add(ForkComplete, child, 0, n)
		}
		n := s
		n.sessions[child] = session{}
		n.edges = n.edges.without(child)
		x.add(ForkGiveUp, child, 0, n)
	}
}

func (s State) forkEnds() State {
	s.fork.phase, s.fork.generation = noFork, 0
	return s
}

// forkCopy is the catalog's transaction that enters the child and gives it an edge to
// what the parent's edge leads to, if that still is what was read from the parent.
func (x *expansion) forkCopy(s State) {
	sound := s.verified(parent, s.fork.generation)
	if x.Bug == ForkCount {
		sound = s.edges.has(parent)
	}
	if s.fork.phase == forkHalf { // with ForkAfter
		sound = sound && s.sessions[child].stage == creating
	}
	if !sound {
		x.add(ForkRefused, child, 0, s.forkEnds())
		return
	}
	n := s
	n.edges = n.edges.with(child)
	n.sessions[child].stage = creating
	n.fork.phase++
	x.add(ForkCopy, child, 0, n)
}

// forkWrite writes the child's database, which nobody will look at if the fork was
// given up.
func (x *expansion) forkWrite(s State) {
	n := s
	if s.fork.phase == forkRead { // with ForkAfter
		n.sessions[child].stage = creating
	}
	if n.sessions[child].stage == creating {
		n.sessions[child].holds = true
	}
	n.fork.phase++
	x.add(ForkWrite, child, 0, n)
}

// forkAdmit is the catalog's transaction that makes the child a session, if it is
// still entered as one to be.
func (x *expansion) forkAdmit(s State) {
	n := s.forkEnds()
	c := &n.sessions[child]
	switch {
	case c.stage == creating:
		c.stage = live
	case c.stage == absent && x.Bug == ForkAdmit:
		c.stage, c.holds = live, true
	default:
		x.add(ForkRefused, child, 0, n)
		return
	}
	x.add(ForkAdmitted, child, 0, n)
}
