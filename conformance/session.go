package conformance

import (
	"slices"
	"strings"
	"sync/atomic"

	"github.com/lashstore/lashstore"
)

func sessionScenarios() []scenario {
	return []scenario{
		{name: "S82_FactoryTier", run: s82FactoryTier},
		{name: "S83_MissingSession", run: s83MissingSession},
		{name: "S84_CreateAndReopen", run: s84CreateAndReopen},
		{name: "S85_CreateTwice", run: s85CreateTwice},
		{name: "S86_DeleteSession", run: s86DeleteSession},
		{name: "S90_MetadataPreserved", run: s90MetadataPreserved},
		{name: "X_Session_ConcurrentCreators", run: xSessionConcurrentCreators},
		{name: "X_Session_Recreate", run: xSessionRecreate},
		{name: "X_Session_DeletedHandles", run: xSessionDeletedHandles},
		{name: "X_Session_SimilarIDs", run: xSessionSimilarIDs},
		{name: "X_Session_SetMeta", run: xSessionSetMeta},
		{name: "X_Session_DeleteUnused", run: xSessionDeleteUnused},
	}
}

// A handle that promises more than the store keeps would make callers drop their
// own copies.
func s82FactoryTier(e *env) {
	equal(e, "tier of the first handle", e.store().Tier(), e.Tier)
	equal(e, "tier of another handle", e.second(Settings{}).Tier(), e.Tier)
}

// A missing session that opened as an empty one would hide a mistyped id.
func s83MissingSession(e *env) {
	_, err := e.store().OpenSession(e.Context(), "unknown", lashstore.OpenOptions{})
	e.is(err, lashstore.ErrSessionNotFound)
	_, err = e.store().OpenSession(e.Context(), "unknown", lashstore.OpenOptions{ReadOnly: true})
	e.is(err, lashstore.ErrSessionNotFound)
	page, err := e.store().ListSessions(e.Context(), lashstore.ListSessions{})
	e.must(err)
	equal(e, "sessions after opening an unknown one", page.Sessions, []lashstore.SessionSummary(nil))
}

// Metadata that did not survive would lose where a session came from.
func s84CreateAndReopen(e *env) {
	cwd := "/work"
	meta := lashstore.SessionMeta{
		SessionID: "session-a", Model: "model-a", Cwd: &cwd,
		Relation: lashstore.SessionRelation{
			Kind: lashstore.RelationChild, ParentSessionID: "parent",
			CausedBy: &lashstore.CausalRef{Type: lashstore.CauseToolCall, SessionID: "parent", CallID: "call-1"},
		},
	}
	s, created, err := e.store().CreateSession(e.Context(), lashstore.CreateSession{Meta: meta})
	e.must(err)
	equal(e, "created", created, true)
	equal(e, "id", s.ID(), meta.SessionID)

	want := meta
	want.SessionName = string(meta.SessionID)
	want.CreatedAt = e.Clock.Now()
	got, err := s.Meta(e.Context())
	e.must(err)
	equal(e, "metadata after creation", got, want)

	incarnation := s.Incarnation()
	e.reopen(Settings{})
	s = e.session(meta.SessionID)
	equal(e, "incarnation after reopening", s.Incarnation(), incarnation)
	got, err = s.Meta(e.Context())
	e.must(err)
	equal(e, "metadata after reopening", got, want)
}

// custom is metadata that differs from that of any create in these scenarios.
func (e *env) custom(id lashstore.SessionID) lashstore.SessionMeta {
	cwd := "/custom"
	return lashstore.SessionMeta{
		SessionID: id, SessionName: "custom name", Model: "custom-model", Cwd: &cwd,
		CreatedAt: e.Clock.Now().AddDate(-1, 0, 0),
		Relation:  lashstore.SessionRelation{Kind: lashstore.RelationChild, ParentSessionID: "custom-parent"},
	}
}

// A second create that overwrote metadata would rename sessions behind their
// owner's back (I21, W27).
func s85CreateTwice(e *env) {
	first := e.create("stable-session")
	want := e.custom("stable-session")
	e.must(first.SetMeta(e.Context(), want))

	s, created, err := e.store().CreateSession(e.Context(), lashstore.CreateSession{Meta: lashstore.SessionMeta{
		SessionID: "stable-session", SessionName: "other", Model: "other-model",
	}})
	e.must(err)
	equal(e, "created the second time", created, false)
	equal(e, "incarnation", s.Incarnation(), first.Incarnation())
	got, err := s.Meta(e.Context())
	e.must(err)
	equal(e, "metadata after a second create", got, want)
}

