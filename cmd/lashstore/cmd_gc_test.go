package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/lashstore/lashstore"
)

const helloDigest = "blake3:ea8f163db38682925e4491c5e58d4bb3506ef8c14eb78a86e908c5624a67200f"

// What depends on the machine, in what collections print.
var (
	tookTime    = regexp.MustCompile(`(?m)^(took +)\S+$`)
	tookNS      = regexp.MustCompile(`("duration_ns": ?)\d+`)
	sessionFile = regexp.MustCompile(`-[0-9a-f]{8}\.db`)
)

// story runs command lines one after the other and keeps what they print.
type story struct {
	*console
	text strings.Builder
}

func (s *story) step(t *testing.T, title, line string) {
	t.Helper()
	command, stdin, _ := strings.Cut(line, " < ")
	o := s.run(t, stdin, strings.Fields(command)...)
	fmt.Fprintf(&s.text, "# %s\n$ lashstore %s\n%s", title, line, o.stdout)
	for msg := range strings.Lines(o.stderr) {
		fmt.Fprintf(&s.text, "stderr: %s", msg)
	}
	if o.exit != 0 {
		fmt.Fprintf(&s.text, "exit: %d\n", o.exit)
	}
	s.text.WriteString("\n")
}

// ok runs a command line that must succeed, and returns what it prints.
func (c *console) ok(t *testing.T, stdin, line string) string {
	t.Helper()
	o := c.run(t, stdin, strings.Fields(line)...)
	if o.exit != exitOK {
		t.Fatalf("lashstore %s: %+v", line, o)
	}
	return o.stdout
}

// loseSession removes the database of a tenant's only session.
func (c *console) loseSession(t *testing.T, tenant string) {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(c.dir, "tenants", tenant, "sessions", "*", "*.db"))
	if err != nil || len(found) != 1 {
		t.Fatalf("sessions of %s: %v, %v", tenant, found, err)
	}
	if err := os.Remove(found[0]); err != nil {
		t.Fatal(err)
	}
}

// What operators and their scripts read: from nothing over the grace period to a
// deletion, and a tenant that is stopped.
func TestGCGolden(t *testing.T) {
	t.Parallel()
	s := &story{console: newConsole(t)}
	s.step(t, "nothing there yet", "gc run")
	s.step(t, "the same for scripts", "gc status -o json")
	s.step(t, "an upload", "blob put < hello")
	s.step(t, "a session that expires", "session create brief --ttl 24h")
	s.step(t, "nothing to do", "gc run")
	s.clock = s.clock.Add(25 * time.Hour)
	s.step(t, "a day later, without a change", "gc run --dry-run")
	s.step(t, "the session and the upload go", "gc run")
	s.step(t, "the object waits", "gc status")
	s.step(t, "it is kept", "gc undelete --all --for 30h")
	s.step(t, "and again, by name", "gc undelete "+helloDigest+" -o json")
	s.clock = s.clock.Add(31 * time.Hour)
	s.step(t, "nobody wanted it", "gc run -o json")
	s.clock = s.clock.Add(25 * time.Hour)
	s.step(t, "its time is over", "gc run")
	s.step(t, "too late", "gc undelete "+helloDigest)
	s.step(t, "an audit", "gc run --audit")
	s.step(t, "an audit for scripts", "gc run --audit --grace 0 -o json")
	s.step(t, "a session", "session create lasting")
	s.loseSession(t, "default")
	s.step(t, "its database is lost", "gc run --audit")
	s.step(t, "nothing is deleted", "gc run -o json")
	s.step(t, "until it is mended", "gc status")
	s.step(t, "nobody has a copy of it", "session rm lasting --yes")
	s.step(t, "an audit that passes", "gc run --audit")
	s.step(t, "all is well again", "gc status -o json")
	text := tookTime.ReplaceAllString(s.scrub(s.text.String()), "${1}<time>")
	text = sessionFile.ReplaceAllString(tookNS.ReplaceAllString(text, "${1}0"), "-<incarnation>.db")
	compareGolden(t, filepath.Join("testdata", "gc.golden"), text)
}

