package conformance

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing/iotest"
	"time"

	"github.com/lashstore/lashstore"
)

func attachmentScenarios() []scenario {
	return []scenario{
		{name: "S68_Manifest", run: s68Manifest},
		{name: "S69_NeverNoop", run: s69NeverNoop},
		{name: "S70_CutOff", run: s70CutOff},
		{name: "S71_RoundTrip", run: s71RoundTrip},
		{name: "S72_ContentAddress", run: s72ContentAddress},
		{name: "S73_Unknown", run: s73Unknown},
		{name: "S74_Persistence", run: s74Persistence},
		{name: "S75_ReadByAnotherHandle", run: s75ReadByAnotherHandle},
		{name: "S77_InterruptedPut", run: s77InterruptedPut},
		{name: "S78_DedupeAndIdentity", run: s78DedupeAndIdentity},
		{name: "S79_SharedContent", run: s79SharedContent},
		{name: "S80_Pending", run: s80Pending},
		{name: "S81_IntentFailure", run: s81IntentFailure},
		{name: "X_Attachment_Large", run: xAttachmentLarge},
		{name: "X_Attachment_BadInput", run: xAttachmentBadInput},
		{name: "X_Attachment_CommitTimes", run: xAttachmentCommitTimes},
	}
}

func png() lashstore.AttachmentMeta { return lashstore.AttachmentMeta{MediaType: "image/png"} }

// attach puts an attachment.
func (e *env) attach(s lashstore.Session, content []byte, meta lashstore.AttachmentMeta) lashstore.AttachmentRef {
	e.Helper()
	ref, err := s.PutAttachment(e.Context(), newReader(content), meta)
	e.must(err)
	return ref
}

// attachments lists the manifest; uncommitted what no commit referred to by now.
func (e *env) attachments(s lashstore.Session) []lashstore.AttachmentEntry {
	e.Helper()
	list, err := s.ListAttachments(e.Context(), lashstore.ListAttachments{})
	e.must(err)
	return list
}

func (e *env) uncommitted(s lashstore.Session, until time.Time) []lashstore.Digest {
	e.Helper()
	list, err := s.ListAttachments(e.Context(), lashstore.ListAttachments{UncommittedUntil: until})
	e.must(err)
	return attachmentIDs(list)
}

func attachmentIDs(list []lashstore.AttachmentEntry) []lashstore.Digest {
	out := make([]lashstore.Digest, len(list))
	for i := range list {
		out[i] = list[i].ID
	}
	return out
}

// An attachment that nobody records is never collected, or collected while in use
// (I20).
func s68Manifest(e *env) {
	s := e.create("root")
	byCommit := e.attach(s, []byte("runtime-commit"), png()).ID
	e.Clock.Advance(time.Second)
	byHand := e.attach(s, []byte("manual-commit"), png()).ID
	e.Clock.Advance(time.Second)
	orphan := e.attach(s, []byte("orphan"), png()).ID
	put := e.Clock.Now()
	e.Clock.Advance(time.Minute)
	equal(e, "uncommitted, oldest first", e.uncommitted(s, e.Clock.Now()), []lashstore.Digest{byCommit, byHand, orphan})

	e.must(s.CommitAttachments(e.Context(), []lashstore.Digest{byHand}))
	e.commit(s, lashstore.Commit{Attachments: []lashstore.Digest{byCommit}})
	equal(e, "uncommitted after two commits", e.uncommitted(s, e.Clock.Now()), []lashstore.Digest{orphan})
	e.reopen(Settings{})
	s = e.session("root")
	for _, a := range e.attachments(s) {
		want := e.Clock.Now()
		if a.ID == orphan {
			want = time.Time{}
			equal(e, "intent of the orphan", a.IntentAt, put)
		}
		equal(e, "commit time of "+a.ID.String(), a.CommittedAt, want)
	}
	e.must(s.ForgetAttachment(e.Context(), orphan))
	e.must(s.ForgetAttachment(e.Context(), orphan))
	equal(e, "uncommitted after forgetting", len(e.uncommitted(s, e.Clock.Now())), 0)
	equal(e, "all after forgetting", attachmentIDs(e.attachments(s)), []lashstore.Digest{byCommit, byHand})
	_, _, err := s.OpenAttachment(e.Context(), orphan)
	e.is(err, lashstore.ErrAttachmentNotFound)
}

