package conformance

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"

	"github.com/lashstore/lashstore"
)

// sessionCall is one method of a session with arguments that a populated session
// has something for.
type sessionCall struct {
	name  string
	write bool
	do    func(ctx context.Context, s lashstore.Session) error
}

// What a populated session holds.
const (
	populatedNode       = lashstore.NodeID("n1")
	populatedComponent  = "component of a populated session"
	populatedAttachment = "attachment of a populated session"
	populatedArtifact   = "artifact of a populated session"
)

func populatedArtifactName() lashstore.ArtifactName {
	return lashstore.ArtifactName{Namespace: "module", Name: "main"}
}

// populated creates a session with a commit, a batch, an attachment and an artifact.
func (e *env) populated(id lashstore.SessionID) lashstore.Session {
	e.Helper()
	s := e.create(id)
	e.commit(s, lashstore.Commit{
		Frames: []lashstore.AgentFrame{frame(lashstore.InitialFrameID(id), "")},
		Graph:  appendNodes(node(populatedNode, "")),
		Checkpoint: checkpoint(1, map[string][]byte{
			lashstore.ComponentToolState: []byte(populatedComponent),
		}),
		Usage: []lashstore.UsageEntry{{Source: "turn", Model: "model-a", Usage: lashstore.TokenUsage{InputTokens: 1}}},
	})
	e.enqueue(s, exclusive("queued"))
	_, err := s.PutAttachment(e.Context(), strings.NewReader(populatedAttachment), lashstore.AttachmentMeta{MediaType: "image/png"})
	e.must(err)
	_, err = s.PutArtifact(e.Context(), populatedArtifactName(), lashstore.Descriptor{}, strings.NewReader(populatedArtifact))
	e.must(err)
	return s
}

func sessionCalls() []sessionCall {
	return append(readCalls(), writeCalls()...)
}

func readCalls() []sessionCall {
	type (
		ctx  = context.Context
		sess = lashstore.Session
	)
	return []sessionCall{
		{"Meta", false, func(c ctx, s sess) error { _, err := s.Meta(c); return err }},
		{"PickerInfo", false, func(c ctx, s sess) error { _, err := s.PickerInfo(c); return err }},
		{"Head", false, func(c ctx, s sess) error { _, err := s.Head(c); return err }},
		{"Load", false, func(c ctx, s sess) error { _, err := s.Load(c, lashstore.LoadOptions{}); return err }},
		{"Node", false, func(c ctx, s sess) error { _, err := s.Node(c, populatedNode); return err }},
		{"Usage", false, func(c ctx, s sess) error { _, err := s.Usage(c); return err }},
		{"OpenContent", false, func(c ctx, s sess) error {
			return closing(s.OpenContent(c, lashstore.DigestOf([]byte(populatedComponent))))
		}},
		{"Revisions", false, func(c ctx, s sess) error { _, err := s.Revisions(c, lashstore.ListRevisions{}); return err }},
		{"LeaseStatus", false, func(c ctx, s sess) error { _, err := s.LeaseStatus(c); return err }},
		{"ListQueue", false, func(c ctx, s sess) error { _, err := s.ListQueue(c, lashstore.ListQueue{}); return err }},
		{"OpenAttachment", false, func(c ctx, s sess) error {
			_, r, err := s.OpenAttachment(c, lashstore.DigestOf([]byte(populatedAttachment)))
			return closing(r, err)
		}},
		{"ListAttachments", false, func(c ctx, s sess) error {
			_, err := s.ListAttachments(c, lashstore.ListAttachments{})
			return err
		}},
		{"OpenArtifact", false, func(c ctx, s sess) error {
			_, r, err := s.OpenArtifact(c, populatedArtifactName())
			return closing(r, err)
		}},
		{"ListArtifacts", false, func(c ctx, s sess) error { _, err := s.ListArtifacts(c, ""); return err }},
	}
}

