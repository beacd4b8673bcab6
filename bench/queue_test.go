package bench

import (
	"context"
	"database/sql"
	"fmt"
	"testing"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/local"
)

// queueFixture is a session that works off a queue, and its file without the store.
func queueFixture(b *testing.B) (*runner, *bare) {
	b.Helper()
	dir, file := preparedCopy(b, 0)
	return resume(openStore(b, dir, local.Options{}), sessionID), openBareUntil(b, file, lashstore.DurabilityFull)
}

func draft(text string) lashstore.BatchDraft {
	return lashstore.BatchDraft{Payloads: []lashstore.Payload{must(lashstore.NewTurnInput(text))}}
}

const batchOwner = `{"owner_id":"bench","incarnation_id":"1","liveness":{"kind":"local_process","host_id":"00000000000000000000000000000000","boot_id":"00000000-0000-0000-0000-000000000000","pid_namespace":"pid:[4026531836]","pid":12345,"process_start":12345}}`

// insertBatch writes the rows of a batch and returns its number.
func (d *bare) insertBatch(id string, body []byte) int64 {
	res := d.exec(`INSERT INTO batch (batch_id, source_key, class, delivery_policy, slot_policy, merge_key, available_at_ms, enqueued_at_ms, sum)
		VALUES (?, '', 'turn_work', 'earliest_safe_boundary', 'exclusive', 'never', 0, 1760000000000, 1234567890)`, id)
	seq := must(res.LastInsertId())
	d.exec(`INSERT INTO item (batch_seq, idx, type, body, sum) VALUES (?, 0, 'turn_input', ?, 1234567890)`, seq, body)
	return seq
}

// BenchmarkEnqueue adds a batch of one short input to the queue.
func BenchmarkEnqueue(b *testing.B) {
	r, base := queueFixture(b)
	d, n := draft("what is in this folder, and why?"), 0
	beside(b,
		func() { n++ },
		func() { must(r.session.Enqueue(context.Background(), d)) },
		func() {
			base.transaction(func() { base.insertBatch(fmt.Sprintf("qwb:%032d", n), d.Payloads[0].Body) })
		})
}

// BenchmarkClaim claims the first batch, with nothing or a thousand batches behind
// it. The baseline updates the batch and reads its item.
func BenchmarkClaim(b *testing.B) {
	for _, behind := range []int{0, 1000} {
		b.Run(fmt.Sprintf("behind=%d", behind), func(b *testing.B) {
			r, base := queueFixture(b)
			fill(r, base, 1+behind)
			req := lashstore.ClaimRequest{
				Fence: r.lease.Fence(), Owner: owner(), TTL: lashstore.DefaultClaimTTL, MaxBatches: lashstore.DefaultClaimBatches,
			}
			var claim *lashstore.Claim
			beside(b,
				func() {
					if claim != nil {
						check(r.session.AbandonClaim(context.Background(), *claim))
						base.exec(`UPDATE batch SET claim_id=NULL, claim_owner=NULL, claim_token_hash=NULL`)
					}
				},
				func() { claim = must(r.session.ClaimTurnWork(context.Background(), req)).Claim },
				func() {
					base.transaction(func() {
						base.exec(`UPDATE batch SET claim_id='qwc:1:1', claim_owner=?, claim_token_hash=zeroblob(32), claim_fencing=claim_fencing+1,
							claim_lease=1, claim_expires_at_ms=1760000000000 WHERE seq=1`, batchOwner)
						base.each(`SELECT type, body FROM item WHERE batch_seq=1`, func(rows *sql.Rows) error {
							var (
								kind string
								body []byte
							)
							return rows.Scan(&kind, &body)
						})
					})
				})
		})
	}
}

// fill enqueues n batches in both, in one transaction each.
func fill(r *runner, base *bare, n int) {
	d := draft("what is in this folder, and why?")
	c := &lashstore.Commit{}
	for range n {
		c.Enqueue = append(c.Enqueue, d)
	}
	r.commit(c)
	base.transaction(func() {
		for i := range n {
			base.insertBatch(fmt.Sprintf("qwb:%032d", i), d.Payloads[0].Body)
		}
	})
}

// BenchmarkRenew renews the execution lease. The baseline updates its row.
func BenchmarkRenew(b *testing.B) {
	r, base := queueFixture(b)
	n := int64(0)
	beside(b,
		func() { n++ },
		func() { must(r.session.RenewLease(context.Background(), r.lease.Fence(), lashstore.DefaultLeaseTTL)) },
		func() {
			base.transaction(func() { base.exec(`UPDATE lease SET expires_at_ms=? WHERE one=1`, 1_760_000_000_000+n) })
		})
}
