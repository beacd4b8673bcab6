// Package integration tests the whole embedded store from outside: processes that
// are killed, several processes on one directory, damaged files, full and read-only
// disks, and a blob driver that misbehaves.
//
// # How it is built
//
// A test that needs another process starts its own binary again; TestMain then runs
// a role instead of the tests. What a process acknowledges it writes, at once and as
// one JSON line, to its standard output, which outlives it.
//
// What a session holds at each revision is computed by the type workload from a
// seed, the session and the revision alone, so a checker needs to be told only which
// revisions were acknowledged.
//
// # Repeating a failure
//
// Each test logs its seed. It is that of the test's name unless LASHSTORE_SEED sets
// another. What operating systems schedule cannot be repeated; a failing crash test
// keeps its directory if LASHSTORE_KEEP names a folder to put it in.
//
// With LASHSTORE_CI=1 the tests run longer and nothing may be skipped.
package integration