// Section 13, Lifecycle: a deleted id is remembered, and used again only with an
// explicit flag. Otherwise a late client would find an empty session in the place
// of the one it knew.
func s86DeleteSession(e *env) {
	s := e.create("gone")
	e.commit(s, lashstore.Commit{Graph: appendNodes(node("n1", ""))})
	e.must(e.store().DeleteSession(e.Context(), "gone"))
	_, err := e.store().OpenSession(e.Context(), "gone", lashstore.OpenOptions{})
	e.is(err, lashstore.ErrSessionDeleted)
	e.must(e.store().DeleteSession(e.Context(), "gone"))

	again := lashstore.CreateSession{Meta: lashstore.SessionMeta{SessionID: "gone", SessionName: "again", Model: "model-b"}}
	_, _, err = e.store().CreateSession(e.Context(), again)
	e.is(err, lashstore.ErrSessionDeleted)
	e.reopen(Settings{})
	_, _, err = e.store().CreateSession(e.Context(), again)
	e.is(err, lashstore.ErrSessionDeleted)

	again.Recreate = true
	s, created, err := e.store().CreateSession(e.Context(), again)
	e.must(err)
	equal(e, "created again", created, true)
	meta, err := s.Meta(e.Context())
	e.must(err)
	equal(e, "name after creating again", meta.SessionName, "again")
	equal(e, "model after creating again", meta.Model, "model-b")
	equal(e, "revision after creating again", e.head(s).Revision, 0)
	_, err = s.Node(e.Context(), "n1")
	e.is(err, lashstore.ErrNodeNotFound)
}

// Like S85 across a reopening, with an id that is no file name.
func s90MetadataPreserved(e *env) {
	want := e.custom("chat/alpha")
	e.must(e.create("chat/alpha").SetMeta(e.Context(), want))
	e.reopen(Settings{})
	s, created, err := e.store().CreateSession(e.Context(), lashstore.CreateSession{Meta: lashstore.SessionMeta{
		SessionID: "chat/alpha", Model: "another-model",
	}})
	e.must(err)
	equal(e, "created", created, false)
	got, err := s.Meta(e.Context())
	e.must(err)
	equal(e, "metadata after reopening and creating", got, want)
}

// Two creators that both admitted would each have a history, and one would be lost
// (W27).
func xSessionConcurrentCreators(e *env) {
	stores := []lashstore.Store{e.store(), e.second(Settings{})}
	const creators = 8
	var admitted atomic.Int64
	sessions := make([]lashstore.Session, creators)
	for _, err := range race(creators, func(i int) error {
		s, created, err := stores[i%len(stores)].CreateSession(e.Context(), lashstore.CreateSession{
			Meta: lashstore.SessionMeta{SessionID: "contested", Model: "model-a"},
		})
		if created {
			admitted.Add(1)
		}
		sessions[i] = s
		return err
	}) {
		e.must(err)
	}
	equal(e, "creators that admitted", admitted.Load(), 1)
	for i, s := range sessions {
		if s.Incarnation() != sessions[0].Incarnation() {
			e.Errorf("creator %d has incarnation %s, creator 0 has %s", i, s.Incarnation(), sessions[0].Incarnation())
		}
	}
}

// A handle of the old incarnation that wrote into the new one would mix two
// histories; one that expects the old must not be given the new.
func xSessionRecreate(e *env) {
	old := e.create("phoenix")
	e.commit(old, lashstore.Commit{Graph: appendNodes(node("n1", ""))})
	e.must(e.store().DeleteSession(e.Context(), "phoenix"))
	s, created, err := e.store().CreateSession(e.Context(), lashstore.CreateSession{
		Meta: lashstore.SessionMeta{SessionID: "phoenix"}, Recreate: true,
	})
	e.must(err)
	equal(e, "created", created, true)
	if s.Incarnation() == old.Incarnation() {
		e.Fatalf("both incarnations are %s", s.Incarnation())
	}

	_, err = e.store().OpenSession(e.Context(), "phoenix", lashstore.OpenOptions{Incarnation: old.Incarnation()})
	wrong := as[*lashstore.WrongSessionError](e, err)
	e.is(err, lashstore.ErrWrongSession)
	equal(e, "bound incarnation", wrong.BoundIncarnation, s.Incarnation())
	equal(e, "attempted incarnation", wrong.AttemptedIncarnation, old.Incarnation())
	_, err = e.store().OpenSession(e.Context(), "phoenix", lashstore.OpenOptions{Incarnation: s.Incarnation()})
	e.must(err)

	for _, c := range sessionCalls() {
		if err := c.do(e.Context(), old); !isErr(err, lashstore.ErrSessionDeleted) {
			e.Errorf("%s on a handle of the old incarnation: got %v, want %q", c.name, err, lashstore.ErrSessionDeleted)
		}
	}
	equal(e, "revision of the new incarnation", e.head(s).Revision, 0)

	// The flag admits one session, not one for each create.
	same, created, err := e.store().CreateSession(e.Context(), lashstore.CreateSession{
		Meta: lashstore.SessionMeta{SessionID: "phoenix"}, Recreate: true,
	})
	e.must(err)
	equal(e, "created once more", created, false)
	equal(e, "incarnation", same.Incarnation(), s.Incarnation())
}

