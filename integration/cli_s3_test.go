package integration_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas/s3cas"
	"github.com/lashstore/lashstore/internal/testenv"
)

// Exit codes of the command line (docs/cli.md).
const (
	cliOK       = 0
	cliFailure  = 1
	cliConflict = 4
)

// noCredentials is the server that checks none (localstack/README.md).
const noCredentials = "localstack"

// commandLine runs the real program on one data directory and one bucket.
type commandLine struct {
	path   string
	dir    string
	home   string
	secret string // which no output may hold
	env    []string
}

// result is what a command left behind.
type result struct {
	stdout, stderr string
	exit           int
}

// doctorReport is what "doctor -o json" prints.
type doctorReport struct {
	Checks []struct {
		Area, Name, Status, Detail, Hint string
	}
	Failed int
}

// cliFailureReport is what a failed command prints with -o json.
type cliFailureReport struct{ Code, Message, Reason, Hint string }

// buildCommand builds the program.
func buildCommand(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "lashstore")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", path, "./cmd/lashstore")
	cmd.Dir = ".."
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return path
}

// newCommandLine returns the program with a new data directory. The bucket is in the
// environment, and so are the credentials, as a user has them.
func newCommandLine(t *testing.T, path string, server testenv.S3Server, loc s3cas.Location) *commandLine {
	t.Helper()
	home := t.TempDir()
	if server.Name == noCredentials {
		server.Secret = rand.Text() // its own is a word that is everywhere
	}
	return &commandLine{path: path, dir: filepath.Join(t.TempDir(), "data"), home: home, secret: server.Secret, env: []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + home, "TMPDIR=" + home, "LASHSTORE_BUCKET=" + loc.String(),
		"AWS_ACCESS_KEY_ID=" + server.Key, "AWS_SECRET_ACCESS_KEY=" + server.Secret, "AWS_EC2_METADATA_DISABLED=true",
	}}
}

// in returns the program on another data directory.
func (c *commandLine) in(dir string) *commandLine {
	c.dir = dir
	return c
}

func (c *commandLine) run(t *testing.T, args ...string) result {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), c.path, append([]string{"--dir", c.dir}, args...)...)
	cmd.Env = c.env
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		t.Fatal(err)
	}
	if c.secret != "" && strings.Contains(stdout.String()+stderr.String(), c.secret) {
		t.Errorf("lashstore %s: the output holds the secret", strings.Join(args, " "))
	}
	return result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// ok runs a command that must succeed.
func (c *commandLine) ok(t *testing.T, args ...string) string {
	t.Helper()
	r := c.run(t, args...)
	if r.exit != cliOK || r.stderr != "" {
		t.Fatalf("lashstore %s: exit %d\n%s%s", strings.Join(args, " "), r.exit, r.stdout, r.stderr)
	}
	return r.stdout
}

// parse reads one JSON document.
func parse[T any](t *testing.T, text string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v
}

// The command line does the same on a bucket as on a directory, on every server.
func TestS3CommandLine(t *testing.T) {
	t.Parallel()
	servers := testenv.S3Servers(t)
	path := buildCommand(t)
	for _, server := range servers {
		t.Run(server.Name, func(t *testing.T) {
			t.Parallel()
			for name, test := range map[string]func(*testing.T, *commandLine, testenv.S3Server, s3cas.Location){
				"demo": cliDemo, "import": cliImport, "blob": cliBlob, "wrong tier": cliWrongTier, "doctor": cliDoctor,
			} {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					loc := s3Location(t, server)
					test(t, newCommandLine(t, path, server, loc), server, loc)
				})
			}
			t.Run("wrong", func(t *testing.T) {
				t.Parallel()
				cliTrouble(t, path, server)
			})
		})
	}
}

// The tour leaves nothing in the bucket, and with a directory of its own it is kept.
func cliDemo(t *testing.T, c *commandLine, server testenv.S3Server, loc s3cas.Location) {
	t.Helper()
	type document struct {
		Verified bool
		Storage  struct {
			Logical int64 `json:"logical_bytes"`
			Disk    int64 `json:"disk_bytes"`
		}
	}
	scratch := exec.CommandContext(t.Context(), c.path, "demo", "-o", "json")
	scratch.Env = c.env
	out, err := scratch.Output()
	if err != nil {
		t.Fatalf("demo: %v\n%s", err, out)
	}
	if doc := parse[document](t, string(out)); !doc.Verified {
		t.Errorf("%+v", doc)
	}
	left, err := openS3(t, server, loc).List(t.Context(), "", "", 10)
	if err != nil || len(left) > 0 {
		t.Errorf("left in the bucket: %v, %v", left, err)
	}
	doc := parse[document](t, c.ok(t, "demo", "-o", "json"))
	if !doc.Verified || doc.Storage.Disk <= 0 || doc.Storage.Disk >= doc.Storage.Logical/2 {
		t.Errorf("%+v", doc)
	}
	if kept, err := openS3(t, server, loc).List(t.Context(), "", "", 10); err != nil || len(kept) == 0 {
		t.Errorf("kept in the bucket: %v, %v", kept, err)
	}
}

