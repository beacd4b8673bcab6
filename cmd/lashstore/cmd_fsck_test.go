package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/local"
)

// keepArtifact makes a session with an artifact that is one object.
func (c *console) keepArtifact(t *testing.T, id lashstore.SessionID, content string) {
	t.Helper()
	now := c.clock
	s, err := local.Open(t.Context(), c.dir, local.Options{Durability: lashstore.DurabilityNormal, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	h, _, err := s.CreateSession(t.Context(), lashstore.CreateSession{Meta: lashstore.SessionMeta{SessionID: id}})
	if err != nil {
		t.Fatal(err)
	}
	name := lashstore.ArtifactName{Namespace: "module", Name: "tool"}
	if _, err := h.PutArtifact(t.Context(), name, lashstore.StandardDescriptor(lashstore.KindModule), strings.NewReader(content)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// objectFile is the only object of the console's tenant.
func (c *console) objectFile(t *testing.T) string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(c.dir, "blobs", "default", "b3", "*", "*"))
	if err != nil || len(list) != 1 {
		t.Fatalf("objects: %q, %v", list, err)
	}
	return list[0]
}

// What is lost is named in words and in JSON, the exit codes tell the outcomes apart,
// and equal content heals it.
func TestFsck(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	content := strings.Repeat("a tool. ", 4000)
	c.keepArtifact(t, "agent", content)
	o := c.run(t, "", "fsck")
	if o.exit != exitOK || !strings.Contains(o.stdout, "outcome   clean") || o.stderr != "" {
		t.Fatalf("%+v", o)
	}
	if o = c.run(t, "", "fsck", "--content", "--workers", "2", "--sample", "1", "-o", "json"); o.exit != exitOK {
		t.Fatalf("%+v", o)
	}
	if r := decode[verifyDocument](t, o.stdout).Verifications[0].Report; r.ContentsRead != 1 || r.Outcome != lashstore.VerifyClean {
		t.Errorf("%+v", r)
	}
	if err := os.Remove(c.objectFile(t)); err != nil {
		t.Fatal(err)
	}
	before := files(t, c.dir)
	o = c.run(t, "", "fsck")
	for _, text := range []string{"missing object", "agent", "artifact", "module/tool", "outcome  damaged", "--repair"} {
		if !strings.Contains(o.stdout, text) {
			t.Errorf("%q is not in\n%s", text, o.stdout)
		}
	}
	if o.exit != exitCorrupt || !strings.Contains(o.stderr, "damage was found: tenant default") {
		t.Errorf("exit %d: %s", o.exit, o.stderr)
	}
	if diff := cmp.Diff(before, files(t, c.dir)); diff != "" {
		t.Errorf("files (-before +after):\n%s", diff)
	}
	o = c.run(t, "", "fsck", "--repair", "-o", "json")
	r := decode[verifyDocument](t, o.stdout).Verifications[0].Report
	if o.exit != exitCorrupt || r.Wanted != 1 || len(r.Lost) != 1 || r.Lost[0].SessionID != "agent" || r.Lost[0].Name != "module/tool" {
		t.Errorf("exit %d: %+v", o.exit, r)
	}
	if f := decode[failure](t, o.stderr); f.Code != "damaged" {
		t.Errorf("%+v", f)
	}
	c.keepArtifact(t, "agent", content)
	if o = c.run(t, "", "fsck", "--content"); o.exit != exitOK {
		t.Errorf("%+v", o)
	}
}

// Damage that is repaired has an exit code of its own.
func TestFsckRepairs(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	c.keepArtifact(t, "agent", strings.Repeat("a tool. ", 4000))
	file := c.objectFile(t)
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if o := c.run(t, "", "fsck", "--repair"); o.exit != exitCorrupt {
		t.Fatalf("%+v", o)
	}
	if err := os.WriteFile(file, raw, 0o600); err != nil { // from a backup
		t.Fatal(err)
	}
	o := c.run(t, "", "fsck", "--repair")
	if o.exit != exitRepaired || !strings.Contains(o.stdout, "outcome   repaired") && !strings.Contains(o.stdout, "outcome  repaired") {
		t.Errorf("%+v", o)
	}
	if o := c.run(t, "", "fsck"); o.exit != exitOK {
		t.Errorf("%+v", o)
	}
}

// A tenant whose catalog is beyond opening is damaged, and does not hide another.
func TestFsckOfSeveralTenants(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	for _, tenant := range []string{"broken", "sound"} {
		if o := c.run(t, "", "session", "create", "s", "--tenant", tenant); o.exit != exitOK {
			t.Fatalf("%+v", o)
		}
	}
	catalog := filepath.Join(c.dir, "tenants", "broken", "catalog.db")
	if err := os.WriteFile(catalog, []byte(strings.Repeat("not a database. ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	o := c.run(t, "", "fsck", "-o", "json")
	doc := decode[verifyDocument](t, o.stdout)
	if o.exit != exitCorrupt || len(doc.Verifications) != 2 || doc.Verifications[0].Error == nil ||
		doc.Verifications[0].Report.Outcome != lashstore.VerifyDamaged || doc.Verifications[1].Report.Outcome != lashstore.VerifyClean {
		t.Errorf("exit %d: %s", o.exit, o.stdout)
	}
	if o := c.run(t, "", "fsck", "--tenant", "sound"); o.exit != exitOK {
		t.Errorf("%+v", o)
	}
}

func TestFsckRefusesBadFlags(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	for _, line := range []string{"--sample 0", "--sample 2", "--sample x", "--workers 0", "--workers 1000", "--seed -1", "extra"} {
		if o := c.run(t, "", append([]string{"fsck"}, strings.Fields(line)...)...); o.exit != exitUsage {
			t.Errorf("%s: %+v", line, o)
		}
	}
	if o := c.run(t, "", "fsck"); o.exit != exitNotFound {
		t.Errorf("where nothing is: %+v", o)
	}
}

// One that is interrupted says so.
func TestFsckInterrupted(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	c.keepArtifact(t, "agent", "x")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if o := c.runWith(t, ctx, "", "fsck"); o.exit == exitOK || o.exit == exitCorrupt || strings.Contains(o.stdout, "clean") {
		t.Errorf("%+v", o)
	}
}
