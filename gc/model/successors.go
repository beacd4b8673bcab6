package model

// Transition is a step and where it leads.
type Transition struct {
	Step Step
	Next State
}

// Successors appends to out every step that is possible in s under c. What one
// transition does is atomic in the system too: a transaction of one database, or one
// effect on an object.
func Successors(c Config, s State, out []Transition) []Transition {
	x := expansion{Config: c.withDefaults(), out: out}
	x.expand(s)
	return x.out
}

// expansion collects the successors of a state.
type expansion struct {
	Config
	out []Transition
}

func (x *expansion) expand(s State) {
	for i := range uint8(sessionCount) {
		x.write(s, i)
		x.letGo(s, i)
		if x.Uploads {
			x.adopt(s, i)
		}
		if x.Deletion {
			x.delete(s, i)
		}
	}
	if x.Uploads {
		x.upload(s)
	}
	if x.Fork {
		x.fork(s)
	}
	x.store(s)
	x.collect(s)
}

func (x *expansion) add(a Action, holder, generation uint8, next State) {
	x.out = append(x.out, Transition{Step: Step{Action: a, Holder: holder, Generation: generation}, Next: next})
}

// reserve is the catalog's transaction that gives a holder an edge. It returns false
// when the model has no generation left for a new row.
func (x *expansion) reserve(s State, holder uint8) (next State, a Action, ok bool) {
	a = Reserve
	switch {
	case !s.row.exists && int(s.next) > x.Generations:
		return s, a, false
	case !s.row.exists:
		a = ReserveNew
		s.row = row{exists: true, generation: s.next}
		if x.Bug == SameName {
			s.row.generation = 0
		}
		s.next++
	case x.Bug != NoClear:
		s.row.condemned = false
	}
	s.edges = s.edges.with(holder)
	return s, a, true
}

// markPresent is the catalog's transaction after an upload.
func (s State) markPresent(generation uint8) State {
	if s.row.exists && s.row.generation == generation {
		s.row.present = true
	}
	return s
}

// verified reports what a reservation comes to when it is read again: the holder
// still has its edge, and the object is present under the generation it expects.
func (s *State) verified(holder, generation uint8) bool {
	return s.edges.has(holder) && s.row.exists && s.row.generation == generation && s.row.present
}
