package metadata

import (
	"context"
	"errors"
	"time"
)

// ErrShardHeld says that another worker has the shard, or took it over. It is no
// matter of safety: workers that share a shard only repeat each other's work.
var ErrShardHeld = errors.New("shard held by another worker")

// ShardLease is a shard that a worker has taken for a while.
type ShardLease struct {
	Shard     int
	Token     string // random: who shows it has the lease
	Worker    string // who that is, for people
	ExpiresAt time.Time
	Audit     string // the last audit that swept the shard
}

// ClaimShard takes a shard that is free or whose lease has expired. It returns
// [ErrShardHeld] otherwise.
func (k *Catalog) ClaimShard(ctx context.Context, shard int, worker string, ttl time.Duration) (l ShardLease, err error) {
	err = k.write(ctx, "claim a shard", func(ctx context.Context, c *conn) error {
		var (
			token   string
			audit   string
			expires int64
		)
		_, err := c.one(ctx, `SELECT token, expires_at_ms, audit FROM shard WHERE shard=?`, []any{int64(shard)}, &token, &expires, &audit)
		if err != nil {
			return err
		}
		now := k.opts.Now()
		if token != "" && expires > toMS(now) && expires <= toMS(now.Add(ttl)) { // one from the future is a clock's mistake
			return ErrShardHeld
		}
		l = ShardLease{Shard: shard, Worker: worker, ExpiresAt: now.Add(ttl), Audit: audit}
		if l.Token, err = randomHex(k.opts.Rand); err != nil {
			return err
		}
		return c.exec(ctx, `INSERT OR REPLACE INTO shard (shard, token, worker, expires_at_ms, audit) VALUES (?, ?, ?, ?, ?)`,
			int64(shard), l.Token, worker, toMS(l.ExpiresAt), audit)
	})
	return l, err
}

// RenewShard extends a lease, or returns [ErrShardHeld] if another worker took it.
func (k *Catalog) RenewShard(ctx context.Context, l *ShardLease, ttl time.Duration) error {
	return k.write(ctx, "renew a shard", func(ctx context.Context, c *conn) error {
		until := k.opts.Now().Add(ttl)
		n, err := c.execCount(ctx, `UPDATE shard SET expires_at_ms=? WHERE shard=? AND token=?`, toMS(until), int64(l.Shard), l.Token)
		if err == nil && n == 0 {
			err = ErrShardHeld
		}
		if err == nil {
			l.ExpiresAt = until
		}
		return err
	})
}

// ReleaseShard gives a lease back; audit, if not empty, is the audit that has swept
// the shard. A lease that was taken over is left alone.
func (k *Catalog) ReleaseShard(ctx context.Context, l ShardLease, audit string) error {
	return k.write(ctx, "release a shard", func(ctx context.Context, c *conn) error {
		if audit == "" {
			audit = l.Audit
		}
		return c.exec(ctx, `UPDATE shard SET token='', worker='', expires_at_ms=0, audit=? WHERE shard=? AND token=?`,
			audit, int64(l.Shard), l.Token)
	})
}

// Shards lists the shards that have ever been taken; those without a token are free.
func (k *Catalog) Shards(ctx context.Context) (list []ShardLease, err error) {
	err = k.read(ctx, "list shards", func(ctx context.Context, c *conn) error {
		return c.each(ctx, `SELECT shard, token, worker, expires_at_ms, audit FROM shard ORDER BY shard`, nil, func(scan func(...any) error) error {
			var (
				l              ShardLease
				shard, expires int64
			)
			err := scan(&shard, &l.Token, &l.Worker, &expires, &l.Audit)
			l.Shard, l.ExpiresAt = int(shard), fromMSOrZero(expires)
			list = append(list, l)
			return err
		})
	})
	return list, err
}
