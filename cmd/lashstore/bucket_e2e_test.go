package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lashstore/lashstore/cas/s3cas"
)

// A folder as bucket, such as a mount that several machines have, with a cache.
func TestFolderAsBucket(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	folder, cache := filepath.Join(t.TempDir(), "mount"), filepath.Join(t.TempDir(), "cache")
	s.env = []string{"LASHSTORE_BUCKET=file://" + folder, "LASHSTORE_CACHE_DIR=" + cache, "LASHSTORE_CACHE_SIZE=64MiB"}
	if o := s.run(t, nil, "session", "ls"); o.exit != exitNotFound {
		t.Errorf("nothing written yet: %+v", o)
	}
	if _, err := os.Stat(cache); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a read of nothing made a cache: %v", err)
	}
	content := bytes.Repeat([]byte("0123456789abcde\x00"), 320<<10) // 5 MiB
	digest := strings.TrimSpace(s.run(t, bytes.NewReader(content), "blob", "put").stdout)
	for range 2 { // from the folder, then from the cache
		if out := s.ok(t, "blob", "get", digest); out != string(content) {
			t.Fatalf("read back %d bytes", len(out))
		}
	}
	if len(files(t, cache)) == 0 || len(files(t, folder)) == 0 {
		t.Error("the cache or the bucket is empty")
	}
	if _, err := os.Stat(filepath.Join(s.dir, "blobs")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder in the data directory must not be there: %v", err)
	}
	s.ok(t, "import", filepath.Join("testdata", "chat.jsonl"))
	if out := s.ok(t, "export", "chat"); !strings.Contains(out, `"role"`) {
		t.Errorf("export: %s", out)
	}
	if doc := decode[doctorDocument](t, s.ok(t, "doctor", "-o", "json")); doc.Failed != 0 {
		t.Errorf("%+v", doc)
	}
}

// A directory that is opened with the wrong bucket would take blobs for stored that
// are not there.
func TestWrongBucket(t *testing.T) {
	t.Parallel()
	s, other := newShell(t), newShell(t)
	first, second := "file://"+t.TempDir(), "file://"+t.TempDir()
	s.ok(t, "--bucket", first, "session", "create", "x")
	for _, args := range [][]string{
		{"--bucket", second, "session", "create", "y"}, {"session", "create", "y"}, {"--bucket", second, "session", "ls"},
	} {
		o := s.run(t, nil, append(args, "-o", "json")...)
		f := decode[failure](t, o.stderr)
		if o.exit != exitConflict || f.Code != "wrong_tier" || !strings.Contains(f.Message, first) {
			t.Errorf("%v: %+v", args, o)
		}
	}
	other.env = []string{"LASHSTORE_BUCKET=" + first}
	if o := other.run(t, nil, "session", "create", "x"); o.exit != exitConflict || !strings.Contains(o.stderr, "another prefix") {
		t.Errorf("a bucket that another directory uses: %+v", o)
	}
	s.ok(t, "--bucket", first, "session", "show", "x")
}

// A read without the bucket must not say that there is nothing.
func TestForgottenBucket(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	s.ok(t, "--bucket", "file://"+t.TempDir(), "session", "create", "x")
	if o := s.run(t, nil, "session", "ls"); o.exit == exitOK || o.exit == exitNotFound || !strings.Contains(o.stderr, "--bucket") {
		t.Errorf("%+v", o)
	}
}

// The tour has a prefix of its own in the bucket, and leaves nothing there.
func TestDemoInABucket(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	folder := t.TempDir()
	s.env = []string{"LASHSTORE_BUCKET=file://" + folder}
	doc := decode[demoDocument](t, s.ok(t, "demo", "-o", "json"))
	noFiles(t, folder)
	noFiles(t, s.tmp)
	st := doc.Storage
	if !doc.Verified || !strings.HasPrefix(doc.Bucket, "file://"+folder+"/") ||
		st.DiskBytes <= 0 || st.LogicalBytes != st.SavedByEqual+st.SavedByStorage+st.DiskBytes {
		t.Errorf("%+v", doc)
	}
	for range 2 {
		doc = decode[demoDocument](t, s.ok(t, "demo", "--dir", s.dir, "-o", "json"))
		if doc.Bucket != "file://"+folder || doc.Storage.DiskBytes <= 0 || !doc.Kept {
			t.Errorf("%+v", doc)
		}
	}
	if len(files(t, folder)) == 0 {
		t.Error("the bucket is empty")
	}
}

// Nobody listens: the doctor says so, with what to do, and does not wait.
func TestDoctorWithoutServer(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	s.env = []string{"AWS_ACCESS_KEY_ID=AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY=hush", "AWS_EC2_METADATA_DISABLED=true"}
	// Port 1 is tcpmux: nothing listens there on a machine of this century.
	o := s.run(t, nil, "doctor", "--bucket", "s3://acme/p", "--s3-endpoint", "http://127.0.0.1:1", "-o", "json")
	doc := decode[doctorDocument](t, o.stdout)
	i := slices.IndexFunc(doc.Checks, func(c doctorCheck) bool { return c.Area == areaBucket && c.Name == "endpoint" })
	if o.exit != exitFailure || doc.Failed != 1 || doc.Checks[i].Status != s3cas.StatusFailed || doc.Checks[i].Hint == "" {
		t.Errorf("%+v", o)
	}
	if last := doc.Checks[len(doc.Checks)-1]; last.Name != "round_trip" || last.Status != s3cas.StatusSkipped {
		t.Errorf("%+v", last)
	}
	if f := decode[failure](t, o.stderr); f.Code != "unhealthy" || strings.Contains(o.stdout+o.stderr, "hush") {
		t.Errorf("%+v", o)
	}
	if o := s.run(t, nil, "doctor", "--bucket", "s3://Not_A_Bucket"); o.exit != exitUsage || o.stdout != "" {
		t.Errorf("%+v", o)
	}
}
