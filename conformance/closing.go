package conformance

import (
	"context"

	"github.com/lashstore/lashstore"
)

func closingScenarios() []scenario {
	return []scenario{
		{name: "X_Close_Store", run: xCloseStore},
		{name: "X_Close_Session", run: xCloseSession},
		{name: "X_Context_Done", run: xContextDone},
	}
}

// A handle that works after Close writes without the store's bookkeeping.
func xCloseStore(e *env) {
	s := e.populated("populated")
	st := e.store()
	content, err := s.OpenContent(e.Context(), lashstore.DigestOf([]byte(populatedComponent)))
	e.must(err)
	e.must(content.Close())
	e.closeAll()
	for _, c := range sessionCalls() {
		if err := c.do(e.Context(), s); !isErr(err, lashstore.ErrClosed) {
			e.Errorf("%s after the store was closed: got %v, want %q", c.name, err, lashstore.ErrClosed)
		}
	}
	for _, c := range storeCalls(lashstore.DigestOf([]byte(populatedComponent))) {
		if err := c.do(e.Context(), st); !isErr(err, lashstore.ErrClosed) {
			e.Errorf("%s after the store was closed: got %v, want %q", c.name, err, lashstore.ErrClosed)
		}
	}
	e.must(s.Close())
	equal(e, "revision after reopening", e.head(e.session("populated")).Revision, 1)
}

// Closing one handle must not close another on the same session.
func xCloseSession(e *env) {
	first := e.populated("populated")
	second := e.session("populated")
	e.must(first.Close())
	e.must(first.Close())
	for _, c := range sessionCalls() {
		if err := c.do(e.Context(), first); !isErr(err, lashstore.ErrClosed) {
			e.Errorf("%s after Close: got %v, want %q", c.name, err, lashstore.ErrClosed)
		}
	}
	equal(e, "revision through the other handle", e.head(second).Revision, 1)
	e.commit(second, lashstore.Commit{})
}

// A call that goes on after its caller gave up changes what nobody will look at.
func xContextDone(e *env) {
	s := e.populated("populated")
	ref, err := e.store().PutBlob(e.Context(), newReader(compressible(tierSize)), lashstore.PutBlobOptions{})
	e.must(err)
	before := e.state(s)
	done, cancel := context.WithCancel(e.Context())
	cancel()
	for _, c := range sessionCalls() {
		if err := c.do(done, s); !isErr(err, context.Canceled) {
			e.Errorf("%s with a context that is done: got %v, want %q", c.name, err, context.Canceled)
		}
	}
	for _, c := range storeCalls(ref.Digest) {
		if err := c.do(done, e.store()); !isErr(err, context.Canceled) {
			e.Errorf("%s with a context that is done: got %v, want %q", c.name, err, context.Canceled)
		}
	}
	equal(e, "the session afterwards", e.state(s), before)
	_, err = e.store().OpenSession(e.Context(), "late", lashstore.OpenOptions{})
	e.is(err, lashstore.ErrSessionNotFound)
}
