package fsck

import (
	"encoding/binary"
	"math"

	"github.com/lashstore/lashstore"
)

// sampler chooses a share of the digests, the same ones for the same seed.
type sampler struct {
	seed  uint64
	below uint64 // of all 64-bit numbers
	all   bool
}

func newSampler(share float64, seed uint64) sampler {
	if share >= 1 {
		return sampler{all: true}
	}
	return sampler{seed: seed, below: uint64(share * math.MaxUint64)}
}

func (s sampler) has(d lashstore.Digest) bool {
	if s.all {
		return true
	}
	// A digest is as good as random; what matters is that another seed makes another
	// choice: the finalizer of splitmix64 does.
	x := binary.BigEndian.Uint64(d.Bytes()) ^ s.seed*0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x^x>>31 < s.below
}
