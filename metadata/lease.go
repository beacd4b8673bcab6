package metadata

import (
	"context"
	"crypto/subtle"
	"database/sql"
	"time"

	"github.com/lashstore/lashstore"
)

// leaseRow is the lease singleton; fencing is 0 while there never was a grant.
type leaseRow struct {
	holder    *lashstore.LeaseHolder // nil: released, or never granted
	tokenHash []byte
	fencing   lashstore.FencingToken
}

// live reports whether somebody holds the lease. It ends at its expiry, not after.
func (l leaseRow) live(now time.Time) bool { return l.holder != nil && l.holder.ExpiresAt.After(now) }

// leaseColumns are the columns of the lease row as they are read, all null where
// there is no row.
type leaseColumns struct {
	owner                          sql.NullString
	tokenHash                      []byte
	fencing, claimed, expires, sum sql.NullInt64
}

const leaseNames = `lease.owner, lease.token_hash, lease.fencing, lease.claimed_at_ms, lease.expires_at_ms, lease.sum`

func (l *leaseColumns) dest() []any {
	return []any{&l.owner, &l.tokenHash, &l.fencing, &l.claimed, &l.expires, &l.sum}
}

func (s *SessionDB) decodeLease(in *leaseColumns) (l leaseRow, err error) {
	if !in.sum.Valid {
		return l, nil // there never was a lease
	}
	l.tokenHash = in.tokenHash
	if in.sum.Int64 != rowSum(nullString(in.owner), blobArg(in.tokenHash), in.fencing.Int64, in.claimed.Int64, in.expires.Int64) {
		return l, corrupt(s.id, "lease", "row", errSum)
	}
	if l.fencing, err = unsigned[lashstore.FencingToken](in.fencing.Int64); err != nil {
		return l, corrupt(s.id, "lease", "fencing", err)
	}
	if !in.owner.Valid {
		return l, nil
	}
	l.holder = &lashstore.LeaseHolder{FencingToken: l.fencing, ClaimedAt: fromMS(in.claimed.Int64), ExpiresAt: fromMS(in.expires.Int64)}
	if l.holder.Owner, err = s.decodeOwner(in.owner.String); err != nil {
		return l, corrupt(s.id, "lease", "owner", err)
	}
	return l, nil
}

// knownOwner is the owner that was decoded last: every commit reads the same one.
type knownOwner struct {
	text  string
	owner lashstore.Owner
}

func (s *SessionDB) decodeOwner(text string) (lashstore.Owner, error) {
	if known := s.owner.Load(); known != nil && known.text == text {
		return known.owner, nil
	}
	var owner lashstore.Owner
	if err := lashstore.DecodeStrict([]byte(text), &owner); err != nil {
		return owner, err
	}
	s.owner.Store(&knownOwner{text, owner})
	return owner, nil
}

func (s *SessionDB) readLease(ctx context.Context, c *conn) (leaseRow, error) {
	var in leaseColumns
	if _, err := c.one(ctx, `SELECT `+leaseNames+` FROM lease`, nil, in.dest()...); err != nil {
		return leaseRow{}, err
	}
	return s.decodeLease(&in)
}

func (s *SessionDB) writeLease(ctx context.Context, c *conn, l leaseRow) error {
	cols := []any{nil, nil, counter(l.fencing), int64(0), int64(0)}
	if l.holder != nil {
		owner, err := encode("lease owner", l.holder.Owner)
		if err != nil {
			return err
		}
		cols = []any{owner, l.tokenHash, counter(l.fencing), toMS(l.holder.ClaimedAt), toMS(l.holder.ExpiresAt)}
	}
	return c.exec(ctx, `INSERT OR REPLACE INTO lease (owner, token_hash, fencing, claimed_at_ms, expires_at_ms, sum, one)
		VALUES (?, ?, ?, ?, ?, ?, 1)`, append(cols, rowSum(cols...))...)
}

// ClaimLease takes the lease if it is free, or again if it is the owner's.
func (s *SessionDB) ClaimLease(ctx context.Context, owner lashstore.Owner, ttl time.Duration) (lashstore.Lease, error) {
	return s.claimLease(ctx, owner, ttl, func(l leaseRow, now time.Time) bool {
		return l.holder.Owner.SameHolder(owner)
	})
}

// ReclaimLease also takes a live lease from a holder that is proven dead and still
// the one that was observed.
func (s *SessionDB) ReclaimLease(ctx context.Context, owner lashstore.Owner, observed lashstore.LeaseHolder, ttl time.Duration) (lashstore.Lease, error) {
	return s.claimLease(ctx, owner, ttl, func(l leaseRow, _ time.Time) bool {
		return observed.Owner.SameHolder(l.holder.Owner) && observed.FencingToken == l.fencing &&
			lashstore.DefinitelyDead(l.holder.Owner.Liveness, owner.Liveness, s.opts.Processes)
	})
}

