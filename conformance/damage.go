package conformance

import (
	"bytes"
	"errors"
	"time"

	"github.com/lashstore/lashstore"
)

func damageScenarios() []scenario {
	return []scenario{
		{name: "S100_CorruptManifest", needs: needDamage, run: s100CorruptManifest},
		{name: "S101_UnreadableHead", needs: needDamage, run: s101UnreadableHead},
		{name: "S105_Corruption", needs: needDamage, run: s105Corruption},
		{name: "X_Damage_LostBlob", needs: needDamage, run: xDamageLostBlob},
		{name: "X_Damage_Node", needs: needDamage, run: xDamageNode},
		{name: "X_Damage_Database", needs: needDamage, run: xDamageDatabase},
	}
}

// Section 13, Collection: what cannot be interpreted is kept, and the error surfaces.
// The content is large enough to be stored in pieces, so a list of pieces is damaged
// with it.
func s100CorruptManifest(e *env) {
	e.reopen(keepOne())
	s := e.create("root")
	damaged, whole := e.random("damaged", 1<<20), e.random("whole", tierSize)
	res := e.commit(s, lashstore.Commit{Checkpoint: checkpoint(0, map[string][]byte{"damaged": damaged, "whole": whole})})
	e.closeAll()
	e.Damage.Blob(e, "root", lashstore.DigestOf(damaged))
	e.reopen(keepOne())
	s = e.session("root")
	_, err := s.Load(e.Context(), lashstore.LoadOptions{})
	e.corrupt(err, damaged)

	// The session goes on, and so does its hold on what is damaged.
	e.commit(s, lashstore.Commit{Checkpoint: &lashstore.Checkpoint{Components: map[string]lashstore.Component{
		"damaged": lashstore.Unchanged(res.Components["damaged"]), "whole": lashstore.Unchanged(res.Components["whole"]),
	}}})
	e.reopen(keepOne())
	s = e.session("root")
	e.live(s, whole)
	snap := e.load(s, lashstore.LoadOptions{HydrateLimit: tierSize})
	equal(e, "reference to what is damaged", snap.Checkpoint.Components["damaged"].Ref, refOf(damaged))
	e.corrupt(e.readError(s.OpenContent(e.Context(), lashstore.DigestOf(damaged))), damaged)

	// Nor does a collection take anything.
	for _, audit := range []bool{false, true} {
		if !e.Collects {
			break
		}
		equal(e, "deleted", e.collect(lashstore.CollectOptions{Grace: atOnce(), Audit: audit}).Deleted, 0)
		e.live(s, whole)
		e.corrupt(e.readError(s.OpenContent(e.Context(), lashstore.DigestOf(damaged))), damaged)
	}
}

// corrupt checks that an error names damaged content.
func (e *env) corrupt(err error, content []byte) {
	e.Helper()
	e.is(err, lashstore.ErrCorruptBlob)
	if got := as[*lashstore.CorruptBlobError](e, err).Digest; got != lashstore.DigestOf(content) {
		e.Logf("the damage is in %s, a piece of %s", got, lashstore.DigestOf(content))
	}
}

// Section 13, Errors and Collection: an unreadable head is an error and no reason to
// release anything (W4).
func s101UnreadableHead(e *env) {
	s, other := e.create("root"), e.create("other")
	content := e.random("content", tierSize)
	e.commit(s, lashstore.Commit{Checkpoint: checkpoint(0, map[string][]byte{"k": content})})
	e.commit(other, lashstore.Commit{})
	e.closeAll()
	e.Damage.Head(e, "root")
	e.store()
	if s, err := e.store().OpenSession(e.Context(), "root", lashstore.OpenOptions{}); err != nil {
		e.oneOf(err, lashstore.ErrCorruptRecord, lashstore.ErrCorruptDatabase)
	} else {
		_, err = s.Head(e.Context())
		e.oneOf(err, lashstore.ErrCorruptRecord, lashstore.ErrCorruptDatabase)
		_, err = s.Load(e.Context(), lashstore.LoadOptions{})
		e.oneOf(err, lashstore.ErrCorruptRecord, lashstore.ErrCorruptDatabase)
		if l, err := s.ClaimLease(e.Context(), owner("a"), leaseTTL); err == nil {
			_, err = s.Commit(e.Context(), lashstore.Commit{Fence: l.Fence(), Config: config("provider-a")})
			e.oneOf(err, lashstore.ErrCorruptRecord, lashstore.ErrCorruptDatabase)
		}
	}
	e.reopen(Settings{})
	if holders := e.stat(lashstore.DigestOf(content)).Holders; holders < 1 {
		e.Errorf("the content of a session with an unreadable head has %d holders", holders)
	}
	e.commit(e.session("other"), lashstore.Commit{})
	if e.Collects {
		e.keepsWhatIsUnreadable("root", content)
	}
}

