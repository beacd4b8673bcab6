package local_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/local"
)

// A turn: take the lease, commit, and read back.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "lashstore-example-")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := turn(ctx, dir); err != nil {
		log.Panic(err)
	}
	// Output:
	// revision 1, replayed: false
	// revision 1, replayed: true
	// tool state: {"files":[]}
}

func turn(ctx context.Context, dir string) (err error) {
	store, err := local.Open(ctx, dir, local.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	session, _, err := store.CreateSession(ctx, lashstore.CreateSession{
		Meta: lashstore.SessionMeta{SessionID: "support/4711", Model: "some-model"},
	})
	if err != nil {
		return err
	}
	lease, err := session.ClaimLease(ctx, lashstore.Owner{OwnerID: "worker-1", IncarnationID: "boot-1"}, lashstore.DefaultLeaseTTL)
	if err != nil {
		return err
	}
	commit := lashstore.Commit{
		ExpectedRevision: 0, // nothing committed yet
		Fence:            lease.Fence(),
		ReleaseLease:     true,
		TurnID:           "turn-1",
		Config: &lashstore.SessionConfig{
			ProviderID: "some-provider",
			Model:      lashstore.ModelSpec{ID: "some-model", Limits: lashstore.ModelLimits{ContextWindowTokens: 200_000}},
		},
		Checkpoint: &lashstore.Checkpoint{Components: map[string]lashstore.Component{
			lashstore.ComponentToolState: lashstore.Changed([]byte(`{"files":[]}`)),
		}},
	}
	for range 2 { // the second is a retry whose first answer got lost
		result, err := session.Commit(ctx, commit)
		if err != nil {
			return err
		}
		fmt.Printf("revision %d, replayed: %t\n", result.Revision, result.Replayed)
	}
	snapshot, err := session.Load(ctx, lashstore.LoadOptions{})
	if err != nil {
		return err
	}
	fmt.Printf("tool state: %s\n", snapshot.Checkpoint.Components[lashstore.ComponentToolState].Bytes)
	return nil
}