// Section 13, Attachments: the reference has a store whose manifest does nothing;
// the contract has none. What is put is recorded.
func s69NeverNoop(e *env) {
	s := e.create("root")
	e.must(s.CommitAttachments(e.Context(), nil))
	ref := e.attach(s, []byte("x"), png())
	equal(e, "attachments", attachmentIDs(e.attachments(s)), []lashstore.Digest{ref.ID})
}

// A cut-off that is one off sweeps what was just put, or never sweeps.
func s70CutOff(e *env) {
	s := e.create("root")
	id := e.attach(s, []byte("x"), png()).ID
	at := e.Clock.Now()
	equal(e, "before it was put", len(e.uncommitted(s, at.Add(-time.Millisecond))), 0)
	equal(e, "when it was put", e.uncommitted(s, at), []lashstore.Digest{id})
	equal(e, "at the beginning of time", len(e.uncommitted(s, time.UnixMilli(0))), 0)
}

// An image that comes back with other bytes or another size is another image.
func s71RoundTrip(e *env) {
	s := e.create("root")
	content := []byte{1, 2, 3, 4, 5}
	meta := lashstore.AttachmentMeta{MediaType: " Image/PNG ", Width: 7, Height: 11, Label: "pixel"}
	ref := e.attach(s, content, meta)
	meta.MediaType = "image/png"
	want := lashstore.AttachmentRef{ID: lashstore.DigestOf(content), ByteLen: 5, AttachmentMeta: meta}
	equal(e, "reference", ref, want)
	e.reopen(Settings{})
	s = e.session("root")
	got, r, err := s.OpenAttachment(e.Context(), ref.ID)
	equal(e, "content", string(e.read(r, err)), string(content))
	equal(e, "reference when opened", got, want)
	equal(e, "content by its digest", string(e.content(s, ref.ID)), string(content))
}

// Two ids for one content store it twice; one id for two contents loses one (I23).
func s72ContentAddress(e *env) {
	s := e.create("root")
	a, b := e.attach(s, []byte{9, 9, 9}, png()).ID, e.attach(s, []byte{9, 9, 9}, png()).ID
	equal(e, "ids of equal content", a, b)
	if c := e.attach(s, []byte{9, 9, 8}, png()).ID; c == a {
		e.Errorf("other content has the same id %s", c)
	}
}

// An unknown attachment must be said to be unknown, not to be empty.
func s73Unknown(e *env) {
	s := e.create("root")
	id := lashstore.DigestOf([]byte("does-not-exist"))
	_, _, err := s.OpenAttachment(e.Context(), id)
	e.is(err, lashstore.ErrAttachmentNotFound)
	e.is(s.CommitAttachments(e.Context(), []lashstore.Digest{id}), lashstore.ErrUnknownReference)
	e.must(s.ForgetAttachment(e.Context(), id))
}

// Attachments are kept as long as the tier says.
func s74Persistence(e *env) {
	s := e.create("root")
	ref := e.attach(s, []byte("kept"), png())
	if e.store().Tier() != lashstore.TierDurable {
		return
	}
	e.reopen(Settings{})
	_, r, err := e.session("root").OpenAttachment(e.Context(), ref.ID)
	equal(e, "content", string(e.read(r, err)), "kept")
}

// An attachment that only its writer can read is of no use to another worker.
func s75ReadByAnotherHandle(e *env) {
	s := e.create("root")
	ref := e.attach(s, []byte{4, 3, 2, 1}, png())
	got, r, err := e.sessionOf(e.second(Settings{}), "root").OpenAttachment(e.Context(), ref.ID)
	equal(e, "content", string(e.read(r, err)), "\x04\x03\x02\x01")
	equal(e, "reference", got, ref)
}

