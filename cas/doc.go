// Package cas is the content-addressed tier: immutable content, named by the
// BLAKE3 digest of its uncompressed bytes, in an object store or a directory. It
// knows nothing of sessions; what is live and what may be deleted is decided above.
//
// # Nouns
//
// A [Driver] keeps bytes by key; drivers are the packages below this one. A
// [Store] is a driver with the rules that every driver needs and none should
// repeat. An object is what lies under one key: an envelope around content. Large
// content is cut into chunks, one object each, and a [Manifest] lists them in
// order. A [Generation] is a random number that makes each storing of the same
// content a new object, so that a deletion that arrives late can never hit a
// newer one (design section 6).
//
//	<prefix>b3/<hh>/<digest, 64 hex digits>.<generation, 16 hex digits>
//	            └── first two digits of the digest: 256 shards
//
// # Envelope
//
// Integers are big-endian. An object can be decoded and verified with nothing but
// its bytes and the digest that is expected.
//
//	 0       4     5     6     7     8            12           16
//	┌───────┬─────┬─────┬─────┬─────┬────────────┬────────────┬─────────
//	│ magic │ ver │kind │codec│  0  │ raw length │  CRC-32C   │ payload …
//	└───────┴─────┴─────┴─────┴─────┴────────────┴────────────┴─────────
//	magic       0x89 'L' 'S' 'O'   not text, and not any common file type
//	ver         1
//	kind        1 generic_blob, 2 tool_state, 3 plugin_session_snapshot,
//	            4 execution_state_snapshot, 5 lashlang_module,
//	            6 process_execution_env, 7 attachment
//	codec       0 raw, 1 zstd
//	raw length  of the content, at most MaxObjectBytes
//	CRC-32C     of everything else: bytes 0 to 11, then the payload
//
// The digest protects the content. The checksum protects the rest, so that no bit
// of a stored object can change unseen, and lets damage be found before anything
// is decompressed.
//
// # Guarantees
//
//	G1  What is read is what was stored: every byte handed out has been hashed
//	    and compared with its digest first. Anything else is a
//	    [lashstore.CorruptBlobError] that names digest and key.
//	G2  Decoding never guesses: what is not a whole envelope of a known version is
//	    corrupt, never "content without an envelope" (spec 01, W14).
//	G3  No length found in stored bytes is used for an allocation beyond
//	    [MaxObjectBytes], and none before the checksum has matched.
//	G4  Profile, kind and hints never change a digest or a key. Two envelopes of
//	    the same content may differ; either may replace the other.
//	G5  Splitting and joining need memory for a few chunks, whatever the size.
//	G6  A key is built from a digest and a generation only, and checked before a
//	    driver sees it.
//	G7  Absent, corrupt and failed are three errors: [lashstore.ErrBlobNotFound],
//	    [lashstore.ErrCorruptBlob], [lashstore.ErrStorage] (or a sentinel that says
//	    more, such as [lashstore.ErrDiskFull]).
//
// # Concurrency and failure
//
// A Store may be used by any number of goroutines, and several stores, in several
// processes, may share a driver's data. Every method takes a context; once it is
// done, the method returns an error that wraps the context's. Every operation may
// be repeated: putting again what was put is harmless, deleting what is gone
// succeeds. The package does not retry; drivers do, where their service needs it.
package cas
