package conformance

import (
	"encoding/json"
	"errors"
	"strconv"
	"sync"

	"github.com/lashstore/lashstore"
)

func durabilityScenarios() []scenario {
	return []scenario{
		{name: "S91_Reopen", run: s91Reopen},
		{name: "S92_TwoConnections", run: s92TwoConnections},
		{name: "S93_ConcurrentFirstOpen", run: s93ConcurrentFirstOpen},
		{name: "X_Durability_ReadersSeeWholeCommits", run: xDurabilityReadersSeeWholeCommits},
		{name: "X_Durability_ManySessionsAtOnce", run: xDurabilityManySessionsAtOnce},
	}
}

// What one process acknowledged, another must find (G1).
func s91Reopen(e *env) {
	s := e.create("root")
	tools := []byte(`{"generation":77,"tools":{}}`)
	e.commit(s, lashstore.Commit{Checkpoint: checkpoint(1, map[string][]byte{lashstore.ComponentToolState: tools})})
	batch := e.enqueue(s, keyed("key", "input"))
	attachment := e.attach(s, []byte("intent"), png())
	before := e.state(s)

	other := e.sessionOf(e.second(Settings{}), "root") // while the first is open
	equal(e, "through a second handle", e.state(other), before)
	e.reopen(Settings{})
	s = e.session("root")
	equal(e, "after reopening", e.state(s), before)
	equal(e, "name", before.Meta.SessionName, "root")
	var state struct {
		Generation int `json:"generation"`
	}
	e.must(json.Unmarshal([]byte(e.hydrated(e.load(s, lashstore.LoadOptions{}), lashstore.ComponentToolState)), &state))
	equal(e, "generation", state.Generation, 77)
	equal(e, "queue", e.queued(s), []lashstore.BatchID{batch.BatchID})
	equal(e, "batch of the key", e.outcome(s, keyed("key", "input"), lashstore.EnqueueDuplicate), batch)
	equal(e, "attachments", attachmentIDs(e.attachments(s)), []lashstore.Digest{attachment.ID})
}

// Two processes that commit on the same revision: one applies, the other learns the
// head (I3, G3).
func s92TwoConnections(e *env) {
	first := e.create("root")
	handles := []lashstore.Session{first, e.sessionOf(e.second(Settings{}), "root")}
	c := lashstore.Commit{Fence: e.lease(first, "a").Fence(), Config: config("provider-a")}
	errs := race(2, func(i int) error {
		_, err := handles[i].Commit(e.Context(), c)
		return err
	})
	equal(e, "winners", e.winners(errs, lashstore.ErrHeadMoved), 1)
	for _, err := range errs {
		if err != nil {
			equal(e, "actual revision", as[*lashstore.HeadMovedError](e, err).Actual, 1)
		}
	}
	e.reopen(Settings{})
	equal(e, "revision after reopening", e.head(e.session("root")).Revision, 1)
}

// Processes that start together on an empty directory must all come up, with one
// schema (I22).
func s93ConcurrentFirstOpen(e *env) {
	const openers = 16
	stores := make([]lashstore.Store, openers)
	for _, err := range race(openers, func(i int) error {
		var err error
		stores[i], err = e.tryOpen(Settings{})
		return err
	}) {
		e.must(err)
	}
	for _, err := range race(openers, func(i int) error {
		s, _, err := stores[i].CreateSession(e.Context(), lashstore.CreateSession{Meta: lashstore.SessionMeta{SessionID: "root"}})
		if err != nil {
			return err
		}
		_, err = s.Enqueue(e.Context(), exclusive("from each"))
		return err
	}) {
		e.must(err)
	}
	equal(e, "queue", len(e.queued(e.sessionOf(stores[0], "root"))), openers)
	if e.Files == nil {
		return
	}
	e.closeAll()
	if version := e.pragma(e.Files.SessionPath("root"), "user_version"); version < 1 {
		e.Errorf("schema version %d, want at least 1", version)
	}
}

// A load that mixes two revisions shows a session that never was (W6).
func xDurabilityReadersSeeWholeCommits(e *env) {
	s := e.create("root")
	e.commit(s, lashstore.Commit{
		Graph: appendNodes(textNode("n", "", "0")), Checkpoint: checkpoint(1, map[string][]byte{"k": []byte("1")}),
	})
	readers := []lashstore.Session{e.session("root"), e.sessionOf(e.second(Settings{}), "root")}
	fence := e.lease(s, "a").Fence()
	done := make(chan struct{})
	var wg sync.WaitGroup
	failures := make([]error, len(readers))
	for i, r := range readers {
		wg.Go(func() {
			for {
				snap, err := r.Load(e.Context(), lashstore.LoadOptions{})
				switch {
				case err != nil:
					failures[i] = err
				case snap.Checkpoint == nil, uint64(snap.Revision) != snap.Checkpoint.TurnState.TurnIndex,
					int(snap.Revision) != len(snap.Graph.Nodes), int64(snap.Revision) != snap.NodeCount:
					failures[i] = errors.New("a snapshot of two revisions")
				}
				select {
				case <-done:
					return
				default:
					if failures[i] != nil {
						return
					}
				}
			}
		})
	}
	for i := lashstore.Revision(1); i < 30; i++ {
		n := node(lashstore.NodeID("n"+strconv.Itoa(int(i))), "n")
		e.apply(s, lashstore.Commit{
			ExpectedRevision: i, Fence: fence, Graph: appendNodes(n), Checkpoint: checkpoint(uint64(i+1), map[string][]byte{"k": []byte("x")}),
		})
	}
	close(done)
	wg.Wait()
	e.must(errors.Join(failures...))
}

// Sessions do not wait for each other, and none may be lost among many.
func xDurabilityManySessionsAtOnce(e *env) {
	const sessions = 24
	stores := []lashstore.Store{e.store(), e.second(Settings{})}
	for _, err := range race(sessions, func(i int) error {
		st := stores[i%2]
		id := sized("s", i)
		s, _, err := st.CreateSession(e.Context(), lashstore.CreateSession{Meta: lashstore.SessionMeta{SessionID: id}})
		if err != nil {
			return err
		}
		l, err := s.ClaimLease(e.Context(), owner("a"), leaseTTL)
		if err != nil {
			return err
		}
		for r := range lashstore.Revision(3) {
			if _, err := s.Commit(e.Context(), lashstore.Commit{
				ExpectedRevision: r, Fence: l.Fence(), Config: config("provider-a"),
				Checkpoint: checkpoint(uint64(r), map[string][]byte{"k": compressible(20<<10 + i + int(r))}),
			}); err != nil {
				return err
			}
		}
		return s.Close()
	}) {
		e.must(err)
	}
	e.reopen(Settings{})
	page, err := e.store().ListSessions(e.Context(), lashstore.ListSessions{})
	e.must(err)
	equal(e, "sessions", len(page.Sessions), sessions)
	for _, summary := range page.Sessions {
		equal(e, "revision of "+string(summary.SessionID), summary.HeadRevision, 3)
		equal(e, "revision of its head", e.head(e.session(summary.SessionID)).Revision, 3)
	}
}
