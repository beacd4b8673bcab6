package integration_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lashstore/lashstore"
)

// differ compares what was read with what the workload says.
func differ(what string, want, got any) error {
	if reflect.DeepEqual(want, got) {
		return nil // without looking for the difference in megabytes
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.EquateComparable(lashstore.Digest{})); diff != "" {
		return fmt.Errorf("%s differs (-want +got):\n%.4000s", what, diff)
	}
	return nil
}

// checkSession checks that a session holds exactly what its workload says of a
// revision between acked and newest, and returns that revision.
func checkSession(ctx context.Context, h lashstore.Session, load workload, acked, newest lashstore.Revision) (lashstore.Revision, error) {
	head, err := h.Head(ctx)
	if err != nil {
		return 0, fmt.Errorf("read the head: %w", err)
	}
	rev := head.Revision
	if rev < acked || rev > newest {
		return rev, fmt.Errorf("head is at revision %d: %d was acknowledged and %d begun", rev, acked, newest)
	}
	if err := checkKept(ctx, h, rev); err != nil {
		return rev, err
	}
	for r := max(1, int64(rev)-retained+1); r <= int64(rev); r++ {
		if err := checkRevision(ctx, h, load, lashstore.Revision(r), rev); err != nil {
			return rev, fmt.Errorf("revision %d of head %d: %w", r, rev, err)
		}
	}
	if rev == 0 {
		snap, err := h.Load(ctx, lashstore.LoadOptions{})
		if err != nil {
			return 0, err
		}
		if err := differ("empty session", &lashstore.Snapshot{Head: lashstore.Head{SessionID: load.Session}}, snap); err != nil {
			return 0, err
		}
	}
	return rev, errors.Join(checkDescription(ctx, h, load, rev), checkQueue(ctx, h, load, rev), checkAttachments(ctx, h, load, rev))
}

// checkKept checks that the retention kept exactly the newest revisions.
func checkKept(ctx context.Context, h lashstore.Session, head lashstore.Revision) error {
	infos, err := h.Revisions(ctx, lashstore.ListRevisions{})
	if err != nil {
		return fmt.Errorf("list revisions: %w", err)
	}
	var got, want []lashstore.Revision
	for _, info := range infos {
		got = append(got, info.Revision)
	}
	for r := head; r > 0 && len(want) < retained; r-- {
		want = append(want, r)
	}
	return differ("kept revisions", want, got)
}

// checkRevision reads one revision in full.
func checkRevision(ctx context.Context, h lashstore.Session, load workload, rev, head lashstore.Revision) error {
	snap, err := h.Load(ctx, lashstore.LoadOptions{Revision: rev})
	if err != nil {
		return fmt.Errorf("load: %w", err)
	}
	leaf := *load.delta(rev).Leaf
	want := lashstore.Head{
		SessionID: load.Session, Revision: rev, CommittedAt: snap.CommittedAt, Config: load.config(rev - rev%7),
		CurrentFrameID: frameID(rev), LeafNodeID: leaf, NodeCount: int64(len(load.nodes(rev))),
	}
	frames, err := checkFrames(ctx, h, load, rev, snap.Frames)
	errs := []error{
		err,
		differ("head", want, snap.Head),
		differ("graph", lashstore.Graph{Nodes: load.nodes(rev), LeafNodeID: leaf}, snap.Graph),
		differ("frames", frames, frameIDs(snap.Frames)),
		differ("usage", load.totals(head), snap.Usage),
	}
	if snap.Checkpoint == nil {
		return errors.Join(append(errs, errors.New("it has no checkpoint"))...)
	}
	components := make(map[string]lashstore.Component)
	for key, content := range load.components(rev) {
		c := lashstore.Component{
			Ref:   lashstore.BlobRef{Digest: lashstore.DigestOf(content), SizeBytes: int64(len(content))},
			Bytes: content, Hydrated: true, Revision: counterOf(key, rev),
		}
		c.Descriptor = lashstore.ComponentDescriptor(key, &lashstore.Component{})
		components[key] = c
	}
	errs = append(errs, differ("checkpoint", &lashstore.Checkpoint{TurnState: load.turnState(rev), Components: components}, snap.Checkpoint))
	path, err := h.Load(ctx, lashstore.LoadOptions{Revision: rev, Scope: lashstore.ScopeActivePath, HydrateLimit: -1})
	if err != nil {
		return errors.Join(append(errs, fmt.Errorf("load the path: %w", err))...)
	}
	return errors.Join(append(errs, differ("path", load.path(rev), path.Graph.Nodes))...)
}

func frameIDs(frames []lashstore.AgentFrame) []lashstore.FrameID {
	var ids []lashstore.FrameID
	for _, f := range frames {
		ids = append(ids, f.FrameID)
	}
	return ids
}

