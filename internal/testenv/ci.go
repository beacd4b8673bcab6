package testenv

import (
	"hash/fnv"
	"os"
	"strconv"
	"testing"
)

// InCI reports whether this is a run in which nothing may be left out
// (LASHSTORE_CI=1).
func InCI() bool { return os.Getenv("LASHSTORE_CI") == "1" }

// Unavailable ends a test for want of something that the machine does not offer: it
// is skipped, and in CI it fails, so that no run passes by testing nothing.
func Unavailable(tb testing.TB, what string, err error) {
	tb.Helper()
	if InCI() {
		tb.Fatalf("%s is not available, and nothing may be skipped in CI: %v", what, err)
	}
	tb.Skipf("%s is not available: %v", what, err)
}

// Seed returns the seed of a test, and logs it: LASHSTORE_SEED if it is set, else a
// number made from the test's name.
func Seed(tb testing.TB) uint64 {
	tb.Helper()
	h := fnv.New64a()
	_, _ = h.Write([]byte(tb.Name()))
	seed := h.Sum64()
	if text := os.Getenv("LASHSTORE_SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			tb.Fatalf("LASHSTORE_SEED: %v", err)
		}
		seed ^= n
	}
	tb.Logf("random seed %d (LASHSTORE_SEED=%q)", seed, os.Getenv("LASHSTORE_SEED"))
	return seed
}
