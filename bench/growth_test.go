package bench

import (
	"context"
	"fmt"
	"testing"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/local"
)

// BenchmarkGrowth plays 200 turns of a session: an input is enqueued, claimed and
// settled by a commit of four messages, a changed component, usage. Budget: of-turn-10
// at most 1.3, the median of the turns around 200 as a multiple of that around 10.
func BenchmarkGrowth(b *testing.B) {
	const turns, around = 210, 10
	store := openStore(b, b.TempDir(), local.Options{})
	warm := begin(store, "warm", 0)
	for range turns { // the first turns of a process are slower than any later one
		warm.play()
	}
	var early, late latencies
	rounds := 0
	for b.Loop() {
		b.StopTimer()
		r := begin(store, fmt.Sprintf("growing-%d", rounds), 0)
		rounds++
		b.StartTimer()
		for turn := 1; turn <= turns; turn++ {
			var spent latencies
			spent.time(func() { r.play() })
			switch {
			case turn > 10-around/2 && turn <= 10+around/2:
				early = append(early, spent...)
			case turn > 200-around && turn <= 200+around:
				late = append(late, spent...)
			}
		}
	}
	b.ReportMetric(us(early.quantile(0.5)), "turn-10-us")
	b.ReportMetric(us(late.quantile(0.5)), "turn-200-us")
	b.ReportMetric(share(late.quantile(0.5), early.quantile(0.5)), "of-turn-10")
}

// play is a whole turn as a runtime makes it.
func (r *runner) play() {
	ctx := context.Background()
	must(r.session.Enqueue(ctx, draft("and then?")))
	claim := must(r.session.ClaimTurnWork(ctx, lashstore.ClaimRequest{
		Fence: r.lease.Fence(), Owner: owner(), TTL: lashstore.DefaultClaimTTL, MaxBatches: lashstore.DefaultClaimBatches,
	})).Claim
	c := r.turn(0)
	c.Graph = r.append(4, messageBytes)
	c.Completions = []lashstore.ClaimCompletion{claim.Completion()}
	r.commit(c)
}
