// Package sabotage plants bugs into the reference protocol, so that tests can show
// that they would be found. Without the build tag "sabotage" there is no way to plant
// one, and the compiler removes the branches.
package sabotage

// Bug is a rule of the protocol that is broken.
type Bug int32

// The bugs.
const (
	None Bug = iota
	// ReleaseFirst removes edges before the commit that drops them is durable.
	ReleaseFirst
	// NoClear lets a reservation leave a condemnation as it is, and dooms what is
	// condemned without looking for edges.
	NoClear
	// SameName gives an object the same name each time that its content is stored.
	SameName
	// NoLock removes surplus edges in an audit without the session's lock.
	NoLock
	// NoReread commits without reading the reservation again.
	NoReread
)

// Bugs lists all bugs.
func Bugs() []Bug { return []Bug{ReleaseFirst, NoClear, SameName, NoLock, NoReread} }

func (b Bug) String() string {
	switch b {
	case ReleaseFirst:
		return "edge released before the commit that drops it"
	case NoClear:
		return "condemnation neither cleared by a reservation nor re-checked"
	case SameName:
		return "object name reused after deletion"
	case NoLock:
		return "surplus edges removed without the session lock"
	case NoReread:
		return "commit without re-reading its reservation"
	default:
		return "none"
	}
}
