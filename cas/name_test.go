package cas_test

import (
	"bytes"
	"errors"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
)

const goldenKey = "b3/af/af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262.0123456789abcdef"

// The key is part of the format: a change would lose every stored object.
func TestObjectNameKeyIsStable(t *testing.T) {
	t.Parallel()
	name := nameOf(nil, 0x0123456789abcdef)
	if got := name.Key(); got != goldenKey {
		t.Errorf("Key: got %s, want %s", got, goldenKey)
	}
	if got, err := cas.ParseKey(goldenKey); err != nil || got != name {
		t.Errorf("ParseKey: got %v, %v, want %v", got, err, name)
	}
	if err := cas.ValidateKey(goldenKey); err != nil {
		t.Errorf("ValidateKey: %v", err)
	}
}

// A key that is read leniently would let two keys mean one object.
func TestParseKeyRefusesWhatKeyNeverReturns(t *testing.T) {
	t.Parallel()
	digest := goldenKey[6:70]
	for _, key := range []string{
		"", "b3/", "b3/af", goldenKey + "0", goldenKey[:len(goldenKey)-1], " " + goldenKey, "/" + goldenKey,
		"acme/" + goldenKey, strings.ToUpper(goldenKey), strings.Replace(goldenKey, "b3/af", "b3/ae", 1),
		strings.Replace(goldenKey, "b3/af", "b3/AF", 1), strings.Replace(goldenKey, ".", "-", 1),
		"b3/af/" + digest + ".0000000000000000", "b3/af/" + digest + ".8000000000000000",
		"b3/af/" + digest + ".+123456789abcdef", "b3/af/" + digest + ".0x23456789abcdef",
		"b3/00/" + strings.Repeat("0", 64) + ".0000000000000001",
	} {
		if name, err := cas.ParseKey(key); !errors.Is(err, lashstore.ErrInvalid) {
			t.Errorf("ParseKey(%q): got %v, %v, want ErrInvalid", key, name, err)
		}
	}
}

func TestGeneration(t *testing.T) {
	t.Parallel()
	g, err := cas.NewGeneration(bytes.NewReader([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}))
	if err != nil || g != math.MaxInt64 {
		t.Errorf("all bits set: got %v, %v, want MaxInt64, the largest a database keeps", g, err)
	}
	g, err = cas.NewGeneration(bytes.NewReader([]byte{0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9}))
	if err != nil || g != 9 {
		t.Errorf("zero is drawn first: got %v, %v, want the next draw, 9", g, err)
	}
	if g.String() != "0000000000000009" {
		t.Errorf("String: got %q", g)
	}
	if _, err := cas.NewGeneration(bytes.NewReader(make([]byte, 100))); err == nil {
		t.Error("a source of zeros: want an error, not an endless loop")
	}
	if _, err := cas.NewGeneration(bytes.NewReader(make([]byte, 3))); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a source that ends: got error %v, want ErrUnexpectedEOF", err)
	}
	seen := make(map[cas.Generation]bool)
	for range 1000 {
		g, err := cas.NewGeneration(nil)
		if err != nil || g == 0 || g > math.MaxInt64 || seen[g] {
			t.Fatalf("NewGeneration: got %v, %v, want a new one in range", g, err)
		}
		seen[g] = true
	}
}

func TestOptionsReportAllThatIsWrong(t *testing.T) {
	t.Parallel()
	_, err := cas.New(nil, cas.Options{})
	if !errors.Is(err, lashstore.ErrInvalid) {
		t.Errorf("no driver: got error %v, want ErrInvalid", err)
	}
	err = cas.Options{Profile: "fast", Prefix: "../", Concurrency: -1}.Validate()
	for _, field := range []string{"profile", "prefix", "concurrency"} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("Validate: got %v, want it to name %s", err, field)
		}
	}
	for _, prefix := range []string{"acme", "/", "acme//", "/acme/", "Acme/", ".acme/", strings.Repeat("a/", 300)} {
		if err := (cas.Options{Prefix: prefix}).Validate(); !errors.Is(err, lashstore.ErrInvalid) {
			t.Errorf("prefix %q: got error %v, want ErrInvalid", prefix, err)
		}
	}
	if err := (cas.Options{Prefix: "eu/acme/"}).Validate(); err != nil {
		t.Errorf("prefix of two parts: %v", err)
	}
}

func FuzzParseKey(f *testing.F) {
	f.Add(goldenKey)
	f.Add("b3/00/x.y")
	f.Fuzz(func(t *testing.T, key string) {
		name, err := cas.ParseKey(key)
		if err != nil {
			if !errors.Is(err, lashstore.ErrInvalid) {
				t.Errorf("ParseKey(%q): got error %v, want ErrInvalid", key, err)
			}
			return
		}
		if name.Key() != key {
			t.Errorf("ParseKey(%q).Key() = %q", key, name.Key())
		}
		if err := cas.ValidateKey(key); err != nil {
			t.Errorf("ValidateKey(%q): %v", key, err)
		}
	})
}

func FuzzParseGeneration(f *testing.F) {
	f.Add("0123456789abcdef")
	f.Add("8000000000000000")
	f.Fuzz(func(t *testing.T, s string) {
		g, err := cas.ParseGeneration(s)
		if err != nil {
			if !errors.Is(err, lashstore.ErrInvalid) {
				t.Errorf("ParseGeneration(%q): got error %v, want ErrInvalid", s, err)
			}
			return
		}
		if g.String() != s || g == 0 || g > math.MaxInt64 {
			t.Errorf("ParseGeneration(%q) = %v", s, g)
		}
	})
}

func FuzzParseDigest(f *testing.F) {
	f.Add("blake3:" + goldenKey[6:70])
	f.Add("sha256:" + goldenKey[6:70])
	f.Fuzz(func(t *testing.T, s string) {
		d, err := lashstore.ParseDigest(s)
		if err != nil {
			return
		}
		name := cas.ObjectName{Digest: d, Generation: 1}
		if d.IsZero() { // "none" in practice, though its text form can be written
			return
		}
		if back, err := cas.ParseKey(name.Key()); err != nil || back != name || d.String() != s {
			t.Errorf("digest %q: key %q parses to %v, %v", s, name.Key(), back, err)
		}
	})
}

// ValidateKey is what keeps drivers on paths safe: whatever it accepts stays below
// the root and folds to itself.
func FuzzValidateKey(f *testing.F) {
	f.Add("a/../b")
	f.Add(goldenKey)
	f.Fuzz(func(t *testing.T, key string) {
		if cas.ValidateKey(key) != nil {
			return
		}
		if strings.ToLower(key) != key || strings.Contains(key, "..") && strings.Contains("/"+key, "/.") ||
			strings.ContainsAny(key, "\\:\x00 ") || strings.HasPrefix(key, "/") || strings.HasSuffix(key, "/") {
			t.Errorf("ValidateKey accepts %q", key)
		}
	})
}
