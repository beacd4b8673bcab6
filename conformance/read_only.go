package conformance

import (
	"github.com/lashstore/lashstore"
)

func readOnlyScenarios() []scenario {
	return []scenario{
		{name: "S96_ReadOnly", run: s96ReadOnly},
		{name: "X_ReadOnly_Session", run: xReadOnlySession},
		{name: "X_ReadOnly_NothingThere", run: xReadOnlyNothingThere},
	}
}

// A read-only handle that writes, or says so (W1), and one that reads less than is
// there, are both of no use.
func s96ReadOnly(e *env) {
	s := e.populated("populated")
	ref := e.put(e.random("blob", tierSize), lashstore.PutBlobOptions{})
	before := e.state(s)
	info, err := s.PickerInfo(e.Context())
	e.must(err)

	st := e.reopen(Settings{ReadOnly: true})
	equal(e, "tier", st.Tier(), e.Tier)
	s = e.session("populated")
	equal(e, "the session", e.state(s), before)
	got, err := s.PickerInfo(e.Context())
	e.must(err)
	equal(e, "picker info", got, info)
	e.readOnly(s)
	for _, c := range storeCalls(ref.Digest) {
		err := c.do(e.Context(), st)
		switch {
		case c.write && !isErr(err, lashstore.ErrReadOnly):
			e.Errorf("%s: got %v, want %q", c.name, err, lashstore.ErrReadOnly)
		case !c.write && err != nil:
			e.Errorf("%s: %v", c.name, err)
		}
	}
	equal(e, "the session after refused writes", e.state(s), before)

	e.reopen(Settings{})
	equal(e, "the session after reopening", e.state(e.session("populated")), before)
}

// readOnly checks that reads work and writes are refused.
func (e *env) readOnly(s lashstore.Session) {
	e.Helper()
	for _, c := range sessionCalls() {
		err := c.do(e.Context(), s)
		switch {
		case c.write && !isErr(err, lashstore.ErrReadOnly):
			e.Errorf("%s: got %v, want %q", c.name, err, lashstore.ErrReadOnly)
		case !c.write && err != nil:
			e.Errorf("%s: %v", c.name, err)
		}
	}
}

// A session that was opened to be looked at must not be changed by it, while others
// go on writing.
func xReadOnlySession(e *env) {
	writer := e.populated("populated")
	reader, err := e.store().OpenSession(e.Context(), "populated", lashstore.OpenOptions{ReadOnly: true})
	e.must(err)
	before := e.state(writer)
	e.readOnly(reader)
	equal(e, "the session after refused writes", e.state(writer), before)
	e.commit(writer, lashstore.Commit{})
	equal(e, "revision through the read-only handle", e.head(reader).Revision, 2)
}

// Looking at a directory where nothing is must not make a store of it.
func xReadOnlyNothingThere(e *env) {
	if _, err := e.tryOpen(Settings{ReadOnly: true}); err == nil {
		e.Error("a store that does not exist was opened read-only")
	}
	if e.Files != nil {
		equal(e, "files after the refused open", e.fileNames(), []string(nil))
	}
	e.create("now it exists")
	e.reopen(Settings{ReadOnly: true})
	_, err := e.store().OpenSession(e.Context(), "unknown", lashstore.OpenOptions{})
	e.is(err, lashstore.ErrSessionNotFound)
}
