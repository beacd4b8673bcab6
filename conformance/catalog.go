package conformance

import (
	"fmt"
	"time"

	"github.com/lashstore/lashstore"
)

func catalogScenarios() []scenario {
	return []scenario{
		{name: "X_List_PagesByID", run: xListPagesByID},
		{name: "X_List_NewestFirst", run: xListNewestFirst},
		{name: "X_List_Children", run: xListChildren},
		{name: "X_List_CursorMisuse", run: xListCursorMisuse},
		{name: "X_List_Summary", run: xListSummary},
	}
}

func summaryIDs(summaries []lashstore.SessionSummary) []lashstore.SessionID {
	out := make([]lashstore.SessionID, len(summaries))
	for i := range summaries {
		out[i] = summaries[i].SessionID
	}
	return out
}

// pages follows the cursor to the end and returns the pages' ids.
func (e *env) pages(l lashstore.ListSessions) [][]lashstore.SessionID {
	e.Helper()
	var out [][]lashstore.SessionID
	for range 100 {
		page, err := e.store().ListSessions(e.Context(), l)
		e.must(err)
		out = append(out, summaryIDs(page.Sessions))
		if page.NextCursor == "" {
			return out
		}
		l.Cursor = page.NextCursor
	}
	e.Fatal("the list does not end")
	return nil
}

// A page that repeats or skips a session makes a list useless, also when a session
// on it is deleted meanwhile.
func xListPagesByID(e *env) {
	for _, i := range []int{3, 0, 4, 2, 1} {
		e.create(lashstore.SessionID(fmt.Sprintf("s%d", i)))
	}
	byID := lashstore.ListSessions{Order: lashstore.OrderID, Limit: 2}
	equal(e, "pages of two", e.pages(byID), [][]lashstore.SessionID{{"s0", "s1"}, {"s2", "s3"}, {"s4"}})

	first, err := e.store().ListSessions(e.Context(), byID)
	e.must(err)
	e.must(e.store().DeleteSession(e.Context(), "s1"))
	e.must(e.store().DeleteSession(e.Context(), "s2"))
	byID.Cursor = first.NextCursor
	rest, err := e.store().ListSessions(e.Context(), byID)
	e.must(err)
	equal(e, "the page after deletions", summaryIDs(rest.Sessions), []lashstore.SessionID{"s3", "s4"})

	equal(e, "an exact last page", e.pages(lashstore.ListSessions{Order: lashstore.OrderID, Limit: 3}),
		[][]lashstore.SessionID{{"s0", "s3", "s4"}})
}

// A resume list shows what was used last.
func xListNewestFirst(e *env) {
	for i, id := range []lashstore.SessionID{"first", "second", "third"} {
		s := e.create(id)
		e.Clock.Advance(time.Minute)
		if i < 2 { // "third" has no commit: its creation counts
			e.commit(s, lashstore.Commit{})
		}
		e.Clock.Advance(time.Minute)
	}
	e.commit(e.session("first"), lashstore.Commit{})
	e.reopen(Settings{}) // summaries may lag behind until then
	want := [][]lashstore.SessionID{{"first", "third"}, {"second"}}
	equal(e, "by default, the last commit first", e.pages(lashstore.ListSessions{Limit: 2}), want)
	equal(e, "in the order updated", e.pages(lashstore.ListSessions{Order: lashstore.OrderUpdated, Limit: 2}), want)
}

// Children of another session would show work that is not theirs.
func xListChildren(e *env) {
	for _, id := range []lashstore.SessionID{"p", "P", "p1"} {
		e.create(id)
	}
	for i, parent := range []lashstore.SessionID{"p", "p1", "p", "P"} {
		_, _, err := e.store().CreateSession(e.Context(), lashstore.CreateSession{Meta: lashstore.SessionMeta{
			SessionID: lashstore.SessionID(fmt.Sprintf("child-%d", i)),
			Relation:  lashstore.SessionRelation{Kind: lashstore.RelationChild, ParentSessionID: parent},
		}})
		e.must(err)
	}
	for _, order := range []lashstore.SessionOrder{lashstore.OrderID, lashstore.OrderUpdated} {
		got := map[lashstore.SessionID]bool{}
		for _, page := range e.pages(lashstore.ListSessions{Order: order, Parent: "p", Limit: 1}) {
			for _, id := range page {
				got[id] = true
			}
		}
		equal(e, "children of p, order "+string(order), got, map[lashstore.SessionID]bool{"child-0": true, "child-2": true})
	}
	equal(e, "children of nobody", e.pages(lashstore.ListSessions{Parent: "nobody"}), [][]lashstore.SessionID{{}})
}

// A cursor used for another list would silently skip sessions.
func xListCursorMisuse(e *env) {
	for i := range 3 {
		e.create(lashstore.SessionID(fmt.Sprintf("s%d", i)))
	}
	page, err := e.store().ListSessions(e.Context(), lashstore.ListSessions{Order: lashstore.OrderID, Limit: 1})
	e.must(err)
	for name, l := range map[string]lashstore.ListSessions{
		"another order":  {Order: lashstore.OrderUpdated, Limit: 1, Cursor: page.NextCursor},
		"another parent": {Order: lashstore.OrderID, Parent: "s0", Limit: 1, Cursor: page.NextCursor},
		"no cursor":      {Order: lashstore.OrderID, Cursor: "nonsense"},
		"cut":            {Order: lashstore.OrderID, Cursor: page.NextCursor[:len(page.NextCursor)/2]},
		"control bytes":  {Order: lashstore.OrderID, Cursor: "\x00\xff"},
		"unknown order":  {Order: "newest"},
		"limit":          {Limit: lashstore.MaxListLimit + 1},
		"negative limit": {Limit: -1},
	} {
		if _, err := e.store().ListSessions(e.Context(), l); !isErr(err, lashstore.ErrInvalid) {
			e.Errorf("%s: got %v, want %q", name, err, lashstore.ErrInvalid)
		}
	}
}

// A summary that stays behind for ever would show a session as empty.
func xListSummary(e *env) {
	s := e.create("shown")
	created := e.Clock.Now()
	e.Clock.Advance(time.Hour)
	e.commit(s, lashstore.Commit{Graph: appendNodes(
		textNode("a", "", "what is a session?"), textNode("b", "a", "and a commit?"))})
	e.reopen(Settings{})
	page, err := e.store().ListSessions(e.Context(), lashstore.ListSessions{})
	e.must(err)
	if len(page.Sessions) != 1 {
		e.Fatalf("%d sessions, want 1", len(page.Sessions))
	}
	got := page.Sessions[0]
	got.Relation = lashstore.SessionRelation{} // "root" may be spelt out
	equal(e, "summary", got, lashstore.SessionSummary{
		SessionPickerInfo: lashstore.SessionPickerInfo{
			SessionID: "shown", FirstUserMessage: "what is a session?", UserMessageCount: 2,
		},
		SessionName: "shown", Model: "model-a", Incarnation: e.session("shown").Incarnation(),
		CreatedAt: created, UpdatedAt: e.Clock.Now(), HeadRevision: 1, NodeCount: 2,
	})
}
