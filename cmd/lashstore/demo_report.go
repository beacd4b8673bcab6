package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

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

// measure compares what was stored with what the files take.
func (d *demo) measure(before int64) error {
	after, err := diskBytes(d.dir)
	if err != nil {
		return err
	}
	st := &d.doc.Storage
	st.DiskBytes = after - before
	st.SavedByDedup = st.LogicalBytes - st.DistinctBytes
	st.SavedByCodec = st.DistinctBytes - st.DiskBytes
	return nil
}

// diskBytes adds up the files below a directory, which need not exist.
func diskBytes(dir string) (int64, error) {
	var total int64
	err := filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			total += info.Size()
		}
		return err
	})
	if errors.Is(err, os.ErrNotExist) {
		return total, nil // there was none yet, or a file went away meanwhile
	}
	return total, err
}

func (d *demo) show(w *tableWriter) {
	w.line("")
	w.row("TURN", "REVISION", "WORKER", "STATE", "DIGEST")
	for _, t := range d.doc.Turns {
		w.row(t.Turn, t.Revision, t.Worker, size(t.StateBytes), t.StateDigest)
	}
	st := d.doc.Storage
	percent := func(n int64) string {
		const whole = 100
		return fmt.Sprintf("%d %%", n*whole/max(st.LogicalBytes, 1))
	}
	w.line("")
	w.row("checkpoints of all revisions", size(st.LogicalBytes), percent(st.LogicalBytes))
	w.row("saved by deduplication", size(st.SavedByDedup), percent(st.SavedByDedup))
	w.row("saved by compression", size(st.SavedByCodec), percent(st.SavedByCodec))
	w.row("on disk, databases included", size(st.DiskBytes), percent(st.DiskBytes))
	w.line("")
	w.row(fmt.Sprintf("Five turns, five commits, %d nodes, nothing queued: nothing was lost and nothing ran twice (%d ms).",
		d.doc.Nodes, d.doc.ElapsedTime))
	if d.doc.Kept {
		w.row(fmt.Sprintf("Look at it: lashstore --dir %s session show %s", d.dir, d.session))
	}
}