// What an interrupted put left behind must not block the same content, nor be taken
// for it (W28).
func s77InterruptedPut(e *env) {
	s := e.create("root")
	content := e.random("content", 600<<10)
	broken := errors.New("connection lost")
	for _, n := range []int{0, 10, tierSize, len(content)} {
		_, err := s.PutAttachment(e.Context(), io.MultiReader(bytes.NewReader(content[:n]), iotest.ErrReader(broken)), png())
		e.is(err, broken)
	}
	_, _, err := s.OpenAttachment(e.Context(), lashstore.DigestOf(content))
	e.is(err, lashstore.ErrAttachmentNotFound)
	ref := e.attach(s, content, png())
	_, r, err := s.OpenAttachment(e.Context(), ref.ID)
	if got := e.read(r, err); !bytes.Equal(got, content) {
		e.Error("content after an interrupted put differs")
	}
}

// Putting again must refresh the time, or an age-based sweep takes what was just put
// (W19), and the metadata, which belongs to the newest put.
func s78DedupeAndIdentity(e *env) {
	s := e.create("root")
	first := e.attach(s, []byte("same"), lashstore.AttachmentMeta{MediaType: "image/png", Label: "first"})
	e.Clock.Advance(time.Hour)
	second := e.attach(s, []byte("same"), lashstore.AttachmentMeta{MediaType: "image/gif", Width: 2, Label: "second"})
	equal(e, "id", second.ID, first.ID)
	equal(e, "length", second.ByteLen, 4)
	list := e.attachments(s)
	equal(e, "entries", len(list), 1)
	equal(e, "intent time", list[0].IntentAt, e.Clock.Now())
	equal(e, "label", list[0].Label, "second")
	equal(e, "media type", list[0].MediaType, "image/gif")
	equal(e, "width", list[0].Width, 2)
}

// Section 13, Attachments: one row per holder. Keyed by content alone, the second
// session's commit would mark nothing and the first one's forgetting would take its
// bytes (W19).
func s79SharedContent(e *env) {
	content := e.random("shared", tierSize)
	a, b := e.create("a"), e.create("b")
	id := e.attach(a, content, png()).ID
	equal(e, "id in the other session", e.attach(b, content, png()).ID, id)
	e.must(b.CommitAttachments(e.Context(), []lashstore.Digest{id}))
	equal(e, "uncommitted in a", e.uncommitted(a, e.Clock.Now()), []lashstore.Digest{id})
	equal(e, "uncommitted in b", len(e.uncommitted(b, e.Clock.Now())), 0)
	e.must(a.ForgetAttachment(e.Context(), id))
	e.reopen(Settings{})
	_, r, err := e.session("b").OpenAttachment(e.Context(), id)
	if got := e.read(r, err); !bytes.Equal(got, content) {
		e.Error("content after the other session forgot it differs")
	}
	_, _, err = e.session("a").OpenAttachment(e.Context(), id)
	e.is(err, lashstore.ErrAttachmentNotFound)
}

// What was put is pending until its own id is committed.
func s80Pending(e *env) {
	s := e.create("root")
	id := e.attach(s, []byte("pending"), png()).ID
	equal(e, "pending", e.uncommitted(s, e.Clock.Now()), []lashstore.Digest{id})
	other := []lashstore.Digest{lashstore.DigestOf([]byte("other"))}
	e.is(s.CommitAttachments(e.Context(), other), lashstore.ErrUnknownReference)
	e.refuse(s, e.prepare(s, lashstore.Commit{Attachments: other}), lashstore.ErrUnknownReference)
	equal(e, "pending after committing another", e.uncommitted(s, e.Clock.Now()), []lashstore.Digest{id})
	_, r, err := s.OpenAttachment(e.Context(), id)
	equal(e, "content while pending", string(e.read(r, err)), "pending")
	e.must(s.CommitAttachments(e.Context(), []lashstore.Digest{id}))
	equal(e, "pending after committing it", len(e.uncommitted(s, e.Clock.Now())), 0)
}

