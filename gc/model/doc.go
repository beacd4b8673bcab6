// Package model checks the protocol by which writers and the collector share blobs:
// it walks through every order in which their steps can happen, crashes and late
// effects included, and either finds that no order breaks an invariant or shows a
// shortest one that does.
//
// Nothing is stored and nothing is deleted here. Package gc is the collector, package
// metadata has the transactions and package local the order in which they run; a test
// of these sees the orders that happen to occur, this package sees all of them, but of
// a much smaller system. Who wants to change a step of the protocol changes it here
// first.
//
// # What is modelled
//
// One digest, since digests do not influence each other: no step of the protocol looks
// at two. Two sessions, so that one can need what the other lets go of. Two generations
// (three on demand), so that the content can be deleted and come back. And all of:
//
//   - writers: reserve, PUT, mark present, read the reservation again under the
//     session's write lock, commit; a commit that drops the reference; a crash
//     anywhere before the end (writer.go);
//   - the lazy removal of edges, by a session that settles its outbox and by the audit,
//     under the session's write lock (writer.go);
//   - the collector: condemn, doom, delete, acknowledge, and sweep objects without a
//     row (collector.go);
//   - the object store: a PUT or a DELETE takes effect at any time after it was sent,
//     perhaps after its sender is gone, and any number of times (collector.go).
//
// [Config] adds to these:
//
//   - Uploads: content that belongs to no session yet is held by a holder of its own,
//     which may expire at any moment; a session adopts it, without its bytes (upload.go);
//   - Fork: session 1 begins as a copy of session 0, which meanwhile goes on; whoever
//     finds a fork half done completes it or gives it up (fork.go);
//   - Deletion: sessions are deleted in steps that anyone may resume, and come back as
//     new incarnations (deletion.go).
//
// There is no clock. Grace periods, expiry and leases make steps rare or save work;
// here every step that they delay is possible at once, so nothing that is found to be
// safe is so because of them. The audit's repair, which restores edges that damage has
// removed, is not modelled: without damage it has nothing to do.
//
// # Invariants
//
//	I1  What a session's database refers to has a row, which is present, and whose
//	    object exists. This holds for every session that a handle may read: from its
//	    admission until its own database is marked deleted.
//	I2  A session whose edges were removed by its deletion has none, and gets none.
//
// I1 is safety: nothing live is ever deleted. I2 is the part of the other half (nothing
// dead is kept) that no later step of the model makes up for: any other surplus edge is
// found by the audit, which no longer opens a deleted session.
//
// # Reading a trace
//
// A trace begins with an empty store. Each line is one step, atomic as it is in the
// system, a transaction or one effect on the object store, by the session (0 or 1),
// the upload or the fork that it names, or by the collector. The generation is the one
// that the actor works on, which need not be that of the row by then; that is often
// the point. The last step leads to the state that breaks the invariant.
//
// # Planted bugs
//
// A search that finds nothing might be blind. Therefore each [Bug] breaks one rule, and
// the tests demand a counterexample for each. A new rule of the protocol should come
// with its bug.
//
// # Size
//
// States that can be reached, all of them safe:
//
//	                          one generation   two         three
//	base                              4,179      266,339   7,207,267
//	Fork                              4,949      515,061
//	Deletion                         39,202    2,253,298
//	Uploads                          46,296    3,843,448
//	Fork, Deletion                   28,760    3,571,768
//	Fork, Uploads                    63,350    7,661,830
//	Uploads, Deletion               366,854   30,511,846
//	Fork, Uploads, Deletion         362,672   51,228,608
//
// The tests examine the first column, and the second up to four million. The largest
// takes minutes, some GiB and a higher [Config.MaxStates]; what is left out is larger.
package model
