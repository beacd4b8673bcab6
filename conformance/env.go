package conformance

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lashstore/lashstore"
)

// env is what a scenario works with: its test, its tenant and the stores it opened.
type env struct {
	*testing.T
	Harness

	mu     sync.Mutex // guards opened
	opened []lashstore.Store
	main   lashstore.Store
}

func newEnv(t *testing.T, h Harness) *env {
	t.Helper()
	e := &env{T: t, Harness: h}
	t.Cleanup(e.closeAll)
	return e
}

// store is the scenario's store, opened with default settings at first use.
func (e *env) store() lashstore.Store {
	e.Helper()
	if e.main == nil {
		e.main = e.second(Settings{})
	}
	return e.main
}

// second opens a further handle on the tenant's data.
func (e *env) second(s Settings) lashstore.Store {
	e.Helper()
	st, err := e.tryOpen(s)
	e.must(err)
	return st
}

// tryOpen may be called by several goroutines.
func (e *env) tryOpen(s Settings) (lashstore.Store, error) {
	st, err := e.Open(e.Context(), s)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.opened = append(e.opened, st)
	return st, nil
}

// reopen closes every handle and opens the data again. Sessions have to be opened
// again too.
func (e *env) reopen(s Settings) lashstore.Store {
	e.Helper()
	e.closeAll()
	e.main = e.second(s)
	return e.main
}

// closeAll closes every handle, which finishes their bookkeeping.
func (e *env) closeAll() {
	e.Helper()
	e.mu.Lock()
	opened := e.opened
	e.opened, e.main = nil, nil
	e.mu.Unlock()
	for _, st := range opened {
		if err := st.Close(); err != nil {
			e.Errorf("close store: %v", err)
		}
	}
}

// create admits a new session to the scenario's store.
func (e *env) create(id lashstore.SessionID) lashstore.Session {
	e.Helper()
	s, created, err := e.store().CreateSession(e.Context(), lashstore.CreateSession{
		Meta: lashstore.SessionMeta{SessionID: id, Model: "model-a"},
	})
	e.must(err)
	if !created {
		e.Fatalf("session %q existed already", id)
	}
	return s
}

// session opens an existing session of the scenario's store.
func (e *env) session(id lashstore.SessionID) lashstore.Session {
	e.Helper()
	return e.sessionOf(e.store(), id)
}

func (e *env) sessionOf(st lashstore.Store, id lashstore.SessionID) lashstore.Session {
	e.Helper()
	s, err := st.OpenSession(e.Context(), id, lashstore.OpenOptions{})
	e.must(err)
	return s
}

// leaseTTL is what scenarios claim leases and work for.
const leaseTTL = time.Minute

// owner is the owner of that name, with the incarnation "name:incarnation".
func owner(name string) lashstore.Owner {
	return lashstore.Owner{OwnerID: name, IncarnationID: name + ":incarnation"}
}

// lease takes the session's lease for a minute.
func (e *env) lease(s lashstore.Session, name string) lashstore.Lease {
	e.Helper()
	l, err := s.ClaimLease(e.Context(), owner(name), leaseTTL)
	e.must(err)
	return l
}

// prepare completes a commit: a lease of its own that it releases, the present
// revision, and a configuration if it is the first.
func (e *env) prepare(s lashstore.Session, c lashstore.Commit) lashstore.Commit {
	e.Helper()
	if c.Fence == (lashstore.Fence{}) {
		c.Fence, c.ReleaseLease = e.lease(s, "committer").Fence(), true
	}
	c.ExpectedRevision = e.head(s).Revision
	if c.ExpectedRevision == 0 && c.Config == nil {
		c.Config = config("provider-a")
	}
	return c
}

// commit applies a commit after completing it.
func (e *env) commit(s lashstore.Session, c lashstore.Commit) lashstore.CommitResult {
	e.Helper()
	return e.apply(s, e.prepare(s, c))
}

// apply applies a commit as it is.
func (e *env) apply(s lashstore.Session, c lashstore.Commit) lashstore.CommitResult {
	e.Helper()
	res, err := s.Commit(e.Context(), c)
	e.must(err)
	return res
}

// refuse applies a commit that must fail with the sentinel and change nothing (I6).
func (e *env) refuse(s lashstore.Session, c lashstore.Commit, want error) {
	e.Helper()
	_ = e.refusal(s, c, want)
}

// refusal is refuse and returns the error.
func (e *env) refusal(s lashstore.Session, c lashstore.Commit, want error) error {
	e.Helper()
	before := e.state(s)
	_, err := s.Commit(e.Context(), c)
	e.is(err, want)
	equal(e, "the session after a refused commit", e.state(s), before)
	return err
}

