package cas

import (
	"encoding/binary"
	"testing"

	"pgregory.net/rapid"

	"github.com/lashstore/lashstore"
)

func drawnDigest(n int) lashstore.Digest {
	return lashstore.DigestOf(binary.BigEndian.AppendUint32(nil, uint32(n)))
}

// drawManifest draws a valid manifest of raw chunks: segments of any size, of which
// more or less is used, and free places between them.
func drawManifest(t *rapid.T) *Manifest {
	m := &Manifest{Digest: drawnDigest(-1)}
	n := rapid.IntRange(1, 3*maxUsedSegments/2).Draw(t, "segments")
	for i := range n {
		if i < n-1 && rapid.IntRange(0, 9).Draw(t, "free") == 0 {
			m.Segments = append(m.Segments, Segment{})
			continue
		}
		size := rapid.Int64Range(1, segmentBytes).Draw(t, "size")
		m.Segments = append(m.Segments, Segment{Digest: drawnDigest(i), PayloadBytes: size})
		used := max(1, size*rapid.Int64Range(0, 100).Draw(t, "percent")/100)
		for at := int64(0); at < used; at += maxChunkBytes {
			c := Chunk{Digest: drawnDigest(1000*i + int(at/maxChunkBytes)), SizeBytes: min(maxChunkBytes, used-at), Address: Address{Segment: i, Offset: at}}
			c.StoredBytes = c.SizeBytes
			m.Chunks = append(m.Chunks, c)
			m.SizeBytes += c.SizeBytes
		}
	}
	return m
}

// Which segments are given up is a matter of cost, but some things always hold.
func TestChooseSegmentsInvariants(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := drawManifest(t)
		if err := m.Validate(); err != nil {
			t.Fatalf("the drawn manifest: %v", err)
		}
		old := make(map[lashstore.Digest]bool)
		for _, s := range m.Segments {
			old[s.Digest] = rapid.Bool().Draw(t, "aged")
		}
		var aged func(lashstore.Digest) bool
		if rapid.Bool().Draw(t, "history") {
			aged = func(d lashstore.Digest) bool { return old[d] }
		}
		costs := make([]deltaCost, len(m.Chunks))
		for i := range m.Chunks {
			costs[i] = m.cost(&m.Chunks[i])
		}
		checkChoice(t, m, costs, aged, chooseSegments(m, costs, aged))
	})
}

// checkChoice checks a choice of segments to give up.
func checkChoice(t *rapid.T, m *Manifest, costs []deltaCost, aged func(lashstore.Digest) bool, chosen map[int]bool) {
	uses, _ := segmentUses(m, costs, aged)
	var forward, largest int64
	kept := 0
	for _, u := range uses {
		if u.used < 1 || u.used > u.total {
			t.Fatalf("%d of %d bytes of segment %d are used", u.used, u.total, u.segment)
		}
		if !chosen[u.segment] {
			kept++
			continue
		}
		forward += u.cost
		largest = max(largest, u.cost)
		if !u.aged && len(uses) <= maxUsedSegments {
			t.Fatalf("segment %d is given up although history needs it", u.segment)
		}
	}
	if kept+len(chosen) != len(uses) {
		t.Fatalf("%d segments are chosen and %d kept, of %d: a free place was chosen", len(chosen), kept, len(uses))
	}
	if forward > maxForwardBytes+largest {
		t.Fatalf("%d bytes are to be stored again, want at most %d and one segment", forward, maxForwardBytes)
	}
	if kept > maxUsedSegments && forward <= maxForwardBytes {
		t.Fatalf("%d segments are kept, want at most %d", kept, maxUsedSegments)
	}
	if forward > maxForwardBytes {
		return // no more could be chosen
	}
	for _, u := range uses {
		if u.aged && !chosen[u.segment] && u.used*minUse < u.total && forward+u.cost <= maxForwardBytes {
			t.Fatalf("segment %d is kept, of which %d of %d bytes are used", u.segment, u.used, u.total)
		}
	}
	again := chooseSegments(m, costs, aged)
	if len(again) != len(chosen) {
		t.Fatalf("chosen again, other segments: %v and %v", chosen, again)
	}
}
