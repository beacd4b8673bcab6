package cas_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
)

var update = flag.Bool("update", false, "write the golden files")

// digestNumber returns the n-th of any number of digests.
func digestNumber(n int) lashstore.Digest { return lashstore.DigestOf([]byte{byte(n), byte(n >> 8)}) }

// smallManifest describes content of four chunks, one in each form, whose delta has
// two bases, one of them a delta itself; with a free place among its segments.
func smallManifest() *cas.Manifest {
	object := digestNumber(3)
	return &cas.Manifest{
		Digest: digestNumber(0), SizeBytes: 100 + 300 + 250 + 500,
		Segments: []cas.Segment{{Digest: digestNumber(1), PayloadBytes: 1000}, {}, {Digest: digestNumber(2), PayloadBytes: 200}, {Digest: object, PayloadBytes: 500}},
		Chunks: []cas.Chunk{
			{Digest: digestNumber(10), SizeBytes: 100, Address: cas.Address{Segment: 0, Offset: 7}, StoredBytes: 100, Form: cas.FormRaw},
			{Digest: digestNumber(11), SizeBytes: 300, Address: cas.Address{Segment: 0, Offset: 107}, StoredBytes: 200, Form: cas.FormZstd},
			{
				Digest: digestNumber(12), SizeBytes: 250, Address: cas.Address{Segment: 2, Offset: 0}, StoredBytes: 20, Form: cas.FormDelta,
				Bases: []cas.Address{{Segment: 0, Offset: 400}, {Segment: 2, Offset: 20}},
			},
			{Digest: object, SizeBytes: 500, Address: cas.Address{Segment: 3}, Form: cas.FormObject},
		},
		Bases: []cas.Chunk{
			{Digest: digestNumber(13), SizeBytes: 150, Address: cas.Address{Segment: 0, Offset: 400}, StoredBytes: 150, Form: cas.FormRaw},
			{
				Digest: digestNumber(14), SizeBytes: 160, Address: cas.Address{Segment: 2, Offset: 20}, StoredBytes: 30, Form: cas.FormDelta,
				Bases: []cas.Address{{Segment: 0, Offset: 400}},
			},
		},
	}
}

func marshal(tb testing.TB, m *cas.Manifest) []byte {
	tb.Helper()
	b, err := m.MarshalBinary()
	if err != nil {
		tb.Fatalf("MarshalBinary: %v", err)
	}
	return b
}

// sameManifest compares what a manifest says, not where it lies.
var sameManifest = cmp.Options{cmpopts.IgnoreUnexported(cas.Manifest{}), cmp.Comparer(func(a, b lashstore.Digest) bool { return a == b })}

// The binary form is part of the format.
func TestManifestGolden(t *testing.T) {
	t.Parallel()
	golden := filepath.Join("testdata", "manifest_v2.hex")
	m := smallManifest()
	got := hex.EncodeToString(marshal(t, m)) + "\n"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("manifest differs from %s (-want +got):\n%s", golden, diff)
	}
	raw, err := hex.DecodeString(strings.TrimSpace(string(want)))
	if err != nil {
		t.Fatal(err)
	}
	var back cas.Manifest
	if err := back.UnmarshalBinary(raw); err != nil {
		t.Fatalf("UnmarshalBinary: %v", err)
	}
	if diff := cmp.Diff(m, &back, sameManifest); diff != "" {
		t.Errorf("manifest differs after a round trip (-want +got):\n%s", diff)
	}
}

// What a manifest needs is listed once, and free places are not.
func TestManifestObjects(t *testing.T) {
	t.Parallel()
	want := []lashstore.Digest{digestNumber(1), digestNumber(2), digestNumber(3)}
	if diff := cmp.Diff(want, smallManifest().Objects(), sameManifest); diff != "" {
		t.Errorf("Objects differ (-want +got):\n%s", diff)
	}
}

