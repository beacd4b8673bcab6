// Package lashstore is the contract of a durable session store for platforms
// that run AI agents: records, interfaces, typed errors and limits, and no I/O.
// Whoever has read this package knows the product; package local implements it
// on a directory.
//
// # Nouns
//
// A tenant's [Store] holds sessions and blobs. A [Session] is a history of
// commits with one writer at a time. Each [Commit] makes one [Revision] (counted
// from 1; 0 means "nothing committed"), and the newest revision is the head. A
// revision names a leaf in a graph of immutable nodes, the agent frames, the
// configuration and a checkpoint: a set of named components whose bytes are
// blobs, identified by the [Digest] of their content.
//
// The right to commit is the execution lease: limited in time and numbered by a
// fencing token that never goes back. Work waits in the session's queue and is
// settled by the commit that used it.
//
// # Guarantees
//
//	G1  A commit that returned without error survives the death of the process and,
//	    with durability full (the default), of the machine.
//	G2  A commit is whole or absent: graph, checkpoint, usage, queue settlements,
//	    enqueued batches, attachments, the turn's receipt and the lease's release.
//	G3  Of the commits that expect the same revision, at most one applies. The
//	    others get [ErrHeadMoved] and change nothing.
//	G4  A turn id is applied at most once. The same commit again returns the
//	    recorded result, marked as a replay; another commit is [ErrTurnConflict].
//	G5  At most one holder has a live lease, and whoever was superseded is refused
//	    with [ErrFenced] from then on.
//	G6  A queued batch is in at most one live claim, and only the commit that names
//	    that claim removes it.
//	G7  Bytes are verified against their digest on every read; damage is
//	    [ErrCorruptBlob] or [ErrCorruptRecord], never an empty or different value.
//	G8  Absent, unreadable and failed are three different errors.
//
// # Concurrency and failure
//
// All interfaces may be used by several goroutines and, for implementations on a
// directory, by several processes. Every method takes a context; once it is done
// the method returns its error, having changed nothing unless the change had
// already been acknowledged by the database. An error that wraps [ErrBusy] means
// "repeat the identical call"; [Code] gives every error a stable name.
//
// Times are kept in whole milliseconds since the Unix epoch and are read back in
// UTC; finer parts are cut off. The zero [time.Time] means "now" or "none" where
// the field says so.
package lashstore
