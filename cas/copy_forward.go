package cas

import (
	"cmp"
	"slices"

	"github.com/lashstore/lashstore"
)

// Copy-forward keeps the space of a session bounded without a collector that
// repacks: the next content, whose bytes are at hand, stores again what a badly used
// segment still has, and lets the segment go. Bytes that the kept history needs
// anyway are not worth that; only aged segments are: those which no content but the
// newest will need.
const (
	// minUse: a segment of which less than 1 in minUse is used is given up
	// (design section 5).
	minUse = 4
	// All aged segments together may have slackPercent of what the content would take
	// if it were stored anew, plus half of what younger segments have, plus
	// freeSlack. Beyond that, more of them are given up until it is targetPercent.
	slackPercent, targetPercent = 140, 120
	freeSlack                   = 128 << 10
	// maxForwardBytes bounds what one content stores again: one full segment's worth
	// at a time keeps the pause of a turn short.
	maxForwardBytes = MaxObjectBytes
	// Beyond maxUsedSegments the least used ones are given up until half are left: a
	// read should not need many requests, nor a holder have many references.
	maxUsedSegments = 128
)

// segmentUse is what a manifest uses of one segment.
type segmentUse struct {
	segment int
	used    int64 // stored bytes
	total   int64
	aged    bool
	cost    int64 // of storing anew the chunks that lie in it
}

// chooseSegments returns the segments that the successor of m is to give up.
func chooseSegments(m *Manifest, costs []deltaCost, aged func(lashstore.Digest) bool) map[int]bool {
	uses, compact := segmentUses(m, costs, aged)
	var old, young int64
	for _, u := range uses {
		if u.aged {
			old += u.total
		} else {
			young += u.total
		}
	}
	chosen := make(map[int]bool)
	var forward int64
	choose := func(u segmentUse) {
		chosen[u.segment] = true
		forward += u.cost
		old -= u.total
	}
	// Least used first.
	slices.SortStableFunc(uses, func(a, b segmentUse) int { return cmp.Compare(a.used*b.total, b.used*a.total) })
	over := old > compact*slackPercent/100+young/2+freeSlack
	for _, u := range uses {
		if !u.aged || forward+u.cost > maxForwardBytes && len(chosen) > 0 {
			continue
		}
		if u.used*minUse < u.total || over && old+forward > compact*targetPercent/100+young/2 {
			choose(u)
		}
	}
	left := len(uses) - len(chosen)
	if left <= maxUsedSegments {
		return chosen
	}
	slices.SortStableFunc(uses, func(a, b segmentUse) int { return cmp.Compare(a.used, b.used) })
	for _, u := range uses {
		if left <= maxUsedSegments/2 || forward > maxForwardBytes {
			break
		}
		if !chosen[u.segment] {
			choose(u)
			left--
		}
	}
	return chosen
}

// segmentUses adds up what m uses, and what its content would take stored anew.
func segmentUses(m *Manifest, costs []deltaCost, aged func(lashstore.Digest) bool) (uses []segmentUse, compact int64) {
	bySegment := make([]segmentUse, len(m.Segments))
	counted := make(map[Address]bool, len(m.Chunks)+len(m.Bases))
	add := func(c *Chunk) {
		if counted[c.Address] {
			return
		}
		counted[c.Address] = true
		u := &bySegment[c.Segment]
		u.used += c.StoredBytes
		if c.Form == FormObject {
			u.used += m.Segments[c.Segment].PayloadBytes
		}
	}
	for i := range m.Chunks {
		c := &m.Chunks[i]
		add(c)
		bySegment[c.Segment].cost += costs[i].whole
		compact += costs[i].whole
	}
	for i := range m.Bases {
		add(&m.Bases[i])
	}
	for i, s := range m.Segments {
		if s.Digest.IsZero() {
			continue
		}
		u := bySegment[i]
		u.segment, u.total = i, s.PayloadBytes
		u.aged = aged != nil && aged(s.Digest)
		uses = append(uses, u)
	}
	return uses, compact
}
