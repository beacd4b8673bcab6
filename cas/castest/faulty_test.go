package castest_test

import (
	"context"
	"errors"
	"io"
	"testing"

	"go.uber.org/goleak"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
	"github.com/lashstore/lashstore/cas/castest"
	"github.com/lashstore/lashstore/cas/memcas"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Without a script a faulty driver is the driver it wraps.
func TestFaultyPassesTheSuite(t *testing.T) {
	t.Parallel()
	castest.Run(t, func(testing.TB) castest.Harness {
		return castest.Harness{Driver: castest.NewFaulty(memcas.New())}
	})
}

func get(t *testing.T, d cas.Driver) ([]byte, error) {
	t.Helper()
	r, err := d.Get(t.Context(), "k", 0, -1)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(r)
	return body, errors.Join(err, r.Close())
}

// Each fault does what it says, once, in the order of the script.
func TestFaultyScript(t *testing.T) {
	t.Parallel()
	inner := memcas.New()
	f := castest.NewFaulty(inner)
	f.Script(castest.Put, castest.Pass(), castest.FailBefore(nil), castest.FailAfter(nil), castest.DiskFull(), castest.FlipBit(0))
	put := func(body string, want error) {
		t.Helper()
		if err := f.Put(t.Context(), "k", []byte(body)); !errors.Is(err, want) {
			t.Errorf("Put %q: got error %v, want %v", body, err, want)
		}
	}
	holds := func(want string) {
		t.Helper()
		if got, err := get(t, inner); err != nil || string(got) != want {
			t.Errorf("the driver holds %q, %v, want %q", got, err, want)
		}
	}
	put("one", nil)
	put("two", castest.ErrInjected)
	holds("one")
	put("three", castest.ErrInjected)
	holds("three")
	put("four", lashstore.ErrDiskFull)
	holds("three")
	put("abc", nil)
	holds("`bc")
	put("five", nil)
	holds("five")

	f.Script(castest.Get, castest.ShortRead(1), castest.FlipBit(8), castest.FailAfter(io.EOF), castest.ShortRead(100))
	for _, want := range []string{"fiv", "fhve", "", ""} {
		if got, err := get(t, f); string(got) != want {
			t.Errorf("Get: got %q, %v, want %q", got, err, want)
		}
	}

	f.Script(castest.Delete, castest.FailAfter(nil))
	if err := f.Delete(t.Context(), []string{"k"}); !errors.Is(err, castest.ErrInjected) {
		t.Errorf("Delete: got error %v, want ErrInjected", err)
	}
	if _, err := inner.Stat(t.Context(), "k"); !errors.Is(err, cas.ErrObjectNotFound) {
		t.Errorf("after Delete: got error %v, want ErrObjectNotFound", err)
	}
	if got := len(f.Calls(castest.Put)); got != 6 {
		t.Errorf("%d puts were noted, want 6", got)
	}
}

// A standing fault chooses by key, and goes when the driver is healed.
func TestFaultyAlways(t *testing.T) {
	t.Parallel()
	f := castest.NewFaulty(memcas.New())
	f.Always(castest.Put, func(keys []string) castest.Fault {
		if keys[0] == "bad" {
			return castest.FailBefore(nil)
		}
		return castest.Pass()
	})
	for range 2 {
		if err := f.Put(t.Context(), "good", nil); err != nil {
			t.Errorf("Put: %v", err)
		}
		if err := f.Put(t.Context(), "bad", nil); !errors.Is(err, castest.ErrInjected) {
			t.Errorf("Put: got error %v, want ErrInjected", err)
		}
	}
	f.Heal()
	if err := f.Put(t.Context(), "bad", nil); err != nil {
		t.Errorf("Put after Heal: %v", err)
	}
}

// A blocked call ends with its context, or goes on when it is released.
func TestFaultyBlock(t *testing.T) {
	t.Parallel()
	f, gate := castest.NewFaulty(memcas.New()), castest.NewGate()
	f.Script(castest.Put, castest.Block(gate), castest.Block(gate))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.Put(ctx, "k", nil) }()
	<-gate.Arrived()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want context.Canceled", err)
	}
	go func() { done <- f.Put(t.Context(), "k", nil) }()
	gate.Release()
	gate.Release()
	if err := <-done; err != nil {
		t.Errorf("after Release: %v", err)
	}
}