// cliImport imports transcripts, recorded ones too where there are some, and exports
// them again.
func cliImport(t *testing.T, c *commandLine, _ testenv.S3Server, _ s3cas.Location) {
	t.Helper()
	files := []string{
		filepath.Join("..", "cmd", "lashstore", "testdata", "chat.jsonl"),
		filepath.Join("..", "cmd", "lashstore", "testdata", "agent.traj"),
	}
	dir := os.Getenv("LASHSTORE_TRAJECTORIES")
	if dir == "" {
		dir = filepath.Join("..", "..", "shared", "data", "trajectories")
	}
	recorded, err := filepath.Glob(filepath.Join(dir, "*.traj"))
	if err != nil {
		t.Fatal(err)
	}
	files = append(files, recorded...) // package transcript counts the skip if there are none
	c.env = append(c.env, "LASHSTORE_CACHE_DIR="+filepath.Join(c.home, "cache"))
	c.ok(t, append([]string{"import"}, files...)...)
	for _, file := range files {
		base := filepath.Base(file)
		got := c.ok(t, "export", strings.TrimSuffix(base, filepath.Ext(base)))
		if diff := cmp.Diff(fileMessages(t, file), jsonLines(t, got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", file, diff)
		}
	}
}

// jsonLines reads JSON documents, numbers as they are written.
func jsonLines(t *testing.T, text string) (docs []any) {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	for {
		var v any
		err := dec.Decode(&v)
		if errors.Is(err, io.EOF) {
			return docs
		}
		if err != nil {
			t.Fatalf("%v in %.200s", err, text)
		}
		docs = append(docs, v)
	}
}

// fileMessages reads the messages of a transcript or a trajectory.
func fileMessages(t *testing.T, file string) []any {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	docs := jsonLines(t, string(text))
	if filepath.Ext(file) != ".traj" {
		return docs
	}
	doc, ok := docs[0].(map[string]any)
	if !ok {
		t.Fatalf("%s is no object", file)
	}
	history, ok := doc["history"].([]any)
	if !ok {
		t.Fatalf("%s has no history", file)
	}
	return history
}

func cliBlob(t *testing.T, c *commandLine, _ testenv.S3Server, _ s3cas.Location) {
	t.Helper()
	const megabytes = 20
	content := make([]byte, megabytes<<20)
	if _, err := mathrand.NewChaCha8([32]byte{1}).Read(content); err != nil {
		t.Fatal(err)
	}
	in, out := filepath.Join(c.home, "in"), filepath.Join(c.home, "out")
	if err := os.WriteFile(in, content, 0o600); err != nil {
		t.Fatal(err)
	}
	digest := strings.TrimSpace(c.ok(t, "blob", "put", in))
	if want := lashstore.DigestOf(content).String(); digest != want {
		t.Fatalf("digest %s, want %s", digest, want)
	}
	// Straight from the bucket, into the cache, out of the cache.
	cache := []string{"--cache-dir", filepath.Join(c.home, "cache"), "--cache-size", "128MiB"}
	for _, flags := range [][]string{nil, cache, cache} {
		c.ok(t, append([]string{"blob", "get", digest, "-f", out}, flags...)...)
		got, err := os.ReadFile(out)
		if err != nil || !bytes.Equal(got, content) {
			t.Fatalf("with %v read back %d bytes, %v", flags, len(got), err)
		}
	}
	info := parse[lashstore.BlobInfo](t, c.ok(t, "blob", "stat", digest, "-o", "json"))
	if info.SizeBytes != int64(len(content)) || info.StoredBytes < info.SizeBytes || info.Objects < 2 || info.Upload == nil {
		t.Errorf("%+v", info)
	}
}

// A directory and a prefix belong together, from the first write on.
func cliWrongTier(t *testing.T, c *commandLine, server testenv.S3Server, loc s3cas.Location) {
	t.Helper()
	c.ok(t, "session", "create", "x")
	other := s3Location(t, server)
	refused := map[string]result{
		"another prefix": c.run(t, "--bucket", other.String(), "session", "create", "y", "-o", "json"),
		"reading":        c.run(t, "--bucket", other.String(), "session", "ls", "-o", "json"),
		"no bucket":      c.run(t, "--bucket", "", "session", "create", "y", "-o", "json"),
		"another directory": newCommandLine(t, c.path, server, loc).
			run(t, "session", "create", "x", "-o", "json"),
	}
	for name, r := range refused {
		if f := parse[cliFailureReport](t, r.stderr); r.exit != cliConflict || f.Code != "wrong_tier" || !strings.Contains(f.Message, loc.Prefix) {
			t.Errorf("%s: %+v", name, r)
		}
	}
	// The same place in other words.
	endpoint := strings.TrimSuffix(loc.Endpoint, "/") + "/"
	bare := s3cas.Location{Bucket: loc.Bucket, Prefix: loc.Prefix}
	c.ok(t, "--bucket", bare.String(), "--s3-endpoint", endpoint, "--s3-region", loc.Region, "--s3-path-style", "true", "session", "show", "x")
}

func cliDoctor(t *testing.T, c *commandLine, server testenv.S3Server, loc s3cas.Location) {
	t.Helper()
	cache := filepath.Join(c.home, "cache")
	for _, before := range [][]string{{"version"}, {"session", "create", "x"}} { // nothing there yet, then in use
		c.ok(t, before...)
		doc := parse[doctorReport](t, c.ok(t, "doctor", "-o", "json", "--cache-dir", cache))
		for _, name := range []string{"credentials", "endpoint", "bucket", "put", "get", "delete", "catalog", "round_trip"} {
			i := slices.IndexFunc(doc.Checks, func(c struct{ Area, Name, Status, Detail, Hint string }) bool {
				return c.Name == name
			})
			if i < 0 || doc.Checks[i].Status != "ok" {
				t.Errorf("%s: %+v", name, doc)
			}
		}
	}
	objects, err := openS3(t, server, loc).List(t.Context(), "lashstore-doctor/", "", 10)
	if err != nil || len(objects) > 0 {
		t.Errorf("probes left behind: %v, %v", objects, err)
	}
}

// cliTrouble tries what people get wrong: the doctor and the command itself must say
// what to do.
func cliTrouble(t *testing.T, path string, server testenv.S3Server) {
	t.Helper()
	loc := s3Location(t, server)
	missing, refused := loc, loc
	missing.Bucket = "missing-" + strings.ToLower(rand.Text())
	refused.Endpoint = "http://127.0.0.1:1" // tcpmux: nobody listens there
	wrong := server
	wrong.Secret = "not" + rand.Text()
	tests := map[string]struct {
		server  testenv.S3Server
		loc     s3cas.Location
		reasons []string
	}{
		// A user of one bucket is not always told that another does not exist.
		"missing bucket": {server, missing, []string{"no_bucket", "denied"}},
		"refused port":   {server, refused, []string{"unreachable"}},
	}
	if server.Name != noCredentials {
		tests["wrong secret"] = struct {
			server  testenv.S3Server
			loc     s3cas.Location
			reasons []string
		}{wrong, loc, []string{"bad_secret"}}
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCommandLine(t, path, tt.server, tt.loc)
			r := c.run(t, "doctor", "-o", "json")
			doc := parse[doctorReport](t, r.stdout)
			hints := 0
			for _, check := range doc.Checks {
				if check.Area == "bucket" && check.Status == "failed" && check.Hint != "" {
					hints++
				}
			}
			if r.exit != cliFailure || doc.Failed == 0 || hints == 0 {
				t.Errorf("doctor: %+v", r)
			}
			file := filepath.Join(c.home, "file")
			if err := os.WriteFile(file, []byte("hello"), 0o600); err != nil {
				t.Fatal(err)
			}
			r = c.run(t, "blob", "put", file, "-o", "json")
			f := parse[cliFailureReport](t, r.stderr)
			if r.exit != cliFailure || !slices.Contains(tt.reasons, f.Reason) || f.Hint == "" {
				t.Errorf("blob put: %+v", r)
			}
			// The directory must not belong to what never worked.
			c = newCommandLine(t, path, server, s3Location(t, server)).in(c.dir)
			c.ok(t, "blob", "put", file)
		})
	}
}
