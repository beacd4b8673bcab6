package bench

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/local"
	"github.com/lashstore/lashstore/metadata"
)

var catalogs sync.Map // of *sync.Once results by size

// catalogOf returns the folder of a store that knows n sessions. They were admitted
// and never used, so that they have no files.
func catalogOf(n int) string {
	once, _ := catalogs.LoadOrStore(n, sync.OnceValue(func() string {
		dir := filepath.Join(scratch, fmt.Sprintf("catalog-%d", n))
		admit(filepath.Join(dir, "tenants", local.DefaultTenant, "catalog.db"), n)
		return dir
	}))
	return once.(func() string)()
}

// admit writes the rows of n sessions. Enough at a time that they share transactions.
func admit(path string, n int) {
	k := must(metadata.OpenCatalog(context.Background(), path, metadata.CatalogOptions{
		Durability: lashstore.DurabilityNormal, BusyTimeout: local.DefaultBusyTimeout, Now: time.Now, Rand: rand.Reader,
	}))
	const workers = 64
	cwd := "/home/somebody/work/project"
	var group sync.WaitGroup
	for worker := range workers {
		group.Go(func() {
			for i := worker; i < n; i += workers {
				_, _, err := k.Admit(context.Background(), lashstore.SessionMeta{
					SessionID: lashstore.SessionID(fmt.Sprintf("01978f3e-7c1a-7000-8000-%012d", i)), SessionName: "a session", Model: "model-a", Cwd: &cwd,
				}, false)
				check(err)
			}
		})
	}
	group.Wait()
	check(k.Close())
}

// openCatalog opens the catalog of a store without the store.
func openCatalog(b *testing.B, dir string) *bare {
	b.Helper()
	d := &bare{prepared: make(map[string]*sql.Stmt)}
	d.pool = must(sql.Open("sqlite", "file:"+filepath.Join(dir, "tenants", local.DefaultTenant, "catalog.db")+"?mode=ro"))
	d.conn = must(d.pool.Conn(b.Context()))
	b.Cleanup(func() { check(d.Close()) })
	return d
}

// listSessions scans the rows of the first page.
func (d *bare) listSessions() int {
	const query = `SELECT session_id, incarnation, session_name, model, cwd, relation, created_at_ms, updated_at_ms,
		head_revision, node_count, first_user_message, user_message_count FROM session WHERE state IN (0,1)
		ORDER BY updated_at_ms DESC, session_id DESC LIMIT 100`
	return d.each(query, func(rows *sql.Rows) error {
		var (
			texts [7]sql.NullString
			ints  [5]int64
		)
		return rows.Scan(&texts[0], &texts[1], &texts[2], &texts[3], &texts[4], &texts[5], &ints[0], &ints[1], &ints[2], &ints[3], &texts[6], &ints[4])
	})
}

// schemaOf returns the statements that make the tables of a database, and its page
// size.
func schemaOf(b *testing.B, path string) (ddl []string, pageSize int) {
	b.Helper()
	d := openBare(path, lashstore.DurabilityFull)
	defer func() { check(d.Close()) }()
	d.each(`PRAGMA page_size`, func(rows *sql.Rows) error { return rows.Scan(&pageSize) })
	d.each(`SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'`, func(rows *sql.Rows) error {
		ddl = append(ddl, "")
		return rows.Scan(&ddl[len(ddl)-1])
	})
	return ddl, pageSize
}

// makeTables makes a database durably: in write-ahead mode, as the store's are.
func makeTables(path string, ddl []string, pageSize int) {
	ctx := context.Background()
	db := must(sql.Open("sqlite", "file:"+path))
	conn := must(db.Conn(ctx))
	for _, pragma := range []string{fmt.Sprintf("page_size=%d", pageSize), "journal_mode=WAL", "synchronous=FULL"} {
		must(conn.ExecContext(ctx, "PRAGMA "+pragma))
	}
	must(conn.ExecContext(ctx, "BEGIN IMMEDIATE"))
	for _, text := range ddl {
		must(conn.ExecContext(ctx, text))
	}
	must(conn.ExecContext(ctx, "COMMIT"))
	check(conn.Close())
	check(db.Close())
}
