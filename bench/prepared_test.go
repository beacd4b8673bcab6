package bench

import (
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/local"
)

// graphSizes are how many nodes a session has before it is measured.
func graphSizes() []int { return []int{100, 10_000, 100_000} }

const sessionID = "session"

// preparedOnce makes each prepared store once.
var preparedOnce = func() map[int]func() string {
	m := make(map[int]func() string)
	for _, n := range append(graphSizes(), 0) {
		m[n] = sync.OnceValue(func() string {
			dir := filepath.Join(scratch, fmt.Sprintf("nodes-%d", n))
			s := must(local.Open(context.Background(), dir, quick()))
			begin(s, sessionID, 0).grow(n)
			check(s.Close())
			return dir
		})
	}
	return m
}()

// prepared returns the folder of a store with one session of that many nodes. It is
// only read.
func prepared(nodes int) string { return preparedOnce[nodes]() }

// preparedCopy is prepared for a benchmark that writes, and a copy of the session's
// file for the baseline.
func preparedCopy(b *testing.B, nodes int) (dir, file string) {
	b.Helper()
	dir = b.TempDir()
	check(copyTree(prepared(nodes), dir))
	file = filepath.Join(b.TempDir(), "bare.db")
	check(copyFile(sessionFile(dir), file))
	return dir, file
}

// sessionFile finds the file of the only session in a store.
func sessionFile(dir string) (file string) {
	check(filepath.WalkDir(filepath.Join(dir, "tenants"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(path, ".db") && strings.Contains(path, "sessions") {
			file = path
		}
		return err
	}))
	return file
}

// durabilities are the settings that an acknowledged commit can have.
func durabilities() []lashstore.Durability {
	return []lashstore.Durability{lashstore.DurabilityFull, lashstore.DurabilityNormal}
}
