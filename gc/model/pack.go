package model

// key is a state in one word, so that millions of them fit into memory.
type key uint64

// Widths in bits. A state takes 61.
const (
	setBits        = 4 // generations 0 to 3
	holderBits     = 3
	generationBits = 2
	nextBits       = 3
	stageBits      = 3
	lockBits       = 2
	phaseBits      = 3
	uploadBits     = 2 // the upload has the first four phases only
	forkBits       = 2
)

type packer struct {
	key key
	at  uint
}

func (p *packer) put(v uint8, bits uint) {
	p.key |= key(v) << p.at
	p.at += bits
}

func (p *packer) flag(v bool) {
	if v {
		p.key |= 1 << p.at
	}
	p.at++
}

func (s *State) pack() key {
	var p packer
	p.flag(s.row.exists)
	p.put(s.row.generation, generationBits)
	p.flag(s.row.present)
	p.flag(s.row.condemned)
	p.put(uint8(s.objects), setBits)
	p.put(uint8(s.doomed), setBits)
	p.put(uint8(s.puts), setBits)
	p.put(uint8(s.deletes), setBits)
	p.put(uint8(s.edges), holderBits)
	p.put(s.next, nextBits)
	for i := range s.sessions {
		e := &s.sessions[i]
		p.put(uint8(e.stage), stageBits)
		p.flag(e.holds)
		p.flag(e.outbox)
		p.put(uint8(e.lock), lockBits)
		p.put(uint8(e.phase), phaseBits)
		p.put(e.generation, generationBits)
		p.flag(e.late)
	}
	p.put(uint8(s.upload.phase), uploadBits)
	p.put(s.upload.generation, generationBits)
	p.put(uint8(s.fork.phase), forkBits)
	p.put(s.fork.generation, generationBits)
	return p.key
}

func (k *key) take(bits uint) uint8 {
	v := uint8(*k & (1<<bits - 1)) //nolint:gosec // a field is narrower than a byte
	*k >>= bits
	return v
}

func (k *key) flag() bool { return k.take(1) != 0 }

func (k key) unpack() State {
	var s State
	s.row.exists = k.flag()
	s.row.generation = k.take(generationBits)
	s.row.present = k.flag()
	s.row.condemned = k.flag()
	s.objects = set(k.take(setBits))
	s.doomed = set(k.take(setBits))
	s.puts = set(k.take(setBits))
	s.deletes = set(k.take(setBits))
	s.edges = set(k.take(holderBits))
	s.next = k.take(nextBits)
	for i := range s.sessions {
		e := &s.sessions[i]
		e.stage = stage(k.take(stageBits))
		e.holds = k.flag()
		e.outbox = k.flag()
		e.lock = lock(k.take(lockBits))
		e.phase = phase(k.take(phaseBits))
		e.generation = k.take(generationBits)
		e.late = k.flag()
	}
	s.upload.phase = phase(k.take(uploadBits))
	s.upload.generation = k.take(generationBits)
	s.fork.phase = forkPhase(k.take(forkBits))
	s.fork.generation = k.take(generationBits)
	return s
}