// claimLease grants the lease if nobody holds it or mayDisplace allows it.
func (s *SessionDB) claimLease(ctx context.Context, owner lashstore.Owner, ttl time.Duration, mayDisplace func(leaseRow, time.Time) bool) (lease lashstore.Lease, err error) {
	if err := owner.Validate(); err != nil {
		return lease, err
	}
	if err := lashstore.ValidateTTL("ttl", ttl); err != nil {
		return lease, err
	}
	err = s.write(ctx, "claim the lease", func(ctx context.Context, c *conn) error {
		now := s.opts.Now()
		l, err := s.readLease(ctx, c)
		if err != nil {
			return err
		}
		if l.live(now) && !mayDisplace(l, now) {
			return &lashstore.LeaseHeldError{Session: s.id, Holder: *l.holder}
		}
		lease, err = s.grant(l, owner, now, ttl)
		if err != nil {
			return err
		}
		return s.writeLease(ctx, c, leaseRow{holder: &lease.LeaseHolder, tokenHash: tokenHash(lease.Token), fencing: lease.FencingToken})
	})
	return lease, err
}

// grant makes the next lease. A holder that claims again keeps its fencing token
// and never loses time, but gets a new token: of two runners that believe to be the
// same holder, only the later one has the lease.
func (s *SessionDB) grant(l leaseRow, owner lashstore.Owner, now time.Time, ttl time.Duration) (lashstore.Lease, error) {
	token, err := randomHex(s.opts.Rand)
	if err != nil {
		return lashstore.Lease{}, err
	}
	lease := lashstore.Lease{
		SessionID: s.id,
		LeaseHolder: lashstore.LeaseHolder{
			Owner: owner, FencingToken: l.fencing, ClaimedAt: now.Truncate(time.Millisecond).UTC(), ExpiresAt: expiry(now, ttl),
		},
		Token:     lashstore.Token(token),
		Displaced: l.holder,
	}
	if l.live(now) && l.holder.Owner.SameHolder(owner) {
		lease.ClaimedAt = l.holder.ClaimedAt
		if l.holder.ExpiresAt.After(lease.ExpiresAt) {
			lease.ExpiresAt = l.holder.ExpiresAt
		}
		return lease, nil
	}
	if l.fencing >= lashstore.MaxCounter {
		return lashstore.Lease{}, &lashstore.LimitError{Limit: "fencing_token", Max: lashstore.MaxCounter, Got: lashstore.MaxCounter}
	}
	lease.FencingToken++
	return lease, nil
}

// expiry is when a grant made now for ttl ends, in whole milliseconds.
func expiry(now time.Time, ttl time.Duration) time.Time {
	return now.Add(ttl).Truncate(time.Millisecond).UTC()
}

// checkFence refuses a fence that is not the present grant's or, if live is asked
// for, has expired.
func (s *SessionDB) checkFence(l leaseRow, f lashstore.Fence, now time.Time, live bool) error {
	refused := &lashstore.FencedError{Session: s.id, Given: f.FencingToken, Current: l.fencing}
	if l.holder != nil {
		refused.Holder = l.holder.Owner.OwnerID
	}
	switch {
	case f == lashstore.Fence{}:
		refused.Reason = lashstore.FenceMissing
	case f.SessionID != s.id:
		refused.Reason = lashstore.FenceWrongSession
	case l.holder == nil:
		refused.Reason = lashstore.FenceReleased
	case f.FencingToken != l.fencing, subtle.ConstantTimeCompare(tokenHash(f.Token), l.tokenHash) != 1:
		refused.Reason = lashstore.FenceSuperseded
	case live && !l.live(now):
		refused.Reason = lashstore.FenceExpired
	default:
		return nil
	}
	return refused
}

// requireFence is checkFence against the stored lease.
func (s *SessionDB) requireFence(ctx context.Context, c *conn, f lashstore.Fence, now time.Time) (leaseRow, error) {
	l, err := s.readLease(ctx, c)
	if err != nil {
		return l, err
	}
	return l, s.checkFence(l, f, now, true)
}

// RenewLease moves the expiry of a live lease.
func (s *SessionDB) RenewLease(ctx context.Context, f lashstore.Fence, ttl time.Duration) (lease lashstore.Lease, err error) {
	if err := lashstore.ValidateTTL("ttl", ttl); err != nil {
		return lease, err
	}
	err = s.write(ctx, "renew the lease", func(ctx context.Context, c *conn) error {
		now := s.opts.Now()
		l, err := s.requireFence(ctx, c, f, now)
		if err != nil {
			return err
		}
		l.holder.ExpiresAt = expiry(now, ttl)
		lease = lashstore.Lease{SessionID: s.id, LeaseHolder: *l.holder, Token: f.Token}
		return s.writeLease(ctx, c, l)
	})
	return lease, err
}

// ReleaseLease frees the lease, expired or not.
func (s *SessionDB) ReleaseLease(ctx context.Context, f lashstore.Fence) error {
	return s.write(ctx, "release the lease", func(ctx context.Context, c *conn) error {
		l, err := s.readLease(ctx, c)
		if err != nil {
			return err
		}
		if err := s.checkFence(l, f, s.opts.Now(), false); err != nil {
			return err
		}
		return s.writeLease(ctx, c, leaseRow{fencing: l.fencing})
	})
}

// LeaseStatus says who holds the lease.
func (s *SessionDB) LeaseStatus(ctx context.Context) (st lashstore.LeaseStatus, err error) {
	err = s.read(ctx, "read the lease", func(ctx context.Context, c *conn) error {
		l, err := s.readLease(ctx, c)
		if err != nil {
			return err
		}
		st.FencingToken = l.fencing
		if l.live(s.opts.Now()) {
			st.Holder = l.holder
		}
		return nil
	})
	return st, err
}