// resum replaces a manifest's checksum by one that is right, so that what lies behind
// it is reached.
func resum(b []byte) []byte {
	body := b[: len(b)-4 : len(b)-4]
	return binary.BigEndian.AppendUint32(body, crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
}

// wantManifestRefused checks that data is corrupt and leaves the receiver alone.
func wantManifestRefused(t *testing.T, what string, data []byte) {
	t.Helper()
	var m cas.Manifest
	err := m.UnmarshalBinary(data)
	var corrupt *lashstore.CorruptBlobError
	if !errors.As(err, &corrupt) || corrupt.Key != "manifest" || corrupt.Reason == "" {
		t.Errorf("%s: got error %v, want a CorruptBlobError of the manifest", what, err)
	}
	if m.Chunks != nil || !m.Digest.IsZero() {
		t.Errorf("%s: the manifest was changed to %+v", what, m)
	}
}

// Every bit of a manifest counts, and every byte.
func TestManifestAnyBitFlipIsCorrupt(t *testing.T) {
	t.Parallel()
	b := marshal(t, smallManifest())
	for bit := range 8 * len(b) {
		damaged := bytes.Clone(b)
		damaged[bit/8] ^= 1 << (bit % 8)
		wantManifestRefused(t, "flipped bit", damaged)
	}
	for n := range b {
		wantManifestRefused(t, "truncated", b[:n])
	}
	wantManifestRefused(t, "extended", append(bytes.Clone(b), 0))
	wantManifestRefused(t, "extended, checksum right", resum(append(bytes.Clone(b), 0)))
	for n := 4; n < len(b); n++ {
		wantManifestRefused(t, "truncated, checksum right", resum(bytes.Clone(b[:n])))
	}
}

// A changed bit whose checksum has been made to match gives another manifest, which
// has its own one form, or none.
func TestManifestIsCanonical(t *testing.T) {
	t.Parallel()
	b := marshal(t, smallManifest())
	read := 0
	for bit := range 8 * (len(b) - 4) {
		damaged := bytes.Clone(b)
		damaged[bit/8] ^= 1 << (bit % 8)
		if checkManifest(t, resum(damaged)) {
			read++
		}
	}
	if read == 0 || read == 8*(len(b)-4) {
		t.Errorf("%d of %d changed manifests were read: digests may change, structure not", read, 8*(len(b)-4))
	}
}

// A number has one form: none is padded, and none goes beyond what content can have.
func TestManifestRefusesPaddedNumbers(t *testing.T) {
	t.Parallel()
	object, err := cas.SingleManifest(lashstore.BlobRef{Digest: digestNumber(1), SizeBytes: 5})
	if err != nil {
		t.Fatal(err)
	}
	b := marshal(t, object)
	numbers := 0
	for at := 5; at < len(b)-4; at++ {
		if b[at] > 6 { // a digest's byte, with the manifest at hand
			continue
		}
		padded := append(append(append(bytes.Clone(b[:at]), b[at]|0x80), 0), b[at+1:]...)
		wantManifestRefused(t, "padded", resum(padded))
		numbers++
	}
	if numbers < 10 {
		t.Errorf("%d numbers were padded, want at least the 10 that there are", numbers)
	}
	const size = 5 + lashstore.DigestSize // where the size of the content lies
	for what, number := range map[string][]byte{
		"2^60":        binary.AppendUvarint(nil, 1<<60),
		"2^64-1":      binary.AppendUvarint(nil, 1<<64-1),
		"over 64 bit": bytes.Repeat([]byte{0xff}, 11),
		"over limit":  binary.AppendUvarint(nil, lashstore.MaxBlobBytes+1),
	} {
		for at := size; at < size+4; at++ { // the size, and the three counts
			wantManifestRefused(t, what, resum(append(append(bytes.Clone(b[:at]), number...), b[at+1:]...)))
		}
	}
}

// A count must not make a reader allocate what it claims.
func TestManifestCountsAllocateNothing(t *testing.T) {
	// Not parallel: it measures allocations.
	const size = 5 + lashstore.DigestSize
	b := marshal(t, smallManifest())
	at := size + len(binary.AppendUvarint(nil, uint64(smallManifest().SizeBytes)))
	for i, what := range []string{"segments", "chunks", "bases"} {
		huge := binary.AppendUvarint(bytes.Clone(b[:at+i]), lashstore.MaxBlobBytes)
		huge = resum(append(huge, b[at+i+1:]...))
		wantManifestRefused(t, what, huge)
		got := bytesPerRun(func() {
			if err := new(cas.Manifest).UnmarshalBinary(huge); err == nil {
				t.Fatal("a huge count was read")
			}
		})
		if got > 64<<10 {
			t.Errorf("a manifest of %d bytes that claims 2^30 %s allocates %d bytes, want at most 64 KiB", len(huge), what, got)
		}
	}
}

func FuzzManifest(f *testing.F) {
	f.Add(marshal(f, smallManifest()))
	object, err := cas.SingleManifest(lashstore.BlobRef{Digest: digestNumber(1), SizeBytes: 5})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(marshal(f, object))
	f.Add([]byte("\x89LSM\x02\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		checkManifest(t, data)
		if len(data) > 4 {
			checkManifest(t, resum(bytes.Clone(data)))
		}
	})
}

// checkManifest checks that data is refused, or is the one form of a valid manifest,
// and reports which.
func checkManifest(t *testing.T, data []byte) bool {
	t.Helper()
	var m cas.Manifest
	if err := m.UnmarshalBinary(data); err != nil {
		if !errors.Is(err, lashstore.ErrCorruptBlob) {
			t.Errorf("got error %v, want ErrCorruptBlob", err)
		}
		return false
	}
	if err := m.Validate(); err != nil {
		t.Errorf("an invalid manifest was read: %v", err)
	}
	again := cas.Manifest{Digest: m.Digest, SizeBytes: m.SizeBytes, Segments: m.Segments, Chunks: m.Chunks, Bases: m.Bases}
	if got := marshal(t, &again); !bytes.Equal(got, data) {
		t.Errorf("not canonical: %x became %x", data, got)
	}
	return true
}
