// Package diskcache keeps parts of stored objects on a local disk, in front of any
// [cas.Driver], and is a driver itself. It spares a far tier the reads that come
// again; a write always goes to the tier.
//
// An object is cached in aligned blocks, one file each, so that 8 KiB of a segment
// of 16 MiB cost one block and not the segment:
//
//	<dir>/<hhh>/<61 hex digits>.<16 hex digits>    key (hashed), block number
//	<dir>/tmp/<random>                             a block that is being written
//	<dir>/CACHEDIR.TAG                             tells backups to leave the folder out
//
// A read takes each block it needs from disk. Where one is missing it asks the tier
// for all blocks from there to the next cached one, or to the end of the range, in
// one request (a run, at most 32 MiB), and stores them as they arrive.
//
// # Block file
//
// Integers are big-endian.
//
//	 0       4     5     8           40         48         56           60        64
//	┌───────┬─────┬─────┬───────────┬──────────┬──────────┬────────────┬─────────┬──────
//	│ magic │ ver │  0  │ key hash  │  number  │  object  │   length   │ CRC-32C │ bytes …
//	└───────┴─────┴─────┴───────────┴──────────┴──────────┴────────────┴─────────┴──────
//	magic      0x89 'L' 'S' 'B'
//	ver        1
//	key hash   BLAKE3 of namespace, block size and key
//	number     of the block in its object, from 0
//	object     size of the object in bytes; all ones but in its last block
//	length     of the bytes that follow
//	CRC-32C    of everything else: bytes 0 to 59, then the bytes
//
// # Guarantees
//
//	G1  A block is checked whole, header and checksum, each time before a byte of it
//	    is served. What fails is removed, counted and fetched again: a damaged cache
//	    neither serves wrong bytes nor fails a read.
//	G2  A cache disk that is full, read-only or broken fails no operation. It is
//	    counted, logged at most once a minute for each kind of failure, and for ten
//	    seconds nothing more is written; reads that miss go straight to the tier.
//	G3  The files take at most [Options.MaxBytes], each counted in whole pages of
//	    4 KiB and one more for what folders take. What was used longest ago goes first. Use
//	    is noted in the file's time, at most once a minute, and so survives a
//	    restart; a file that is being read stays readable when it is removed.
//	G4  Concurrent misses of one block in one [Cache] cost one request. A reader
//	    whose context ends takes itself out and fails no other; a request that nobody
//	    waits for is stopped.
//	G5  Memory is one block for each reader and one for each request under way,
//	    whatever the size of object and cache, and some megabytes while evicting.
//	G6  No key becomes a path, and no link leads out of the folder ([os.Root]). The
//	    folder is 0700, files are 0600. Files that the package did not name are
//	    neither counted nor removed.
//
// # Deletion and replacement
//
// A key is never used for other content (design section 6), so there is nothing to
// keep coherent but deletion. Delete and Put drop what this cache holds of a key,
// also what a request under way would still store. Another process with another
// folder, or one that just fetched the object, may serve a deleted object for as
// long as it keeps it. That is harmless: nothing refers to a deleted object, and its
// key does not come back. The same holds for a process that dies between the tier's
// answer and the dropping.
//
// A Put of other bytes under a key that exists (another envelope of the same
// content) fails a read of that key that has served some bytes and needs more of the
// tier, with [ErrReplaced]: a mixture would be worse. What another process puts is not
// seen; whoever reads by digest finds such a mixture, and forgets it (see below).
//
// # What the checks do not see
//
// The checksum covers what the tier answered. If that answer was damaged on its way,
// or ended early without an error, the cache repeats it. Who verifies digests must
// call [Cache.Forget] when one is wrong and read once more: only then is the object
// in the tier itself known to be corrupt.
//
// # Several processes
//
// Caches may share a folder, in one process or several, with one [Options.MaxBytes].
// A block appears by rename, whole or not at all; a torn one after a crash fails its
// checksum, so nothing is flushed. Each cache counts the whole folder when it opens
// and then each time it has written 5 % of MaxBytes; between two counts it does not
// see what others write. So p caches together exceed the limit by at most (p-1)/20
// of it. Caches that evict at the same time choose the same files. Caches of
// different tiers must not share a folder unless their namespaces differ.
//
// Counting runs in the background, reads 4,000 blocks (1 GiB) in some ten
// milliseconds, and keeps the candidates for eviction only. Until the first count is
// done the cache serves what it has and stores nothing.
package diskcache
