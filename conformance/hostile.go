package conformance

import (
	"math"
	"strings"
	"time"

	"github.com/lashstore/lashstore"
)

func hostileScenarios() []scenario {
	return []scenario{
		{name: "X_Hostile_SessionIDs", run: xHostileSessionIDs},
		{name: "X_Hostile_StrangeSessionIDs", run: xHostileStrangeSessionIDs},
		{name: "X_Hostile_Metadata", run: xHostileMetadata},
		{name: "X_Hostile_Reads", run: xHostileReads},
	}
}

// An id that no session can have must be refused before it reaches a path, a key or
// a statement.
func xHostileSessionIDs(e *env) {
	st := e.store()
	for _, text := range hostileTexts(lashstore.MaxSessionIDBytes) {
		id := lashstore.SessionID(text)
		_, _, errCreate := st.CreateSession(e.Context(), lashstore.CreateSession{Meta: lashstore.SessionMeta{SessionID: id}})
		_, errOpen := st.OpenSession(e.Context(), id, lashstore.OpenOptions{})
		errDelete := st.DeleteSession(e.Context(), id)
		_, errList := st.ListSessions(e.Context(), lashstore.ListSessions{Parent: id})
		_, _, errChild := st.CreateSession(e.Context(), lashstore.CreateSession{Meta: lashstore.SessionMeta{
			SessionID: "child", Relation: lashstore.SessionRelation{Kind: lashstore.RelationChild, ParentSessionID: id},
		}})
		if text == "" { // "all sessions"
			e.must(errList)
			errList = lashstore.ErrInvalid
		}
		for call, err := range map[string]error{"create": errCreate, "open": errOpen, "delete": errDelete, "list": errList, "child": errChild} {
			if !isErr(err, lashstore.ErrInvalid) {
				e.Errorf("%s %.20q: got %v, want %q", call, text, err, lashstore.ErrInvalid)
			}
		}
	}
	page, err := st.ListSessions(e.Context(), lashstore.ListSessions{})
	e.must(err)
	equal(e, "sessions", len(page.Sessions), 0)
}

// Ids are the caller's business: strange ones work like others.
func xHostileStrangeSessionIDs(e *env) {
	for _, text := range strangeTexts() {
		s := e.create(lashstore.SessionID(text))
		e.commit(s, lashstore.Commit{Graph: appendNodes(textNode("n", "", "in "+text))})
		e.must(s.Close())
	}
	e.reopen(Settings{})
	for _, text := range strangeTexts() {
		s := e.session(lashstore.SessionID(text))
		n, err := s.Node(e.Context(), "n")
		e.must(err)
		m, err := n.Message()
		e.must(err)
		equal(e, "text", m.Text(), strings.TrimSpace("in "+text))
		e.must(e.store().DeleteSession(e.Context(), lashstore.SessionID(text)))
	}
	page, err := e.store().ListSessions(e.Context(), lashstore.ListSessions{})
	e.must(err)
	equal(e, "sessions after deleting all", len(page.Sessions), 0)
}

