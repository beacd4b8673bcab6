-- The catalog of one tenant: which sessions and blobs exist and who refers to them.
-- "sum" columns are checksums of a row (see rowsum.go).

-- state: 0 being created, 1 live, 2 being deleted, 3 deleted. The row is the
-- session's admission; a deleted id keeps its row.
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
  head_revision INTEGER NOT NULL,
  node_count INTEGER NOT NULL,
  first_user_message TEXT NOT NULL,
  user_message_count INTEGER NOT NULL,
  sum INTEGER NOT NULL
) STRICT;
CREATE INDEX session_updated ON session(updated_at_ms, session_id) WHERE state IN (0,1);
CREATE INDEX session_parent ON session(parent_id, updated_at_ms, session_id) WHERE parent_id<>'';

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
CREATE INDEX blob_condemned ON blob(condemned_at_ms) WHERE condemned_at_ms IS NOT NULL;

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
  object TEXT PRIMARY KEY NOT NULL,
  doomed_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
