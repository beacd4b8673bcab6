package bench

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas/memcas"
	"github.com/lashstore/lashstore/local"
)

// markObjects is how many objects a session of [BenchmarkMark] holds.
const markObjects = 10

// markSessions are sessions with databases, made once for each number of them.
type markSessions struct {
	dir  string
	tier *memcas.Driver
}

var markMade = sync.OnceValue(func() markSessions {
	m := markSessions{dir: filepath.Join(scratch, "marked"), tier: memcas.New()}
	opts := quick()
	opts.Driver = m.tier
	store := must(local.Open(context.Background(), m.dir, opts))
	inParallel(8, markCount(), func(i int) {
		r := begin(store, fmt.Sprintf("marked-%d", i), 0)
		components := make(map[string]lashstore.Component)
		for n := range markObjects {
			// More than what a session's database takes itself.
			components[fmt.Sprintf("part-%d", n)] = lashstore.Changed(r.noise.bytes(int(lashstore.ProfileBalanced.InlineLimit()) + 1))
		}
		r.commit(&lashstore.Commit{Checkpoint: &lashstore.Checkpoint{Components: components}})
		check(r.session.Close())
	})
	check(store.Close())
	return m
})

func markCount() int {
	if full {
		return 10_000
	}
	return 1_000
}

// BenchmarkMark audits 1,000 sessions of ten objects each (LASHSTORE_BENCH_FULL=1:
// 10,000) and measures the mark phase: opening every session's database, checking its
// counts and comparing what it holds with the catalog. Nothing differs. The files are in
// the kernel's cache.
func BenchmarkMark(b *testing.B) {
	b.Run(fmt.Sprintf("sessions=%d", markCount()), func(b *testing.B) {
		made := markMade()
		store := openStore(b, made.dir, local.Options{Driver: made.tier})
		var spent latencies
		for b.Loop() {
			began := time.Now()
			marked := began
			report := must(store.Collect(context.Background(), lashstore.CollectOptions{Audit: true, Progress: func(p lashstore.CollectProgress) {
				if p.Phase == lashstore.PhaseMark {
					marked = time.Now()
				}
			}}))
			if m := report.Mark; report.Outcome != lashstore.CollectNothing || m.Sessions != int64(markCount()) || m.Objects != markObjects*m.Sessions {
				panic(fmt.Sprintf("%+v %+v", report, m))
			}
			spent = append(spent, marked.Sub(began))
		}
		b.ReportMetric(us(spent.quantile(0.5))/float64(markCount()), "us/session")
	})
}
