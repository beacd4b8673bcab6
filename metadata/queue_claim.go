package metadata

import (
	"context"
	"crypto/subtle"
	"slices"
	"time"

	"github.com/lashstore/lashstore"
)

// claimJudge returns the one rule of when a claim is live, for claiming, listing
// and cancelling alike: it has not expired, the execution lease it was made under
// has not passed to another, and its holder is not proven dead.
func (s *SessionDB) claimJudge(ctx context.Context, c *conn, judge lashstore.Liveness, now time.Time) (func(*batchRow) bool, error) {
	lease, err := s.readLease(ctx, c)
	if err != nil {
		return nil, err
	}
	dead := make(map[lashstore.ClaimID]bool)
	return func(r *batchRow) bool {
		if r.claimID == "" || !r.expiresAt.After(now) || r.leaseToken != lease.fencing {
			return false
		}
		gone, known := dead[r.claimID]
		if !known {
			gone = lashstore.DefinitelyDead(r.owner.Liveness, judge, s.opts.Processes)
			dead[r.claimID] = gone
		}
		return !gone
	}, nil
}

// candidates returns the first rows, up to limit, that are available and in no live
// claim, and if there are none, why.
func (s *SessionDB) candidates(ctx context.Context, c *conn, owner lashstore.Owner, now time.Time, limit int) (rows []*batchRow, refusal lashstore.ClaimRefusal, err error) {
	live, err := s.claimJudge(ctx, c, owner.Liveness, now)
	if err != nil {
		return nil, "", err
	}
	refusal = lashstore.RefusedEmpty
	err = c.each(ctx, batchSelect+` ORDER BY seq`, nil, func(scan func(...any) error) error {
		row, err := s.scanBatch(scan)
		if err != nil {
			return err
		}
		switch {
		case row.batch.AvailableAt.After(now):
			if refusal == lashstore.RefusedEmpty {
				refusal = lashstore.RefusedNotAvailable
			}
		case live(row):
			refusal = lashstore.RefusedHeld
		default:
			rows = append(rows, row)
			// Nobody takes more than a run of equals, and nothing behind an exclusive one.
			first := rows[0].candidate()
			if len(rows) == limit || first.SlotPolicy == lashstore.SlotExclusive || row.candidate() != first {
				return errStop
			}
		}
		return nil
	})
	return rows, refusal, err
}

func asCandidates(rows []*batchRow) []lashstore.Candidate {
	out := make([]lashstore.Candidate, len(rows))
	for i, r := range rows {
		out[i] = r.candidate()
	}
	return out
}

func (r *batchRow) candidate() lashstore.Candidate {
	return lashstore.Candidate{
		Class: r.batch.Class, DeliveryPolicy: r.batch.DeliveryPolicy, SlotPolicy: r.batch.SlotPolicy, MergeKey: r.batch.MergeKey,
	}
}

// selectFunc picks how many of the candidates to claim, or why none.
type selectFunc func(rows []*batchRow) (int, lashstore.ClaimRefusal)

// claim runs one claim in one transaction.
func (s *SessionDB) claim(ctx context.Context, req lashstore.ClaimRequest, limit int, pick selectFunc) (res lashstore.ClaimResult, err error) {
	if err := req.Validate(); err != nil {
		return res, err
	}
	err = s.write(ctx, "claim queued work", func(ctx context.Context, c *conn) error {
		now := s.opts.Now()
		lease, err := s.requireFence(ctx, c, req.Fence, now)
		if err != nil {
			return err
		}
		rows, why, err := s.candidates(ctx, c, req.Owner, now, limit)
		if err != nil {
			return err
		}
		n := 0
		if len(rows) > 0 {
			n, why = pick(rows)
		}
		if n == 0 {
			res.Refusal = why
			return nil
		}
		res.Claim, err = s.applyClaim(ctx, c, req, lease, rows[:n], now)
		return err
	})
	return res, err
}

