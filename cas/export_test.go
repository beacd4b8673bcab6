package cas

import "github.com/lashstore/lashstore"

// The bounds that tests go up to.
const (
	ChunkAverage      = chunkAverage
	MinCutBytes       = minCutBytes
	CoarseFrom        = coarseFrom
	MaxChunkBytes     = maxChunkBytes
	WindowBytes       = windowBytes
	SegmentBytes      = segmentBytes
	ParallelPuts      = parallelPuts
	MaxInlineManifest = maxInlineManifest
	MaxChain          = maxChain
	MaxDeltaDepth     = maxDeltaDepth
	MaxDeltaShare     = maxDeltaShare
	MaxUsedSegments   = maxUsedSegments
	MaxManifestBytes  = maxManifestBytes
)

// Chain returns the objects that the manifest itself is in.
func (m *Manifest) Chain() []lashstore.Digest { return m.chain }

// Depths returns for each chunk how many deltas have to be undone to read it.
func (m *Manifest) Depths() []int {
	depths := make([]int, len(m.Chunks))
	for i := range m.Chunks {
		depths[i] = m.cost(&m.Chunks[i]).depth
	}
	return depths
}

// MakeDiff and ApplyDiff write and read the content of a difference.
func MakeDiff(flat, earlier []byte, object lashstore.Digest) ([]byte, error) {
	return makeDiff(flat, earlier, object)
}

// ApplyDiff is the inverse of MakeDiff.
func ApplyDiff(diff, earlier []byte, object lashstore.Digest) ([]byte, error) {
	return applyDiff(diff, earlier, object)
}
