package conformance

import (
	"bytes"
	"time"

	"github.com/lashstore/lashstore"
)

func undeleteScenarios() []scenario {
	return []scenario{
		{name: "X_Undelete_ByDigest", needs: needCollector, run: xUndeleteByDigest},
		{name: "X_Undelete_All", needs: needCollector, run: xUndeleteAll},
		{name: "X_Undelete_Gone", needs: needCollector, run: xUndeleteGone},
		{name: "X_Undelete_BadInput", needs: needCollector, run: xUndeleteBadInput},
	}
}

// readable checks that content can be opened by its digest.
func (e *env) readable(content []byte) {
	e.Helper()
	if got := e.read(e.store().OpenBlob(e.Context(), lashstore.DigestOf(content))); !bytes.Equal(got, content) {
		e.Error("content reads back as other content")
	}
}

// Content in its grace period can be had back: for a while by itself, and for good by
// being committed. Content in pieces comes back with all of them.
func xUndeleteByDigest(e *env) {
	const keep = 2 * time.Hour
	e.reopen(keepOne())
	one, pieces, lost := e.random("one", tierSize), e.random("pieces", piecesSize), e.random("lost", tierSize)
	e.replace(e.create("root"), one)
	e.replace(e.session("root"), pieces)
	e.replace(e.session("root"), lost)
	e.replace(e.session("root"), nil)
	e.reopen(keepOne())
	digests := []lashstore.Digest{lashstore.DigestOf(one), lashstore.DigestOf(pieces)}
	want := lashstore.UndeleteReport{ExpiresAt: e.Clock.Now().Add(keep)}
	for _, d := range digests {
		info := e.stat(d)
		want.Objects, want.StoredBytes = want.Objects+int64(info.Objects), want.StoredBytes+info.StoredBytes
	}
	report, err := e.collector().Undelete(e.Context(), lashstore.UndeleteOptions{Digests: digests, For: keep})
	e.must(err)
	equal(e, "report", report, want)
	equal(e, "deleted", e.collect(lashstore.CollectOptions{Grace: atOnce()}).Deleted, 1)
	e.deleted(lost)
	e.readable(one)
	e.readable(pieces)

	e.commit(e.session("root"), lashstore.Commit{Checkpoint: &lashstore.Checkpoint{
		Components: map[string]lashstore.Component{"back": lashstore.Unchanged(refOf(pieces))},
	}})
	e.Clock.Advance(keep - time.Millisecond)
	equal(e, "deleted before it is over", e.collect(lashstore.CollectOptions{Grace: atOnce()}).Deleted, 0)
	e.readable(one)
	e.Clock.Advance(time.Millisecond)
	report2 := e.collect(lashstore.CollectOptions{Grace: atOnce()})
	equal(e, "uploads expired", report2.UploadsExpired, 2)
	equal(e, "deleted after it is over", report2.Deleted, 1)
	e.deleted(one)
	e.live(e.session("root"), pieces)
}

// All that waits can be kept at once, when it is not known yet what was lost.
func xUndeleteAll(e *env) {
	e.reopen(keepOne())
	one, pieces := e.random("one", tierSize), e.random("pieces", piecesSize)
	e.replace(e.create("root"), one)
	e.replace(e.session("root"), pieces)
	e.replace(e.session("root"), nil)
	e.reopen(keepOne())
	before := e.status()
	report, err := e.collector().Undelete(e.Context(), lashstore.UndeleteOptions{All: true})
	e.must(err)
	equal(e, "report", report, lashstore.UndeleteReport{
		Objects: before.Condemned, StoredBytes: before.CondemnedBytes, ExpiresAt: e.Clock.Now().Add(lashstore.DefaultUploadTTL),
	})
	equal(e, "condemned", e.status().Condemned, 0)
	equal(e, "deleted", e.collect(lashstore.CollectOptions{Grace: atOnce()}).Deleted, 0)
	e.readable(one)
	e.readable(pieces)
	e.Clock.Advance(lashstore.DefaultUploadTTL)
	equal(e, "deleted after it is over", e.collect(lashstore.CollectOptions{Grace: atOnce()}).Deleted, before.Condemned)
	e.deleted(one, pieces)
}

// What is gone cannot be had back, and then nothing is kept: or a part would be taken
// for the whole.
func xUndeleteGone(e *env) {
	e.reopen(keepOne())
	there, lost := e.random("there", tierSize), e.random("lost", tierSize)
	e.let(keepOne(), "root", lost, there)
	e.collect(lashstore.CollectOptions{Grace: atOnce()})
	e.replace(e.session("root"), nil)
	e.reopen(keepOne())
	for _, missing := range [][]byte{lost, []byte("never stored")} {
		_, err := e.collector().Undelete(e.Context(), lashstore.UndeleteOptions{
			Digests: []lashstore.Digest{lashstore.DigestOf(there), lashstore.DigestOf(missing)},
		})
		e.is(err, lashstore.ErrBlobNotFound)
	}
	e.waiting(there)
	equal(e, "deleted", e.collect(lashstore.CollectOptions{Grace: atOnce()}).Deleted, 1)
	e.deleted(there)
}

func xUndeleteBadInput(e *env) {
	e.create("root")
	content := e.put(e.random("content", tierSize), lashstore.PutBlobOptions{}).Digest
	for name, opts := range map[string]lashstore.UndeleteOptions{
		"nothing":       {},
		"both":          {All: true, Digests: []lashstore.Digest{content}},
		"no digest":     {Digests: []lashstore.Digest{content, {}}},
		"negative time": {All: true, For: -1},
		"too long":      {All: true, For: lashstore.MaxGrace + 1},
	} {
		if _, err := e.collector().Undelete(e.Context(), opts); !isErr(err, lashstore.ErrInvalid) {
			e.Errorf("%s: got %v, want %q", name, err, lashstore.ErrInvalid)
		}
	}
	many := make([]lashstore.Digest, lashstore.MaxListLimit+1)
	for i := range many {
		many[i] = content
	}
	_, err := e.collector().Undelete(e.Context(), lashstore.UndeleteOptions{Digests: many})
	equal(e, "limit", as[*lashstore.LimitError](e, err).Limit, "digests")
	equal(e, "uploads", e.status().Uploads, 1)
}
