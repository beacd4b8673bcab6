package model

// noState is the parent of the initial state and the limit of how many there can be.
const noState = 1<<32 - 1

// visited holds the states found, in the order in which they were, each with the one
// it was found from. Beside them is a hash table with open addressing of the keys
// alone: most lookups find what they look for, and this way at the cost of one miss
// of the processor's cache.
type visited struct {
	keys    []key
	parents []uint32
	table   []key // 0 is a free place; no state is 0, since its next generation is not
	shift   uint
}

// firstBits is the logarithm of the table's first size.
const firstBits = 16

// add keeps a state unless it is known.
func (v *visited) add(k key, parent uint32) {
	if 3*len(v.keys) >= 2*len(v.table) {
		v.grow()
	}
	at := v.place(k)
	if v.table[at] != 0 {
		return
	}
	v.table[at] = k
	v.keys = append(v.keys, k)
	v.parents = append(v.parents, parent)
}

// place returns where a key is in the table, or the free place where it belongs.
func (v *visited) place(k key) uint64 {
	const golden = 0x9e3779b97f4a7c15 // 2^64 divided by the golden ratio: multiplicative hashing
	mask := ^uint64(0) >> v.shift
	h := uint64(k) * golden
	h ^= h >> 32
	at := h * golden >> v.shift
	for v.table[at] != 0 && v.table[at] != k {
		at = (at + 1) & mask
	}
	return at
}

func (v *visited) grow() {
	if v.table == nil {
		v.shift = 64 - firstBits + 1
	}
	v.shift--
	v.table = make([]key, 1<<(64-v.shift))
	for _, k := range v.keys {
		v.table[v.place(k)] = k
	}
}