// Bytes without a record are garbage that nobody knows of: where the record cannot
// be written, no bytes may be.
func s81IntentFailure(e *env) {
	e.create("root")
	s, err := e.store().OpenSession(e.Context(), "root", lashstore.OpenOptions{ReadOnly: true})
	e.must(err)
	content := e.random("refused", tierSize)
	_, err = s.PutAttachment(e.Context(), newReader(content), png())
	e.is(err, lashstore.ErrReadOnly)
	_, err = e.store().StatBlob(e.Context(), lashstore.DigestOf(content))
	e.is(err, lashstore.ErrBlobNotFound)
}

// Large attachments are streamed, in and out.
func xAttachmentLarge(e *env) {
	s := e.create("root")
	content := e.random("large", 2<<20)
	ref := e.attach(s, content, png())
	equal(e, "length", ref.ByteLen, 2<<20)
	e.commit(s, lashstore.Commit{Attachments: []lashstore.Digest{ref.ID}})
	e.positions(content, func() (lashstore.BlobReader, error) {
		_, r, err := s.OpenAttachment(e.Context(), ref.ID)
		return r, err
	})
	empty := e.attach(s, nil, png())
	equal(e, "an empty attachment", empty.ID, lashstore.DigestOf(nil))
	_, r, err := s.OpenAttachment(e.Context(), empty.ID)
	equal(e, "its content", len(e.read(r, err)), 0)
}

// Metadata ends up in responses and file names.
func xAttachmentBadInput(e *env) {
	s := e.create("root")
	for name, meta := range map[string]lashstore.AttachmentMeta{
		"no type":     {},
		"half a type": {MediaType: "image"},
		"open type":   {MediaType: "image/"},
		"line break":  {MediaType: "image/png\r\nX-Evil: 1"},
		"long type":   {MediaType: "image/" + strings.Repeat("x", 10<<10)},
		"label":       {MediaType: "image/png", Label: "\xff"},
		"long label":  {MediaType: "image/png", Label: strings.Repeat("x", lashstore.MaxDisplayBytes+1)},
	} {
		if _, err := s.PutAttachment(e.Context(), newReader([]byte(name)), meta); !isErr(err, lashstore.ErrInvalid) {
			e.Errorf("%s: got %v, want %q", name, err, lashstore.ErrInvalid)
		}
	}
	equal(e, "attachments", len(e.attachments(s)), 0)
	equal(e, "media type of a JPEG", e.attach(s, []byte("x"), lashstore.AttachmentMeta{MediaType: "image/JPG; q=1"}).MediaType, "image/jpeg")
	_, _, err := s.OpenAttachment(e.Context(), lashstore.Digest{})
	e.oneOf(err, lashstore.ErrAttachmentNotFound, lashstore.ErrInvalid)
	for _, l := range []lashstore.ListAttachments{{Limit: -1}, {Limit: lashstore.MaxListLimit + 1}, {UncommittedUntil: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)}} {
		_, err := s.ListAttachments(e.Context(), l)
		e.is(err, lashstore.ErrInvalid)
	}
}

// The first commit that refers to an attachment is the one that counts.
func xAttachmentCommitTimes(e *env) {
	s := e.create("root")
	id := e.attach(s, []byte("x"), png()).ID
	first := e.Clock.Now()
	e.commit(s, lashstore.Commit{Attachments: []lashstore.Digest{id}})
	e.Clock.Advance(time.Hour)
	e.commit(s, lashstore.Commit{Attachments: []lashstore.Digest{id}})
	e.must(s.CommitAttachments(e.Context(), []lashstore.Digest{id}))
	equal(e, "commit time", e.attachments(s)[0].CommittedAt, first)
	limited, err := s.ListAttachments(e.Context(), lashstore.ListAttachments{Limit: 1})
	e.must(err)
	equal(e, "a page of one", len(limited), 1)

	// Of several ids one unknown marks none.
	other := e.attach(s, []byte("y"), png()).ID
	e.is(s.CommitAttachments(e.Context(), []lashstore.Digest{other, lashstore.DigestOf([]byte("unknown"))}), lashstore.ErrUnknownReference)
	equal(e, "uncommitted", e.uncommitted(s, e.Clock.Now()), []lashstore.Digest{other})
}
