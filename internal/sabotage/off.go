//go:build !sabotage

package sabotage

// Planted reports whether a bug is planted: never, in this build.
func Planted(Bug) bool { return false }