// Metadata is shown in lists and logs, and a relation is followed.
func xHostileMetadata(e *env) {
	s := e.create("root")
	before, err := s.Meta(e.Context())
	e.must(err)
	long, binary := strings.Repeat("x", lashstore.MaxDisplayBytes+1), "\xff"
	child := func(r lashstore.SessionRelation) lashstore.SessionRelation {
		r.Kind = lashstore.RelationChild
		return r
	}
	for name, change := range map[string]func(*lashstore.SessionMeta){
		"long name":        func(m *lashstore.SessionMeta) { m.SessionName = long },
		"binary name":      func(m *lashstore.SessionMeta) { m.SessionName = binary },
		"long model":       func(m *lashstore.SessionMeta) { m.Model = long },
		"long directory":   func(m *lashstore.SessionMeta) { m.Cwd = &long },
		"binary directory": func(m *lashstore.SessionMeta) { m.Cwd = &binary },
		"early":            func(m *lashstore.SessionMeta) { m.CreatedAt = time.Date(1969, 1, 1, 0, 0, 0, 0, time.UTC) },
		"late":             func(m *lashstore.SessionMeta) { m.CreatedAt = time.Date(12026, 1, 1, 0, 0, 0, 0, time.UTC) },
		"unknown relation": func(m *lashstore.SessionMeta) { m.Relation.Kind = "sibling" },
		"root with parent": func(m *lashstore.SessionMeta) { m.Relation.ParentSessionID = "p" },
		"child without":    func(m *lashstore.SessionMeta) { m.Relation = child(lashstore.SessionRelation{}) },
		"unknown cause":    func(m *lashstore.SessionMeta) { m.Relation = causedBy(lashstore.CausalRef{Type: "magic"}) },
		"cause without": func(m *lashstore.SessionMeta) {
			m.Relation = causedBy(lashstore.CausalRef{Type: lashstore.CauseProcess})
		},
		"cause with more": func(m *lashstore.SessionMeta) {
			m.Relation = causedBy(lashstore.CausalRef{Type: lashstore.CauseProcess, ProcessID: "p", CallID: "c"})
		},
		"cause hostile": func(m *lashstore.SessionMeta) {
			m.Relation = causedBy(lashstore.CausalRef{Type: lashstore.CauseProcess, ProcessID: "a\x00b"})
		},
		"sequence overflow": func(m *lashstore.SessionMeta) {
			m.Relation = causedBy(lashstore.CausalRef{Type: lashstore.CauseProcessEvent, ProcessID: "p", Sequence: math.MaxUint64})
		},
	} {
		meta := lashstore.SessionMeta{SessionID: "root"}
		change(&meta)
		if err := s.SetMeta(e.Context(), meta); !isErr(err, lashstore.ErrInvalid) {
			e.Errorf("set, %s: got %v, want %q", name, err, lashstore.ErrInvalid)
		}
		meta.SessionID = "other"
		if _, _, err := e.store().CreateSession(e.Context(), lashstore.CreateSession{Meta: meta}); !isErr(err, lashstore.ErrInvalid) {
			e.Errorf("create, %s: got %v, want %q", name, err, lashstore.ErrInvalid)
		}
	}
	after, err := s.Meta(e.Context())
	e.must(err)
	equal(e, "metadata", after, before)
	_, err = e.store().OpenSession(e.Context(), "other", lashstore.OpenOptions{})
	e.is(err, lashstore.ErrSessionNotFound)
}

func causedBy(c lashstore.CausalRef) lashstore.SessionRelation {
	return lashstore.SessionRelation{Kind: lashstore.RelationChild, ParentSessionID: "p", CausedBy: &c}
}

// A read with wrong arguments is a mistake of the caller, not an absence.
func xHostileReads(e *env) {
	s := e.branched("root")
	for _, text := range hostileTexts(lashstore.MaxNodeIDBytes) {
		if _, err := s.Node(e.Context(), lashstore.NodeID(text)); !isErr(err, lashstore.ErrInvalid) {
			e.Errorf("node %.20q: got %v, want %q", text, err, lashstore.ErrInvalid)
		}
		if text == "" {
			continue // the revision's leaf
		}
		_, err := s.Load(e.Context(), lashstore.LoadOptions{Scope: lashstore.ScopeActivePath, Leaf: lashstore.NodeID(text)})
		if !isErr(err, lashstore.ErrInvalid) {
			e.Errorf("path to %.20q: got %v, want %q", text, err, lashstore.ErrInvalid)
		}
	}
	for _, opts := range []lashstore.LoadOptions{
		{Scope: "everything"},
		{Leaf: "left-leaf"},
		{Scope: lashstore.ScopeNoGraph, Leaf: "left-leaf"},
		{Revision: math.MaxUint64},
	} {
		_, err := s.Load(e.Context(), opts)
		e.is(err, lashstore.ErrInvalid)
	}
	_, err := s.OpenContent(e.Context(), lashstore.Digest{})
	e.oneOf(err, lashstore.ErrBlobNotFound, lashstore.ErrInvalid)
	_, err = e.store().OpenSession(e.Context(), "root", lashstore.OpenOptions{Incarnation: "'; --"})
	e.is(err, lashstore.ErrWrongSession)
}
