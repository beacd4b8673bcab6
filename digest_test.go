package lashstore_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/lashstore/lashstore"
)

// emptyDigest is the published BLAKE3 hash of nothing.
const emptyDigest = "blake3:af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"

// Digests name stored content: another hash, or another text form, would lose all
// of it.
func TestDigestForm(t *testing.T) {
	t.Parallel()
	d := lashstore.DigestOf(nil)
	if d.String() != emptyDigest || "blake3:"+d.Hex() != emptyDigest {
		t.Errorf("digest of nothing is %s, want %s", d, emptyDigest)
	}
	parsed, err := lashstore.ParseDigest(emptyDigest)
	if err != nil || parsed != d {
		t.Errorf("parsing gives %s, %v", parsed, err)
	}
	raw, err := lashstore.DigestFromBytes(d.Bytes())
	if err != nil || raw != d {
		t.Errorf("from its bytes: %s, %v", raw, err)
	}
	d.Bytes()[0] ^= 1
	if d.String() != emptyDigest {
		t.Error("changing the bytes that were returned changed the digest")
	}
	if d.IsZero() || !(lashstore.Digest{}).IsZero() || (lashstore.Digest{}).String() != "" {
		t.Error("the zero digest is not the empty one")
	}
}

// Two texts for one digest would make equal content look different.
func TestParseDigestIsCanonical(t *testing.T) {
	t.Parallel()
	body := strings.TrimPrefix(emptyDigest, "blake3:")
	for _, bad := range []string{
		"", "blake3:", body, "sha256:" + body, "BLAKE3:" + body, "blake3:" + strings.ToUpper(body), "blake3:" + body[1:], emptyDigest + "0",
		" " + emptyDigest, emptyDigest + "\n", "blake3:" + strings.Repeat("g", 64), "blake3:" + strings.Repeat("é", 32),
		"blake3:" + body[:62] + "\x00\x00", strings.Repeat("x", 10<<10), "blake3:../" + body[3:],
	} {
		if d, err := lashstore.ParseDigest(bad); !errors.Is(err, lashstore.ErrInvalid) || !d.IsZero() {
			t.Errorf("%.80q: got %s, %v, want %q", bad, d, err, lashstore.ErrInvalid)
		}
	}
	for _, n := range []int{0, 31, 33} {
		if _, err := lashstore.DigestFromBytes(make([]byte, n)); !errors.Is(err, lashstore.ErrInvalid) {
			t.Errorf("%d bytes: got %v, want %q", n, err, lashstore.ErrInvalid)
		}
	}
}

// In JSON a digest is its text, and none is the empty text, also as a map's key.
func TestDigestJSON(t *testing.T) {
	t.Parallel()
	type record struct {
		D lashstore.Digest            `json:"d"`
		M map[lashstore.Digest]string `json:"m"`
	}
	in := record{D: lashstore.DigestOf(nil), M: map[lashstore.Digest]string{lashstore.DigestOf(nil): "x"}}
	raw, err := json.Marshal(in)
	if want := `{"d":"` + emptyDigest + `","m":{"` + emptyDigest + `":"x"}}`; err != nil || string(raw) != want {
		t.Fatalf("encoded as %s, %v, want %s", raw, err, want)
	}
	var out record
	if err := lashstore.DecodeStrict(raw, &out); err != nil || out.D != in.D || out.M[in.D] != "x" {
		t.Errorf("decoded as %+v, %v", out, err)
	}
	if err := json.Unmarshal([]byte(`{"d":""}`), &out); err != nil || !out.D.IsZero() {
		t.Errorf("the empty text: %s, %v", out.D, err)
	}
	if err := json.Unmarshal([]byte(`{"d":"x"}`), &out); !errors.Is(err, lashstore.ErrInvalid) {
		t.Errorf("no digest: %v, want %q", err, lashstore.ErrInvalid)
	}
}

// Whatever the text, it is refused or is exactly what the digest prints.
func FuzzParseDigest(f *testing.F) {
	for _, s := range []string{"", emptyDigest, "blake3:", strings.ToUpper(emptyDigest), "sha256:00", emptyDigest[:70] + "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := lashstore.ParseDigest(s)
		if err != nil {
			if !errors.Is(err, lashstore.ErrInvalid) || !d.IsZero() {
				t.Errorf("%q: %s, %v", s, d, err)
			}
			return
		}
		if d.String() != s {
			t.Errorf("%q prints as %q", s, d)
		}
		var back lashstore.Digest
		if err := back.UnmarshalText([]byte(s)); err != nil || back != d {
			t.Errorf("%q: %s, %v", s, back, err)
		}
	})
}
