package bench

import (
	"context"
	"database/sql"
	"fmt"
	"testing"

	_ "modernc.org/sqlite" // the driver that the store uses

	"github.com/lashstore/lashstore"
)

// bare is a session's database used without the store: the same file, driver and
// settings, prepared statements, and nothing checked.
type bare struct {
	pool     *sql.DB
	conn     *sql.Conn
	prepared map[string]*sql.Stmt
	leaf     int64
	revision lashstore.Revision            // of the last commit, where the caller counts none
	contents map[lashstore.Revision][]byte // digest of the state by the revision that added it
}

// openBare opens a copy of a session's file with the settings of the store.
func openBare(path string, durability lashstore.Durability) *bare {
	ctx := context.Background()
	d := &bare{prepared: make(map[string]*sql.Stmt), contents: make(map[lashstore.Revision][]byte)}
	d.pool = must(sql.Open("sqlite", "file:"+path))
	d.pool.SetMaxOpenConns(1)
	d.conn = must(d.pool.Conn(ctx))
	sync := "FULL"
	if durability == lashstore.DurabilityNormal {
		sync = "NORMAL"
	}
	for _, pragma := range []string{"busy_timeout=100", "cache_size=-2000", "temp_store=MEMORY", "journal_mode=WAL", "synchronous=" + sync} {
		must(d.conn.ExecContext(ctx, "PRAGMA "+pragma))
	}
	check(d.conn.QueryRowContext(ctx, `SELECT (SELECT coalesce(max(seq), 0) FROM node), (SELECT coalesce(max(revision), 0) FROM revision)`).
		Scan(&d.leaf, &d.revision))
	return d
}

func (d *bare) Close() error {
	for _, s := range d.prepared {
		check(s.Close())
	}
	check(d.conn.Close())
	return d.pool.Close()
}

func (d *bare) statement(query string) *sql.Stmt {
	s, ok := d.prepared[query]
	if !ok {
		s = must(d.conn.PrepareContext(context.Background(), query))
		d.prepared[query] = s
	}
	return s
}

func (d *bare) exec(query string, args ...any) sql.Result {
	s := d.statement(query) //nolint:sqlclosecheck // Close closes it
	return must(s.ExecContext(context.Background(), args...))
}

// each calls scan for every row of a query and returns how many there were.
func (d *bare) each(query string, scan func(*sql.Rows) error) (n int) {
	s := d.statement(query) //nolint:sqlclosecheck // Close closes it
	rows, err := s.QueryContext(context.Background())
	check(err)
	defer func() { check(rows.Close()) }()
	for ; rows.Next(); n++ {
		check(scan(rows))
	}
	check(rows.Err())
	return n
}

// transaction runs fn in one transaction.
func (d *bare) transaction(fn func()) {
	d.exec("BEGIN IMMEDIATE")
	fn()
	d.exec("COMMIT")
}

// row is what one turn writes, ready to be written.
type row struct {
	revision          lashstore.Revision
	node, turn        string
	payload, state    []byte
	digest, hash      []byte
	descriptor        string
	turnState, result string
}

// rowOf encodes a turn.
func rowOf(c *lashstore.Commit) row {
	const digestJSON = `"blake3:0000000000000000000000000000000000000000000000000000000000000000","size_bytes":2048`
	state := c.Checkpoint.Components[lashstore.ComponentToolState].Bytes
	return row{
		revision: c.ExpectedRevision + 1, node: string(c.Graph.Nodes[0].NodeID), turn: string(c.TurnID),
		payload: c.Graph.Nodes[0].Payload, state: state, digest: lashstore.DigestOf(state).Bytes(), hash: make([]byte, 32),
		descriptor: `{"kind":"tool_state","hints":{"compressible":true,"large_payload":true}}`,
		turnState:  `{"turn_index":1,"token_usage":{"input_tokens":0,"output_tokens":0,"cached_input_tokens":0,"reasoning_tokens":0}}`,
		result: fmt.Sprintf(`{"head_revision":%d,"committed_at":"2026-01-01T00:00:00.000Z","components":{"plugin_snapshot":{"digest":%s},"tool_state":{"digest":%s}},"replayed":false}`,
			c.ExpectedRevision+1, digestJSON, digestJSON),
	}
}

// commit writes the rows of a turn, and removes those of the revision that the
// history no longer keeps, as the store does.
func (d *bare) commit(r *row) {
	const now = int64(1_760_000_000_000)
	rev := int64(r.revision)
	d.transaction(func() {
		res := d.exec(`INSERT INTO node (node_id, parent_seq, depth, added_rev, user_message, kind, frame_id, caused_by, timestamp_ms, payload, sum)
			VALUES (?, ?, ?, ?, 1, 1, '', NULL, ?, ?, 1234567890)`, r.node, d.leaf, d.leaf, rev, now, r.payload)
		d.leaf = must(res.LastInsertId())
		d.exec(`UPDATE meta SET user_messages=?, first_seq=1, first_text=?, picker_sum=1234567890`, d.leaf, string(r.payload[100:100+historyBytes]))
		d.exec(`UPDATE component SET removed_rev=? WHERE key='tool_state' AND removed_rev IS NULL`, rev)
		d.exec(`INSERT INTO component (key, added_rev, digest, size, counter, descriptor, sum) VALUES ('tool_state', ?, ?, ?, 0, ?, 1234567890)`,
			rev, r.digest, int64(len(r.state)), r.descriptor)
		d.exec(`INSERT INTO content (digest, size, refs, bytes, manifest, objects, sum, refs_sum)
			VALUES (?, ?, 1, ?, NULL, NULL, 1234567890, 1234567890)`,
			r.digest, int64(len(r.state)), r.state)
		d.exec(`INSERT OR REPLACE INTO usage (seq, source, model, input_tokens, output_tokens, cached_input_tokens, reasoning_tokens, sum)
			VALUES (1, 'turn', 'model-a', ?, ?, ?, 0, 1234567890)`, rev*1200, rev*340, rev*900)
		d.exec(`INSERT INTO revision (revision, committed_at_ms, leaf_seq, node_count, frame_id, turn_id, turn_state, component_count, sum)
			VALUES (?, ?, ?, ?, 'session:frame:initial', ?, ?, 2, 1234567890)`, rev, now, d.leaf, d.leaf, r.turn, r.turnState)
		d.exec(`INSERT INTO turn_commit (turn_id, hash, revision, result, sum) VALUES (?, ?, ?, ?, 1234567890)`, r.turn, r.hash, rev, r.result)
		d.contents[r.revision] = r.digest
		if cutoff := rev - lashstore.DefaultRetainedRevisions; cutoff > 0 {
			d.exec(`DELETE FROM revision WHERE revision<=?`, cutoff)
			d.exec(`DELETE FROM component WHERE removed_rev<=?`, cutoff+1)
			if old, ok := d.contents[lashstore.Revision(cutoff)]; ok {
				d.exec(`DELETE FROM content WHERE digest=?`, old)
				delete(d.contents, lashstore.Revision(cutoff))
			}
		}
	})
}

// openBareUntil is openBare for the time of a benchmark.
func openBareUntil(b *testing.B, path string, durability lashstore.Durability) *bare {
	b.Helper()
	d := openBare(path, durability)
	b.Cleanup(func() { check(d.Close()) })
	return d
}
