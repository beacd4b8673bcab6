package conformance

import (
	"time"

	"github.com/lashstore/lashstore"
)

func expiryScenarios() []scenario {
	return []scenario{
		{name: "X_Session_TTLRoundTrip", run: xSessionTTLRoundTrip},
		{name: "X_Session_TTLSummary", run: xSessionTTLSummary},
		{name: "X_Session_TTLInvalid", run: xSessionTTLInvalid},
		{name: "X_Session_TTLOver", run: xSessionTTLOver},
	}
}

// createTTL admits a new session with a time to live.
func (e *env) createTTL(id lashstore.SessionID, ttl time.Duration) lashstore.Session {
	e.Helper()
	s, created, err := e.store().CreateSession(e.Context(), lashstore.CreateSession{
		Meta: lashstore.SessionMeta{SessionID: id, Model: "model-a", TTL: ttl},
	})
	e.must(err)
	equal(e, "created", created, true)
	return s
}

func (e *env) meta(s lashstore.Session) lashstore.SessionMeta {
	e.Helper()
	m, err := s.Meta(e.Context())
	e.must(err)
	return m
}

// expiries reopens the store, as lists may lag behind until then, and returns when
// each listed session expires.
func (e *env) expiries() map[lashstore.SessionID]time.Time {
	e.Helper()
	page, err := e.reopen(Settings{}).ListSessions(e.Context(), lashstore.ListSessions{})
	e.must(err)
	at := map[lashstore.SessionID]time.Time{}
	for _, s := range page.Sessions {
		at[s.SessionID] = s.ExpiresAt
	}
	return at
}

// A time to live that got lost would keep a session for ever; one that came from
// elsewhere would delete it.
func xSessionTTLRoundTrip(e *env) {
	const ttl = 90*time.Minute + 7*time.Millisecond
	s := e.createTTL("brief", ttl)
	equal(e, "time to live after creation", e.meta(s).TTL, ttl)
	for _, extreme := range []time.Duration{lashstore.MinSessionTTL, lashstore.MaxSessionTTL} {
		id := lashstore.SessionID("session of " + extreme.String())
		equal(e, "time to live of the "+string(id), e.meta(e.createTTL(id, extreme)).TTL, extreme)
	}
	equal(e, "time to live of a session without one", e.meta(e.create("lasting")).TTL, 0)

	e.reopen(Settings{})
	s, created, err := e.store().CreateSession(e.Context(), lashstore.CreateSession{
		Meta: lashstore.SessionMeta{SessionID: "brief", TTL: time.Hour},
	})
	e.must(err)
	equal(e, "created the second time", created, false)
	want := e.meta(s)
	equal(e, "time to live after a second create", want.TTL, ttl)

	for _, next := range []time.Duration{48 * time.Hour, 0, time.Hour} {
		want.TTL = next
		e.must(s.SetMeta(e.Context(), want))
		equal(e, "metadata after a change", e.meta(s), want)
		e.reopen(Settings{})
		s = e.session("brief")
		equal(e, "metadata after a change and reopening", e.meta(s), want)
	}

	e.must(e.store().DeleteSession(e.Context(), "brief"))
	s, _, err = e.store().CreateSession(e.Context(), lashstore.CreateSession{
		Meta: lashstore.SessionMeta{SessionID: "brief"}, Recreate: true,
	})
	e.must(err)
	equal(e, "time to live after creating again without one", e.meta(s).TTL, 0)
	equal(e, "expiry after creating again without one", e.expiries()["brief"], time.Time{})
}

// An expiry that does not follow the last commit would show, and propose for
// deletion, a session that is in use.
func xSessionTTLSummary(e *env) {
	created := e.Clock.Now()
	e.createTTL("brief", time.Hour)
	e.create("lasting")
	equal(e, "expiries after creation", e.expiries(), map[lashstore.SessionID]time.Time{
		"brief": created.Add(time.Hour), "lasting": {},
	})

	e.Clock.Advance(20 * time.Minute)
	s := e.session("brief")
	l := e.lease(s, "reader")
	e.must(s.ReleaseLease(e.Context(), l.Fence()))
	e.load(s, lashstore.LoadOptions{})
	equal(e, "expiry after uses that commit nothing", e.expiries()["brief"], created.Add(time.Hour))

	for i, id := range []lashstore.NodeID{"a", "b"} {
		e.Clock.Advance(20 * time.Minute)
		parent := lashstore.NodeID("")
		if i > 0 {
			parent = "a"
		}
		e.commit(e.session("brief"), lashstore.Commit{Graph: appendNodes(node(id, parent))})
		equal(e, "expiry after a commit", e.expiries()["brief"], e.Clock.Now().Add(time.Hour))
	}

	committed := e.Clock.Now()
	e.Clock.Advance(time.Minute)
	for _, next := range []time.Duration{24 * time.Hour, time.Second, 0, time.Hour} {
		s := e.session("brief")
		m := e.meta(s)
		m.TTL = next
		e.must(s.SetMeta(e.Context(), m))
		want := time.Time{}
		if next != 0 {
			want = committed.Add(next)
		}
		equal(e, "expiry after a time to live of "+next.String(), e.expiries()["brief"], want)
	}
	equal(e, "expiry of the other session", e.expiries()["lasting"], time.Time{})
}

// A value that is cut or clamped in silence would delete a session at a time that
// nobody asked for.
func xSessionTTLInvalid(e *env) {
	s := e.createTTL("valid", time.Hour)
	before := e.meta(s)
	for _, ttl := range []time.Duration{
		-1, -time.Hour, time.Nanosecond, lashstore.MinSessionTTL - time.Millisecond, lashstore.MinSessionTTL + time.Nanosecond,
		lashstore.MaxSessionTTL + time.Millisecond,
	} {
		_, _, err := e.store().CreateSession(e.Context(), lashstore.CreateSession{
			Meta: lashstore.SessionMeta{SessionID: "invalid", TTL: ttl},
		})
		e.is(err, lashstore.ErrInvalid)
		bad := before
		bad.TTL = ttl
		e.is(s.SetMeta(e.Context(), bad), lashstore.ErrInvalid)
	}
	far := lashstore.SessionMeta{SessionID: "invalid", TTL: time.Hour, CreatedAt: time.UnixMilli(lashstore.MaxTimeMS)}
	_, _, err := e.store().CreateSession(e.Context(), lashstore.CreateSession{Meta: far})
	e.is(err, lashstore.ErrInvalid)
	_, err = e.store().OpenSession(e.Context(), "invalid", lashstore.OpenOptions{})
	e.is(err, lashstore.ErrSessionNotFound)
	equal(e, "metadata after refused changes", e.meta(s), before)
}

// Being over refuses nothing: whoever holds the lease goes on, and a commit starts
// the time anew.
func xSessionTTLOver(e *env) {
	s := e.createTTL("slow", time.Minute)
	l, err := s.ClaimLease(e.Context(), owner("worker"), time.Hour)
	e.must(err)
	e.Clock.Advance(30 * time.Minute)
	e.apply(s, e.prepare(s, lashstore.Commit{Graph: appendNodes(node("n1", "")), Fence: l.Fence()}))
	at := e.expiries()["slow"]
	equal(e, "expiry after a late commit", at, e.Clock.Now().Add(time.Minute))
	e.Clock.Advance(10 * time.Minute)
	_, err = e.session("slow").RenewLease(e.Context(), l.Fence(), time.Hour)
	e.must(err)
}
