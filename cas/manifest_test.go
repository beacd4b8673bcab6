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

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
)

var update = flag.Bool("update", false, "write the golden files")

// manifestOf describes content cut every size bytes.
func manifestOf(content []byte, size int) cas.Manifest {
	m := cas.Manifest{Digest: lashstore.DigestOf(content), SizeBytes: int64(len(content))}
	for {
		part := content[:min(size, len(content))]
		m.Chunks = append(m.Chunks, cas.Chunk{Digest: lashstore.DigestOf(part), SizeBytes: int64(len(part))})
		if content = content[len(part):]; len(content) == 0 {
			return m
		}
	}
}

func marshal(tb testing.TB, m cas.Manifest) []byte {
	tb.Helper()
	b, err := m.MarshalBinary()
	if err != nil {
		tb.Fatalf("MarshalBinary: %v", err)
	}
	return b
}

// The binary form is part of the format.
func TestManifestGolden(t *testing.T) {
	t.Parallel()
	golden := filepath.Join("testdata", "manifest_v1.hex")
	m := manifestOf(text(100), 40)
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
	if diff := cmp.Diff(m, back, cmp.Comparer(func(a, b lashstore.Digest) bool { return a == b })); diff != "" {
		t.Errorf("manifest differs after a round trip (-want +got):\n%s", diff)
	}
}

// A manifest that no content has must not be written.
func TestManifestValidate(t *testing.T) {
	t.Parallel()
	good := func() cas.Manifest { return manifestOf(noise(100, 1), 40) }
	other := lashstore.DigestOf([]byte("other"))
	for what, change := range map[string]func(m *cas.Manifest){
		"no digest":             func(m *cas.Manifest) { m.Digest = lashstore.Digest{} },
		"no chunks":             func(m *cas.Manifest) { m.Chunks = nil },
		"wrong sum":             func(m *cas.Manifest) { m.SizeBytes++ },
		"negative size":         func(m *cas.Manifest) { m.SizeBytes = -1 },
		"too large":             func(m *cas.Manifest) { m.SizeBytes = lashstore.MaxBlobBytes + 1 },
		"empty chunk":           func(m *cas.Manifest) { m.Chunks = append(m.Chunks, cas.Chunk{Digest: other}) },
		"negative chunk":        func(m *cas.Manifest) { m.Chunks[0].SizeBytes = -1 },
		"huge chunk":            func(m *cas.Manifest) { m.Chunks[0].SizeBytes = cas.MaxObjectBytes + 1 },
		"chunk without digest":  func(m *cas.Manifest) { m.Chunks[1].Digest = lashstore.Digest{} },
		"one chunk, not itself": func(m *cas.Manifest) { m.Chunks = []cas.Chunk{{Digest: other, SizeBytes: 100}} },
		"empty, wrong digest": func(m *cas.Manifest) {
			*m = cas.Manifest{Digest: other, Chunks: []cas.Chunk{{Digest: other}}}
		},
		"too many chunks": func(m *cas.Manifest) { m.Chunks = make([]cas.Chunk, cas.MaxChunks+1) },
	} {
		m := good()
		change(&m)
		if b, err := m.MarshalBinary(); !errors.Is(err, lashstore.ErrInvalid) {
			t.Errorf("%s: got %d bytes, %v, want ErrInvalid", what, len(b), err)
		}
	}
	for _, m := range []cas.Manifest{good(), manifestOf(nil, 1), manifestOf(noise(1, 1), 1)} {
		if err := m.Validate(); err != nil {
			t.Errorf("Validate: %v", err)
		}
	}
}

// Every bit of a manifest counts, and a failure leaves the receiver alone.
func TestManifestAnyBitFlipIsCorrupt(t *testing.T) {
	t.Parallel()
	b := marshal(t, manifestOf(noise(100, 1), 40))
	check := func(what string, damaged []byte) {
		t.Helper()
		var m cas.Manifest
		err := m.UnmarshalBinary(damaged)
		var corrupt *lashstore.CorruptBlobError
		if !errors.As(err, &corrupt) || corrupt.Key != "manifest" {
			t.Errorf("%s: got error %v, want a CorruptBlobError of the manifest", what, err)
		}
		if m.Chunks != nil || !m.Digest.IsZero() {
			t.Errorf("%s: the manifest was changed to %+v", what, m)
		}
	}
	for bit := range 8 * len(b) {
		damaged := bytes.Clone(b)
		damaged[bit/8] ^= 1 << (bit % 8)
		check("flipped bit", damaged)
	}
	for n := range b {
		check("truncated", b[:n])
	}
	check("extended", append(bytes.Clone(b), 0))
}

func FuzzManifest(f *testing.F) {
	f.Add(marshal(f, manifestOf(text(100), 40)))
	f.Add(marshal(f, manifestOf(nil, 40)))
	f.Add([]byte("\x89LSM\x01\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		checkManifest(t, data)
		if len(data) > 4 { // with a checksum that is right, so that what lies behind is reached
			body := data[: len(data)-4 : len(data)-4]
			sum := crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli))
			checkManifest(t, binary.BigEndian.AppendUint32(body, sum))
		}
	})
}

// checkManifest checks that data is refused, or is the one form of a valid manifest.
func checkManifest(t *testing.T, data []byte) {
	t.Helper()
	var m cas.Manifest
	if err := m.UnmarshalBinary(data); err != nil {
		if !errors.Is(err, lashstore.ErrCorruptBlob) {
			t.Errorf("got error %v, want ErrCorruptBlob", err)
		}
		return
	}
	if err := m.Validate(); err != nil {
		t.Errorf("an invalid manifest was read: %v", err)
	}
	if got := marshal(t, m); !bytes.Equal(got, data) {
		t.Errorf("not canonical: %x became %x", data, got)
	}
}
