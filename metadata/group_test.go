package metadata

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/lashstore/lashstore"
)

// A write that fails must not take along those that share its transaction, and
// must leave nothing of its own.
func TestGroupIsolatesFailures(t *testing.T) {
	t.Parallel()
	b := setup(t)
	boom := errors.New("boom")
	errs := make([]error, 100)
	var group sync.WaitGroup
	for i := range errs {
		group.Go(func() {
			errs[i] = b.catalog.write(t.Context(), "test", func(ctx context.Context, c *conn) error {
				if err := c.exec(ctx, `INSERT INTO doomed (digest, generation, stored_size, doomed_at_ms) VALUES (x'00', ?, 0, 0)`, int64(i)); err != nil {
					return err
				}
				if i%3 == 0 {
					return boom
				}
				return nil
			})
		})
	}
	group.Wait()
	for i, err := range errs {
		found := false
		must(t, b.catalog.read(t.Context(), "test", func(ctx context.Context, c *conn) (err error) {
			found, err = c.one(ctx, `SELECT 1 FROM doomed WHERE generation=?`, []any{int64(i)}, new(int))
			return err
		}))
		if failed := i%3 == 0; errors.Is(err, boom) != failed || found == failed {
			t.Errorf("write %d: error %v, row found: %t", i, err, found)
		}
	}
}

// A write whose caller is gone must not be applied, and a closed catalog must
// answer.
func TestGroupEnds(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	never := func(context.Context, *conn) error { t.Error("was called"); return nil }
	if err := b.catalog.write(ctx, "test", never); !errors.Is(err, context.Canceled) {
		t.Errorf("with a cancelled context: %v", err)
	}
	b.catalog.group.close()
	if err := b.catalog.write(t.Context(), "test", never); !errors.Is(err, lashstore.ErrClosed) {
		t.Errorf("after close: %v", err)
	}
}

// A panic or an error in one statement must leave the connection usable: the
// savepoint is closed either way.
func TestGroupAfterStatementError(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for range 3 {
		err := b.catalog.write(t.Context(), "test", func(ctx context.Context, c *conn) error {
			return c.exec(ctx, `INSERT INTO doomed (digest, generation, stored_size, doomed_at_ms) VALUES (NULL, 0, 0, 0)`)
		})
		if !errors.Is(err, lashstore.ErrStorage) {
			t.Errorf("a violated constraint: %v", err)
		}
	}
	must(t, b.catalog.SetState(t.Context(), testSession, b.inc, SessionLive))
}
