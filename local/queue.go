package local

import (
	"context"
	"time"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/metadata"
)

func (h *session) Enqueue(ctx context.Context, d lashstore.BatchDraft) (r lashstore.EnqueueResult, err error) {
	err = h.simple(ctx, "enqueue", func(ctx context.Context, db *metadata.SessionDB) error {
		r, err = db.Enqueue(ctx, d)
		return err
	})
	return r, err
}

func (h *session) ClaimCommand(ctx context.Context, req lashstore.ClaimRequest) (r lashstore.ClaimResult, err error) {
	err = h.simple(ctx, "claim_command", func(ctx context.Context, db *metadata.SessionDB) error {
		r, err = db.ClaimCommand(ctx, req)
		return err
	})
	return r, err
}

func (h *session) ClaimTurnWork(ctx context.Context, req lashstore.ClaimRequest) (r lashstore.ClaimResult, err error) {
	err = h.simple(ctx, "claim_turn_work", func(ctx context.Context, db *metadata.SessionDB) error {
		r, err = db.ClaimTurnWork(ctx, req)
		return err
	})
	return r, err
}

func (h *session) ClaimBatches(ctx context.Context, req lashstore.ClaimRequest, ids []lashstore.BatchID) (r lashstore.ClaimResult, err error) {
	err = h.simple(ctx, "claim_batches", func(ctx context.Context, db *metadata.SessionDB) error {
		r, err = db.ClaimBatches(ctx, req, ids)
		return err
	})
	return r, err
}

func (h *session) RenewClaim(ctx context.Context, claim lashstore.Claim, ttl time.Duration) (c lashstore.Claim, err error) {
	err = h.simple(ctx, "renew_claim", func(ctx context.Context, db *metadata.SessionDB) error {
		c, err = db.RenewClaim(ctx, claim, ttl)
		return err
	})
	return c, err
}

func (h *session) AbandonClaim(ctx context.Context, claim lashstore.Claim) error {
	return h.simple(ctx, "abandon_claim", func(ctx context.Context, db *metadata.SessionDB) error { return db.AbandonClaim(ctx, claim) })
}

func (h *session) CancelBatch(ctx context.Context, id lashstore.BatchID) (b lashstore.Batch, err error) {
	err = h.simple(ctx, "cancel_batch", func(ctx context.Context, db *metadata.SessionDB) error {
		b, err = db.CancelBatch(ctx, id)
		return err
	})
	return b, err
}

func (h *session) ListQueue(ctx context.Context, list lashstore.ListQueue) (b []lashstore.Batch, err error) {
	err = h.read(ctx, "list_queue", func(ctx context.Context, db *metadata.SessionDB) error {
		b, err = db.ListQueue(ctx, list)
		return err
	})
	return b, err
}
