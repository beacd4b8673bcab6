package conformance

import (
	"bytes"
	"errors"
	"strconv"

	"github.com/lashstore/lashstore"
)

// collectionScenarios check what a collector goes by: who refers to which content.
// Content without a holder may be collected, content with one never. What a session
// no longer needs is let go of by the time its store has been closed.
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
	e.reopen(Settings{})
	s = e.session("root")
	e.released(orphan)
	for _, content := range parts {
		e.live(s, content)
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
	e.must(e.store().DeleteSession(e.Context(), "b"))
	e.reopen(Settings{})
	e.holders(content, 0)
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
	got := e.hydrated(e.load(s, lashstore.LoadOptions{Revision: 2}), "state")
	equal(e, "the kept revision's state", got == string(states[1]), true)

	// A commit that changes nothing else still moves the window.
	e.commit(s, lashstore.Commit{})
	e.reopen(keepTwo)
	e.released(states[1])
	e.live(e.session("root"), states[2])
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
	e.live(s, state)
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
	e.reopen(keepOne())
	s = e.session("root")
	e.live(s, content)
	equal(e, "the artifact", bytes.Equal(e.artifact(s, name), content), true)
	e.must(s.RemoveArtifact(e.Context(), name))
	e.reopen(keepOne())
	e.released(content)
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
}
