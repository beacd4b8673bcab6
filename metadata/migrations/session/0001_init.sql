-- A session database: one file, one session, so that no table needs a session id.
-- Revisions are numbered; a row that a later revision no longer has carries the
-- revision that removed it, and stays until no kept revision needs it.
-- "sum" columns are checksums of a row (see rowsum.go).

-- Who the session is, and what session lists show of its messages. ttl_ms: 0 is
-- for ever.
CREATE TABLE meta(
  one INTEGER PRIMARY KEY CHECK(one=1),
  session_id TEXT NOT NULL,
  incarnation TEXT NOT NULL,
  deleted INTEGER NOT NULL DEFAULT 0,
  session_name TEXT NOT NULL,
  model TEXT NOT NULL,
  cwd TEXT,
  relation TEXT NOT NULL,
  created_at_ms INTEGER NOT NULL,
  ttl_ms INTEGER NOT NULL,
  sum INTEGER NOT NULL,
  user_messages INTEGER NOT NULL DEFAULT 0,
  first_seq INTEGER,
  first_text TEXT NOT NULL DEFAULT '',
  picker_sum INTEGER NOT NULL
) STRICT;

CREATE TABLE lease(
  one INTEGER PRIMARY KEY CHECK(one=1),
  owner TEXT,
  token_hash BLOB,
  fencing INTEGER NOT NULL,
  claimed_at_ms INTEGER NOT NULL,
  expires_at_ms INTEGER NOT NULL,
  sum INTEGER NOT NULL
) STRICT;

CREATE TABLE revision(
  revision INTEGER PRIMARY KEY,
  committed_at_ms INTEGER NOT NULL,
  leaf_seq INTEGER,
  node_count INTEGER NOT NULL,
  frame_id TEXT NOT NULL,
  turn_id TEXT NOT NULL,
  turn_state TEXT,
  component_count INTEGER NOT NULL,
  sum INTEGER NOT NULL
) STRICT;

CREATE TABLE config(
  added_rev INTEGER PRIMARY KEY,
  body TEXT NOT NULL,
  sum INTEGER NOT NULL
) STRICT;

