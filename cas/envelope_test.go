package cas_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
)

func encode(tb testing.TB, p lashstore.Profile, raw []byte, d lashstore.Descriptor) []byte {
	tb.Helper()
	stored, err := memStore(tb, cas.Options{Profile: p}).Encode(raw, d)
	if err != nil {
		tb.Fatalf("Encode: %v", err)
	}
	return stored
}

// forge builds an envelope by hand, with a checksum that is right.
func forge(kind, codec, reserved byte, rawLen uint32, payload []byte) []byte {
	b := append([]byte("\x89LSO\x01"), kind, codec, reserved)
	b = binary.BigEndian.AppendUint32(b, rawLen)
	sum := crc32.Checksum(append(bytes.Clone(b), payload...), crc32.MakeTable(crc32.Castagnoli))
	return append(binary.BigEndian.AppendUint32(b, sum), payload...)
}

func zstdOf(tb testing.TB, raw []byte) []byte {
	tb.Helper()
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		tb.Fatal(err)
	}
	return enc.EncodeAll(raw, nil)
}

// The envelope is part of the format: objects that were stored must stay readable.
func TestEnvelopeIsStable(t *testing.T) {
	t.Parallel()
	got := hex.EncodeToString(encode(t, lashstore.ProfileBalanced, []byte("hello"), lashstore.Descriptor{}))
	const want = "894c534f" + "01" + "01" + "00" + "00" + "00000005" + "885a2d69" + "68656c6c6f"
	if got != want {
		t.Errorf("Encode: got %s, want %s", got, want)
	}
	for _, stored := range []string{
		want,
		hex.EncodeToString(forge(7, 1, 0, 4096, zstdOf(t, make([]byte, 4096)))),
	} {
		b, _ := hex.DecodeString(stored)
		header, err := cas.Inspect(b)
		if err != nil {
			t.Errorf("Inspect %s: %v", stored, err)
		}
		if header.StoredBytes != int64(len(b)) {
			t.Errorf("Inspect %s: got %+v", stored, header)
		}
	}
}

// S102: content is compressed from the profile's threshold on, and only with the
// hint. Comparison is "at least".
func TestS102Thresholds(t *testing.T) {
	t.Parallel()
	plain := lashstore.Descriptor{Kind: lashstore.KindToolState}
	for _, test := range []struct {
		profile lashstore.Profile
		bytes   int
		d       lashstore.Descriptor
		want    cas.Codec
	}{
		{lashstore.ProfileBalanced, 4095, compressible(), cas.CodecRaw},
		{lashstore.ProfileBalanced, 4096, compressible(), cas.CodecZstd},
		{"", 4095, compressible(), cas.CodecRaw},
		{"", 4096, compressible(), cas.CodecZstd},
		{lashstore.ProfileCompact, 1023, compressible(), cas.CodecRaw},
		{lashstore.ProfileCompact, 1024, compressible(), cas.CodecZstd},
		{lashstore.ProfileLowLatency, 1 << 20, compressible(), cas.CodecRaw},
		{lashstore.ProfileBalanced, 1 << 20, plain, cas.CodecRaw},
		{lashstore.ProfileCompact, 1 << 20, plain, cas.CodecRaw},
		{lashstore.ProfileBalanced, 0, compressible(), cas.CodecRaw},
	} {
		stored := encode(t, test.profile, text(test.bytes), test.d)
		header, err := cas.Inspect(stored)
		if err != nil || header.Codec != test.want || header.RawBytes != int64(test.bytes) ||
			header.Kind != lashstore.KindToolState || header.StoredBytes != int64(len(stored)) {
			t.Errorf("profile %q, %d bytes, hints %+v: got %+v, %v, want codec %s", test.profile, test.bytes,
				test.d.Hints, header, err, test.want)
		}
	}
}

// S103: the same content under any profile, kind and hints has the same name, and
// reads back equal; storing it again adds no object.
func TestS103StableKey(t *testing.T) {
	t.Parallel()
	raw := text(10_000)
	d := memStore(t, cas.Options{})
	for _, profile := range []lashstore.Profile{"", lashstore.ProfileLowLatency, lashstore.ProfileCompact} {
		for _, kind := range []lashstore.ArtifactKind{
			"", lashstore.KindGeneric, lashstore.KindToolState, lashstore.KindPluginSnapshot,
			lashstore.KindExecutionState, lashstore.KindModule, lashstore.KindProcessEnv, lashstore.KindAttachment,
		} {
			stored := encode(t, profile, raw, lashstore.StandardDescriptor(kind))
			if err := d.PutObject(t.Context(), nameOf(raw, 1), stored); err != nil {
				t.Fatalf("PutObject: %v", err)
			}
			got, err := d.GetObject(t.Context(), nameOf(raw, 1))
			if err != nil || !bytes.Equal(got, raw) {
				t.Errorf("profile %q, kind %q: got %d bytes, %v, want the content", profile, kind, len(got), err)
			}
		}
	}
	page, err := d.ListObjects(t.Context(), "", 0)
	if err != nil || len(page.Objects) != 1 {
		t.Errorf("ListObjects: got %+v, %v, want one object", page, err)
	}
}

