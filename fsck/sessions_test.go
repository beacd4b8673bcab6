package fsck_test

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/lashstore/lashstore"
)

// sound makes two sessions with a record of every kind.
func (n *tenant) sound() {
	n.t.Helper()
	ctx := n.t.Context()
	for _, id := range []lashstore.SessionID{"s", "other"} {
		for turn := range 2 {
			n.commitComponents(id, map[string]lashstore.Component{
				"state": lashstore.Changed(fill(uint64(turn), 30_000)), "inline": lashstore.Changed([]byte{'x', byte(turn)}),
			})
		}
		h := n.session(id)
		ref, err := h.PutAttachment(ctx, bytes.NewReader([]byte("attachment")), lashstore.AttachmentMeta{MediaType: "text/plain"})
		n.must(err)
		n.must(h.CommitAttachments(ctx, []lashstore.Digest{ref.ID}))
		_, err = h.PutArtifact(ctx, lashstore.ArtifactName{Namespace: "module", Name: "m"}, lashstore.StandardDescriptor(lashstore.KindModule),
			bytes.NewReader([]byte("artifact")))
		n.must(err)
	}
}

// Each table of a session is looked at, and each record that was changed behind the
// store's back is found and belongs to its session.
func TestDamagedRecord(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		query string
		kind  lashstore.FindingKind
		key   string // what the first finding's begins with
	}{
		"meta":            {`UPDATE meta SET model='x'`, lashstore.FindingRecord, "meta "},
		"lease":           {`UPDATE lease SET fencing=fencing+1`, lashstore.FindingRecord, "lease "},
		"revision":        {`UPDATE revision SET committed_at_ms=committed_at_ms+1 WHERE revision=1`, lashstore.FindingRecord, "revision 1"},
		"lost revision":   {`DELETE FROM revision WHERE revision=2`, lashstore.FindingRecord, ""},
		"config":          {`UPDATE config SET body=body||' '`, lashstore.FindingRecord, "config 1"},
		"lost config":     {`DELETE FROM config`, lashstore.FindingRecord, "config 1"},
		"frame":           {`UPDATE frame SET body=body||' '`, lashstore.FindingRecord, "frame "},
		"node":            {`UPDATE node SET timestamp_ms=1 WHERE node_id='node-a'`, lashstore.FindingRecord, "node node-a"},
		"lost node":       {`DELETE FROM node WHERE node_id='node-a'`, lashstore.FindingRecord, ""},
		"component":       {`UPDATE component SET counter=7 WHERE key='state'`, lashstore.FindingRecord, "component state"},
		"lost component":  {`DELETE FROM component WHERE key='inline' AND removed_rev IS NULL`, lashstore.FindingRefcount, ""},
		"revived":         {`UPDATE component SET removed_rev=NULL WHERE key='inline'`, lashstore.FindingRecord, "checkpoint "},
		"content":         {`UPDATE content SET bytes=CAST('other' AS BLOB) WHERE manifest IS NULL`, lashstore.FindingCorruptValue, "content"},
		"manifest":        {`UPDATE content SET manifest=CAST('other' AS BLOB) WHERE manifest IS NOT NULL`, lashstore.FindingRecord, "content "},
		"lost content":    {`DELETE FROM content WHERE manifest IS NULL`, lashstore.FindingRefcount, "content "},
		"content's count": {`UPDATE content SET refs=refs+1`, lashstore.FindingRecord, "content "},
		"object":          {`UPDATE object SET refs=refs+1`, lashstore.FindingRecord, ""},
		"lost object":     {`DELETE FROM object`, lashstore.FindingRecord, "object "},
		"outbox":          {`INSERT INTO outbox (digest) VALUES (x'0102')`, lashstore.FindingRecord, "outbox "},
		"turn":            {`UPDATE turn_commit SET revision=9`, lashstore.FindingRecord, "turn commit "},
		"usage":           {`UPDATE usage SET input_tokens=9`, lashstore.FindingRecord, "usage "},
		"batch":           {`UPDATE batch SET merge_key='x'`, lashstore.FindingRecord, "batch "},
		"item":            {`UPDATE item SET body=CAST('[]' AS BLOB)`, lashstore.FindingRecord, "item "},
		"lost item":       {`DELETE FROM item`, lashstore.FindingRecord, "item "},
		"lost batch":      {`DELETE FROM batch`, lashstore.FindingRecord, ""},
		"source key":      {`UPDATE source_key SET state=1`, lashstore.FindingRecord, "source key "},
		"attachment":      {`UPDATE attachment SET label='x'`, lashstore.FindingRecord, "attachment "},
		"artifact":        {`UPDATE artifact SET size=1`, lashstore.FindingRecord, "artifact module/m"},
		"picker":          {`UPDATE meta SET user_messages=9`, lashstore.FindingRecord, "picker "},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newTenant(t, nil)
			n.sound()
			n.wantClean(lashstore.VerifyOptions{})
			n.exec(n.databaseOf("s"), tt.query)
			rep := n.verify(lashstore.VerifyOptions{Content: true})
			if rep.Outcome != lashstore.VerifyDamaged || len(rep.Findings) == 0 {
				t.Fatalf("%+v", rep)
			}
			for _, f := range rep.Findings {
				if !slices.Equal(f.Sessions, []lashstore.SessionID{"s"}) || f.Detail == "" {
					t.Errorf("%+v", f)
				}
			}
			if !slices.ContainsFunc(rep.Findings, func(f lashstore.Finding) bool { return f.Kind == tt.kind && strings.HasPrefix(f.Key, tt.key) }) {
				t.Errorf("%+v", rep.Findings)
			}
			if rep.Sessions != 2 {
				t.Errorf("%d sessions were checked", rep.Sessions)
			}
		})
	}
}

