package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/local"
)

// crowdSessions is how many sessions the parallel benchmarks share.
const crowdSessions = 512

// crowd is many sessions of one store, each with its next turn ready, and as many
// databases without a store.
type crowd struct {
	store   *local.Store
	runners []*runner
	bare    []*bare
}

// theCrowd is made once, all its databases open.
var theCrowd = sync.OnceValue(func() *crowd {
	dir := filepath.Join(scratch, "crowd")
	prepare := must(local.Open(context.Background(), dir, quick()))
	inParallel(8, crowdSessions, func(i int) { begin(prepare, crowdID(i), 0) })
	check(prepare.Close())
	c := &crowd{
		store:   must(local.Open(context.Background(), dir, local.Options{})),
		runners: make([]*runner, crowdSessions),
		bare:    make([]*bare, crowdSessions),
	}
	shared(c.store)
	check(os.MkdirAll(filepath.Join(scratch, "bare"), 0o700))
	inParallel(8, crowdSessions, func(i int) {
		c.runners[i] = resume(c.store, crowdID(i))
		file := filepath.Join(scratch, "bare", fmt.Sprintf("%d.db", i))
		check(copyFile(sessionFile(prepared(0)), file))
		c.bare[i] = openBare(file, lashstore.DurabilityFull)
		shared(c.bare[i])
	})
	return c
})

func crowdID(i int) string { return fmt.Sprintf("session-%d", i) }

// inParallel calls do for 0 to n-1 from some goroutines, each number from one that
// is its own: i and i+workers never run at once.
func inParallel(workers, n int, do func(i int)) {
	var group sync.WaitGroup
	for worker := range workers {
		group.Go(func() {
			for i := worker; i < n; i += workers {
				do(i)
			}
		})
	}
	group.Wait()
}

// load is a number of clients that each commit turns to their own share of some
// sessions, as fast as they can.
type load struct {
	clients  int
	sessions int
	commit   func(session int) time.Duration // makes a turn and returns how long the commit took

	latencies latencies // of all rounds
	spent     time.Duration
}

// round has the clients make that many commits together.
func (l *load) round(commits int) {
	took := make([]latencies, l.clients)
	began := time.Now()
	var group sync.WaitGroup
	for client := range l.clients {
		group.Go(func() {
			for i := client; i < commits; i += l.clients {
				took[client] = append(took[client], l.commit(i%l.sessions))
			}
		})
	}
	group.Wait()
	l.spent += time.Since(began)
	for _, t := range took {
		l.latencies = append(l.latencies, t...)
	}
}

func (l *load) rate() float64 { return float64(len(l.latencies)) / l.spent.Seconds() }

// ours and base commit a turn to session i of the crowd, through the store and
// without it.
func (c *crowd) ours(i int) time.Duration {
	turn := c.runners[i].turn(0)
	began := time.Now()
	c.runners[i].commit(turn)
	return time.Since(began)
}

func (c *crowd) base(i int) time.Duration {
	d := c.bare[i] // has revisions of its own
	d.revision++
	r := rowOf(c.runners[i].turnAfter(d.revision-1, 0))
	began := time.Now()
	d.commit(&r)
	return time.Since(began)
}

// BenchmarkParallel is 1, 16 and 64 clients, each with a session of its own, and the
// same without the store. The metric of-one is the rate as a multiple of one
// client's.
func BenchmarkParallel(b *testing.B) {
	const commits = 512
	c := theCrowd()
	one := load{clients: 1, sessions: 1, commit: c.ours}
	for _, clients := range []int{16, 64} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			ours := load{clients: clients, sessions: clients, commit: c.ours}
			base := load{clients: clients, sessions: clients, commit: c.base}
			one.latencies, one.spent = nil, 0
			for b.Loop() {
				ours.round(commits)
				b.StopTimer()
				base.round(commits)
				one.round(commits / 4)
				b.StartTimer()
			}
			b.ReportMetric(ours.rate(), "commits/s")
			b.ReportMetric(base.rate(), "base-commits/s")
			b.ReportMetric(ours.rate()/base.rate(), "of-baseline")
			b.ReportMetric(ours.rate()/one.rate(), "of-one")
			b.ReportMetric(us(ours.latencies.quantile(0.5)), "p50-us")
			b.ReportMetric(us(ours.latencies.quantile(0.99)), "p99-us")
			b.ReportMetric(us(base.latencies.quantile(0.99)), "base-p99-us")
		})
	}
}

// BenchmarkCrowd is 256 clients over 512 sessions and, in turn, 16 clients over the
// same sessions, every commit flushed. Budget: of-16-rate at least 1, of-16-p99 at
// most 5.
func BenchmarkCrowd(b *testing.B) {
	const commits = 2048
	c := theCrowd()
	many := load{clients: 256, sessions: crowdSessions, commit: c.ours}
	few := load{clients: 16, sessions: crowdSessions, commit: c.ours}
	baseMany := load{clients: 256, sessions: crowdSessions, commit: c.base}
	baseFew := load{clients: 16, sessions: crowdSessions, commit: c.base}
	for b.Loop() {
		many.round(commits)
		b.StopTimer()
		few.round(commits)
		baseMany.round(commits)
		baseFew.round(commits)
		b.StartTimer()
	}
	b.ReportMetric(many.rate(), "commits/s")
	b.ReportMetric(few.rate(), "16-commits/s")
	b.ReportMetric(many.rate()/few.rate(), "of-16-rate")
	p99, few99 := many.latencies.quantile(0.99), few.latencies.quantile(0.99)
	b.ReportMetric(ms(p99), "p99-ms")
	b.ReportMetric(ms(few99), "16-p99-ms")
	b.ReportMetric(share(p99, few99), "of-16-p99")
	b.ReportMetric(many.rate()/baseMany.rate(), "of-baseline")
	b.ReportMetric(baseMany.rate(), "base-commits/s")
	b.ReportMetric(baseFew.rate(), "base-16-commits/s")
	b.ReportMetric(ms(baseMany.latencies.quantile(0.99)), "base-p99-ms")
	b.ReportMetric(ms(baseFew.latencies.quantile(0.99)), "base-16-p99-ms")
}