// A handle that goes on committing into a deleted session commits into nothing
// (W27), also when another process deleted it.
func xSessionDeletedHandles(e *env) {
	mine := e.populated("doomed")
	theirs := e.second(Settings{})
	other := e.sessionOf(theirs, "doomed")
	e.must(theirs.DeleteSession(e.Context(), "doomed"))
	for _, h := range []struct {
		name string
		s    lashstore.Session
	}{{"the deleting store", other}, {"another store", mine}} {
		for _, c := range sessionCalls() {
			if err := c.do(e.Context(), h.s); !isErr(err, lashstore.ErrSessionDeleted) {
				e.Errorf("%s on a deleted session, handle of %s: got %v, want %q", c.name, h.name, err, lashstore.ErrSessionDeleted)
			}
		}
		e.must(h.s.Close())
	}
}

// Ids that look alike once they are file names, or to a database that ignores
// letter case, would share one history.
func xSessionSimilarIDs(e *env) {
	long := strings.Repeat("x", lashstore.MaxSessionIDBytes-1)
	similar := []lashstore.SessionID{
		"a/b", "a_b", "a\\b", "a b", "A/b", "a/b/", "../a/b", "a", "A", "_a_", "ä", "a\u0308", ".", "..", "-",
		"a%2Fb", "a.db", "a.db-wal", lashstore.SessionID(long + "1"), lashstore.SessionID(long + "2"),
	}
	for i, id := range similar {
		s := e.create(id)
		e.commit(s, lashstore.Commit{Graph: appendNodes(textNode("n", "", string(id)))})
		equal(e, "revision after the first commit", e.head(s).Revision, 1)
		if i == 0 {
			e.must(s.SetMeta(e.Context(), lashstore.SessionMeta{SessionID: id, SessionName: "renamed"}))
		}
	}
	e.reopen(Settings{})
	for _, id := range similar {
		s := e.session(id)
		equal(e, "id", s.ID(), id)
		info, err := s.PickerInfo(e.Context())
		e.must(err)
		equal(e, "first message of "+string(id), info.FirstUserMessage, string(id))
	}
	page, err := e.store().ListSessions(e.Context(), lashstore.ListSessions{Order: lashstore.OrderID})
	e.must(err)
	want := slices.Clone(similar)
	slices.Sort(want)
	equal(e, "sessions by id, bytewise", summaryIDs(page.Sessions), want)
}

// Metadata of another session, or a rename that needs the lease, would break lists
// of sessions.
func xSessionSetMeta(e *env) {
	s := e.create("named")
	before, err := s.Meta(e.Context())
	e.must(err)
	other := before
	other.SessionID = "another"
	e.is(s.SetMeta(e.Context(), other), lashstore.ErrWrongSession)
	bad := before
	bad.SessionName = "\xff"
	e.is(s.SetMeta(e.Context(), bad), lashstore.ErrInvalid)
	got, err := s.Meta(e.Context())
	e.must(err)
	equal(e, "metadata after refused changes", got, before)

	e.lease(s, "someone-else")
	renamed := before
	renamed.SessionName = "renamed while it runs"
	e.must(s.SetMeta(e.Context(), renamed))
	got, err = e.sessionOf(e.second(Settings{}), "named").Meta(e.Context())
	e.must(err)
	equal(e, "metadata after renaming", got, renamed)
}

// Deleting an id that was never used must not remember it as deleted.
func xSessionDeleteUnused(e *env) {
	e.must(e.store().DeleteSession(e.Context(), "never"))
	_, err := e.store().OpenSession(e.Context(), "never", lashstore.OpenOptions{})
	e.is(err, lashstore.ErrSessionNotFound)
	e.create("never")
}
