package bench

import (
	"context"
	"database/sql"
	"fmt"
	"testing"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/local"
)

// BenchmarkLoad reads the graph of a session, all of it or the active path, which is
// the whole graph here too. The baseline selects the same columns of the same rows
// and keeps nothing.
func BenchmarkLoad(b *testing.B) {
	const columns = `SELECT seq, node_id, parent_seq, depth, added_rev, removed_rev, hidden, user_message,
		kind, frame_id, caused_by, timestamp_ms, payload, sum FROM node`
	for _, load := range []struct {
		scope lashstore.LoadScope
		query string
	}{
		{lashstore.ScopeFullGraph, columns + ` ORDER BY seq`},
		{lashstore.ScopeActivePath, columns + ` ORDER BY seq DESC`},
	} {
		for _, nodes := range graphSizes() {
			b.Run(fmt.Sprintf("scope=%s/nodes=%d", load.scope, nodes), func(b *testing.B) {
				dir := prepared(nodes)
				store := openStore(b, dir, local.Options{Durability: lashstore.DurabilityNormal})
				s := must(store.OpenSession(b.Context(), sessionID, lashstore.OpenOptions{}))
				base := openBareUntil(b, sessionFile(dir), lashstore.DurabilityNormal)
				opts := lashstore.LoadOptions{Scope: load.scope, HydrateLimit: -1}
				beside(b, nil,
					func() { wantNodes(len(must(s.Load(context.Background(), opts)).Graph.Nodes), nodes) },
					func() { wantNodes(base.readNodes(load.query), nodes) })
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(nodes), "ns/node")
			})
		}
	}
}

func wantNodes(got, want int) {
	if got != want {
		panic(fmt.Sprintf("%d nodes read, want %d", got, want))
	}
}

// readNodes scans the rows of a query and returns how many there were.
func (d *bare) readNodes(query string) int {
	return d.each(query, func(rows *sql.Rows) error {
		var (
			seq, depth, added, hidden, user, kind, at, sum int64
			id, frame                                      string
			cause                                          sql.NullString
			parent, removed                                sql.NullInt64
			payload                                        []byte
		)
		return rows.Scan(&seq, &id, &parent, &depth, &added, &removed, &hidden, &user, &kind, &frame, &cause, &at, &payload, &sum)
	})
}