// applyClaim marks the rows as claimed. The write lock has been held since they
// were chosen, so none can refuse.
func (s *SessionDB) applyClaim(ctx context.Context, c *conn, req lashstore.ClaimRequest, lease leaseRow, rows []*batchRow, now time.Time) (*lashstore.Claim, error) {
	first := rows[0]
	grant, err := lashstore.DeriveClaim(first.batch.EnqueueSeq, first.fencing, fromMS(toMS(now)), req.TTL)
	if err != nil {
		return nil, err
	}
	token, err := randomHex(s.opts.Rand)
	if err != nil {
		return nil, err
	}
	claim := &lashstore.Claim{
		SessionID: s.id, ClaimID: grant.ClaimID, Owner: req.Owner, Token: lashstore.Token(token),
		FencingToken: grant.FencingToken, ClaimedAt: grant.ClaimedAt, ExpiresAt: fromMS(toMS(grant.ExpiresAt)),
	}
	for _, r := range rows {
		if r.fencing >= lashstore.MaxCounter {
			return nil, &lashstore.LimitError{Limit: "claim_fencing_token", Max: lashstore.MaxCounter, Got: lashstore.MaxCounter}
		}
		r.claimID, r.owner, r.tokenHash, r.leaseToken, r.expiresAt = claim.ClaimID, req.Owner, tokenHash(claim.Token), lease.fencing, claim.ExpiresAt
		r.fencing++
		if err := s.updateClaim(ctx, c, r); err != nil {
			return nil, err
		}
		b := r.batch
		if err := s.loadItems(ctx, c, &b); err != nil {
			return nil, err
		}
		b.Claim = &lashstore.BatchClaim{ClaimID: claim.ClaimID, Owner: req.Owner, FencingToken: r.fencing, ExpiresAt: claim.ExpiresAt}
		claim.Batches = append(claim.Batches, b)
	}
	return claim, nil
}

// ClaimCommand claims the first batch if it is a session command.
func (s *SessionDB) ClaimCommand(ctx context.Context, req lashstore.ClaimRequest) (lashstore.ClaimResult, error) {
	return s.claim(ctx, req, 1, func(rows []*batchRow) (int, lashstore.ClaimRefusal) {
		return lashstore.SelectCommand(asCandidates(rows)), lashstore.RefusedNoCommand
	})
}

// ClaimTurnWork claims leading turn work.
func (s *SessionDB) ClaimTurnWork(ctx context.Context, req lashstore.ClaimRequest) (lashstore.ClaimResult, error) {
	if req.MaxBatches == 0 {
		return lashstore.ClaimResult{Refusal: lashstore.RefusedZeroLimit}, nil
	}
	return s.claim(ctx, req, req.MaxBatches, func(rows []*batchRow) (int, lashstore.ClaimRefusal) {
		return lashstore.SelectTurnWork(asCandidates(rows), req.Boundary, req.MaxBatches)
	})
}

// ClaimBatches claims exactly these batches or nothing.
func (s *SessionDB) ClaimBatches(ctx context.Context, req lashstore.ClaimRequest, ids []lashstore.BatchID) (lashstore.ClaimResult, error) {
	if len(ids) == 0 {
		return lashstore.ClaimResult{Refusal: lashstore.RefusedZeroLimit}, nil
	}
	if len(ids) > lashstore.MaxClaimBatches {
		return lashstore.ClaimResult{}, &lashstore.LimitError{Limit: "claim_batches", Max: lashstore.MaxClaimBatches, Got: int64(len(ids))}
	}
	return s.claim(ctx, req, len(ids), func(rows []*batchRow) (int, lashstore.ClaimRefusal) {
		n, why := lashstore.SelectTurnWork(asCandidates(rows), req.Boundary, len(ids))
		if n == 0 {
			return 0, why
		}
		if n != len(ids) || !slices.EqualFunc(rows[:n], ids, func(r *batchRow, id lashstore.BatchID) bool { return r.batch.BatchID == id }) {
			return 0, lashstore.RefusedNotLeading
		}
		return n, ""
	})
}

// heldBy checks that a claim still holds a batch.
func (s *SessionDB) heldBy(ctx context.Context, c *conn, claim lashstore.ClaimID, token lashstore.Token, id lashstore.BatchID) (*batchRow, error) {
	row, err := s.batchByID(ctx, c, id)
	if err != nil {
		return nil, err
	}
	lost := &lashstore.ClaimLostError{Session: s.id, Claim: claim, Batch: id}
	switch {
	case row == nil:
		lost.Reason = "the batch is not queued"
	case row.claimID == "":
		lost.Reason = "the batch is not claimed"
	case row.claimID != claim || subtle.ConstantTimeCompare(tokenHash(token), row.tokenHash) != 1:
		lost.Reason = "another claim holds the batch"
		if row.claimID != claim {
			lost.Successor = row.claimID
		}
	default:
		return row, nil
	}
	return nil, lost
}

