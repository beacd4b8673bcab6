package metadata

import (
	"context"
	"database/sql"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/zeebo/blake3"

	"github.com/lashstore/lashstore"
)

// batchRow is a row of the batch table; claim columns are set while a claim holds
// it, live or not.
type batchRow struct {
	batch      lashstore.Batch // without items and Claim
	claimID    lashstore.ClaimID
	owner      lashstore.Owner
	tokenHash  []byte
	fencing    lashstore.FencingToken // of the newest claim, kept when it ends
	leaseToken lashstore.FencingToken // of the execution lease the claim is pinned to
	expiresAt  time.Time
}

const batchSelect = `SELECT seq, batch_id, source_key, class, delivery_policy, slot_policy, merge_key, available_at_ms, enqueued_at_ms,
	claim_id, claim_owner, claim_token_hash, claim_fencing, claim_lease, claim_expires_at_ms, sum FROM batch`

// columns returns all columns but seq, in the order of the checksum.
func (r *batchRow) columns() ([]any, error) {
	b := &r.batch
	cols := []any{
		string(b.BatchID), b.SourceKey, string(b.Class), string(b.DeliveryPolicy), string(b.SlotPolicy), string(b.MergeKey),
		toMS(b.AvailableAt), toMS(b.EnqueuedAt),
	}
	if r.claimID == "" {
		return append(cols, nil, nil, nil, counter(r.fencing), int64(0), int64(0)), nil
	}
	owner, err := encode("claim owner", r.owner)
	if err != nil {
		return nil, err
	}
	return append(cols, string(r.claimID), owner, r.tokenHash, counter(r.fencing), counter(r.leaseToken), toMS(r.expiresAt)), nil
}

// updateClaim writes the claim columns of a row.
func (s *SessionDB) updateClaim(ctx context.Context, c *conn, r *batchRow) error {
	cols, err := r.columns()
	if err != nil {
		return err
	}
	args := append(slices.Clone(cols[8:]), rowSum(cols...), counter(r.batch.EnqueueSeq))
	return c.exec(ctx, `UPDATE batch SET claim_id=?, claim_owner=?, claim_token_hash=?, claim_fencing=?, claim_lease=?,
		claim_expires_at_ms=?, sum=? WHERE seq=?`, args...)
}

func (s *SessionDB) scanBatch(scan func(...any) error) (*batchRow, error) {
	var (
		r                                        batchRow
		b                                        = &r.batch
		seq, available, enqueued, expires        int64
		fencing, lease, sum                      int64
		id, class, delivery, slot, merge, srcKey string
		claim, owner                             sql.NullString
	)
	err := scan(&seq, &id, &srcKey, &class, &delivery, &slot, &merge, &available, &enqueued,
		&claim, &owner, &r.tokenHash, &fencing, &lease, &expires, &sum)
	if err != nil {
		return nil, err
	}
	b.SessionID, b.BatchID, b.SourceKey, b.Class = s.id, lashstore.BatchID(id), srcKey, lashstore.WorkClass(class)
	b.DeliveryPolicy, b.SlotPolicy, b.MergeKey = lashstore.DeliveryPolicy(delivery), lashstore.SlotPolicy(slot), lashstore.MergeKey(merge)
	b.AvailableAt, b.EnqueuedAt = fromMS(available), fromMS(enqueued)
	if sum != rowSum(id, srcKey, class, delivery, slot, merge, available, enqueued,
		nullString(claim), nullString(owner), blobArg(r.tokenHash), fencing, lease, expires) {
		return nil, corrupt(s.id, "batch", id, errSum)
	}
	if b.EnqueueSeq, err = unsigned[uint64](seq); err != nil {
		return nil, corrupt(s.id, "batch", id, err)
	}
	if r.fencing, err = unsigned[lashstore.FencingToken](fencing); err != nil {
		return nil, corrupt(s.id, "batch", id, err)
	}
	if r.leaseToken, err = unsigned[lashstore.FencingToken](lease); err != nil {
		return nil, corrupt(s.id, "batch", id, err)
	}
	if !claim.Valid {
		return &r, nil
	}
	r.claimID, r.expiresAt = lashstore.ClaimID(claim.String), fromMS(expires)
	if err := lashstore.DecodeStrict([]byte(owner.String), &r.owner); err != nil {
		return nil, corrupt(s.id, "batch", id, fmt.Errorf("claim owner: %w", err))
	}
	return &r, nil
}

