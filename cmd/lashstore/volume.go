package main

import "syscall"

// volume is the file system that a folder is on.
type volume struct {
	kind      string // its name; empty if it is not known
	freeBytes int64  // for this user
	network   bool   // other machines may write to it, or it is reached over a network
	volatile  bool   // a restart of the machine empties it
}

// openFileLimit is how many files the process may have open.
func openFileLimit() (uint64, error) {
	var limit syscall.Rlimit
	err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit)
	return limit.Cur, err
}
