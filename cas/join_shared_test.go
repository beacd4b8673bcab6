package cas_test

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lashstore/lashstore/cas"
	"github.com/lashstore/lashstore/cas/castest"
)

// hookedDriver asks get before each Get.
type hookedDriver struct {
	cas.Driver

	get func(ctx context.Context, key string) error
}

func (d *hookedDriver) Get(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	if err := d.get(ctx, key); err != nil {
		return nil, err
	}
	return d.Driver.Get(ctx, key, offset, length)
}

// A request that fails ends the others of its span, and other spans may wait for one
// of these: they must not take that for the end of their own context.
func TestJoinFailureOfOneSpanIsNotTheEndOfAnother(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := setupJoin(t)
		second := keyOf(s.m.Segments[1].Digest)
		for range 30 {
			var calls atomic.Int64
			d := &hookedDriver{Driver: s.faulty, get: func(ctx context.Context, key string) error {
				if key == second {
					return castest.ErrInjected
				}
				if calls.Add(1) > 2 { // what is read ahead is slow
					select {
					case <-ctx.Done():
					case <-time.After(time.Second):
					}
				}
				return ctx.Err()
			}}
			r, err := newStore(t, d, cas.Options{}).Join(t.Context(), s.m, s.generation)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(r)
			if !errors.Is(err, castest.ErrInjected) || errors.Is(err, context.Canceled) {
				t.Fatalf("after %d bytes: got error %v, want the one that was injected", len(got), err)
			}
			if err := r.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		}
	})
}