// What lies in a session's database says which components cannot be read.
func TestDamagedInlineContent(t *testing.T) {
	t.Parallel()
	n := newTenant(t, nil)
	n.sound()
	d := lashstore.DigestOf([]byte{'x', 1})
	n.exec(n.databaseOf("s"), `UPDATE content SET bytes=CAST('x' AS BLOB) WHERE digest=?`, d.Bytes())
	rep := n.verify(lashstore.VerifyOptions{})
	f := n.only(rep, lashstore.VerifyDamaged)
	want := []lashstore.LostContent{{
		SessionID: "s", Digest: d, SizeBytes: 2, Use: lashstore.UseComponent, Name: "inline", FirstRevision: 2, LastRevision: 2,
	}}
	if f.Kind != lashstore.FindingCorruptValue || f.Digest != d || !slices.Equal(rep.Lost, want) {
		t.Errorf("%+v, lost %+v", f, rep.Lost)
	}
}

// A session whose database is gone or beyond reading is named, and does not keep the
// others from being verified.
func TestLostSessionDatabase(t *testing.T) {
	t.Parallel()
	garbage := bytes.Repeat([]byte("this was a database. "), 1000)
	tests := map[string]struct {
		damage func(n *tenant, file string) error
		want   lashstore.FindingKind
	}{
		"removed": {func(_ *tenant, file string) error { return os.Remove(file) }, lashstore.FindingLostSession},
		"garbage": {func(_ *tenant, file string) error { return os.WriteFile(file, garbage, 0o600) }, lashstore.FindingUnreadable},
		"empty":   {func(_ *tenant, file string) error { return os.WriteFile(file, nil, 0o600) }, lashstore.FindingUnreadable},
		"another session's": {func(n *tenant, file string) error {
			raw, err := os.ReadFile(n.databaseOf("other"))
			n.must(err)
			return os.WriteFile(file, raw, 0o600)
		}, lashstore.FindingUnreadable},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newTenant(t, nil)
			n.sound()
			n.close()
			n.must(tt.damage(n, n.databaseOf("s")))
			n.damage(n.objectFiles()[0], flip)
			n.open(false)
			for _, repair := range []bool{false, true} {
				rep := n.verify(lashstore.VerifyOptions{Repair: repair})
				if rep.Outcome != lashstore.VerifyDamaged || rep.Sessions != 1 || len(rep.Findings) != 2 {
					t.Fatalf("repair %t: %+v", repair, rep)
				}
				if !slices.ContainsFunc(rep.Findings, func(f lashstore.Finding) bool {
					return f.Kind == tt.want && slices.Equal(f.Sessions, []lashstore.SessionID{"s"})
				}) || !slices.ContainsFunc(rep.Findings, func(f lashstore.Finding) bool { return f.Kind == lashstore.FindingCorrupt }) {
					t.Errorf("%+v", rep.Findings)
				}
			}
			if name != "another session's" { // which is not to be deleted by the wrong name
				n.must(n.store.DeleteSession(t.Context(), "s"))
			}
		})
	}
}

// SQLite's own check finds what no checksum covers: an index that lacks an entry, and
// pages that are not what they should be.
func TestDamagedPages(t *testing.T) {
	t.Parallel()
	n := newTenant(t, nil)
	n.sound()
	file := n.databaseOf("s")
	n.close()
	raw, err := os.ReadFile(file)
	n.must(err)
	const page = 1024
	found := 0
	for at := page; at+page <= len(raw); at += 5 * page {
		damaged := bytes.Clone(raw)
		for i := range 40 {
			damaged[at+i] ^= 0x5a
		}
		n.must(os.WriteFile(file, damaged, 0o600))
		n.open(true)
		rep := n.verify(lashstore.VerifyOptions{})
		n.close()
		if rep.Outcome != lashstore.VerifyDamaged {
			t.Errorf("page %d: %s", at/page, rep.Outcome)
		}
		for _, f := range rep.Findings {
			if !slices.Equal(f.Sessions, []lashstore.SessionID{"s"}) {
				t.Errorf("page %d: %+v", at/page, f)
			}
			if f.Kind == lashstore.FindingDatabase {
				found++
			}
		}
	}
	if found == 0 {
		t.Error("SQLite's check found nothing")
	}
	n.must(os.WriteFile(file, raw, 0o600))
	n.open(true)
	n.wantClean(lashstore.VerifyOptions{})
}
