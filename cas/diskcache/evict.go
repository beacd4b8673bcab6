package diskcache

import (
	"cmp"
	"container/heap"
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"time"
)

const (
	// staleAfter is how old a file in tmp must be to be removed: its writer is dead,
	// since a block is written in much less.
	staleAfter = time.Hour
	// maxCandidates bounds the memory of one walk: some 10 MB. If they are too few to
	// bring the folder below its limit, it is walked again.
	maxCandidates = 32 << 10
)

// passStats says what one pass of the evictor found and did.
type passStats struct {
	foundBytes   int64 // on disk before anything was removed
	evicted      int
	evictedBytes int64
}

// evictor counts the folder and evicts each time it is woken, until ctx ends.
func (c *Cache) evictor(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.due:
		}
		if _, err := c.pass(ctx); err != nil && ctx.Err() == nil {
			c.reports.report(ctx, failCount, err)
			c.suspend()
		}
	}
}

// wakeEvictor makes the evictor run, once more if it is running.
func (c *Cache) wakeEvictor() {
	select {
	case c.due <- struct{}{}:
	default: // it has not yet taken up the last wish
	}
}

// pass counts the folder and evicts the blocks that were used longest ago until it is
// well below its limit. What is removed by others meanwhile counts as evicted by them.
func (c *Cache) pass(ctx context.Context) (passStats, error) {
	c.passes.Lock()
	defer c.passes.Unlock()
	var stats passStats
	for {
		w := &walk{cache: c, now: c.opts.Now()}
		c.ledger.beginCount()
		if err := w.all(ctx); err != nil {
			c.ledger.abortCount()
			return stats, err
		}
		c.ledger.endCount(w.total + w.unfinished)
		stats.foundBytes = max(stats.foundBytes, w.total+w.unfinished)
		excess := c.ledger.excess(w.total)
		freed, err := c.evict(ctx, w.oldest, excess, &stats)
		// A walk that kept too few candidates, or whose files others removed, is
		// followed by another, as long as that helps.
		if err != nil || freed == 0 || freed >= excess {
			return stats, err
		}
	}
}

// evict removes files, the oldest first, until excess bytes are free.
func (c *Cache) evict(ctx context.Context, oldest []candidate, excess int64, stats *passStats) (freed int64, err error) {
	slices.SortFunc(oldest, candidate.compare)
	for _, old := range oldest {
		if freed >= excess {
			break
		}
		if err := ctx.Err(); err != nil {
			return freed, err
		}
		n, err := c.removeFile(old.name)
		if err != nil {
			return freed, err
		}
		freed += old.cost
		if n == 0 {
			continue // somebody else removed it
		}
		stats.evicted++
		stats.evictedBytes += n
		c.metrics.evictedBlocks.Inc()
		c.metrics.evictedBytes.Add(float64(n))
	}
	return freed, nil
}

// candidate is a file that may be evicted.
type candidate struct {
	name string
	used time.Time
	cost int64
}

// compare orders by last use, and then by name, so that all processes agree.
func (a candidate) compare(b candidate) int {
	return cmp.Or(a.used.Compare(b.used), strings.Compare(a.name, b.name))
}

// candidates is a heap with the most recently used on top: the first to make room
// for an older one.
type candidates []candidate

func (h candidates) Len() int           { return len(h) }
func (h candidates) Less(i, j int) bool { return h[i].compare(h[j]) > 0 }
func (h candidates) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push implements [heap.Interface].
func (h *candidates) Push(x any) { *h = append(*h, x.(candidate)) } //nolint:forcetypeassert // only candidates are pushed

// Pop implements [heap.Interface].
func (h *candidates) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	*h = (*h)[:last]
	return x
}

// walk looks at all files of the cache.
type walk struct {
	cache *Cache
	now   time.Time
	total int64 // of the blocks
	// unfinished is what lies in tmp. A block may be counted there and, after it was
	// moved in, once more.
	unfinished int64
	oldest     candidates
}

func (w *walk) all(ctx context.Context) error {
	if err := w.tidyTmp(ctx); err != nil {
		return err
	}
	return w.cache.eachEntry(ctx, ".", func(entry fs.DirEntry) error {
		if name := entry.Name(); entry.IsDir() && len(name) == shardHexLen && isHex(name) {
			return w.blocks(ctx, name)
		}
		return nil
	})
}

// blocks adds the blocks of one shard. An empty shard is removed, so that there are no
// more folders than files; a writer makes it again.
func (w *walk) blocks(ctx context.Context, shard string) error {
	empty := true
	err := w.cache.eachEntry(ctx, shard, func(entry fs.DirEntry) error {
		empty = false
		if _, _, ok := parseFile(entry.Name()); !ok {
			return nil
		}
		name := shard + "/" + entry.Name()
		info, err := w.cache.root.Lstat(name)
		if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
			return nil
		}
		if err != nil {
			return err
		}
		w.add(candidate{name: name, used: info.ModTime(), cost: costOf(info.Size())})
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) { // removed meanwhile
		return nil
	}
	if err == nil && empty {
		_ = w.cache.root.Remove(shard) // fails if a writer was faster
	}
	return err
}

// add counts a file and keeps it if it is among the oldest. A time in the future, from
// a clock that was wrong, says nothing: such a file goes first, not never.
func (w *walk) add(file candidate) {
	w.total += file.cost
	if file.used.Sub(w.now) > touchEvery {
		file.used = time.Time{}
	}
	if len(w.oldest) < maxCandidates {
		heap.Push(&w.oldest, file)
	} else if file.compare(w.oldest[0]) < 0 {
		w.oldest[0] = file
		heap.Fix(&w.oldest, 0)
	}
}

// tidyTmp counts the files in tmp and removes those whose writers are dead.
func (w *walk) tidyTmp(ctx context.Context) error {
	err := w.cache.eachEntry(ctx, tmpFolder, func(entry fs.DirEntry) error {
		name := tmpFolder + "/" + entry.Name()
		info, err := w.cache.root.Lstat(name)
		if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
			return nil
		}
		if err != nil {
			return err
		}
		if w.now.Sub(info.ModTime()) < staleAfter {
			w.unfinished += costOf(info.Size())
			return nil
		}
		if err := w.cache.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) { // made again by the next write
		return nil
	}
	return err
}
