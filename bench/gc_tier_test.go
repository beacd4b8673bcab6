package bench

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/lashstore/lashstore/cas"
)

// gcTier is a tier with the objects of a gcBlobs, of which it keeps only which are
// deleted: memory and time are those of the collector. A listing is computed, a page
// of 1,000 takes about a millisecond.
type gcTier struct {
	blobs   gcBlobs
	prefix  string
	written time.Time

	mu      sync.Mutex // guards what follows, two bits an object: its own and the stray's
	deleted []uint64
	gone    [2]int64 // objects deleted, strays deleted
}

func newGCTier(n gcBlobs, prefix string) *gcTier {
	return &gcTier{blobs: n, prefix: prefix, written: time.Now().Add(-48 * time.Hour), deleted: make([]uint64, 2*int(n)/64+1)}
}

func (t *gcTier) parse(key string) cas.ObjectName {
	return must(cas.ParseKey(strings.TrimPrefix(key, t.prefix)))
}

// isDeleted is called with the lock held.
func (t *gcTier) isDeleted(i, stray int) bool {
	at := 2*i + stray
	return t.deleted[at/64]>>(at%64)&1 == 1
}

func (t *gcTier) Put(context.Context, string, []byte) error { panic("a collector stores nothing") }

func (t *gcTier) Get(context.Context, string, int64, int64) (io.ReadCloser, error) {
	panic("a collector reads no content")
}

// Stat finds all that is not deleted, and what writers have stored since.
func (t *gcTier) Stat(_ context.Context, key string) (cas.ObjectInfo, error) {
	if i, _, found := t.blobs.find(t.parse(key)); found {
		panic(fmt.Sprintf("object %d was missed", i))
	}
	return cas.ObjectInfo{Key: key, SizeBytes: gcStored, ModTime: time.Now()}, nil
}

// Delete panics if something is deleted that must not be.
func (t *gcTier) Delete(_ context.Context, keys []string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, key := range keys {
		i, isStray, found := t.blobs.find(t.parse(key))
		if !found || !isStray && !t.blobs.dead(i) {
			panic("deleted: " + key)
		}
		stray := 0
		if isStray {
			stray = 1
		}
		if !t.isDeleted(i, stray) {
			t.gone[stray]++
			t.deleted[(2*i+stray)/64] |= 1 << ((2*i + stray) % 64)
		}
	}
	return nil
}

// List computes a page.
func (t *gcTier) List(_ context.Context, prefix, after string, limit int) ([]cas.ObjectInfo, error) {
	if prefix != t.prefix {
		panic("list " + prefix)
	}
	infos := make([]cas.ObjectInfo, 0, limit)
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := t.firstAfter(after); i < int(t.blobs) && len(infos) < limit; i++ {
		name := t.blobs.name(i)
		for stray := range 2 {
			if stray == 1 && !t.blobs.stray(i) || t.isDeleted(i, stray) {
				continue
			}
			key := t.prefix + cas.ObjectName{Digest: name.Digest, Generation: name.Generation + cas.Generation(stray)}.Key()
			if key > after && len(infos) < limit {
				infos = append(infos, cas.ObjectInfo{Key: key, SizeBytes: gcStored, ModTime: t.written})
			}
		}
	}
	return infos, nil
}

// firstAfter is a number that is at most that of the first object after a key, and
// close to it.
func (t *gcTier) firstAfter(after string) int {
	text := strings.TrimPrefix(strings.TrimPrefix(after, t.prefix), "b3/")
	if _, name, ok := strings.Cut(text, "/"); ok && name != "" {
		text = name
	}
	text, _, _ = strings.Cut(text, "/")
	first := must(hex.DecodeString((text + strings.Repeat("0", 16))[:16]))
	return max(0, int(binary.BigEndian.Uint64(first)/t.blobs.step())-1)
}
