-- The catalog of one tenant: which sessions and blobs exist and who refers to them.
-- "sum" columns are checksums of a row (see rowsum.go).

-- state: 0 being created, 1 live, 2 being deleted, 3 deleted. The row is the
-- session's admission; a deleted id keeps its row. expires_at_ms: updated_at_ms and
-- the time to live, null for ever.
CREATE TABLE session(
  session_id TEXT PRIMARY KEY NOT NULL,
  incarnation TEXT NOT NULL,
  state INTEGER NOT NULL,
  session_name TEXT NOT NULL,
  model TEXT NOT NULL,
  cwd TEXT,
  relation TEXT NOT NULL,
  parent_id TEXT NOT NULL,
  created_at_ms INTEGER NOT NULL,
  updated_at_ms INTEGER NOT NULL,
  expires_at_ms INTEGER,
  head_revision INTEGER NOT NULL,
  node_count INTEGER NOT NULL,
  first_user_message TEXT NOT NULL,
  user_message_count INTEGER NOT NULL,
  sum INTEGER NOT NULL
) STRICT;
CREATE INDEX session_updated ON session(updated_at_ms, session_id) WHERE state IN (0,1);
CREATE INDEX session_incarnation ON session(incarnation);
CREATE INDEX session_deleting ON session(session_id) WHERE state=2;
CREATE INDEX session_parent ON session(parent_id, updated_at_ms, session_id) WHERE parent_id<>'';
CREATE INDEX session_expires ON session(session_id, expires_at_ms) WHERE expires_at_ms IS NOT NULL AND state IN (0,1);

-- What the blob tier has or is about to have: object name = digest.generation.
-- role: 0 unknown (not present), 1 content, 2 part of content. describes: of the
-- object of a manifest, the content that it puts together.
CREATE TABLE blob(
  digest BLOB PRIMARY KEY NOT NULL,
  generation INTEGER NOT NULL,
  present INTEGER NOT NULL,
  role INTEGER NOT NULL,
  describes BLOB,
  raw_size INTEGER NOT NULL,
  stored_size INTEGER NOT NULL,
  condemned_at_ms INTEGER,
  sum INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX blob_describes ON blob(describes) WHERE describes IS NOT NULL;
-- By shard, which is a range of first bytes, and then by age.
CREATE INDEX blob_condemned ON blob(substr(digest,1,1), condemned_at_ms, stored_size) WHERE condemned_at_ms IS NOT NULL;

-- Who refers to blobs. kind: 1 session (key: incarnation), 2 upload (key: random).
CREATE TABLE holder(
  holder INTEGER PRIMARY KEY AUTOINCREMENT,
  kind INTEGER NOT NULL,
  key TEXT NOT NULL,
  expires_at_ms INTEGER,
  UNIQUE(kind, key)
) STRICT;
CREATE INDEX holder_expires ON holder(expires_at_ms) WHERE expires_at_ms IS NOT NULL;

CREATE TABLE edge(
  digest BLOB NOT NULL,
  holder INTEGER NOT NULL,
  PRIMARY KEY(digest, holder)
) STRICT, WITHOUT ROWID;
CREATE INDEX edge_holder ON edge(holder);

-- The newest upload of each content that no session may hold yet.
CREATE TABLE upload(
  digest BLOB PRIMARY KEY NOT NULL,
  holder INTEGER NOT NULL,
  size INTEGER NOT NULL,
  manifest BLOB NOT NULL,
  objects INTEGER NOT NULL,
  uploaded_at_ms INTEGER NOT NULL,
  expires_at_ms INTEGER NOT NULL,
  sum INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX upload_holder ON upload(holder);

-- The blob tier that the tenant's objects are in. owner: the random name by which
-- the tier knows this catalog; claimed: whether it does.
CREATE TABLE tier(
  one INTEGER PRIMARY KEY CHECK(one=1),
  name TEXT NOT NULL,
  owner TEXT NOT NULL,
  claimed INTEGER NOT NULL,
  sum INTEGER NOT NULL
) STRICT;

-- Objects whose deletion is decided and not yet confirmed.
CREATE TABLE doomed(
  digest BLOB NOT NULL,
  generation INTEGER NOT NULL,
  stored_size INTEGER NOT NULL,
  doomed_at_ms INTEGER NOT NULL,
  PRIMARY KEY(digest, generation)
) STRICT, WITHOUT ROWID;

-- Counts the transactions of this catalog. The file beside it says how far it has
-- been seen: a catalog that is behind came from a backup.
CREATE TABLE sequence(
  one INTEGER PRIMARY KEY CHECK(one=1),
  sequence INTEGER NOT NULL
) STRICT;
INSERT INTO sequence(one, sequence) VALUES(1, 0);

-- What collections remember. stopped: why nothing may be deleted before an audit has
-- passed its mark phase. stale: whether the catalog may take objects for present that
-- are gone, until an audit has swept. audit_phase: 0 none, 1 mark, 2 sweep.
CREATE TABLE collection(
  one INTEGER PRIMARY KEY CHECK(one=1),
  clock_ms INTEGER NOT NULL,
  ran_at_ms INTEGER NOT NULL,
  audited_at_ms INTEGER NOT NULL,
  stopped TEXT NOT NULL,
  stale INTEGER NOT NULL,
  audit TEXT NOT NULL,
  audit_at_ms INTEGER NOT NULL,
  audit_phase INTEGER NOT NULL,
  mark_after TEXT NOT NULL,
  runs INTEGER NOT NULL,
  audits INTEGER NOT NULL,
  deleted INTEGER NOT NULL,
  deleted_bytes INTEGER NOT NULL,
  sum INTEGER NOT NULL
) STRICT;

-- Which worker has taken which shard; -1 is the mark phase. audit: the last audit
-- that swept it.
CREATE TABLE shard(
  shard INTEGER PRIMARY KEY,
  token TEXT NOT NULL,
  worker TEXT NOT NULL,
  expires_at_ms INTEGER NOT NULL,
  audit TEXT NOT NULL
) STRICT;
