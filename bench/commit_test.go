package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/local"
)

// BenchmarkCommit is one turn of one session, all of it inline. Budget: 0.7 of the
// baseline's rate, and at 100,000 nodes 0.9 of the rate at 100 (BenchmarkCommitFlat).
func BenchmarkCommit(b *testing.B) {
	for _, durability := range durabilities() {
		for _, nodes := range graphSizes() {
			b.Run(fmt.Sprintf("durability=%s/nodes=%d", durability, nodes), func(b *testing.B) {
				dir, file := preparedCopy(b, nodes)
				r := resume(openStore(b, dir, local.Options{Durability: durability}), sessionID)
				base := openBareUntil(b, file, durability)
				var (
					c    *lashstore.Commit
					rows row
				)
				beside(b,
					func() { c = r.turn(0); rows = rowOf(c) },
					func() { r.commit(c) },
					func() { base.commit(&rows) })
			})
		}
	}
}

// BenchmarkCommitFlat is the same turn in a session of 100,000 nodes and one of 100,
// in turn. Budget: of-baseline, here the smaller session, is at least 0.9.
func BenchmarkCommitFlat(b *testing.B) {
	sizes := graphSizes()
	var runs [2]*runner
	for i, nodes := range []int{sizes[len(sizes)-1], sizes[0]} {
		dir, _ := preparedCopy(b, nodes)
		runs[i] = resume(openStore(b, dir, local.Options{}), sessionID)
	}
	var commits [2]*lashstore.Commit
	beside(b,
		func() {
			for i, r := range runs {
				commits[i] = r.turn(0)
			}
		},
		func() { runs[0].commit(commits[0]) },
		func() { runs[1].commit(commits[1]) })
}

// BenchmarkCommitBlob is a turn that also changes a component of 256 KiB, which goes
// to the blob tier: compressed by the balanced profile, as it is by low_latency. The
// baseline writes the same rows, and the component to a file, as it is.
func BenchmarkCommitBlob(b *testing.B) {
	const size = 256 << 10
	for _, durability := range durabilities() {
		for _, profile := range []lashstore.Profile{lashstore.ProfileBalanced, lashstore.ProfileLowLatency} {
			b.Run(fmt.Sprintf("durability=%s/profile=%s", durability, profile), func(b *testing.B) {
				b.SetBytes(size)
				dir, file := preparedCopy(b, 100)
				r := resume(openStore(b, dir, local.Options{Durability: durability, Profile: profile}), sessionID)
				base := openBareUntil(b, file, durability)
				files := newFiles(b, durability)
				var (
					c    *lashstore.Commit
					rows row
				)
				beside(b,
					func() { c = r.turn(size); rows = rowOf(c) },
					func() { r.commit(c) },
					func() {
						files.write(c.Checkpoint.Components[lashstore.ComponentExecutionState].Bytes)
						base.commit(&rows)
					})
			})
		}
	}
}

// BenchmarkFlush appends 4 KiB to a file and flushes it: what the disk can do.
func BenchmarkFlush(b *testing.B) {
	file := must(os.Create(filepath.Join(b.TempDir(), "file")))
	page := make([]byte, 4<<10)
	var flushes latencies
	for b.Loop() {
		flushes.time(func() {
			must(file.Write(page))
			check(file.Sync())
		})
	}
	check(file.Close())
	b.ReportMetric(us(flushes.quantile(0.5)), "p50-us")
	b.ReportMetric(us(flushes.quantile(0.99)), "p99-us")
}

// files writes files as durably as the store does: flushed, renamed into place, the
// folder flushed.
type files struct {
	dir   string
	count int
	sync  bool
}

func newFiles(b *testing.B, durability lashstore.Durability) *files {
	b.Helper()
	return &files{dir: b.TempDir(), sync: durability == lashstore.DurabilityFull}
}

// write writes a new file and returns its name.
func (f *files) write(content []byte) string {
	f.count++
	name := filepath.Join(f.dir, fmt.Sprintf("%d", f.count))
	file := must(os.Create(name + ".tmp"))
	must(file.Write(content))
	if f.sync {
		check(file.Sync())
	}
	check(file.Close())
	check(os.Rename(name+".tmp", name))
	if f.sync {
		dir := must(os.Open(f.dir))
		check(dir.Sync())
		check(dir.Close())
	}
	return name
}
