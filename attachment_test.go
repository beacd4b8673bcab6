package lashstore_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/lashstore/lashstore"
)

// A media type ends up in a response's header.
func TestNormalizeMediaType(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"image/png": "image/png", " Image/PNG ": "image/png", "image/jpg": "image/jpeg", "IMAGE/JPG; q=1": "image/jpeg",
		"text/plain; charset=utf-8": "text/plain", "application/vnd.x+json": "application/vnd.x+json",
	} {
		if got, err := lashstore.NormalizeMediaType(in); err != nil || got != want {
			t.Errorf("%q: got %q, %v, want %q", in, got, err, want)
		}
	}
	for _, bad := range []string{
		"", " ", "image", "image/", "/png", "image/png/x", "image png", "image/png\r\nX: y", "image/\x00", "image/é", "\xff/png",
		"image/" + strings.Repeat("x", 10<<10), ";", "image/png; =",
	} {
		if got, err := lashstore.NormalizeMediaType(bad); !errors.Is(err, lashstore.ErrInvalid) || got != "" {
			t.Errorf("%.40q: got %q, %v, want %q", bad, got, err, lashstore.ErrInvalid)
		}
	}
}

// Normalising twice gives the same, and nothing that breaks a header.
func FuzzNormalizeMediaType(f *testing.F) {
	for _, s := range []string{"image/png", " Image/JPG;q=1", "a/b; c=\"d\"", "x/y\r\n", ";;;", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := lashstore.NormalizeMediaType(s)
		if err != nil {
			return
		}
		if again, err := lashstore.NormalizeMediaType(got); err != nil || again != got {
			t.Errorf("%q gives %q, and that %q, %v", s, got, again, err)
		}
		if strings.ContainsAny(got, "\r\n\x00 ;") || got != strings.ToLower(got) || strings.Count(got, "/") != 1 {
			t.Errorf("%q gives %q", s, got)
		}
	})
}
