package diskcache_test

import (
	"path/filepath"
	"testing"

	"github.com/lashstore/lashstore/cas/diskcache"
	"github.com/lashstore/lashstore/internal/testenv"
)

// A full file system fails nothing, and what fits when there is room is cached again.
func TestFullFileSystem(t *testing.T) {
	t.Parallel()
	if !testenv.MountNamespace(t) {
		return
	}
	b := setup(t)
	dir := testenv.Tmpfs(t, "256k")
	c := openCache(t, b.tier, dir, diskcache.Options{MaxBytes: 100 * least, BlockBytes: small, Metrics: b.reg, Now: b.clock.Now})
	for i := range byte(10) {
		body := noise(20*small, i)
		key := "k" + string('a'+rune(i))
		put(t, c, key, body)
		wantRange(t, c, key, 0, -1, body)
		wantRange(t, c, key, small+1, 2*small, body[small+1:3*small+1])
		b.clock.Advance(diskcache.PauseAfterFailure)
	}
	if got := b.counts(t)["errors_total/write"]; got == 0 {
		t.Error("the file system was never full")
	}
	if err := c.Delete(t.Context(), []string{"ka"}); err != nil {
		t.Fatal(err)
	}
	body := noise(small, 200)
	put(t, c, "fits", body)
	wantRange(t, c, "fits", 0, -1, body)
	before := b.gets()
	wantRange(t, c, "fits", 0, -1, body)
	if b.gets() != before {
		t.Error("after there was room again, the block was not cached")
	}
	testenv.Remount(t, dir, "256k", true)
	wantRange(t, c, "fits", 0, -1, body)
	if err := c.Delete(t.Context(), []string{"fits"}); err != nil {
		t.Errorf("Delete with a read-only cache: %v", err)
	}
	put(t, c, "other", body)
	wantRange(t, c, "other", 0, -1, body)
	if _, err := diskcache.New(b.tier, filepath.Join(dir, "new"), diskcache.Options{}); err == nil {
		t.Error("New on a read-only file system succeeded")
	}
}
