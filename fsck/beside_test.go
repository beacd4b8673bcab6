package fsck_test

import (
	"bytes"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/lashstore/lashstore"
)

// Commits, uploads, deletions and collections that are under way are no damage,
// whether the store that verifies is theirs or another on the same directory.
func TestBesideWriters(t *testing.T) {
	t.Parallel()
	n := newTenant(t, nil)
	ctx := t.Context()
	const writers, turns = 3, 25
	sessions := make([]lashstore.Session, writers)
	for i := range sessions {
		sessions[i] = n.session(lashstore.SessionID(fmt.Sprint("s", i)))
	}
	var working sync.WaitGroup
	for i, h := range sessions {
		fence := n.fences[lashstore.SessionID(fmt.Sprint("s", i))]
		working.Go(func() {
			state := fill(uint64(i), 600_000)
			for rev := range lashstore.Revision(turns) {
				copy(state[int(rev)*20_000:], fill(uint64(1000+rev), 3000))
				_, err := h.Commit(ctx, lashstore.Commit{
					ExpectedRevision: rev, Fence: fence,
					Config: &lashstore.SessionConfig{ProviderID: "p", Model: lashstore.ModelSpec{
						ID: "m", Limits: lashstore.ModelLimits{ContextWindowTokens: 1},
					}},
					Checkpoint: &lashstore.Checkpoint{Components: map[string]lashstore.Component{"state": lashstore.Changed(state)}},
				})
				if err == nil {
					_, err = n.store.PutBlob(ctx, bytes.NewReader(fill(uint64(2000+rev), 30_000)), lashstore.PutBlobOptions{})
				}
				if err == nil && rev%5 == 0 {
					_, err = n.store.Collect(ctx, lashstore.CollectOptions{Grace: new(time.Duration)})
				}
				if err != nil {
					t.Errorf("session %d, revision %d: %v", i, rev, err)
					return
				}
			}
		})
	}
	idle := make(chan struct{})
	go func() {
		defer close(idle)
		working.Wait()
	}()
	reader := *n
	reader.open(true)
	defer reader.close()
	for done, round := false, 0; !done; round++ {
		select {
		case <-idle:
			done = true
		default:
		}
		store := n.store
		if round%2 == 1 {
			store = reader.store
		}
		rep, err := store.Verify(ctx, lashstore.VerifyOptions{Content: round%3 == 0, Repair: round%4 == 2})
		if err != nil || rep.Damaged+rep.Repaired > 0 {
			t.Errorf("round %d: %s, %v: %+v", round, rep.Outcome, err, rep.Findings)
		}
	}
	n.wantClean(lashstore.VerifyOptions{Content: true})
}
