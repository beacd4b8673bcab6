package metadata

// Gate is told when a write is about to wait for its database's lock, and when it has
// let go of it. It is for tests that decide which of several writers goes on.
type Gate interface {
	Enter(path string)
	Leave(path string)
}