// view is the batch as others see it.
func (r *batchRow) view(live bool) lashstore.Batch {
	b := r.batch
	if live {
		b.Claim = &lashstore.BatchClaim{ClaimID: r.claimID, Owner: r.owner, FencingToken: r.fencing, ExpiresAt: r.expiresAt}
	}
	return b
}

// loadItems fills in a batch's payloads.
func (s *SessionDB) loadItems(ctx context.Context, c *conn, b *lashstore.Batch) error {
	seq := counter(b.EnqueueSeq)
	err := c.each(ctx, `SELECT idx, type, body, sum FROM item WHERE batch_seq=? ORDER BY idx`, []any{seq}, func(scan func(...any) error) error {
		var (
			idx, sum int64
			kind     string
			body     []byte
		)
		if err := scan(&idx, &kind, &body, &sum); err != nil {
			return err
		}
		if sum != rowSum(seq, idx, kind, body) || idx != int64(len(b.Items)) {
			return corrupt(s.id, "item", itemID(b.BatchID, idx), errSum)
		}
		b.Items = append(b.Items, lashstore.Item{
			ItemID:  itemID(b.BatchID, idx),
			Payload: lashstore.Payload{Type: lashstore.PayloadType(kind), Body: body},
		})
		return nil
	})
	if err == nil && len(b.Items) == 0 {
		return corrupt(s.id, "item", b.BatchID, errMissing)
	}
	return err
}

func itemID(batch lashstore.BatchID, idx int64) lashstore.ItemID {
	return lashstore.ItemID(fmt.Sprintf("%s:item:%d", batch, idx))
}

// States of a remembered source key.
const (
	keyQueued    = 0
	keyCompleted = 1
	keyCancelled = 2
)

// payloadHash identifies what was enqueued under a source key: the payloads, byte
// for byte, and how they are to be delivered. When they become available is left
// out, since a retry counts it anew.
func payloadHash(d lashstore.BatchDraft) []byte {
	h := blake3.New()
	field := func(b []byte) {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(b)))
		_, _ = h.Write(n[:]) // a hash never fails
		_, _ = h.Write(b)
	}
	field([]byte("lashstore batch v1"))
	for _, s := range []string{string(d.DeliveryPolicy), string(d.SlotPolicy), string(d.MergeKey)} {
		field([]byte(s))
	}
	for _, p := range d.Payloads {
		field([]byte(p.Type))
		field(p.Body)
	}
	return h.Sum(nil)
}

// Enqueue adds a batch.
func (s *SessionDB) Enqueue(ctx context.Context, draft lashstore.BatchDraft) (res lashstore.EnqueueResult, err error) {
	if err := draft.Validate(); err != nil {
		return res, err
	}
	err = s.write(ctx, "enqueue", func(ctx context.Context, c *conn) error {
		now := s.opts.Now()
		if err := s.forgetKeys(ctx, c, now); err != nil {
			return err
		}
		res, err = s.enqueue(ctx, c, draft.WithDefaults(), now)
		return err
	})
	return res, err
}

// forgetKeys drops source keys whose time is over.
func (s *SessionDB) forgetKeys(ctx context.Context, c *conn, now time.Time) error {
	return c.exec(ctx, `DELETE FROM source_key WHERE ended_at_ms<=?`, toMS(now.Add(-s.opts.SourceKeyRetention)))
}

