package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/local"
)

// BenchmarkOpenCold opens a session whose database is not open, and reads its
// summary; the file is in the kernel's cache. With lru=full another session's
// database is closed for it. The baseline opens the file, sets the pragmas and reads
// one row. Budget: a median of 2 ms.
func BenchmarkOpenCold(b *testing.B) {
	const sessions = 64
	for _, lru := range []struct {
		name string
		size int
	}{{"free", 2 * sessions}, {"full", 1}} {
		b.Run("lru="+lru.name, func(b *testing.B) {
			dir := b.TempDir()
			makeSessions(dir, sessions, quick())
			file := filepath.Join(b.TempDir(), "bare.db")
			check(copyFile(sessionFile(dir), file))
			opts := local.Options{MaxOpenSessions: lru.size}
			store := must(local.Open(b.Context(), dir, opts))
			n := -1
			beside(b,
				func() {
					if n++; n%sessions == 0 && n > 0 { // all are open: start again
						check(store.Close())
						store = must(local.Open(context.Background(), dir, opts))
					}
				},
				func() {
					id := lashstore.SessionID(fmt.Sprintf("s%d", n%sessions))
					check(must(store.OpenSession(context.Background(), id, lashstore.OpenOptions{})).Close())
				},
				func() {
					d := openBare(file, lashstore.DurabilityFull)
					check(d.Close())
				})
			check(store.Close())
		})
	}
}

// makeSessions makes sessions s0, s1, ... without commits.
func makeSessions(dir string, n int, opts local.Options) {
	store := must(local.Open(context.Background(), dir, opts))
	var group sync.WaitGroup
	for worker := range 8 {
		group.Go(func() {
			for i := worker; i < n; i += 8 {
				check(create(store, fmt.Sprintf("s%d", i)).Close())
			}
		})
	}
	group.Wait()
	check(store.Close())
}

// BenchmarkCreate makes sessions. The baseline makes a file of the same tables. The
// metric KiB is what an empty session takes on the disk. Budget: 32.
func BenchmarkCreate(b *testing.B) {
	dir, files := b.TempDir(), b.TempDir()
	store := must(local.Open(b.Context(), dir, local.Options{}))
	check(create(store, "first").Close())
	check(store.Close())
	size := must(os.Stat(sessionFile(dir))).Size()
	ddl, pageSize := schemaOf(b, sessionFile(dir))

	store = openStore(b, dir, local.Options{})
	n := 0
	beside(b,
		func() { n++ },
		func() { check(create(store, fmt.Sprintf("session-%d", n)).Close()) },
		func() { makeTables(filepath.Join(files, fmt.Sprintf("%d.db", n)), ddl, pageSize) })
	b.ReportMetric(float64(size)/1024, "KiB")
}

// BenchmarkList reads a page of a hundred sessions, the most recently used first, out
// of ten thousand. The baseline selects the same rows.
func BenchmarkList(b *testing.B) {
	dir := catalogOf(10_000)
	store := openStore(b, dir, local.Options{})
	base := openCatalog(b, dir)
	beside(b, nil,
		func() {
			page := must(store.ListSessions(context.Background(), lashstore.ListSessions{}))
			wantNodes(len(page.Sessions), lashstore.DefaultListLimit)
		},
		func() { wantNodes(base.listSessions(), lashstore.DefaultListLimit) })
}

// BenchmarkResident measures the memory of a process that knows many sessions, has
// listed every one of them, and has none open. Budget: 150 MiB for 100,000.
func BenchmarkResident(b *testing.B) {
	n := 10_000
	if full {
		n = 100_000
	}
	b.Run(fmt.Sprintf("sessions=%d", n), func(b *testing.B) {
		dir := catalogOf(n)
		var got resident
		for b.Loop() {
			got = measureResident(dir)
		}
		wantNodes(got.Sessions, n)
		b.ReportMetric(float64(got.RSS)/(1<<20), "RSS-MiB")
		b.ReportMetric(float64(got.Heap)/(1<<20), "heap-MiB")
	})
}
