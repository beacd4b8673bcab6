package cas

import (
	"errors"
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/lashstore/lashstore"
)

// Codec says how an object's payload is stored.
type Codec byte

// The codecs; the numbers are those of the envelope and never change.
const (
	CodecRaw  Codec = 0
	CodecZstd Codec = 1
)

// String names the codec.
func (c Codec) String() string {
	switch c {
	case CodecRaw:
		return "raw"
	case CodecZstd:
		return "zstd"
	default:
		return fmt.Sprintf("codec(%d)", byte(c))
	}
}

// Compression thresholds in bytes (spec 01, section 2.5): content of at least so
// many bytes is compressed, if its hints allow it.
const (
	balancedThreshold = 4096
	compactThreshold  = 1024
)

// zstdWindow bounds how far back an encoder looks, and with that its memory. A
// chunk is no longer, so a larger window would find nothing more.
const zstdWindow = 1 << 20

// codecPools are shared by all stores of the process: a store is made for each
// tenant, and an encoder holds some megabytes while it is kept. A pooled codec
// carries no state from one use to the next and starts no goroutine.
type codecPools struct {
	fast, strong sync.Pool // of *zstd.Encoder
	decoders     sync.Pool // of *zstd.Decoder
}

var codecs codecPools //nolint:gochecknoglobals // a cache without state that anyone can observe

// threshold returns the size from which on profile p compresses, and whether it
// does at all.
func threshold(p lashstore.Profile) (size int, ok bool) {
	switch p {
	case lashstore.ProfileLowLatency:
		return 0, false
	case lashstore.ProfileCompact:
		return compactThreshold, true
	default:
		return balancedThreshold, true
	}
}

// compress appends raw, compressed as profile p has it, to dst.
func compress(p lashstore.Profile, dst, raw []byte) ([]byte, error) {
	pool, level := &codecs.fast, zstd.SpeedFastest
	if p == lashstore.ProfileCompact {
		pool, level = &codecs.strong, zstd.SpeedBetterCompression
	}
	enc, ok := pool.Get().(*zstd.Encoder)
	if !ok {
		var err error
		enc, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(level), zstd.WithEncoderConcurrency(1),
			zstd.WithWindowSize(zstdWindow), zstd.WithLowerEncoderMem(true),
			zstd.WithSingleSegment(true), // so that even a short frame says its length
			zstd.WithEncoderCRC(false))   // the envelope has a checksum, the content a digest
		if err != nil {
			return nil, fmt.Errorf("make a zstd encoder: %w", err)
		}
	}
	defer pool.Put(enc)
	return enc.EncodeAll(raw, dst), nil
}

// decompress returns the rawLen bytes that payload stands for, in the memory of
// buf where that is large enough. The caller has checked that rawLen is at most
// [MaxObjectBytes]; the decoder never writes beyond it, whatever payload says.
func decompress(buf, payload []byte, rawLen int) ([]byte, error) {
	// The frame says its length too: what disagrees is not worth an allocation.
	var frame zstd.Header
	if err := frame.Decode(payload); err != nil {
		return nil, fmt.Errorf("read the zstd frame's header: %w", err)
	}
	if !frame.HasFCS || frame.FrameContentSize != uint64(rawLen) { //nolint:gosec // not negative
		return nil, errors.New("the zstd frame has another length than the envelope says")
	}
	dec, ok := codecs.decoders.Get().(*zstd.Decoder)
	if !ok {
		var err error
		dec, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxMemory(MaxObjectBytes), zstd.WithDecoderMaxWindow(MaxObjectBytes),
			zstd.WithDecodeAllCapLimit(true))
		if err != nil {
			return nil, fmt.Errorf("make a zstd decoder: %w", err)
		}
	}
	defer codecs.decoders.Put(dec)
	if cap(buf) < rawLen {
		buf = make([]byte, 0, rawLen)
	}
	raw, err := dec.DecodeAll(payload, buf[:0:rawLen])
	if err != nil {
		return nil, fmt.Errorf("decompress: %w", err)
	}
	if len(raw) != rawLen {
		return nil, errors.New("decompressed to another length than the envelope says")
	}
	return raw, nil
}
