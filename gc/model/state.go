package model

import "fmt"

// sessionCount is the number of sessions. Two are enough for one to need what the
// other lets go of.
const sessionCount = 2

// upload is the holder of the upload's edge; a session's holder is its index.
const upload = sessionCount

// set is a set of small numbers: generations, or holders.
type set uint8

func (s set) has(n uint8) bool    { return s>>n&1 != 0 }
func (s set) with(n uint8) set    { return s | 1<<n }
func (s set) without(n uint8) set { return s &^ (1 << n) }
func (s set) each(visit func(uint8)) {
	for n := uint8(0); s>>n != 0; n++ {
		if s.has(n) {
			visit(n)
		}
	}
}

// row is the digest's row in the catalog.
type row struct {
	exists     bool
	generation uint8
	present    bool
	condemned  bool
}

// phase is how far a writer is: of a session, or of the upload.
type phase uint8

const (
	idle phase = iota
	reserved
	uploading
	uploaded
	ready      // to commit
	committing // under the session's write lock, reservation read again
	adopting   // knows the generation of an upload, has not reserved yet
	unchecked  // to commit without reading the reservation again: a planted bug
)

// lock says who has a session's write lock.
type lock uint8

const (
	free lock = iota
	byWriter
	bySettler
	byAudit
)

// stage is where a session is in its life.
type stage uint8

const (
	absent   stage = iota
	creating       // a fork that is not admitted
	live
	deleting // marked in the catalog
	marked   // and in its own database
	released // its edges are removed
	deleted  // its files are removed
	stripped // edges removed, own database not marked: a planted bug
)

// serves reports whether a handle on the session may read what it holds, and commit.
func (g stage) serves() bool { return g == live || g == deleting || g == stripped }

// session is one session with its writer.
type session struct {
	stage      stage
	holds      bool // its database refers to the digest
	outbox     bool // its database has yet to let go of the edge
	lock       lock
	phase      phase
	generation uint8 // that its writer works on; 0 when idle
	late       bool  // a slow deletion has yet to release the edges of an earlier incarnation
}

// forkPhase is how far a fork is.
type forkPhase uint8

const (
	noFork   forkPhase = iota
	forkRead           // the parent's revision
	forkHalf           // edges copied; with ForkAfter, the database written
	forkFull           // both
)

// State is one state of the whole system.
type State struct {
	row      row
	objects  set // generations that exist in the object store
	doomed   set // generations queued for deletion
	puts     set // generations with a PUT under way
	deletes  set // generations with a DELETE under way
	edges    set // holders that refer to the digest
	next     uint8
	sessions [sessionCount]session
	upload   struct {
		phase      phase
		generation uint8
	}
	fork struct {
		phase      forkPhase
		generation uint8
	}
}

// Initial returns the state in which the search begins: nothing is stored.
func Initial(c Config) State {
	s := State{next: 1}
	for i := range s.sessions {
		s.sessions[i].stage = live
	}
	if c.Fork {
		s.sessions[1].stage = absent
	}
	return s
}

// Broken returns which invariant the state breaks, or nothing.
func (s State) Broken() string {
	there := s.row.exists && s.row.present && s.objects.has(s.row.generation)
	for i, e := range s.sessions {
		if e.stage.serves() && e.holds && !there {
			return fmt.Sprintf("session %d holds content that is not there", i)
		}
		if (e.stage == released || e.stage == deleted) && s.edges.has(uint8(i)) {
			return fmt.Sprintf("session %d is deleted and has an edge that nothing removes", i)
		}
	}
	return ""
}
