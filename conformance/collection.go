package conformance

import (
	"bytes"
	"errors"
	"strconv"

	"github.com/lashstore/lashstore"
)

// collectionScenarios check what a collector goes by: who refers to which content.
// Content without a holder may be collected, content with one never. What a session
// no longer needs is let go of by the time its store has been closed. Where the store
// collects, it does so at the end, without any grace.
func collectionScenarios() []scenario {
	return []scenario{
		{name: "S97_Rooted", run: s97Rooted},
		{name: "S98_AfterARealCommit", run: s98AfterARealCommit},
		{name: "S99_Automatic", run: s99Automatic},
		{name: "X_Collect_HoldersOfSharedContent", run: xCollectHoldersOfSharedContent},
		{name: "X_Collect_KeptRevisions", run: xCollectKeptRevisions},
		{name: "X_Collect_FramesAreRoots", run: xCollectFramesAreRoots},
		{name: "X_Collect_SameBytesTwice", run: xCollectSameBytesTwice},
		{name: "X_Collect_AttachmentsAndArtifacts", run: xCollectAttachmentsAndArtifacts},
	}
}

// keepOne is the retention under which a commit releases what only the revision
// before it referred to.
func keepOne() Settings { return Settings{Retention: lashstore.Retention{Revisions: 1}} }

// live checks that content has holders and can be read.
func (e *env) live(s lashstore.Session, content []byte) {
	e.Helper()
	digest := lashstore.DigestOf(content)
	if holders := e.stat(digest).Holders; holders < 1 {
		e.Errorf("content that session %q refers to has %d holders", s.ID(), holders)
	}
	if got := e.content(s, digest); !bytes.Equal(got, content) {
		e.Errorf("content that session %q refers to reads back as other content", s.ID())
	}
}

// released checks that no session holds content any more.
func (e *env) released(content []byte) {
	e.Helper()
	e.holders(content, 0)
}

// holders checks how many sessions hold content. An upload of it, such as that of an
// attachment, holds it too, for its time.
func (e *env) holders(content []byte, want int) {
	e.Helper()
	info, err := e.store().StatBlob(e.Context(), lashstore.DigestOf(content))
	if want == 0 && errors.Is(err, lashstore.ErrBlobNotFound) {
		return
	}
	e.must(err)
	if info.Upload != nil {
		info.Holders--
	}
	equal(e, "holders", info.Holders, want)
}

// Releasing what the head needs destroys a session; holding what it no longer needs
// grows for ever (I19).
func s97Rooted(e *env) {
	e.reopen(keepOne())
	s := e.create("root")
	tools, plugins, unrelated := e.random("tools", tierSize), e.random("plugins", tierSize), e.random("unrelated", tierSize)
	e.commit(s, lashstore.Commit{Checkpoint: checkpoint(6, map[string][]byte{"old": unrelated, lashstore.ComponentToolState: tools})})
	e.commit(s, lashstore.Commit{Checkpoint: checkpoint(7, map[string][]byte{
		lashstore.ComponentToolState: tools, lashstore.ComponentPluginSnapshot: plugins,
	})})
	e.reopen(keepOne())
	s = e.session("root")
	e.live(s, tools)
	e.live(s, plugins)
	e.released(unrelated)
	_, err := s.OpenContent(e.Context(), lashstore.DigestOf(unrelated))
	e.is(err, lashstore.ErrBlobNotFound)
	if !e.Collects {
		return
	}
	size := e.stat(lashstore.DigestOf(unrelated)).StoredBytes
	report := e.collect(lashstore.CollectOptions{Grace: atOnce()})
	equal(e, "deleted", report.Deleted, 1)
	equal(e, "deleted bytes", report.DeletedBytes, size)
	equal(e, "deleted in all", e.status().Totals.Deleted, 1)
	e.deleted(unrelated)
	snap := e.load(s, lashstore.LoadOptions{})
	equal(e, "turn", snap.Checkpoint.TurnState.TurnIndex, 7)
	equal(e, "tools", e.hydrated(snap, lashstore.ComponentToolState), string(tools))
	equal(e, "plugins", e.hydrated(snap, lashstore.ComponentPluginSnapshot), string(plugins))
}