// S104: content that is put without hints reads back unchanged, also if it looks
// like an envelope itself (W14: the reference unwraps it by mistake).
func TestS104PlainBlob(t *testing.T) {
	t.Parallel()
	s := memStore(t, cas.Options{})
	inner := encode(t, "", text(5000), compressible())
	for _, raw := range [][]byte{nil, {0}, []byte("plain"), inner, inner[:cas.HeaderBytes], noise(100_000, 1)} {
		stored := encode(t, "", raw, lashstore.Descriptor{})
		if err := s.PutObject(t.Context(), nameOf(raw, 7), stored); err != nil {
			t.Fatalf("PutObject: %v", err)
		}
		got, err := s.GetObject(t.Context(), nameOf(raw, 7))
		if err != nil || !bytes.Equal(got, raw) {
			t.Errorf("GetObject: got %d bytes, %v, want %d", len(got), err, len(raw))
		}
	}
}

// S105: damaged compressed content is an error with digest and key, and never the
// bytes of the envelope.
func TestS105Corruption(t *testing.T) {
	t.Parallel()
	raw := text(50_000)
	frame := zstdOf(t, raw)
	frame[len(frame)/2] ^= 0xff
	stored := forge(1, 1, 0, uint32(len(raw)), frame)
	got, err := cas.Decode(stored, lashstore.DigestOf(raw), "the-key")
	wantCorrupt(t, "damaged frame", err, lashstore.DigestOf(raw), "the-key")
	if got != nil {
		t.Errorf("Decode returned %d bytes with its error", len(got))
	}
}

// Each field of the envelope is checked, even where the checksum has been made to
// match: nothing may be guessed or trusted.
func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	raw := text(5000)
	digest, frame := lashstore.DigestOf(raw), zstdOf(t, raw)
	good := forge(1, 1, 0, 5000, frame)
	if got, err := cas.Decode(good, digest, "k"); err != nil || !bytes.Equal(got, raw) {
		t.Fatalf("the forged envelope does not decode: %v", err)
	}
	withBytes := func(at int, b ...byte) []byte {
		stored := bytes.Clone(good)
		copy(stored[at:], b)
		return stored
	}
	bomb := zstdOf(t, make([]byte, cas.MaxObjectBytes+1<<20))
	small := zstdOf(t, make([]byte, 1<<20))
	for what, stored := range map[string][]byte{
		"nothing":                nil,
		"the raw content":        raw,
		"a bare zstd frame":      frame,
		"a header alone":         good[:cas.HeaderBytes],
		"half a header":          good[:cas.HeaderBytes-1],
		"truncated by a byte":    good[:len(good)-1],
		"extended by a byte":     append(bytes.Clone(good), 0),
		"twice":                  append(bytes.Clone(good), good...),
		"wrong magic":            withBytes(0, 'x'),
		"wrong version":          withBytes(4, 2),
		"wrong checksum":         withBytes(12, 1, 2, 3, 4),
		"kind 0":                 forge(0, 1, 0, 5000, frame),
		"kind 10":                forge(10, 1, 0, 5000, frame),
		"codec 2":                forge(1, 2, 0, 5000, frame),
		"reserved byte":          forge(1, 1, 1, 5000, frame),
		"raw length too small":   forge(1, 1, 0, 4999, frame),
		"raw length too large":   forge(1, 1, 0, 5001, frame),
		"raw length huge":        forge(1, 1, 0, 1<<32-1, frame),
		"raw length over limit":  forge(1, 1, 0, cas.MaxObjectBytes+1, frame),
		"raw length 0":           forge(1, 1, 0, 0, frame),
		"raw codec, wrong size":  forge(1, 0, 0, 5000, raw[:4999]),
		"raw codec, other bytes": forge(1, 0, 0, 5000, noise(5000, 1)),
		"zstd as raw":            forge(1, 0, 0, uint32(len(frame)), frame),
		"raw as zstd":            forge(1, 1, 0, 5000, raw[:4000]),
		"an empty frame":         forge(1, 1, 0, 5000, nil),
		"two frames":             forge(1, 1, 0, 5000, append(bytes.Clone(frame), frame...)),
		"a cut frame":            forge(1, 1, 0, 5000, frame[:len(frame)-3]),
		"a bomb at the limit":    forge(1, 1, 0, cas.MaxObjectBytes, bomb),
		"a bomb over its length": forge(1, 1, 0, 5000, bomb),
		"a small bomb":           forge(1, 1, 0, 5000, small),
	} {
		got, err := cas.Decode(stored, digest, "k")
		wantCorrupt(t, what, err, digest, "k")
		if got != nil {
			t.Errorf("%s: Decode returned %d bytes with its error", what, len(got))
		}
	}
	wrong := lashstore.DigestOf([]byte("other"))
	_, err := cas.Decode(good, wrong, "k")
	wantCorrupt(t, "another digest", err, wrong, "k")
}

