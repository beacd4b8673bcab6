package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/lashstore/lashstore"
)

// readBack checks all revisions against what the workers reported and against
// what the agent computes.
func (d *demo) readBack(ctx context.Context) error {
	if err := d.say("4. Read everything back and compare digests."); err != nil {
		return err
	}
	return d.withStore(ctx, func(store lashstore.Store) (err error) {
		s, err := store.OpenSession(ctx, d.session, lashstore.OpenOptions{})
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, s.Close()) }()
		if err := d.checkCounts(ctx, s); err != nil {
			return err
		}
		contents := make(map[lashstore.Digest]int64)
		var state []byte
		for i, t := range d.doc.Turns {
			if t.Turn != i+1 || t.Revision != lashstore.Revision(i+1) {
				return fmt.Errorf("commit %d is turn %d, revision %d", i+1, t.Turn, t.Revision)
			}
			state = demoState(state, t.Turn)
			components, err := checkTurn(ctx, s, t, lashstore.DigestOf(state))
			if err != nil {
				return err
			}
			for _, c := range components {
				d.doc.Storage.LogicalBytes += c.Ref.SizeBytes
				contents[c.Ref.Digest] = c.Ref.SizeBytes
			}
		}
		for _, size := range contents {
			d.doc.Storage.DistinctBytes += size
		}
		d.doc.Verified = true
		return nil
	})
}

// checkTurn compares the state of a turn's revision, its recorded digest and what
// the worker reported with what it should be.
func checkTurn(ctx context.Context, s lashstore.Session, t demoTurn, want lashstore.Digest) (map[string]lashstore.Component, error) {
	snap, err := s.Load(ctx, lashstore.LoadOptions{Revision: t.Revision, Scope: lashstore.ScopeNoGraph})
	if err != nil {
		return nil, err
	}
	if snap.Checkpoint == nil {
		return nil, fmt.Errorf("revision %d has no checkpoint", t.Revision)
	}
	stored := snap.Checkpoint.Components[lashstore.ComponentExecutionState]
	for _, got := range []lashstore.Digest{stored.Ref.Digest, lashstore.DigestOf(stored.Bytes), t.StateDigest} {
		if got != want {
			return nil, fmt.Errorf("the state of turn %d is %s, expected %s", t.Turn, got, want)
		}
	}
	return snap.Checkpoint.Components, nil
}

// checkCounts checks that nothing ran twice and nothing was left out.
func (d *demo) checkCounts(ctx context.Context, s lashstore.Session) error {
	head, err := s.Head(ctx)
	if err != nil {
		return err
	}
	queue, err := countQueue(ctx, s)
	if err != nil {
		return err
	}
	picker, err := s.PickerInfo(ctx)
	if err != nil {
		return err
	}
	d.doc.Nodes, d.doc.QueueLeft = head.NodeCount, queue.Batches
	const nodesPerTurn = 2
	if len(d.doc.Turns) != demoTurns || head.Revision != demoTurns || head.NodeCount != nodesPerTurn*demoTurns ||
		picker.UserMessageCount != demoTurns || queue.Batches != 0 {
		return fmt.Errorf("%d acknowledged, %d revisions, %d nodes, %d inputs, %d still queued",
			len(d.doc.Turns), head.Revision, head.NodeCount, picker.UserMessageCount, queue.Batches)
	}
	return nil
}

func (d *demo) show(w *tableWriter) {
	w.line("")
	w.row("TURN", "REVISION", "WORKER", "STATE", "DIGEST")
	for _, t := range d.doc.Turns {
		w.row(t.Turn, t.Revision, t.Worker, size(t.StateBytes), t.StateDigest)
	}
	st := d.doc.Storage
	share := func(what string, n int64) { w.row(what, size(n), percent(n, st.LogicalBytes)) }
	w.line("")
	share("checkpoints of all revisions", st.LogicalBytes)
	share("saved: contents stored before", st.SavedByEqual)
	share("saved: equal chunks, deltas, compression", st.SavedByStorage)
	share("stored, databases included", st.DiskBytes)
	w.line("")
	w.row(fmt.Sprintf("Five turns, five commits, %d nodes, nothing queued: nothing was lost and nothing ran twice (%d ms).",
		d.doc.Nodes, d.doc.ElapsedTime))
	if d.doc.Kept {
		bucket := ""
		if d.doc.Bucket != "" {
			bucket = fmt.Sprintf(" --bucket '%s'", d.doc.Bucket)
		}
		w.row(fmt.Sprintf("Look at it: lashstore --dir %s%s session show %s", d.doc.Dir, bucket, d.session))
	}
}
