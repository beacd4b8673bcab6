package model

import "fmt"

// Bug is a mistake planted into the protocol. Each stands for a rule of it: with the
// rule broken the search must find a counterexample, which shows that the rule is
// needed and that the model is able to see it.
type Bug uint8

// The mistakes.
const (
	// NoBug is the protocol as it is.
	NoBug Bug = iota
	// SameName gives content that comes back the object name it had before.
	SameName
	// ReleaseBefore removes an edge before the commit that drops the reference.
	ReleaseBefore
	// NoReread commits without reading the reservation again under the session's lock.
	NoReread
	// NoLock removes surplus edges without the session's write lock.
	NoLock
	// NoClear lets a reservation leave a condemnation standing and dooms a condemned
	// row without looking for edges again.
	NoClear
	// ForkAfter writes a fork's database before its edges.
	ForkAfter
	// ForkCount copies the parent's edges without comparing the generation and presence
	// of what they lead to with what was read from the parent.
	ForkCount
	// ForkAdmit admits a fork without checking that it was not given up meanwhile.
	ForkAdmit
	// ExpireHeld lets the expiry of an upload remove the row instead of the upload's edge.
	ExpireHeld
	// AdoptNoReread commits what was adopted from an upload without reading the
	// reservation again.
	AdoptNoReread
	// DeleteBeforeMark removes a session's edges before its own database is marked deleted.
	DeleteBeforeMark
	// ReserveDeleted accepts reservations of a session whose edges the deletion has removed.
	ReserveDeleted
	// SameHolder makes the holder of a session's edges its id, without the incarnation.
	SameHolder

	bugs // their number
)

// Bugs returns all planted mistakes.
func Bugs() []Bug {
	all := make([]Bug, 0, bugs-1)
	for b := NoBug + 1; b < bugs; b++ {
		all = append(all, b)
	}
	return all
}

// String returns the name of the mistake.
func (b Bug) String() string {
	if b >= bugs {
		return fmt.Sprintf("Bug(%d)", uint8(b))
	}
	return [bugs]string{
		NoBug:            "none",
		SameName:         "samename",
		ReleaseBefore:    "releasebefore",
		NoReread:         "noreread",
		NoLock:           "nolock",
		NoClear:          "noclear",
		ForkAfter:        "forkafter",
		ForkCount:        "forkcount",
		ForkAdmit:        "forkadmit",
		ExpireHeld:       "expireheld",
		AdoptNoReread:    "adoptnoreread",
		DeleteBeforeMark: "deletebeforemark",
		ReserveDeleted:   "reservedeleted",
		SameHolder:       "sameholder",
	}[b]
}

// Needs returns the smallest configuration in which the mistake can show.
func (b Bug) Needs() Config {
	c := Config{Bug: b}
	switch b {
	case ForkAfter, ForkCount, ForkAdmit:
		c.Fork = true
	case ExpireHeld, AdoptNoReread:
		c.Uploads = true
	case DeleteBeforeMark, ReserveDeleted, SameHolder:
		c.Deletion = true
	default:
	}
	return c
}
