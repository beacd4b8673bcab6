//go:build sabotage

package sabotage

import "sync/atomic"

var planted atomic.Int32 //nolint:gochecknoglobals // a switch of tests, in a build for tests

// Plant makes the process have a bug, or with [None] none. It must not be called while
// a store is open.
func Plant(b Bug) { planted.Store(int32(b)) }

// Planted reports whether a bug is planted.
func Planted(b Bug) bool { return Bug(planted.Load()) == b }
