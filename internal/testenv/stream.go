package testenv

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
)

// NoiseReader returns size bytes that do not compress and depend on the seed only.
func NoiseReader(seed uint64, size int64) io.Reader {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	return io.LimitReader(rand.NewChaCha8(key), size)
}

// EqualReaders reads both to their ends and reports where they differ.
func EqualReaders(got, want io.Reader) error {
	a, b := make([]byte, 64<<10), make([]byte, 64<<10)
	for at := int64(0); ; {
		n, errA := io.ReadFull(got, a)
		m, errB := io.ReadFull(want, b)
		if n != m || !bytes.Equal(a[:n], b[:m]) {
			return fmt.Errorf("contents differ in the 64 KiB at %d", at)
		}
		at += int64(n)
		endA := errors.Is(errA, io.EOF) || errors.Is(errA, io.ErrUnexpectedEOF)
		endB := errors.Is(errB, io.EOF) || errors.Is(errB, io.ErrUnexpectedEOF)
		switch {
		case errA != nil && !endA:
			return errA
		case errB != nil && !endB:
			return errB
		case endA && endB:
			return nil
		case endA != endB:
			return fmt.Errorf("one content ends at %d", at)
		}
	}
}

// HeapPeak watches how much the live heap grows while data streams.
type HeapPeak struct {
	base, peak uint64
}

// Start takes the heap as it is as the base.
func (p *HeapPeak) Start() {
	p.base = liveHeap()
	p.peak = p.base
}

// Bytes is by how much the heap grew at most.
func (p *HeapPeak) Bytes() uint64 { return p.peak - p.base }

// sampleEvery is how many bytes pass between two looks at the heap, each of which
// collects garbage first so that only live memory counts.
const sampleEvery = 8 << 20

// Reader returns r, with the heap looked at while it is read.
func (p *HeapPeak) Reader(r io.Reader) io.Reader { return &heapReader{r: r, peak: p} }

type heapReader struct {
	r    io.Reader
	peak *HeapPeak
	read int
}

func (h *heapReader) Read(b []byte) (int, error) {
	n, err := h.r.Read(b)
	if h.read += n; h.read >= sampleEvery {
		h.read = 0
		h.peak.peak = max(h.peak.peak, liveHeap())
	}
	return n, err
}

func liveHeap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