// writeCalls have valid arguments, but no lease: where a handle may not write, that
// is said before anything else.
func writeCalls() []sessionCall {
	type (
		ctx  = context.Context
		sess = lashstore.Session
	)
	fenceOf := func(s sess) lashstore.Fence {
		return lashstore.Fence{SessionID: s.ID(), Token: lashstore.Token(strings.Repeat("0", 32)), FencingToken: 1}
	}
	requestOf := func(s sess) lashstore.ClaimRequest {
		return lashstore.ClaimRequest{Fence: fenceOf(s), Owner: owner("caller"), TTL: leaseTTL, MaxBatches: 1}
	}
	const batch = lashstore.BatchID("qwb:00000000000000000000000000000000")
	claimOf := func(s sess) lashstore.Claim {
		return lashstore.Claim{
			SessionID: s.ID(), ClaimID: "qwc:1:1", Owner: owner("caller"), Token: fenceOf(s).Token,
			FencingToken: 1, Batches: []lashstore.Batch{{BatchID: batch, SessionID: s.ID(), EnqueueSeq: 1}},
		}
	}
	attachment := lashstore.DigestOf([]byte(populatedAttachment))
	return []sessionCall{
		{"Commit", true, func(c ctx, s sess) error {
			_, err := s.Commit(c, lashstore.Commit{Fence: fenceOf(s), Config: config("provider-a")})
			return err
		}},
		{"Tombstone", true, func(c ctx, s sess) error {
			_, err := s.Tombstone(c, fenceOf(s), []lashstore.NodeID{populatedNode})
			return err
		}},
		{"Vacuum", true, func(c ctx, s sess) error { _, err := s.Vacuum(c, fenceOf(s)); return err }},
		{"SetMeta", true, func(c ctx, s sess) error { return s.SetMeta(c, lashstore.SessionMeta{SessionID: s.ID()}) }},
		{"ClaimLease", true, func(c ctx, s sess) error { _, err := s.ClaimLease(c, owner("caller"), leaseTTL); return err }},
		{"ReclaimLease", true, func(c ctx, s sess) error {
			_, err := s.ReclaimLease(c, owner("caller"), lashstore.LeaseHolder{Owner: owner("other"), FencingToken: 1}, leaseTTL)
			return err
		}},
		{"RenewLease", true, func(c ctx, s sess) error { _, err := s.RenewLease(c, fenceOf(s), leaseTTL); return err }},
		{"ReleaseLease", true, func(c ctx, s sess) error { return s.ReleaseLease(c, fenceOf(s)) }},
		{"Enqueue", true, func(c ctx, s sess) error { _, err := s.Enqueue(c, exclusive("late")); return err }},
		{"ClaimCommand", true, func(c ctx, s sess) error { _, err := s.ClaimCommand(c, requestOf(s)); return err }},
		{"ClaimTurnWork", true, func(c ctx, s sess) error { _, err := s.ClaimTurnWork(c, requestOf(s)); return err }},
		{"ClaimBatches", true, func(c ctx, s sess) error {
			_, err := s.ClaimBatches(c, requestOf(s), []lashstore.BatchID{batch})
			return err
		}},
		{"RenewClaim", true, func(c ctx, s sess) error { _, err := s.RenewClaim(c, claimOf(s), leaseTTL); return err }},
		{"AbandonClaim", true, func(c ctx, s sess) error { return s.AbandonClaim(c, claimOf(s)) }},
		{"CancelBatch", true, func(c ctx, s sess) error { _, err := s.CancelBatch(c, batch); return err }},
		{"PutAttachment", true, func(c ctx, s sess) error {
			_, err := s.PutAttachment(c, strings.NewReader("late"), lashstore.AttachmentMeta{MediaType: "image/png"})
			return err
		}},
		{"CommitAttachments", true, func(c ctx, s sess) error {
			return s.CommitAttachments(c, []lashstore.Digest{attachment})
		}},
		{"ForgetAttachment", true, func(c ctx, s sess) error { return s.ForgetAttachment(c, attachment) }},
		{"PutArtifact", true, func(c ctx, s sess) error {
			_, err := s.PutArtifact(c, populatedArtifactName(), lashstore.Descriptor{}, strings.NewReader("late"))
			return err
		}},
		{"RemoveArtifact", true, func(c ctx, s sess) error { return s.RemoveArtifact(c, populatedArtifactName()) }},
	}
}

// storeCall is one method of a store.
type storeCall struct {
	name  string
	write bool
	do    func(ctx context.Context, st lashstore.Store) error
}

// storeCalls expect that the session "populated" exists and that stored was put.
func storeCalls(stored lashstore.Digest) []storeCall {
	type ctx = context.Context
	return []storeCall{
		{"OpenSession", false, func(c ctx, st lashstore.Store) error {
			_, err := st.OpenSession(c, "populated", lashstore.OpenOptions{})
			return err
		}},
		{"ListSessions", false, func(c ctx, st lashstore.Store) error {
			_, err := st.ListSessions(c, lashstore.ListSessions{})
			return err
		}},
		{"OpenBlob", false, func(c ctx, st lashstore.Store) error { return closing(st.OpenBlob(c, stored)) }},
		{"StatBlob", false, func(c ctx, st lashstore.Store) error { _, err := st.StatBlob(c, stored); return err }},
		{"CreateSession", true, func(c ctx, st lashstore.Store) error {
			_, _, err := st.CreateSession(c, lashstore.CreateSession{Meta: lashstore.SessionMeta{SessionID: "late"}})
			return err
		}},
		{"DeleteSession", true, func(c ctx, st lashstore.Store) error { return st.DeleteSession(c, "populated") }},
		{"PutBlob", true, func(c ctx, st lashstore.Store) error {
			_, err := st.PutBlob(c, bytes.NewReader(compressible(tierSize)), lashstore.PutBlobOptions{})
			return err
		}},
	}
}

// closing closes a reader that was not expected, and returns the error.
func closing(r io.Closer, err error) error {
	if err != nil {
		return err
	}
	return r.Close()
}

func isErr(err, want error) bool { return errors.Is(err, want) }
