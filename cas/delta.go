package cas

import (
	"errors"
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// deltaDictionary is the number that frames carry for their dictionary; the
// manifest says what it is.
const deltaDictionary = 1

// deltaCodec makes deltas of one size class. To make an encoder costs five times
// what using it does, and the garbage collector empties a [sync.Pool], so that some
// are kept in a channel. A kept encoder holds its last dictionary.
type deltaCodec struct {
	window int // bounds the distance of a match, and with it an encoder's memory
	level  zstd.EncoderLevel
	free   chan *zstd.Encoder
}

// deltaCodecs are shared by all stores of the process, smallest window first: chunks
// of average 8 KiB, those of large content, manifests.
//
//nolint:gochecknoglobals // a cache without state that anyone can observe
var deltaCodecs = [...]*deltaCodec{
	{window: 128 << 10, level: zstd.SpeedFastest, free: make(chan *zstd.Encoder, 2*maxEncoders)},
	{window: 512 << 10, level: zstd.SpeedDefault, free: make(chan *zstd.Encoder, maxEncoders)},
	// A manifest is mostly digests: it takes larger tables to find one among 5,000.
	{window: 8 << 20, level: zstd.SpeedBetterCompression, free: make(chan *zstd.Encoder, 1)},
}

// compressDelta appends raw, compressed with base as the dictionary, to dst.
func compressDelta(dst, raw, base []byte) ([]byte, error) {
	codec := deltaCodecs[len(deltaCodecs)-1]
	for _, c := range deltaCodecs[:len(deltaCodecs)-1] {
		if len(raw) <= maxChunkBytes && len(raw)+len(base) <= c.window {
			codec = c
			break
		}
	}
	enc, err := codec.take()
	if err != nil {
		return nil, err
	}
	err = enc.ResetWithOptions(nil, zstd.WithEncoderDictDelete(), zstd.WithEncoderDictRaw(deltaDictionary, base))
	if err != nil {
		return nil, fmt.Errorf("set the dictionary of a zstd encoder: %w", err)
	}
	dst = enc.EncodeAll(raw, dst)
	select {
	case codec.free <- enc:
	default: // as many are kept as are used at a time
	}
	return dst, nil
}

func (c *deltaCodec) take() (*zstd.Encoder, error) {
	select {
	case enc := <-c.free:
		return enc, nil
	default:
	}
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(c.level), zstd.WithEncoderConcurrency(1),
		zstd.WithWindowSize(c.window), zstd.WithLowerEncoderMem(true),
		zstd.WithSingleSegment(true), // so that even a short frame says its length
		zstd.WithEncoderCRC(false))   // the chunk has a digest
	if err != nil {
		return nil, fmt.Errorf("make a zstd encoder: %w", err)
	}
	return enc, nil
}

// deltaDecoders are shared likewise.
var deltaDecoders sync.Pool //nolint:gochecknoglobals // of *zstd.Decoder, without state that anyone can observe

// decompressDelta is decompress with base as the dictionary.
func decompressDelta(buf, payload, base []byte, rawLen int) ([]byte, error) {
	var frame zstd.Header
	if err := frame.Decode(payload); err != nil {
		return nil, fmt.Errorf("read the zstd frame's header: %w", err)
	}
	if !frame.HasFCS || frame.FrameContentSize != uint64(rawLen) { //nolint:gosec // not negative
		return nil, errors.New("the zstd frame has another length than the manifest says")
	}
	dec, ok := deltaDecoders.Get().(*zstd.Decoder)
	if !ok {
		var err error
		dec, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxMemory(MaxObjectBytes), zstd.WithDecoderMaxWindow(MaxObjectBytes),
			zstd.WithDecodeAllCapLimit(true))
		if err != nil {
			return nil, fmt.Errorf("make a zstd decoder: %w", err)
		}
	}
	err := dec.ResetWithOptions(nil, zstd.WithDecoderDictDelete(), zstd.WithDecoderDictRaw(deltaDictionary, base))
	if err != nil {
		return nil, fmt.Errorf("set the dictionary of a zstd decoder: %w", err)
	}
	if cap(buf) < rawLen {
		buf = make([]byte, 0, rawLen)
	}
	raw, err := dec.DecodeAll(payload, buf[:0:rawLen])
	if reset := dec.ResetWithOptions(nil, zstd.WithDecoderDictDelete()); reset == nil {
		deltaDecoders.Put(dec)
	}
	if err != nil {
		return nil, fmt.Errorf("decompress a delta: %w", err)
	}
	if len(raw) != rawLen {
		return nil, errors.New("decompressed to another length than the manifest says")
	}
	return raw, nil
}
