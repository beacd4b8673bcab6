package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Somebody who watches sees large content move; nothing else is written anywhere.
func TestProgress(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("0123456789abcdef", largeBytes/16)
	file := filepath.Join(t.TempDir(), "large.bin")
	if err := os.WriteFile(file, []byte(large), 0o600); err != nil {
		t.Fatal(err)
	}
	c := newConsole(t)
	c.watched = true
	put := c.run(t, "", "blob", "put", file)
	digest := strings.TrimSpace(put.stdout)
	if put.exit != exitOK || !strings.HasPrefix(digest, "blake3:") || !strings.Contains(put.stderr, "large.bin") {
		t.Fatalf("put: %+v", put)
	}
	out := filepath.Join(t.TempDir(), "out.bin")
	if o := c.run(t, "", "blob", "get", digest, "-f", out); o.exit != exitOK || !strings.Contains(o.stderr, "out.bin") {
		t.Errorf("get to a file: %+v", o)
	}
	if o := c.run(t, "", "blob", "get", digest); o.stdout != large || !strings.Contains(o.stderr, "standard output") {
		t.Errorf("get: exit %d, %d bytes, %q", o.exit, len(o.stdout), o.stderr)
	}
	if o := c.run(t, large, "blob", "put"); strings.TrimSpace(o.stdout) != digest || !strings.Contains(o.stderr, "standard input") {
		t.Errorf("put standard input: exit %d, %q", o.exit, o.stderr)
	}
	if o := c.run(t, "", "import", filepath.Join("testdata", "agent.traj")); o.exit != exitOK || !strings.Contains(o.stderr, "agent") {
		t.Errorf("import: %+v", o)
	}
	for name, quietly := range map[string]func() outcome{
		"small":         func() outcome { return c.run(t, "small", "blob", "put") },
		"json":          func() outcome { return c.run(t, "", "blob", "put", file, "-o", "json") },
		"import, json":  func() outcome { return c.run(t, "", "import", filepath.Join("testdata", "chat.jsonl"), "-o", "json") },
		"--no-progress": func() outcome { return c.run(t, "", "blob", "put", file, "--no-progress") },
		"variable": func() outcome {
			c.env = map[string]string{"LASHSTORE_NO_PROGRESS": "true"}
			return c.run(t, "", "blob", "put", file)
		},
		"dumb": func() outcome {
			c.env = map[string]string{"TERM": "dumb"}
			return c.run(t, "", "blob", "put", file)
		},
		"nobody": func() outcome {
			c.env, c.watched = nil, false
			defer func() { c.watched = true }()
			return c.run(t, "", "blob", "put", file)
		},
	} {
		if o := quietly(); o.exit != exitOK || o.stderr != "" {
			t.Errorf("%s: %+v", name, o)
		}
		c.env = nil
	}
}

// A file that grows while it is read is content like any other.
func TestProgressDoesNotFailWhatItShows(t *testing.T) {
	t.Parallel()
	a := &app{environment: environment{
		stderr: new(strings.Builder), lookupEnv: func(string) (string, bool) { return "", false }, terminal: func(any) bool { return true },
	}}
	const text = "more than was said"
	for _, total := range []int64{largeBytes, unknownBytes} {
		r, done := a.watched(strings.NewReader(strings.Repeat(text, largeBytes)), total, "x")
		n, err := io.Copy(io.Discard, r)
		done()
		if err != nil || n != int64(len(text))*largeBytes {
			t.Errorf("read %d bytes, %v", n, err)
		}
	}
}