func TestGCRefusesBadInput(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	c.ok(t, "hello", "blob put")
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]struct {
		exit int
		says string
	}{
		"gc":                               {exitUsage, "needs a command"},
		"gc run extra":                     {exitUsage, "unknown command"},
		"gc run --grace -1s":               {exitUsage, "grace"},
		"gc run --grace 90000h":            {exitUsage, "grace"},
		"gc run --grace soon":              {exitUsage, "grace"},
		"gc run --workers 0":               {exitUsage, "workers"},
		"gc run --workers 65":              {exitUsage, "workers"},
		"gc run --tenant none":             {exitNotFound, "none"},
		"gc run --tenant ../default":       {exitUsage, "tenant"},
		"gc run --dir " + file:             {exitFailure, "not a directory"},
		"gc run --bucket gs://acme":        {exitUsage, "s3://BUCKET"},
		"gc status --tenant none":          {exitNotFound, "none"},
		"gc worker --interval 0":           {exitUsage, "interval"},
		"gc worker --interval -1m":         {exitUsage, "interval"},
		"gc worker --audit-interval":       {exitUsage, "audit-interval"},
		"gc worker --tenant A":             {exitUsage, "tenant"},
		"gc worker --workers 0":            {exitUsage, "workers"},
		"gc worker --grace -1ns":           {exitUsage, "grace"},
		"gc worker --metrics-addr 909":     {exitUsage, "HOST:PORT"},
		"gc undelete":                      {exitUsage, "--all"},
		"gc undelete blake3:00":            {exitUsage, "digest"},
		"gc undelete --all " + helloDigest: {exitUsage, "--all"},
		"gc undelete --all --for 0s":       {exitUsage, "for"},
		"gc undelete --all --for -1h":      {exitUsage, "for"},
		"gc undelete --all --for 90000h":   {exitUsage, "for"},
		"gc undelete --all --tenant none":  {exitNotFound, "none"},
		"gc undelete " + strings.ReplaceAll(helloDigest, "ea8f", "0000"):           {exitNotFound, "not found"},
		"gc undelete " + strings.Repeat(helloDigest+" ", lashstore.MaxListLimit+1): {exitUsage, "digests"},
	} {
		o := c.run(t, "", strings.Fields(line)...)
		if o.exit != want.exit || !strings.Contains(o.stderr, want.says) || o.stdout != "" {
			t.Errorf("%.60s: %+v, want exit %d and %q", line, o, want.exit, want.says)
		}
	}
	if _, err := os.Stat(filepath.Join(c.dir, "tenants", "none")); !os.IsNotExist(err) {
		t.Errorf("a tenant that was asked for by mistake was made: %v", err)
	}
	if _, err := os.Stat(filepath.Join(c.dir, "blobs", "default")); err != nil {
		t.Errorf("the tenant's content: %v", err)
	}
}