// A few bytes must not make a reader allocate what they claim.
func TestDecodeBombIsBounded(t *testing.T) {
	// Not parallel: it measures allocations.
	bomb := zstdOf(t, make([]byte, 64<<20))
	stored := forge(1, 1, 0, 1<<20, bomb)
	digest := lashstore.DigestOf([]byte("whatever"))
	decode := func() {
		if _, err := cas.Decode(stored, digest, "k"); !errors.Is(err, lashstore.ErrCorruptBlob) {
			t.Fatalf("Decode: %v, want ErrCorruptBlob", err)
		}
	}
	decode()
	if got, limit := bytesPerRun(decode), uint64(4<<20); got > limit {
		t.Errorf("decoding a bomb of %d bytes for 64 MiB that claims 1 MiB allocates %d bytes, want at most %d",
			len(stored), got, limit)
	}
}

// What hardly shrinks is stored raw: reading it would cost more than it saves.
func TestEncodeStoresRawWhatDoesNotShrink(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		noise, zeros int
		want         cas.Codec
	}{
		{100_000, 0, cas.CodecRaw},
		{97_000, 3_000, cas.CodecRaw},
		{90_000, 10_000, cas.CodecZstd},
	} {
		raw := append(noise(test.noise, 2), make([]byte, test.zeros)...)
		header, err := cas.Inspect(encode(t, "", raw, compressible()))
		if err != nil || header.Codec != test.want {
			t.Errorf("%d bytes of noise and %d zeros: got %+v, %v, want %s", test.noise, test.zeros, header, err, test.want)
		}
	}
}

func TestEncodeLimits(t *testing.T) {
	t.Parallel()
	s := memStore(t, cas.Options{})
	raw := make([]byte, cas.MaxObjectBytes+1)
	stored, err := s.Encode(raw[:cas.MaxObjectBytes], compressible())
	if err != nil {
		t.Fatalf("Encode at the limit: %v", err)
	}
	if got, err := cas.Decode(stored, lashstore.DigestOf(raw[:cas.MaxObjectBytes]), "k"); err != nil || len(got) != cas.MaxObjectBytes {
		t.Errorf("Decode at the limit: %d bytes, %v", len(got), err)
	}
	var limit *lashstore.LimitError
	if _, err := s.Encode(raw, compressible()); !errors.As(err, &limit) || limit.Limit != "object_bytes" {
		t.Errorf("Encode over the limit: got error %v, want a LimitError for object_bytes", err)
	}
	if _, err := s.Encode(nil, lashstore.Descriptor{Kind: "secret"}); !errors.Is(err, lashstore.ErrInvalid) {
		t.Errorf("Encode of an unknown kind: got error %v, want ErrInvalid", err)
	}
}

func FuzzDecodeEnvelope(f *testing.F) {
	raw := text(200)
	f.Add(forge(1, 1, 0, 200, zstdOf(f, raw)), raw)
	f.Add(forge(7, 0, 0, 3, []byte("abc")), []byte("abc"))
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, stored, raw []byte) {
		digest := lashstore.DigestOf(raw)
		// As it is, and with a checksum that is right, so that what lies behind is reached.
		inputs := [][]byte{stored}
		if len(stored) >= cas.HeaderBytes {
			inputs = append(inputs, forge(stored[5], stored[6], stored[7],
				binary.BigEndian.Uint32(stored[8:]), stored[cas.HeaderBytes:]))
		}
		for _, in := range inputs {
			got, err := cas.Decode(in, digest, "k")
			if err != nil {
				wantCorrupt(t, fmt.Sprintf("%x", in), err, digest, "k")
			} else if !bytes.Equal(got, raw) {
				t.Errorf("Decode returned %d bytes that are not the content", len(got))
			}
		}
	})
}

// The content is a part, repeated: inputs that are small enough for the fuzzer, and
// content that is large enough to be compressed.
func FuzzEncodeDecode(f *testing.F) {
	f.Add([]byte("part"), uint16(2000))
	f.Add([]byte{}, uint16(0))
	f.Fuzz(func(t *testing.T, part []byte, times uint16) {
		raw := bytes.Repeat(part, min(int(times), 1<<20/max(1, len(part))))
		for _, profile := range []lashstore.Profile{lashstore.ProfileBalanced, lashstore.ProfileCompact} {
			got, err := cas.Decode(encode(t, profile, raw, compressible()), lashstore.DigestOf(raw), "k")
			if err != nil || !bytes.Equal(got, raw) {
				t.Errorf("round trip of %d bytes: %v", len(raw), err)
			}
		}
	})
}
