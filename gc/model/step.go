package model

import "fmt"

// Action is a kind of step.
type Action uint8

// The actions. Which of them a configuration allows is in the files named.
const (
	// Of a writer (writer.go), and the first five also of the upload (upload.go).
	Reserve Action = iota
	ReserveNew
	PutStart
	PutAcknowledged
	MarkPresent
	LockAndReread
	LockUnread // with NoReread or AdoptNoReread only
	Retry
	Commit
	Crash
	Drop
	DropThenCrash // with ReleaseBefore only
	SettleLock
	Settle
	// Of the object store and the collector (collector.go).
	PutLands
	PutLandsAndRepeats
	AuditLock
	AuditRelease
	Condemn
	Doom
	DeleteStart
	DeleteLands
	DeleteLandsAndRepeats
	DeleteAcknowledged
	Sweep
	// Of uploads (upload.go).
	Expire
	Adopt
	AdoptReserve
	// Of forks (fork.go).
	ForkStart
	ForkCopy
	ForkRefused
	ForkWrite
	ForkAdmitted
	ForkCrash
	ForkComplete
	ForkGiveUp
	// Of deletion (deletion.go).
	DeleteMark
	DeleteMarkOwn
	DeleteRelease
	DeleteReleaseSlow // with SameHolder only
	DeleteLate        // with SameHolder only
	DeleteFiles
	Recreate

	actions // their number
)

// String says what is done.
func (a Action) String() string {
	if a >= actions {
		return fmt.Sprintf("Action(%d)", uint8(a))
	}
	return [actions]string{
		Reserve:               "reserves the row",
		ReserveNew:            "reserves, making a new row",
		PutStart:              "sends a PUT",
		PutAcknowledged:       "sees the object stored",
		MarkPresent:           "marks the object present",
		LockAndReread:         "locks its database and reads the reservation again",
		LockUnread:            "locks its database and does not read the reservation again",
		Retry:                 "finds the reservation gone and starts again",
		Commit:                "commits",
		Crash:                 "crashes before it is done",
		Drop:                  "commits without the reference",
		DropThenCrash:         "releases the edge and crashes before the commit",
		SettleLock:            "locks its database to settle",
		Settle:                "settles its outbox",
		PutLands:              "the PUT takes effect",
		PutLandsAndRepeats:    "the PUT takes effect and will again",
		AuditLock:             "is locked by the audit",
		AuditRelease:          "is audited: a surplus edge is removed",
		Condemn:               "the row is condemned",
		Doom:                  "the row is removed and its object doomed",
		DeleteStart:           "a DELETE is sent",
		DeleteLands:           "the DELETE takes effect",
		DeleteLandsAndRepeats: "the DELETE takes effect and will again",
		DeleteAcknowledged:    "the object leaves the queue",
		Sweep:                 "an object without a row is doomed",
		Expire:                "expires, and the collector removes its edge",
		Adopt:                 "reads what the upload protects",
		AdoptReserve:          "reserves what it adopts",
		ForkStart:             "reads the parent's revision",
		ForkCopy:              "copies the parent's edge",
		ForkRefused:           "finds that it cannot go on",
		ForkWrite:             "writes the child's database",
		ForkAdmitted:          "is admitted",
		ForkCrash:             "crashes before it is done",
		ForkComplete:          "is found complete by another, and admitted",
		ForkGiveUp:            "is given up by the collector",
		DeleteMark:            "is marked deleted in the catalog",
		DeleteMarkOwn:         "is marked deleted in its own database",
		DeleteRelease:         "is deleted: its edges are removed",
		DeleteReleaseSlow:     "is deleted by two: one removes its edges, one is late",
		DeleteLate:            "has its earlier incarnation's edges removed, late",
		DeleteFiles:           "is deleted: its files are removed",
		Recreate:              "is created again",
	}[a]
}

// Step is one step of a trace.
type Step struct {
	Action Action
	// Holder is who takes the step: the index of a session, or 2 for the upload.
	Holder uint8
	// Generation is the one that the step is about.
	Generation uint8
}

// String says who does what.
func (p Step) String() string {
	switch {
	case p.Action >= PutLands && p.Action <= Sweep && p.Action != AuditLock && p.Action != AuditRelease:
		return fmt.Sprintf("%s (generation %d)", p.Action, p.Generation)
	case p.Action >= ForkStart && p.Action <= ForkGiveUp:
		return fmt.Sprintf("the fork %s", p.Action)
	}
	who := "the upload"
	if p.Holder != upload {
		who = fmt.Sprintf("session %d", p.Holder)
	}
	switch p.Action {
	case Reserve, ReserveNew, PutStart, PutAcknowledged, MarkPresent, Adopt, AdoptReserve:
		return fmt.Sprintf("%s %s (generation %d)", who, p.Action, p.Generation)
	default:
		return fmt.Sprintf("%s %s", who, p.Action)
	}
}