// keepsWhatIsUnreadable checks that what a session that cannot be read refers to stays,
// and with it everything, until the session is deleted.
func (e *env) keepsWhatIsUnreadable(id lashstore.SessionID, content []byte) {
	e.Helper()
	orphan := e.random("orphan", tierSize)
	e.put(orphan, lashstore.PutBlobOptions{})
	e.Clock.Advance(lashstore.DefaultUploadTTL)
	// A collection that looks at nobody's references need not notice.
	e.collect(lashstore.CollectOptions{Grace: grace(time.Hour)})
	e.waiting(orphan)
	audit := lashstore.CollectOptions{Grace: atOnce(), Audit: true}
	report := e.refusedCollection(audit)
	if f := report.Mark.Faults; len(f) != 1 || f[0].Kind != lashstore.FindingUnreadable || len(f[0].Sessions) != 1 || f[0].Sessions[0] != id {
		e.Errorf("faults %v, want that session %q is unreadable", f, id)
	}
	if e.status().Stopped == "" {
		e.Error("collections go on although a session cannot be read")
	}
	e.refusedCollection(lashstore.CollectOptions{Grace: atOnce()})
	e.waiting(orphan)
	if holders := e.stat(lashstore.DigestOf(content)).Holders; holders < 1 {
		e.Errorf("the content of an unreadable session has %d holders after collections", holders)
	}

	e.must(e.store().DeleteSession(e.Context(), id))
	e.refusedCollection(lashstore.CollectOptions{Grace: atOnce()})
	report = e.collect(audit)
	equal(e, "deleted when the session is gone", report.Deleted, 2)
	e.deleted(content, orphan)
	equal(e, "stopped", e.status().Stopped, "")
}

// Damaged content must be reported as damaged, in any size and place, and must
// neither be served nor end as "nothing there" (G7, W1).
func s105Corruption(e *env) {
	s := e.create("root")
	sizes := map[string]int{"inline": 100, "object": tierSize, "pieces": 700 << 10}
	contents := map[string][]byte{}
	for name, size := range sizes {
		contents[name] = append([]byte(name), compressible(size)...)
	}
	e.commit(s, lashstore.Commit{Checkpoint: checkpoint(0, contents)})
	e.closeAll()
	for _, content := range contents {
		e.Damage.Blob(e, "root", lashstore.DigestOf(content))
	}
	e.reopen(Settings{})
	s = e.session("root")
	for name, content := range contents {
		e.Logf("reading %s", name)
		e.corrupt(e.readError(s.OpenContent(e.Context(), lashstore.DigestOf(content))), content)
	}
	_, err := s.Load(e.Context(), lashstore.LoadOptions{})
	e.is(err, lashstore.ErrCorruptBlob)

	// What is damaged can be left behind, or the session would be lost with it.
	e.commit(s, lashstore.Commit{Checkpoint: checkpoint(1, map[string][]byte{"fresh": []byte("fresh")})})
	equal(e, "the fresh component", e.hydrated(e.load(s, lashstore.LoadOptions{}), "fresh"), "fresh")
}

