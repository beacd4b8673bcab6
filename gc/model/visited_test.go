package model

import "testing"

// Two states with one key would hide what follows from one of them. The search is
// repeated with whole states in a map, which knows nothing of keys and tables.
func TestKeysTellStatesApart(t *testing.T) {
	for _, c := range []Config{
		{Generations: 1},
		{Generations: 1, Fork: true, Uploads: true},
		{Generations: 1, Deletion: true},
		{Generations: 1, Fork: true, Uploads: true, Deletion: true},
	} {
		if testing.Short() && c.Uploads && c.Deletion {
			continue
		}
		seen := map[State]struct{}{Initial(c): {}}
		queue := []State{Initial(c)}
		var out []Transition
		for len(queue) > 0 {
			s := queue[0]
			queue = queue[1:]
			if got := s.pack().unpack(); got != s {
				t.Fatalf("packed and unpacked:\ngot  %+v\nwant %+v", got, s)
			}
			out = Successors(c, s, out[:0])
			for _, n := range out {
				if _, known := seen[n.Next]; !known {
					seen[n.Next] = struct{}{}
					queue = append(queue, n.Next)
				}
			}
		}
		if r := check(t, c); r.States != len(seen) {
			t.Errorf("%s: %d states by key, %d by state", c, r.States, len(seen))
		}
	}
}

// A key has room for the largest value of every field, also for those that only a
// planted bug or three generations reach.
func TestPackFullState(t *testing.T) {
	s := State{
		row:     row{exists: true, generation: 3, present: true, condemned: true},
		objects: 15, doomed: 15, puts: 15, deletes: 15, edges: 7, next: MaxGenerations + 1,
	}
	for i := range s.sessions {
		s.sessions[i] = session{
			stage: stripped, holds: true, outbox: true, lock: byAudit, phase: unchecked, generation: 3, late: true,
		}
	}
	s.upload.phase, s.upload.generation = uploaded, 3
	s.fork.phase, s.fork.generation = forkFull, 3
	if got := s.pack().unpack(); got != s {
		t.Errorf("packed and unpacked:\ngot  %+v\nwant %+v", got, s)
	}
}