func (s *SessionDB) enqueue(ctx context.Context, c *conn, d lashstore.BatchDraft, now time.Time) (lashstore.EnqueueResult, error) {
	res := lashstore.EnqueueResult{Outcome: lashstore.EnqueueAccepted}
	hash := payloadHash(d)
	if d.SourceKey != "" {
		seen, known, err := s.knownKey(ctx, c, d.SourceKey, hash)
		if err != nil || known {
			return seen, err
		}
	}
	suffix, err := randomHex(s.opts.Rand)
	if err != nil {
		return res, err
	}
	b := &res.Batch
	*b = lashstore.Batch{
		BatchID: lashstore.BatchID("qwb:" + suffix), SessionID: s.id, SourceKey: d.SourceKey, Class: d.Class(),
		DeliveryPolicy: d.DeliveryPolicy, SlotPolicy: d.SlotPolicy, MergeKey: d.MergeKey,
		AvailableAt: fromMS(toMS(d.AvailableAt)), EnqueuedAt: fromMS(toMS(now)),
	}
	cols, err := (&batchRow{batch: *b}).columns()
	if err != nil {
		return res, err
	}
	seq, err := c.insert(ctx, `INSERT INTO batch
		(batch_id, source_key, class, delivery_policy, slot_policy, merge_key, available_at_ms, enqueued_at_ms,
		claim_id, claim_owner, claim_token_hash, claim_fencing, claim_lease, claim_expires_at_ms, sum)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, append(cols, rowSum(cols...))...)
	if err != nil {
		return res, err
	}
	if b.EnqueueSeq, err = unsigned[uint64](seq); err != nil {
		return res, corrupt(s.id, "batch", b.BatchID, err)
	}
	for i, p := range d.Payloads {
		idx, body := int64(i), []byte(p.Body)
		err := c.exec(ctx, `INSERT INTO item (batch_seq, idx, type, body, sum) VALUES (?, ?, ?, ?, ?)`,
			seq, idx, string(p.Type), body, rowSum(seq, idx, string(p.Type), body))
		if err != nil {
			return res, err
		}
		b.Items = append(b.Items, lashstore.Item{ItemID: itemID(b.BatchID, idx), Payload: p})
	}
	if d.SourceKey == "" {
		return res, nil
	}
	return res, s.writeKey(ctx, c, d.SourceKey, string(b.BatchID), hash, keyQueued, nil)
}

func (s *SessionDB) writeKey(ctx context.Context, c *conn, key, batch string, hash []byte, state int64, ended any) error {
	return c.exec(ctx, `INSERT OR REPLACE INTO source_key (source_key, batch_id, payload_hash, state, ended_at_ms, sum) VALUES (?, ?, ?, ?, ?, ?)`,
		key, batch, hash, state, ended, rowSum(key, batch, hash, state, ended))
}

// readKey reads what is remembered of a source key.
func (s *SessionDB) readKey(ctx context.Context, c *conn, key string) (batch string, hash []byte, state int64, found bool, err error) {
	var (
		ended sql.NullInt64
		sum   int64
	)
	found, err = c.one(ctx, `SELECT batch_id, payload_hash, state, ended_at_ms, sum FROM source_key WHERE source_key=?`,
		[]any{key}, &batch, &hash, &state, &ended, &sum)
	if err == nil && found && sum != rowSum(key, batch, hash, state, nullInt(ended)) {
		err = corrupt(s.id, "source key", key, errSum)
	}
	return batch, hash, state, found, err
}

// knownKey answers an enqueue whose source key is remembered.
func (s *SessionDB) knownKey(ctx context.Context, c *conn, key string, hash []byte) (res lashstore.EnqueueResult, known bool, err error) {
	id, first, state, found, err := s.readKey(ctx, c, key)
	if err != nil || !found {
		return res, false, err
	}
	if string(first) != string(hash) {
		return res, true, &lashstore.SourceKeyConflictError{Session: s.id, SourceKey: key, Batch: lashstore.BatchID(id)}
	}
	res.Batch = lashstore.Batch{BatchID: lashstore.BatchID(id), SessionID: s.id, SourceKey: key}
	switch state {
	case keyCompleted:
		res.Outcome = lashstore.EnqueueCompleted
		return res, true, nil
	case keyCancelled:
		res.Outcome = lashstore.EnqueueCancelled
		return res, true, nil
	}
	row, err := s.batchByID(ctx, c, lashstore.BatchID(id))
	if err != nil {
		return res, true, err
	}
	if row == nil {
		return res, true, corrupt(s.id, "batch", id, errMissing)
	}
	res.Outcome, res.Batch = lashstore.EnqueueDuplicate, row.view(false)
	return res, true, s.loadItems(ctx, c, &res.Batch)
}

func (s *SessionDB) batchByID(ctx context.Context, c *conn, id lashstore.BatchID) (row *batchRow, err error) {
	err = c.each(ctx, batchSelect+` WHERE batch_id=?`, []any{string(id)}, func(scan func(...any) error) error {
		row, err = s.scanBatch(scan)
		return err
	})
	return row, err
}

// removeBatch deletes a batch and remembers its source key as ended.
func (s *SessionDB) removeBatch(ctx context.Context, c *conn, b *lashstore.Batch, state int64, now time.Time) error {
	seq := counter(b.EnqueueSeq)
	if err := c.exec(ctx, `DELETE FROM item WHERE batch_seq=?`, seq); err != nil {
		return err
	}
	if err := c.exec(ctx, `DELETE FROM batch WHERE seq=?`, seq); err != nil {
		return err
	}
	if b.SourceKey == "" {
		return nil
	}
	batch, hash, _, found, err := s.readKey(ctx, c, b.SourceKey)
	if err != nil {
		return err
	}
	if !found {
		return corrupt(s.id, "source key", b.SourceKey, errMissing)
	}
	return s.writeKey(ctx, c, b.SourceKey, batch, hash, state, toMS(now))
}

// CancelBatch removes a batch that is in no live claim.
func (s *SessionDB) CancelBatch(ctx context.Context, id lashstore.BatchID) (b lashstore.Batch, err error) {
	err = s.write(ctx, "cancel a batch", func(ctx context.Context, c *conn) error {
		row, err := s.batchByID(ctx, c, id)
		if err != nil {
			return err
		}
		if row == nil {
			return fmt.Errorf("session %q: batch %q: %w", s.id, id, lashstore.ErrBatchNotFound)
		}
		now := s.opts.Now()
		live, err := s.claimJudge(ctx, c, s.opts.Liveness, now)
		if err != nil {
			return err
		}
		if live(row) {
			return &lashstore.BatchHeldError{Session: s.id, Batch: id, Claim: row.claimID, Until: row.expiresAt}
		}
		b = row.view(false)
		if err := s.loadItems(ctx, c, &b); err != nil {
			return err
		}
		return s.removeBatch(ctx, c, &b, keyCancelled, now)
	})
	return b, err
}

// ListQueue lists batches in order.
func (s *SessionDB) ListQueue(ctx context.Context, list lashstore.ListQueue) (batches []lashstore.Batch, err error) {
	if err := list.Validate(); err != nil {
		return nil, err
	}
	err = s.read(ctx, "list the queue", func(ctx context.Context, c *conn) error {
		live, err := s.claimJudge(ctx, c, s.opts.Liveness, s.opts.Now())
		if err != nil {
			return err
		}
		limit := int(limitOf(list.Limit))
		err = c.each(ctx, batchSelect+` WHERE seq>? ORDER BY seq`, []any{counter(list.AfterSeq)}, func(scan func(...any) error) error {
			row, err := s.scanBatch(scan)
			if err != nil {
				return err
			}
			held := live(row)
			if held && list.PendingOnly {
				return nil
			}
			if batches = append(batches, row.view(held)); len(batches) == limit {
				return errStop
			}
			return nil
		})
		if err != nil {
			return err
		}
		for i := range batches {
			if err := s.loadItems(ctx, c, &batches[i]); err != nil {
				return err
			}
		}
		return nil
	})
	return batches, err
}

// enqueue adds the batches that the commit carries.
func (t *commitTx) enqueue(ctx context.Context, c *conn) (ids []lashstore.BatchID, err error) {
	if len(t.in.Commit.Enqueue) == 0 {
		return nil, nil
	}
	if err := t.s.forgetKeys(ctx, c, t.now); err != nil {
		return nil, err
	}
	for _, d := range t.in.Commit.Enqueue {
		res, err := t.s.enqueue(ctx, c, d.WithDefaults(), t.now)
		if err != nil {
			return nil, err
		}
		ids = append(ids, res.Batch.BatchID)
	}
	return ids, nil
}