// Section 13, Errors: a missing component fails the load by name. Loaded as "none",
// it would be gone with the next commit (W1).
func xDamageLostBlob(e *env) {
	s := e.create("root")
	for name, content := range map[string][]byte{"inline": []byte("inline"), "object": e.random("object", tierSize)} {
		e.commit(s, lashstore.Commit{Checkpoint: checkpoint(0, map[string][]byte{name: content})})
		e.closeAll()
		e.Damage.LoseBlob(e, "root", lashstore.DigestOf(content))
		s = e.session("root")
		_, err := s.Load(e.Context(), lashstore.LoadOptions{})
		lost := []error{lashstore.ErrCorruptBlob, lashstore.ErrCorruptRecord, lashstore.ErrBlobNotFound}
		e.oneOf(err, lost...)
		e.oneOf(e.readError(s.OpenContent(e.Context(), lashstore.DigestOf(content))), lost...)
		if errors.Is(err, lashstore.ErrSessionNotFound) {
			e.Error("a session with a lost component is reported as not found")
		}
	}
	if e.Collects {
		e.findsWhatIsLost(s)
	}
}

// findsWhatIsLost checks that an audit names who misses the object, and that whoever
// stores its bytes again puts it back.
func (e *env) findsWhatIsLost(s lashstore.Session) {
	e.Helper()
	object := e.random("object", tierSize)
	_, err := e.collector().Collect(e.Context(), lashstore.CollectOptions{Grace: atOnce()})
	e.must(err)
	report, err := e.collector().Collect(e.Context(), lashstore.CollectOptions{Grace: atOnce(), Audit: true})
	e.must(err)
	equal(e, "missing", report.Sweep.Missing, 1)
	want := lashstore.Finding{Kind: lashstore.FindingMissing, Digest: lashstore.DigestOf(object), Sessions: []lashstore.SessionID{s.ID()}}
	if len(report.Sweep.Damage) == 1 {
		want.Key = report.Sweep.Damage[0].Key
	}
	equal(e, "damage", report.Sweep.Damage, []lashstore.Finding{want})
	e.replace(e.create("has it"), object)
	if got := e.content(s, lashstore.DigestOf(object)); !bytes.Equal(got, object) {
		e.Error("the lost component reads back as other content")
	}
	equal(e, "missing when it was put back", e.collect(lashstore.CollectOptions{Grace: atOnce(), Audit: true}).Sweep.Missing, 0)
}

// A node that cannot be read must fail the read, not be left out (W1).
func xDamageNode(e *env) {
	s := e.create("root")
	e.commit(s, lashstore.Commit{Graph: appendNodes(chain("n", 3, "")...)})
	e.closeAll()
	e.Damage.Node(e, "root", "n1")
	s = e.session("root")
	damaged := []error{lashstore.ErrCorruptRecord, lashstore.ErrCorruptDatabase}
	_, err := s.Node(e.Context(), "n1")
	e.oneOf(err, damaged...)
	for _, scope := range []lashstore.LoadScope{lashstore.ScopeFullGraph, lashstore.ScopeActivePath} {
		_, err = s.Load(e.Context(), lashstore.LoadOptions{Scope: scope})
		e.oneOf(err, damaged...)
	}
	_, err = s.Node(e.Context(), "n0")
	e.must(err)
	e.load(s, lashstore.LoadOptions{Scope: lashstore.ScopeNoGraph})
}

// A file that is no database must be said to be damaged, and left alone.
func xDamageDatabase(e *env) {
	e.commit(e.create("root"), lashstore.Commit{})
	e.closeAll()
	e.Damage.Database(e, "root")
	for _, readOnly := range []bool{false, true} {
		_, err := e.store().OpenSession(e.Context(), "root", lashstore.OpenOptions{ReadOnly: readOnly})
		e.oneOf(err, lashstore.ErrCorruptDatabase, lashstore.ErrSchemaVersion)
	}
	_, created, err := e.store().CreateSession(e.Context(), lashstore.CreateSession{Meta: lashstore.SessionMeta{SessionID: "root"}})
	if err == nil || created {
		e.Errorf("creating over a damaged database: created %t, error %v", created, err)
	}
	if e.Collects {
		report := e.refusedCollection(lashstore.CollectOptions{Grace: atOnce(), Audit: true})
		equal(e, "sessions compared", report.Mark.Sessions, 1)
	}
}