// One tenant's trouble is not the others'.
func TestGCRunCollectsTheOthers(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	for _, tenant := range []string{"aa", "bb", "cc", "dd"} {
		c.ok(t, "hello", "blob put --tenant "+tenant)
	}
	c.ok(t, "", "session create lost --tenant bb")
	c.loseSession(t, "bb")
	// Folders that are no tenants, or have nothing to collect.
	for _, name := range []string{"Not A Tenant", "empty", "lost+found"} {
		if err := os.Mkdir(filepath.Join(c.dir, "tenants", name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(c.dir, "tenants", "notes"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	outcomes := func(o outcome) map[string]lashstore.CollectOutcome {
		t.Helper()
		got := make(map[string]lashstore.CollectOutcome)
		for _, one := range decode[collectDocument](t, o.stdout).Collections {
			got[one.Tenant] = one.Report.Outcome
			if failed := one.Report.Outcome == lashstore.CollectRefused || one.Report.Outcome == lashstore.CollectFailed; failed != (one.Error != nil) {
				t.Errorf("%s: %+v", one.Tenant, one)
			}
		}
		return got
	}
	c.clock = c.clock.Add(25 * time.Hour)
	o := c.run(t, "", "gc", "run", "--audit", "--grace", "0", "-o", "json")
	got := outcomes(o)
	if o.exit != exitRefused || len(got) != 4 || got["aa"] != lashstore.CollectSwept || got["bb"] != lashstore.CollectRefused ||
		got["cc"] != lashstore.CollectSwept || got["dd"] != lashstore.CollectSwept {
		t.Errorf("a lost session in bb: exit %d, %v, %s", o.exit, got, o.stderr)
	}
	catalog := filepath.Join(c.dir, "tenants", "cc", "catalog.db")
	if err := os.WriteFile(catalog, []byte(strings.Repeat("not a database. ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	o = c.run(t, "", "gc", "run", "--tenant", "cc", "-o", "json")
	if got := outcomes(o); o.exit != exitUndone || got["cc"] != lashstore.CollectFailed || !strings.Contains(o.stdout, "corrupt_database") {
		t.Errorf("a damaged catalog: exit %d, %v, %s", o.exit, got, o.stderr)
	}
	o = c.run(t, "", "gc", "run")
	if o.exit != exitRefused || !strings.Contains(o.stderr, "refused: bb") || !strings.Contains(o.stderr, "incomplete: cc") ||
		strings.Count(o.stdout, "nothing to do") != 2 {
		t.Errorf("both: %+v", o)
	}
	o = c.run(t, "", "gc", "status", "-o", "json")
	doc := decode[statusDocument](t, o.stdout)
	if len(doc.Tenants) != 4 || doc.Tenants[2].Error == nil || doc.Tenants[2].Error.Code != "corrupt_database" || o.exit != exitCorrupt {
		t.Fatalf("status: %+v, exit %d", doc, o.exit)
	}
	if st := doc.Tenants[1].Status; st == nil || st.Stopped == "" {
		t.Errorf("status of bb: %+v", st)
	}
	if st := doc.Tenants[0].Status; st == nil || st.Stopped != "" || st.Objects != 0 || st.Totals.Deleted != 1 || st.AuditedAt.IsZero() {
		t.Errorf("status of aa: %+v", st)
	}
	if o := c.run(t, "", "gc", "status"); o.exit != exitCorrupt || !strings.Contains(o.stdout, "stopped") || !strings.Contains(o.stdout, "unreadable") {
		t.Errorf("status: %+v", o)
	}
}

// Damage is named with the sessions that need what is missing.
func TestGCRunNamesDamage(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	c.ok(t, "", "import testdata/agent.traj")
	large := strings.Repeat("0123456789abcdef", 1<<12)
	line := fmt.Sprintf(`{"history":[{"role":"user","content":"hi"}],"trajectory":[{"state":%q,"response":"x"}]}`, large)
	c.ok(t, line, "import --session needs -")
	objects, err := filepath.Glob(filepath.Join(c.dir, "blobs", "default", "b3", "*", "*"))
	if err != nil || len(objects) == 0 {
		t.Fatalf("no object to lose: %v, %v", objects, err)
	}
	if err := os.Remove(objects[0]); err != nil {
		t.Fatal(err)
	}
	o := c.run(t, "", "gc", "run", "--audit")
	if o.exit != exitOK || !strings.Contains(o.stdout, "1 missing object") || !strings.Contains(o.stdout, "needed by needs") ||
		!strings.Contains(o.stdout, filepath.Base(objects[0])) {
		t.Errorf("%+v", o)
	}
}

// What is watched shows the phases; a script is shown nothing.
func TestGCRunProgress(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	c.ok(t, "", "session create one")
	c.watched = true
	if o := c.run(t, "", "gc", "run", "--audit"); o.exit != exitOK || !strings.Contains(o.stderr, "default: sweep") {
		t.Errorf("%+v", o)
	}
	for _, quiet := range []string{"gc run --audit --no-progress", "gc run --audit -o json"} {
		if o := c.run(t, "", strings.Fields(quiet)...); o.exit != exitOK || o.stderr != "" {
			t.Errorf("%s: %+v", quiet, o)
		}
	}
}

// A run that is told to stop says so, and what it has done.
func TestGCRunStops(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	c.ok(t, "hello", "blob put")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, line := range []string{"gc run --audit -o json", "gc status -o json", "gc undelete --all -o json"} {
		o := c.runWith(t, ctx, "", strings.Fields(line)...)
		if o.exit != exitFailure || !strings.Contains(o.stderr, `"canceled"`) {
			t.Errorf("%s: %+v", line, o)
		}
	}
}

// A directory with a bucket is collected with its bucket only.
func TestGCRunWithABucket(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	bucket := filepath.Join(t.TempDir(), "bucket")
	c.env = map[string]string{"LASHSTORE_BUCKET": "file://" + filepath.ToSlash(bucket)}
	for _, tenant := range []string{"aa", "bb"} {
		c.ok(t, "hello", "blob put --tenant "+tenant)
	}
	c.clock = c.clock.Add(25 * time.Hour)
	c.env = nil
	o := c.run(t, "", "gc", "run", "--grace", "0", "-o", "json")
	for _, one := range decode[collectDocument](t, o.stdout).Collections {
		if one.Error == nil || one.Error.Code != "wrong_tier" || one.Report.Outcome != lashstore.CollectFailed {
			t.Errorf("without the bucket: %+v", one)
		}
	}
	if o.exit != exitUndone {
		t.Errorf("without the bucket: exit %d", o.exit)
	}
	c.env = map[string]string{"LASHSTORE_BUCKET": "file://" + filepath.ToSlash(bucket)}
	// Another directory has left its mark: whose content this is, nobody knows.
	mark := filepath.Join(bucket, "bb", "owner", strings.Repeat("a", 32))
	if err := os.WriteFile(mark, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	o = c.run(t, "", "gc", "run", "--grace", "0", "-o", "json")
	got := decode[collectDocument](t, o.stdout).Collections
	if o.exit != exitRefused || len(got) != 2 || got[0].Report.Deleted != 1 || got[1].Report.Outcome != lashstore.CollectRefused ||
		got[1].Report.Deleted != 0 || got[1].Error == nil || got[1].Error.Code != "collection_refused" {
		t.Errorf("with another owner: exit %d, %+v", o.exit, got)
	}
}