CREATE TABLE frame(
  frame_id TEXT PRIMARY KEY NOT NULL,
  seq INTEGER NOT NULL,
  added_rev INTEGER NOT NULL,
  body TEXT NOT NULL,
  state_digest BLOB,
  state_size INTEGER,
  sum INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- hidden: 0 visible, 1 tombstoned, 2 erased by a vacuum.
CREATE TABLE node(
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  node_id TEXT NOT NULL,
  parent_seq INTEGER,
  depth INTEGER NOT NULL,
  added_rev INTEGER NOT NULL,
  removed_rev INTEGER,
  hidden INTEGER NOT NULL DEFAULT 0,
  user_message INTEGER NOT NULL,
  kind INTEGER NOT NULL,
  frame_id TEXT NOT NULL,
  caused_by TEXT,
  timestamp_ms INTEGER NOT NULL,
  payload BLOB,
  sum INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX node_live ON node(node_id) WHERE removed_rev IS NULL;
CREATE INDEX node_removed ON node(removed_rev) WHERE removed_rev IS NOT NULL;

CREATE TABLE component(
  key TEXT NOT NULL,
  added_rev INTEGER NOT NULL,
  removed_rev INTEGER,
  digest BLOB NOT NULL,
  size INTEGER NOT NULL,
  counter INTEGER NOT NULL,
  descriptor TEXT NOT NULL,
  sum INTEGER NOT NULL,
  PRIMARY KEY(key, added_rev)
) STRICT, WITHOUT ROWID;
CREATE INDEX component_live ON component(key) WHERE removed_rev IS NULL;
CREATE INDEX component_removed ON component(removed_rev) WHERE removed_rev IS NOT NULL;

-- Content that components, frames, attachments and artifacts refer to, "refs"
-- times in all: its bytes, or its manifest and the digests of its objects in the
-- blob tier, one after the other.
CREATE TABLE content(
  digest BLOB PRIMARY KEY NOT NULL,
  size INTEGER NOT NULL,
  refs INTEGER NOT NULL,
  bytes BLOB,
  manifest BLOB,
  objects BLOB,
  sum INTEGER NOT NULL,
  refs_sum INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Objects of the blob tier that contents need, "refs" contents each. The catalog
-- has an edge from this session for every row.
CREATE TABLE object(
  digest BLOB PRIMARY KEY NOT NULL,
  generation INTEGER NOT NULL,
  refs INTEGER NOT NULL,
  sum INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Objects that the session may no longer need; their edges are yet to be removed.
CREATE TABLE outbox(digest BLOB PRIMARY KEY NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE turn_commit(
  turn_id TEXT PRIMARY KEY NOT NULL,
  hash BLOB NOT NULL,
  revision INTEGER NOT NULL,
  result TEXT NOT NULL,
  sum INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- One row per source and model, numbered in order of first use.
CREATE TABLE usage(
  source TEXT NOT NULL,
  model TEXT NOT NULL,
  seq INTEGER NOT NULL,
  input_tokens INTEGER NOT NULL,
  output_tokens INTEGER NOT NULL,
  cached_input_tokens INTEGER NOT NULL,
  reasoning_tokens INTEGER NOT NULL,
  sum INTEGER NOT NULL,
  PRIMARY KEY(source, model)
) STRICT, WITHOUT ROWID;

CREATE TABLE batch(
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  batch_id TEXT NOT NULL UNIQUE,
  source_key TEXT NOT NULL,
  class TEXT NOT NULL,
  delivery_policy TEXT NOT NULL,
  slot_policy TEXT NOT NULL,
  merge_key TEXT NOT NULL,
  available_at_ms INTEGER NOT NULL,
  enqueued_at_ms INTEGER NOT NULL,
  claim_id TEXT,
  claim_owner TEXT,
  claim_token_hash BLOB,
  claim_fencing INTEGER NOT NULL DEFAULT 0,
  claim_lease INTEGER NOT NULL DEFAULT 0,
  claim_expires_at_ms INTEGER NOT NULL DEFAULT 0,
  sum INTEGER NOT NULL
) STRICT;
CREATE INDEX batch_claim ON batch(claim_id) WHERE claim_id IS NOT NULL;

CREATE TABLE item(
  batch_seq INTEGER NOT NULL,
  idx INTEGER NOT NULL,
  type TEXT NOT NULL,
  body BLOB NOT NULL,
  sum INTEGER NOT NULL,
  PRIMARY KEY(batch_seq, idx)
) STRICT, WITHOUT ROWID;

-- state: 0 queued, 1 completed, 2 cancelled; ended_at_ms only for the latter two.
CREATE TABLE source_key(
  source_key TEXT PRIMARY KEY NOT NULL,
  batch_id TEXT NOT NULL,
  payload_hash BLOB NOT NULL,
  state INTEGER NOT NULL,
  ended_at_ms INTEGER,
  sum INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX source_key_ended ON source_key(ended_at_ms) WHERE ended_at_ms IS NOT NULL;

-- held: whether the row counts as a reference to its content.
CREATE TABLE attachment(
  digest BLOB PRIMARY KEY NOT NULL,
  size INTEGER NOT NULL,
  media_type TEXT NOT NULL,
  width INTEGER NOT NULL,
  height INTEGER NOT NULL,
  label TEXT NOT NULL,
  intent_at_ms INTEGER NOT NULL,
  committed_at_ms INTEGER,
  held INTEGER NOT NULL,
  sum INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE artifact(
  namespace TEXT NOT NULL,
  name TEXT NOT NULL,
  digest BLOB NOT NULL,
  size INTEGER NOT NULL,
  kind TEXT NOT NULL,
  updated_at_ms INTEGER NOT NULL,
  sum INTEGER NOT NULL,
  PRIMARY KEY(namespace, name)
) STRICT, WITHOUT ROWID;