// claimSize counts the batches that a claim holds.
func (s *SessionDB) claimSize(ctx context.Context, c *conn, claim lashstore.ClaimID) (n int64, err error) {
	_, err = c.one(ctx, `SELECT count(*) FROM batch WHERE claim_id=?`, []any{string(claim)}, &n)
	return n, err
}

// requireClaim checks that a claim holds exactly these batches and returns them.
func (s *SessionDB) requireClaim(ctx context.Context, c *conn, done *lashstore.ClaimCompletion) ([]*batchRow, error) {
	if done.SessionID != s.id {
		return nil, &lashstore.ClaimLostError{Session: s.id, Claim: done.ClaimID, Reason: "it is of another session"}
	}
	rows := make([]*batchRow, 0, len(done.BatchIDs))
	for _, id := range done.BatchIDs {
		row, err := s.heldBy(ctx, c, done.ClaimID, done.Token, id)
		if err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	n, err := s.claimSize(ctx, c, done.ClaimID)
	if err != nil {
		return nil, err
	}
	if n != int64(len(rows)) {
		return nil, &lashstore.ClaimLostError{Session: s.id, Claim: done.ClaimID, Reason: "it holds other batches than those named"}
	}
	return rows, nil
}

// completeClaim removes the batches of a claim. That the claim expired does not
// matter as long as nobody took them.
func (s *SessionDB) completeClaim(ctx context.Context, c *conn, done *lashstore.ClaimCompletion, now time.Time) error {
	rows, err := s.requireClaim(ctx, c, done)
	if err != nil {
		return err
	}
	for _, r := range rows {
		if err := s.removeBatch(ctx, c, &r.batch, keyCompleted, now); err != nil {
			return err
		}
	}
	return nil
}

// RenewClaim moves the expiry of a claim that nobody took.
func (s *SessionDB) RenewClaim(ctx context.Context, claim lashstore.Claim, ttl time.Duration) (lashstore.Claim, error) {
	if err := lashstore.ValidateTTL("ttl", ttl); err != nil {
		return claim, err
	}
	err := s.write(ctx, "renew a claim", func(ctx context.Context, c *conn) error {
		done := claim.Completion()
		if len(done.BatchIDs) == 0 {
			return &lashstore.ClaimLostError{Session: s.id, Claim: claim.ClaimID, Reason: "it names no batches"}
		}
		rows, err := s.requireClaim(ctx, c, &done)
		if err != nil {
			return err
		}
		claim.ExpiresAt = expiry(s.opts.Now(), ttl)
		for _, r := range rows {
			r.expiresAt = claim.ExpiresAt
			if err := s.updateClaim(ctx, c, r); err != nil {
				return err
			}
		}
		claim.Batches = slices.Clone(claim.Batches)
		for i := range claim.Batches {
			if b := claim.Batches[i].Claim; b != nil {
				renewed := *b
				renewed.ExpiresAt = claim.ExpiresAt
				claim.Batches[i].Claim = &renewed
			}
		}
		return nil
	})
	return claim, err
}

// AbandonClaim frees the batches that a claim still holds.
func (s *SessionDB) AbandonClaim(ctx context.Context, claim lashstore.Claim) error {
	if claim.SessionID != s.id {
		return &lashstore.ClaimLostError{Session: s.id, Claim: claim.ClaimID, Reason: "it is of another session"}
	}
	return s.write(ctx, "abandon a claim", func(ctx context.Context, c *conn) error {
		var held []*batchRow
		err := c.each(ctx, batchSelect+` WHERE claim_id=?`, []any{string(claim.ClaimID)}, func(scan func(...any) error) error {
			r, err := s.scanBatch(scan)
			if err == nil && subtle.ConstantTimeCompare(tokenHash(claim.Token), r.tokenHash) == 1 {
				held = append(held, r)
			}
			return err
		})
		if err != nil {
			return err
		}
		for _, r := range held {
			r.claimID = ""
			if err := s.updateClaim(ctx, c, r); err != nil {
				return err
			}
		}
		return nil
	})
}
