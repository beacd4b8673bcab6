package bench

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
	"github.com/lashstore/lashstore/cas/memcas"
	"github.com/lashstore/lashstore/local"
)

func blobSizes() []int { return []int{1 << 20, 16 << 20, 100 << 20} }

// tool is what large state is stored as: it may be compressed.
func tool() lashstore.Descriptor { return lashstore.StandardDescriptor(lashstore.KindToolState) }

// BenchmarkBlobPut stores new content. The baseline is the slower of two: writing
// the content to a file, flushed and renamed, and hashing and compressing it alone.
// Budget: 0.8.
func BenchmarkBlobPut(b *testing.B) {
	for _, size := range blobSizes() {
		b.Run(fmt.Sprintf("size=%dMiB", size>>20), func(b *testing.B) {
			b.SetBytes(int64(size))
			b.ReportAllocs()
			store := openStore(b, b.TempDir(), local.Options{})
			raw := newFiles(b, lashstore.DurabilityFull)
			encoder := must(cas.New(memcas.New(), cas.Options{}))
			words := noise{prefix: b.Name()}
			var put, file, encode latencies
			for b.Loop() {
				b.StopTimer()
				content := words.bytes(size)
				file.time(func() { check(os.Remove(raw.write(content))) })
				encode.time(func() { encodeOnly(encoder, content) })
				b.StartTimer()
				put.time(func() {
					must(store.PutBlob(context.Background(), bytes.NewReader(content), lashstore.PutBlobOptions{Descriptor: tool()}))
				})
			}
			reportBlob(b, put, file, encode)
		})
	}
}

// encodeOnly hashes and compresses content, and keeps nothing.
func encodeOnly(s *cas.Store, content []byte) {
	must(s.Split(context.Background(), bytes.NewReader(content), cas.SplitOptions{Descriptor: tool()},
		func(context.Context, []cas.NewObject) error { return nil }))
}

// BenchmarkBlobGet reads content. The baseline is the slower of two: reading it from
// a file, and decompressing and hashing it alone.
func BenchmarkBlobGet(b *testing.B) {
	for _, size := range blobSizes() {
		b.Run(fmt.Sprintf("size=%dMiB", size>>20), func(b *testing.B) {
			b.SetBytes(int64(size))
			b.ReportAllocs()
			store := openStore(b, b.TempDir(), local.Options{})
			words := noise{prefix: b.Name()}
			content := words.bytes(size)
			name := newFiles(b, lashstore.DurabilityFull).write(content)
			ref := must(store.PutBlob(b.Context(), bytes.NewReader(content), lashstore.PutBlobOptions{Descriptor: tool()}))
			packed := pack(content)
			var get, file, decode latencies
			for b.Loop() {
				get.time(func() { drain(must(store.OpenBlob(context.Background(), ref.Digest))) })
				b.StopTimer()
				file.time(func() { drain(must(os.Open(name))) })
				decode.time(func() { unpack(packed) })
				b.StartTimer()
			}
			reportBlob(b, get, file, decode)
		})
	}
}

// packBytes is a size of piece at which a compressor is at its best.
const packBytes = 1 << 20

// pack compresses content in pieces.
func pack(content []byte) (packed [][]byte) {
	encoder := must(zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1)))
	defer func() { check(encoder.Close()) }()
	for piece := range slices.Chunk(content, packBytes) {
		packed = append(packed, encoder.EncodeAll(piece, nil))
	}
	return packed
}

// unpack decompresses and hashes, and keeps nothing.
func unpack(packed [][]byte) {
	decoder := must(zstd.NewReader(nil, zstd.WithDecoderConcurrency(1)))
	defer decoder.Close()
	buf := make([]byte, 0, packBytes)
	for _, piece := range packed {
		lashstore.DigestOf(must(decoder.DecodeAll(piece, buf)))
	}
}

// drain reads to the end, in pieces, and closes.
func drain(r io.ReadCloser) {
	buf := make([]byte, 64<<10)
	must(io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{r}, buf))
	check(r.Close())
}

// reportBlob compares with the slower of two baselines, a file and the processor.
func reportBlob(b *testing.B, store, file, processor latencies) {
	b.Helper()
	b.ReportMetric(share(max(file.total(), processor.total()), store.total()), "of-baseline")
	b.ReportMetric(share(max(file.quantile(0.5), processor.quantile(0.5)), store.quantile(0.5)), "of-baseline-p50")
	b.ReportMetric(us(store.quantile(0.5)), "p50-us")
	b.ReportMetric(us(file.quantile(0.5)), "file-p50-us")
	b.ReportMetric(us(processor.quantile(0.5)), "cpu-p50-us")
}
