package bench

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
	"github.com/lashstore/lashstore/cas/memcas"
	"github.com/lashstore/lashstore/internal/testenv"
	"github.com/lashstore/lashstore/local"
)

// meter counts what is put into a store in memory.
type meter struct {
	cas.Driver

	mu          sync.Mutex
	puts, bytes int64
}

func newMeter() *meter { return &meter{Driver: memcas.New()} }

func (m *meter) Put(ctx context.Context, key string, body []byte) error {
	m.mu.Lock()
	m.puts++
	m.bytes += int64(len(body))
	m.mu.Unlock()
	return m.Driver.Put(ctx, key, body)
}

// cpuTime is what the process has used of all processors.
func cpuTime() time.Duration {
	var u syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// held adds up the objects that a session's head needs.
func held(dir string) (size int64) {
	db := must(sql.Open("sqlite", "file:"+filepath.Join(dir, "tenants", local.DefaultTenant, "catalog.db")+"?mode=ro"))
	defer func() { check(db.Close()) }()
	check(db.QueryRowContext(context.Background(), `SELECT coalesce(sum(stored_size), 0) FROM blob WHERE digest IN (SELECT digest FROM edge)`).Scan(&size))
	return size
}

// BenchmarkStorage plays 100 turns of a 10 MiB state of which 1 % changes a turn, and
// then trims the history. Budgets: history-ratio, the bytes stored in these turns
// against those changed, at most 3; trimmed-ratio, what is left against the state, at
// most 1.5; puts/turn at most 2; cpu-ms/turn, all of a commit, at most 60.
func BenchmarkStorage(b *testing.B) {
	const turns = 100
	for _, edit := range testenv.StateEdits() {
		for _, content := range []string{"noise", "records"} {
			b.Run("edit="+edit.Name+"/content="+content, func(b *testing.B) {
				for b.Loop() {
					rng, fill := testenv.Noise(1)
					if content == "records" {
						rng, fill = testenv.Records(1)
					}
					dir, tier := b.TempDir(), newMeter()
					state := fill(testenv.StateBytes)
					s := openStore(b, dir, local.Options{Driver: tier, Retention: lashstore.Retention{Revisions: -1}})
					r := begin(s, "s", 0)
					r.state(state)
					before := *tier.count()
					var cpu time.Duration
					for range turns {
						state = edit.Apply(rng, fill, state)
						start := cpuTime()
						r.state(state)
						cpu += cpuTime() - start
					}
					after := *tier.count()
					check(s.Close())
					s = openStore(b, dir, local.Options{Driver: tier, Retention: lashstore.Retention{Revisions: 1}})
					r = resume(s, "s")
					for range 4 {
						state = edit.Apply(rng, fill, state)
						r.state(state)
					}
					check(s.Close())
					b.ReportMetric(float64(after[1]-before[1])/(turns*testenv.StateChangedBytes), "history-ratio")
					b.ReportMetric(float64(held(dir))/float64(len(state)), "trimmed-ratio")
					b.ReportMetric(float64(after[0]-before[0])/turns, "puts/turn")
					b.ReportMetric(float64(cpu.Microseconds())/1000/turns, "cpu-ms/turn")
					b.ReportMetric(0, "ns/op")
				}
			})
		}
	}
}

func (m *meter) count() *[2]int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &[2]int64{m.puts, m.bytes}
}

// state commits a new execution state.
func (r *runner) state(content []byte) {
	r.commit(&lashstore.Commit{Checkpoint: &lashstore.Checkpoint{Components: map[string]lashstore.Component{
		lashstore.ComponentExecutionState: lashstore.Changed(content),
	}}})
}

// BenchmarkTrajectories replays real sessions with the transcript so far as the
// state of each turn. It compares the bytes stored, manifests and inline content
// included, with the sum of the full states, with these states compressed each for
// itself, and with the last one compressed.
func BenchmarkTrajectories(b *testing.B) {
	files := must(filepath.Glob(filepath.Join("..", "..", "shared", "data", "trajectories", "*.traj")))
	if len(files) == 0 {
		b.Skip("the folder of trajectories is not there")
	}
	pack := must(zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1)))
	for _, file := range files {
		b.Run(filepath.Base(file), func(b *testing.B) {
			var t struct{ History []json.RawMessage }
			check(json.Unmarshal(must(os.ReadFile(file)), &t))
			for b.Loop() {
				tier := newMeter()
				s := openStore(b, b.TempDir(), local.Options{Driver: tier, Retention: lashstore.Retention{Revisions: -1}})
				r := begin(s, "s", 0)
				var state []byte
				var sum, alone, inline, last int
				for _, message := range t.History {
					state = append(append(state, bytes.TrimSpace(message)...), '\n')
					r.state(state)
					last = len(pack.EncodeAll(state, nil))
					sum += len(state)
					alone += last
					if int64(len(state)) <= lashstore.ProfileBalanced.InlineLimit() {
						inline += len(state)
					}
				}
				stored := float64(tier.count()[1] + int64(inline))
				check(s.Close())
				b.ReportMetric(stored/1024, "stored-KiB")
				b.ReportMetric(stored/float64(sum), "of-full-states")
				b.ReportMetric(stored/float64(alone), "of-compressed-states")
				b.ReportMetric(stored/float64(len(state)), "of-transcript")
				b.ReportMetric(stored/float64(last), "of-compressed-transcript")
				b.ReportMetric(0, "ns/op")
			}
		})
	}
}