// What a refused commit uploaded must not be held; what an applied one uploaded must.
func s98AfterARealCommit(e *env) {
	s := e.create("root")
	orphan := e.random("orphan", tierSize)
	c := e.prepare(s, lashstore.Commit{Checkpoint: &lashstore.Checkpoint{Components: map[string]lashstore.Component{
		"orphan": lashstore.Changed(orphan), "unknown": lashstore.Unchanged(refOf([]byte("never stored"))),
	}}})
	e.refuse(s, c, lashstore.ErrUnknownReference)
	parts := map[string][]byte{
		lashstore.ComponentToolState:      e.random("tools", tierSize),
		lashstore.ComponentPluginSnapshot: e.random("plugins", tierSize),
		lashstore.ComponentExecutionState: e.random("execution", tierSize),
	}
	e.commit(s, lashstore.Commit{Checkpoint: checkpoint(1, parts)})
	upload := e.put(e.random("orphaned upload", tierSize), lashstore.PutBlobOptions{})
	e.reopen(Settings{})
	s = e.session("root")
	e.released(orphan)
	for _, content := range parts {
		e.live(s, content)
	}
	if !e.Collects {
		return
	}
	e.sweep(Settings{})
	e.deleted(orphan)
	_, err := e.store().StatBlob(e.Context(), upload.Digest)
	e.is(err, lashstore.ErrBlobNotFound)
	snap := e.load(e.session("root"), lashstore.LoadOptions{})
	for name, content := range parts {
		equal(e, name, e.hydrated(snap, name), string(content))
	}
}

// Section 13, Collection: never inside a commit. Each commit only lets go of what it
// replaces, and a long run of them holds no more than the last.
func s99Automatic(e *env) {
	e.reopen(keepOne())
	s := e.create("root")
	const turns = 5
	states := make([][]byte, turns)
	for i := range states {
		states[i] = e.random("state"+strconv.Itoa(i), tierSize)
		e.commit(s, lashstore.Commit{Checkpoint: checkpoint(uint64(i), map[string][]byte{"state": states[i]})})
	}
	e.reopen(keepOne())
	s = e.session("root")
	for _, old := range states[:turns-1] {
		e.released(old)
	}
	e.live(s, states[turns-1])

	// Content that was let go of and comes back is held again.
	e.commit(s, lashstore.Commit{Checkpoint: checkpoint(turns, map[string][]byte{"state": states[0]})})
	e.reopen(keepOne())
	e.live(e.session("root"), states[0])
	e.released(states[turns-1])
	if e.Collects {
		e.collectsByItself(states[turns-1])
	}
}

// collectsByItself commits to a store that collects after each commit, until the orphan
// is gone. Each commit is followed by a report at least, and the third of them is that
// of a collection that began after a commit which came after all others were done.
func (e *env) collectsByItself(orphan []byte) {
	e.Helper()
	e.waiting(orphan)
	type collected struct {
		report lashstore.CollectReport
		err    error
	}
	reports := make(chan collected, 100) // more than there are commits: nobody may be kept waiting
	settings := keepOne()
	settings.Grace, settings.CollectEvery = atOnce(), 1
	settings.OnCollect = func(r lashstore.CollectReport, err error) { reports <- collected{r, err} }
	e.reopen(settings)
	s := e.session("root")
	var deleted int64
	for i := 0; i < 3 && deleted == 0; i++ {
		replaced := e.random("replaced"+strconv.Itoa(i), tierSize)
		e.replace(s, replaced)
		r := <-reports
		e.must(r.err)
		deleted += r.report.Deleted
	}
	if deleted == 0 {
		e.Error("three commits were followed by collections, and none deleted anything")
	}
	e.deleted(orphan)
}

// Content that several sessions refer to is stored once and belongs to each of them.
func xCollectHoldersOfSharedContent(e *env) {
	content := e.random("shared", tierSize)
	for i, id := range []lashstore.SessionID{"a", "b"} {
		e.commit(e.create(id), lashstore.Commit{Checkpoint: checkpoint(0, map[string][]byte{"k": content})})
		e.holders(content, i+1)
		equal(e, "objects", e.stat(lashstore.DigestOf(content)).Objects, 1)
	}
	e.must(e.store().DeleteSession(e.Context(), "a"))
	e.reopen(Settings{})
	e.holders(content, 1)
	e.live(e.session("b"), content)
	equal(e, "deleted while one session is left", e.sweep(Settings{}), 0)
	e.live(e.session("b"), content)
	e.must(e.store().DeleteSession(e.Context(), "b"))
	e.reopen(Settings{})
	e.holders(content, 0)
	if e.Collects {
		equal(e, "deleted after the last session", e.sweep(Settings{}), 1)
		e.deleted(content)
	}
}