// checkFrames reads the states of frames and returns the ids that there must be.
func checkFrames(ctx context.Context, h lashstore.Session, load workload, rev lashstore.Revision, frames []lashstore.AgentFrame) (want []lashstore.FrameID, err error) {
	for r := lashstore.Revision(1); r <= rev; r++ {
		if f, ok := load.frame(r); ok {
			want = append(want, f.FrameID)
		}
	}
	for i, f := range frames {
		status := lashstore.FrameSuperseded
		if f.FrameID == frameID(rev) {
			status = lashstore.FrameActive
		}
		err = errors.Join(err, differ("status of frame "+string(f.FrameID), status, f.Status))
		if i == 0 {
			continue // the first has no state
		}
		at := lashstore.Revision(i * frameEvery)
		if f.ExecutionState == nil {
			return want, fmt.Errorf("frame %s has no execution state", f.FrameID)
		}
		content, readErr := readContent(h.OpenContent(ctx, f.ExecutionState.Ref.Digest))
		err = errors.Join(err, readErr)
		if readErr == nil {
			err = errors.Join(err, differ("state of frame "+string(f.FrameID), load.frameState(at), content))
		}
	}
	return want, err
}

// readContent reads an open blob to its end.
func readContent(r lashstore.BlobReader, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(r)
	return content, errors.Join(err, r.Close())
}

// checkDescription checks what lists show.
func checkDescription(ctx context.Context, h lashstore.Session, load workload, rev lashstore.Revision) error {
	meta, err := h.Meta(ctx)
	if err != nil {
		return fmt.Errorf("read metadata: %w", err)
	}
	want := load.meta()
	want.Relation.Kind = lashstore.RelationRoot
	info, err := h.PickerInfo(ctx)
	if err != nil {
		return fmt.Errorf("read picker information: %w", err)
	}
	users := int64(0)
	for _, n := range load.nodes(rev) {
		if msg, err := n.Message(); err == nil && msg.Role == lashstore.RoleUser {
			users++
		}
	}
	return errors.Join(differ("metadata", want, meta), differ("user messages", users, info.UserMessageCount))
}

// checkQueue checks the queue: what the head's revision left, and perhaps the input
// of the next one.
func checkQueue(ctx context.Context, h lashstore.Session, load workload, rev lashstore.Revision) error {
	batches, err := h.ListQueue(ctx, lashstore.ListQueue{})
	if err != nil {
		return fmt.Errorf("list the queue: %w", err)
	}
	want := queue(rev)
	got := sourceKeys(batches)
	if len(got) == len(want)+1 {
		want = append(want, inputKey(rev+1))
	}
	if err := differ("queue", want, got); err != nil {
		return err
	}
	seq := uint64(0)
	for _, b := range batches {
		if b.EnqueueSeq <= seq {
			return fmt.Errorf("batch %s has sequence number %d after %d", b.BatchID, b.EnqueueSeq, seq)
		}
		seq = b.EnqueueSeq
		var payloads []lashstore.Payload
		for _, item := range b.Items {
			payloads = append(payloads, item.Payload)
		}
		if err := differ("payload of "+b.SourceKey, load.batch(b.SourceKey).Payloads, payloads); err != nil {
			return err
		}
	}
	return nil
}

// checkAttachments checks which attachments there are, and their bytes.
func checkAttachments(ctx context.Context, h lashstore.Session, load workload, rev lashstore.Revision) error {
	entries, err := h.ListAttachments(ctx, lashstore.ListAttachments{})
	if err != nil {
		return fmt.Errorf("list attachments: %w", err)
	}
	listed := make(map[lashstore.Digest]lashstore.AttachmentEntry)
	for _, e := range entries {
		listed[e.ID] = e
	}
	// From forgotten to begun; of the next revision's work, any part may be done.
	for r := max(1, int64(rev)-attachmentLife); r <= int64(rev)+1; r++ {
		at := lashstore.Revision(r)
		content, ok := load.attachment(at)
		if !ok {
			continue
		}
		id := lashstore.DigestOf(content)
		e, there := listed[id]
		delete(listed, id)
		must := at > rev+1-attachmentLife && at <= rev
		mustNot := at+attachmentLife <= rev
		if there && mustNot || !there && must {
			return fmt.Errorf("attachment of revision %d is listed: %t", at, there)
		}
		if !there {
			continue
		}
		if committed := !e.CommittedAt.IsZero(); committed != (at <= rev) {
			return fmt.Errorf("attachment of revision %d is committed: %t", at, committed)
		}
		_, reader, err := h.OpenAttachment(ctx, id)
		got, err := readContent(reader, err)
		if err != nil {
			return fmt.Errorf("attachment of revision %d: %w", at, err)
		}
		if !slices.Equal(content, got) {
			return fmt.Errorf("attachment of revision %d has other bytes", at)
		}
	}
	if len(listed) > 0 {
		return fmt.Errorf("%d attachments that there should not be", len(listed))
	}
	return nil
}
