// Package metadata keeps lashstore's records in SQLite: one database per session
// ([SessionDB]) and one catalog per tenant ([Catalog]).
//
// It knows what a session is and which blobs exist, and nothing of how or where
// blobs are stored: manifests are bytes to it, and a blob is a digest with a
// generation.
//
// # Guarantees
//
//	M1  Every read-then-write runs in one transaction that takes the write lock
//	    before its first read; every read sees one snapshot.
//	M2  A row that cannot be trusted (a checksum that does not match, a record that
//	    does not decode, a row that must be there and is not) is an error that names
//	    it, never an empty value.
//	M3  A session's edges in the catalog always cover what the session holds: they
//	    are added before a commit ([Catalog.Reserve]), re-read inside it
//	    ([Catalog.Verify]) and removed after it, under the session's write lock
//	    ([SessionDB.Settle]).
//	M4  The lock order is session, then catalog.
//	M5  A call on a deleted session fails, from whatever process and however long
//	    its handle has been open.
//	M6  A database of another kind or of a newer version is refused and not changed.
//
// # Concurrency
//
// All types may be used by several goroutines and files by several processes. A
// database has one writer connection and a few for reading, which see snapshots and
// do not wait for the writer. Writes to the catalog share transactions (group
// commit).
//
// # Failure
//
// Errors are those of package lashstore, wrapped with the operation and the file.
// [lashstore.ErrBusy] means that another process held the write lock for longer
// than the busy timeout: the call changed nothing and can be repeated.
package metadata
