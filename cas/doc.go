// Package cas is the content-addressed tier: immutable content, named by the
// BLAKE3 digest of its uncompressed bytes, in an object store or a directory. It
// knows nothing of sessions; what is live and what may be deleted is decided above.
//
// # Nouns
//
// A [Driver] keeps bytes by key; drivers are the packages below this one. A
// [Store] is a driver with the rules that every driver needs and none should
// repeat. An object is what lies under one key: an envelope around content, a
// segment or a manifest. A [Generation] is a random number that makes each storing of
// the same bytes a new object, so that a deletion that arrives late can never hit a
// newer one (design section 6).
//
//	<prefix>b3/<hh>/<digest, 64 hex digits>.<generation, 16 hex digits>
//	            └── first two digits of the digest: 256 shards
//
// Content of up to [SingleBytes] is one object, unless it is much like its
// predecessor. Other content is cut into chunks where its own bytes say so
// ([Store.Split]), so that an insertion moves no cut but those beside it. New chunks
// are packed in order into segments. A [Manifest] says where each [Chunk] lies. What a
// holder of content keeps is its root: the manifest itself if it is small, else the
// names of the objects that it is in. A manifest's object may be a difference, which
// says what changed since an earlier one, to a bounded depth.
//
//	root ──► difference ──► … ──► manifest          (objects; or the root alone)
//	             └───────┬────────────┘
//	                 manifest: chunks, in order
//	                  │      │        │       │
//	                  ▼      ▼        ▼       ▼
//	                ┌─────────────┐ ┌────────────┐
//	                │ segment     │ │ segment    │   (objects)
//	                └─────────────┘ └────────────┘
//
// A [Predecessor] is the content that new content is expected to resemble, such as
// the state of the turn before. Chunks that it has are not stored again. A chunk that
// changed a little is stored as a delta: compressed with the predecessor's chunk, its
// base, as the dictionary. A base may be a delta too; it stays named in the manifest
// for as long as a chunk needs it. Copy-forward is what keeps space bounded in the
// long run: chunks of badly used segments are stored again with the next content, which
// lets the segments go.
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
//	            6 process_execution_env, 7 attachment;
//	            8 segment, 9 manifest or difference: parts of content
//	codec       0 raw, 1 zstd
//	raw length  of the content, at most MaxObjectBytes
//	CRC-32C     of everything else: bytes 0 to 11, then the payload
//
// The digest protects the content. The checksum protects the rest, so that no bit
// of an object that is read whole can change unseen, and lets damage be found before
// anything is decompressed. A segment's payload is its chunks, each in its own form,
// so that a range of content costs a range of the object; then the digests in the
// manifest protect what is read, and the header is not looked at: damage to it harms
// nobody, and reading the object whole finds it.
//
// The digest of a segment or manifest is BLAKE3 in its key-derivation mode, so that no
// content has the name of a part, whatever its bytes.
//
// # Guarantees
//
//	G1  What is read is what was stored: every byte handed out has been hashed
//	    and compared with its digest first, chunk by chunk; a manifest's object
//	    has been before its chunks are looked for. The digest of the whole content
//	    is compared too by those who ask for it ([Store.JoinWhole]). Anything else is
//	    a [lashstore.CorruptBlobError] that names digest and key.
//	G2  Decoding never guesses: what is not a whole envelope, manifest, difference
//	    or root of a known version is corrupt, never "content without an envelope"
//	    (spec 01, W14). A manifest has one binary form, and one that no content can
//	    have is refused.
//	G3  No length found in stored bytes is used for an allocation beyond
//	    [MaxObjectBytes], and none before the checksum has matched or the bytes that
//	    it counts are there.
//	G4  Profile, kind and hints never change the digest of content or the key of
//	    content that is one object. Two envelopes of the same bytes may differ; either
//	    may replace the other. How content lies in chunks and segments does depend on
//	    the profile, the hints and the predecessor.
//	G5  Splitting and joining need memory for a few windows and segments, whatever
//	    the size: up to 64 MiB and 32 MiB.
//	G6  A key is built from a digest and a generation only, and checked before a
//	    driver sees it.
//	G7  Absent, corrupt and failed are three errors: [lashstore.ErrBlobNotFound],
//	    [lashstore.ErrCorruptBlob], [lashstore.ErrStorage] (or a sentinel that says
//	    more, such as [lashstore.ErrDiskFull]).
//	G8  To read a chunk takes undoing a bounded number of deltas, and to read a
//	    manifest a bounded number of differences; both are checked on the way in.
//	G9  A manifest names exactly the objects that its content needs: whoever holds
//	    those can read it, whatever becomes of its predecessors.
//
// # Concurrency and failure
//
// A Store may be used by any number of goroutines, and several stores, in several
// processes, may share a driver's data. Every method takes a context; once it is
// done, the method returns an error that wraps the context's. Every operation may
// be repeated: putting again what was put is harmless, deleting what is gone
// succeeds. The package does not retry; drivers do, where their service needs it.
package cas