// A kept revision that cannot be read is no history.
func xCollectKeptRevisions(e *env) {
	keepTwo := Settings{Retention: lashstore.Retention{Revisions: 2}}
	e.reopen(keepTwo)
	s := e.create("root")
	var states [][]byte
	for i := range 3 {
		states = append(states, e.random("state"+strconv.Itoa(i), tierSize))
		e.commit(s, lashstore.Commit{Checkpoint: checkpoint(uint64(i), map[string][]byte{"state": states[i]})})
	}
	e.reopen(keepTwo)
	s = e.session("root")
	e.released(states[0])
	e.live(s, states[1])
	e.live(s, states[2])
	if e.Collects {
		equal(e, "deleted", e.sweep(keepTwo), 1)
		e.deleted(states[0])
		s = e.session("root")
	}
	got := e.hydrated(e.load(s, lashstore.LoadOptions{Revision: 2}), "state")
	equal(e, "the kept revision's state", got == string(states[1]), true)

	// A commit that changes nothing else still moves the window.
	e.commit(s, lashstore.Commit{})
	e.reopen(keepTwo)
	e.released(states[1])
	e.live(e.session("root"), states[2])
	if e.Collects {
		equal(e, "deleted after the window moved", e.sweep(keepTwo), 1)
		e.deleted(states[1])
		e.live(e.session("root"), states[2])
	}
}

// A superseded frame still refers to its state, whatever happens to revisions (W5a).
func xCollectFramesAreRoots(e *env) {
	e.reopen(keepOne())
	s := e.create("root")
	state := e.random("frame state", tierSize)
	f := frame("f1", "")
	c := lashstore.Changed(state)
	f.ExecutionState = &c
	e.commit(s, lashstore.Commit{Frames: []lashstore.AgentFrame{f}})
	e.commit(s, lashstore.Commit{Frames: []lashstore.AgentFrame{frame("f2", "")}})
	e.commit(s, lashstore.Commit{})
	e.reopen(keepOne())
	s = e.session("root")
	equal(e, "reference of the superseded frame", e.load(s, lashstore.LoadOptions{}).Frames[0].ExecutionState.Ref, refOf(state))
	equal(e, "deleted", e.sweep(keepOne()), 0)
	e.live(e.session("root"), state)
}

// Content that has two uses in one session is held until both have ended (W5c).
func xCollectSameBytesTwice(e *env) {
	e.reopen(keepOne())
	s := e.create("root")
	content := e.random("content", tierSize)
	name := artifact("raw", "copy")
	e.commit(s, lashstore.Commit{Checkpoint: checkpoint(0, map[string][]byte{"a": content, "b": content})})
	e.putArtifact(s, name, lashstore.Descriptor{}, content)
	e.attach(s, content, png())
	e.holders(content, 1)

	e.commit(s, lashstore.Commit{Checkpoint: checkpoint(1, map[string][]byte{"a": content})})
	e.commit(s, lashstore.Commit{Checkpoint: checkpoint(2, nil)})
	e.live(s, content)
	e.must(s.ForgetAttachment(e.Context(), lashstore.DigestOf(content)))
	equal(e, "deleted while one use is left", e.sweep(keepOne()), 0)
	e.reopen(keepOne())
	s = e.session("root")
	e.live(s, content)
	equal(e, "the artifact", bytes.Equal(e.artifact(s, name), content), true)
	e.must(s.RemoveArtifact(e.Context(), name))
	e.reopen(keepOne())
	e.released(content)
	if e.Collects {
		equal(e, "deleted after the last use", e.sweep(keepOne()), 1)
		e.deleted(content)
	}
}

// Attachments and artifacts that were removed let go of their content, those that
// were not keep it.
func xCollectAttachmentsAndArtifacts(e *env) {
	s := e.create("root")
	kept, gone := e.random("kept", tierSize), e.random("gone", tierSize)
	keptModule, goneModule, replaced := e.random("kept module", tierSize), e.random("gone module", tierSize), e.random("replaced", tierSize)
	e.attach(s, kept, png())
	e.attach(s, gone, png())
	e.putArtifact(s, artifact("module", "kept"), lashstore.Descriptor{}, replaced)
	e.putArtifact(s, artifact("module", "kept"), lashstore.Descriptor{}, keptModule)
	e.putArtifact(s, artifact("module", "gone"), lashstore.Descriptor{}, goneModule)
	e.commit(s, lashstore.Commit{Attachments: []lashstore.Digest{lashstore.DigestOf(kept)}})
	e.must(s.ForgetAttachment(e.Context(), lashstore.DigestOf(gone)))
	e.must(s.RemoveArtifact(e.Context(), artifact("module", "gone")))
	e.reopen(Settings{})
	s = e.session("root")
	e.live(s, kept)
	e.live(s, keptModule)
	e.released(gone)
	e.released(goneModule)
	e.released(replaced)
	if e.Collects {
		equal(e, "deleted", e.sweep(Settings{}), 3)
		e.deleted(gone, goneModule, replaced)
		e.live(e.session("root"), kept)
		equal(e, "the artifact", bytes.Equal(e.artifact(e.session("root"), artifact("module", "kept")), keptModule), true)
	}
}
