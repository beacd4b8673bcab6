package conformance

import (
	"bytes"
	"time"

	"github.com/lashstore/lashstore"
)

// piecesSize is content that is stored in pieces, with the list of them: it is found by
// its digest though no session is asked.
const piecesSize = 2 << 20

// atOnce is the grace period under which nothing waits.
func atOnce() *time.Duration { return grace(0) }

func grace(d time.Duration) *time.Duration { return new(d) }

// collector is the scenario's store as a collector.
func (e *env) collector() lashstore.Collector {
	e.Helper()
	return e.collectorOf(e.store())
}

func (e *env) collectorOf(st lashstore.Store) lashstore.Collector {
	e.Helper()
	c, ok := st.(lashstore.Collector)
	if !ok {
		e.Fatalf("the harness says that its stores collect, and a %T does not", st)
	}
	return c
}

// collect runs a collection that must not fail.
func (e *env) collect(opts lashstore.CollectOptions) lashstore.CollectReport {
	e.Helper()
	report, err := e.collector().Collect(e.Context(), opts)
	e.must(err)
	if len(report.Errors) > 0 {
		e.Errorf("errors of a collection: %q", report.Errors)
	}
	return report
}

// sweep deletes what has no reference right now, after the holds of uploads are over,
// and returns how many objects went. The store is opened again, and with it settled.
func (e *env) sweep(s Settings) int64 {
	e.Helper()
	if !e.Collects {
		return 0
	}
	e.Clock.Advance(lashstore.DefaultUploadTTL)
	e.reopen(s)
	return e.collect(lashstore.CollectOptions{Grace: atOnce()}).Deleted
}

// deleted checks that content cannot be found any more.
func (e *env) deleted(contents ...[]byte) {
	e.Helper()
	for i, content := range contents {
		_, err := e.store().StatBlob(e.Context(), lashstore.DigestOf(content))
		e.oneOf(err, lashstore.ErrBlobNotFound)
		r, err := e.store().OpenBlob(e.Context(), lashstore.DigestOf(content))
		if err == nil {
			e.must(r.Close())
			e.Errorf("content %d was deleted and opens", i)
			continue
		}
		e.is(err, lashstore.ErrBlobNotFound)
	}
}

// waiting checks that content is still there although nothing refers to it.
func (e *env) waiting(content []byte) {
	e.Helper()
	info := e.stat(lashstore.DigestOf(content))
	equal(e, "holders of content that waits to be deleted", info.Holders, 0)
	if got := e.read(e.store().OpenBlob(e.Context(), lashstore.DigestOf(content))); !bytes.Equal(got, content) {
		e.Error("content that waits to be deleted reads back as other content")
	}
}

// replace commits content as the only component.
func (e *env) replace(s lashstore.Session, content []byte) {
	e.Helper()
	e.commit(s, lashstore.Commit{Checkpoint: checkpoint(0, map[string][]byte{"state": content})})
}

// let commits content and then another in its place, and settles: nothing refers to
// the first any more.
func (e *env) let(s Settings, id lashstore.SessionID, gone, kept []byte) lashstore.Session {
	e.Helper()
	session, _, err := e.store().CreateSession(e.Context(), lashstore.CreateSession{Meta: lashstore.SessionMeta{SessionID: id}})
	e.must(err)
	e.replace(session, gone)
	e.replace(session, kept)
	e.reopen(s)
	return e.session(id)
}

// status is the state of collections.
func (e *env) status() lashstore.CollectionStatus {
	e.Helper()
	st, err := e.collector().CollectionStatus(e.Context())
	e.must(err)
	return st
}

// noTime is a report without what differs from one run to the next.
func noTime(r lashstore.CollectReport) lashstore.CollectReport {
	r.Duration, r.StartedAt, r.Reason = 0, time.Time{}, ""
	return r
}