func (e *env) head(s lashstore.Session) lashstore.Head {
	e.Helper()
	h, err := s.Head(e.Context())
	e.must(err)
	return h
}

func (e *env) load(s lashstore.Session, opts lashstore.LoadOptions) *lashstore.Snapshot {
	e.Helper()
	snap, err := s.Load(e.Context(), opts)
	e.must(err)
	if snap == nil {
		e.Fatal("load returned neither a snapshot nor an error")
	}
	return snap
}

// path is the active path of the head.
func (e *env) path(s lashstore.Session) *lashstore.Snapshot {
	e.Helper()
	return e.load(s, lashstore.LoadOptions{Scope: lashstore.ScopeActivePath})
}

// sessionState is all that reads show of a session.
type sessionState struct {
	Meta        lashstore.SessionMeta
	Snapshot    *lashstore.Snapshot
	Queue       []lashstore.Batch
	Attachments []lashstore.AttachmentEntry
	Artifacts   []lashstore.ArtifactInfo
	Revisions   []lashstore.RevisionInfo
	Lease       lashstore.LeaseStatus
}

func (e *env) state(s lashstore.Session) sessionState {
	e.Helper()
	st, err := readState(e.Context(), s)
	e.must(err)
	return st
}

func readState(ctx context.Context, s lashstore.Session) (sessionState, error) {
	var st sessionState
	var errs [7]error
	st.Meta, errs[0] = s.Meta(ctx)
	st.Snapshot, errs[1] = s.Load(ctx, lashstore.LoadOptions{})
	st.Queue, errs[2] = s.ListQueue(ctx, lashstore.ListQueue{})
	st.Attachments, errs[3] = s.ListAttachments(ctx, lashstore.ListAttachments{})
	st.Artifacts, errs[4] = s.ListArtifacts(ctx, "")
	st.Revisions, errs[5] = s.Revisions(ctx, lashstore.ListRevisions{})
	st.Lease, errs[6] = s.LeaseStatus(ctx)
	return st, errors.Join(errs[:]...)
}

// content reads content that the session refers to.
func (e *env) content(s lashstore.Session, digest lashstore.Digest) []byte {
	e.Helper()
	r, err := s.OpenContent(e.Context(), digest)
	return e.read(r, err)
}

// read reads a blob to its end and closes it.
func (e *env) read(r lashstore.BlobReader, err error) []byte {
	e.Helper()
	e.must(err)
	b, err := io.ReadAll(r)
	e.must(err)
	e.must(r.Close())
	return b
}

// readError opens and reads a blob that must fail on the way, and returns how.
func (e *env) readError(r lashstore.BlobReader, err error) error {
	e.Helper()
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, r)
	e.must(r.Close())
	return err
}

// must ends the scenario unless err is nil.
func (e *env) must(err error) {
	e.Helper()
	if err != nil {
		e.Fatalf("unexpected error (%s): %v", lashstore.Code(err), err)
	}
}

// is checks that err is or wraps the sentinel.
func (e *env) is(err, want error) {
	e.Helper()
	if !errors.Is(err, want) {
		e.Fatalf("got error %v (%s), want %q", err, lashstore.Code(err), want)
	}
}

// oneOf checks that err is or wraps one of the sentinels.
func (e *env) oneOf(err error, want ...error) {
	e.Helper()
	for _, w := range want {
		if errors.Is(err, w) {
			return
		}
	}
	e.Fatalf("got error %v (%s), want one of %q", err, lashstore.Code(err), want)
}

// as returns the error of type E in err's chain.
func as[E error](e *env, err error) E {
	e.Helper()
	var target E
	if !errors.As(err, &target) {
		e.Fatalf("got error %v, want a %T", err, target)
	}
	return target
}

// equal compares two values: times as instants, nil and empty alike.
func equal[T any](e *env, what string, got, want T) {
	e.Helper()
	if d := cmp.Diff(want, got, cmpopts.EquateComparable(lashstore.Digest{}), cmpopts.EquateEmpty()); d != "" {
		e.Errorf("%s (-want +got):\n%s", what, d)
	}
}

// race calls f(0) to f(n-1) at once and returns their errors.
func race(n int, f func(i int) error) []error {
	errs := make([]error, n)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			<-start
			errs[i] = f(i)
		})
	}
	close(start)
	wg.Wait()
	return errs
}

// winners counts the nil errors; all others must be or wrap the sentinel.
func (e *env) winners(errs []error, loser error) int {
	e.Helper()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
			continue
		}
		e.is(err, loser)
	}
	return won
}
