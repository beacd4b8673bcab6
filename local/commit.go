package local

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/internal/sabotage"
	"github.com/lashstore/lashstore/metadata"
)

// commitAttempts bounds how often a commit starts again because its reservations
// were released under it. Each time takes a settlement of the same session in
// between, so even a second time is rare.
const commitAttempts = 8

// Commit applies a commit: large content first, then one transaction.
func (h *session) Commit(ctx context.Context, c lashstore.Commit) (res lashstore.CommitResult, err error) {
	err = h.write(ctx, "commit", func(ctx context.Context, db *metadata.SessionDB) error {
		if err := c.Validate(); err != nil {
			return h.errorf("commit", err)
		}
		plan := newCommitPlan(h, &c)
		res, err = plan.run(ctx, db)
		if err != nil {
			return h.errorf("commit", err)
		}
		h.touch()
		h.store.auto.committed()
		return nil
	})
	return res, err
}

// commitPlan is a commit on its way: the same with references in place of bytes,
// and the content that the references name.
type commitPlan struct {
	h      *session
	commit *lashstore.Commit
	hash   lashstore.Digest
	inline map[lashstore.Digest]*metadata.Content
	large  map[lashstore.Digest]largeContent
	refs   map[lashstore.Digest]struct{} // named by reference or as attachments
	// adopt is set once a commit found that the session does not hold a reference: it
	// usually does, so an upload that protects it is looked for only then.
	adopt bool
	// alone is set once a reservation was lost: from then on content is stored without
	// a predecessor, whose objects may be what was lost.
	alone bool
	// states are the contents that were staged, for what the next commit follows.
	states []*stagedState
}

// largeContent is content for the tier whose bytes are at hand.
type largeContent struct {
	key        string // of the component
	frame      bool   // a frame's, which the next commit's component does not follow
	bytes      []byte
	descriptor lashstore.Descriptor
}

// newCommitPlan replaces the bytes in a copy of the commit by references.
func newCommitPlan(h *session, c *lashstore.Commit) *commitPlan {
	p := &commitPlan{
		h:      h,
		inline: make(map[lashstore.Digest]*metadata.Content),
		large:  make(map[lashstore.Digest]largeContent),
		refs:   make(map[lashstore.Digest]struct{}),
	}
	clone := *c
	if c.Checkpoint != nil {
		cp := *c.Checkpoint
		cp.Components = make(map[string]lashstore.Component, len(c.Checkpoint.Components))
		for key, comp := range c.Checkpoint.Components {
			cp.Components[key] = p.reference(key, comp, false)
		}
		clone.Checkpoint = &cp
	}
	clone.Frames = slices.Clone(c.Frames)
	for i := range clone.Frames {
		if st := clone.Frames[i].ExecutionState; st != nil {
			ref := p.reference(lashstore.ComponentExecutionState, *st, true)
			clone.Frames[i].ExecutionState = &ref
		}
	}
	for _, id := range c.Attachments {
		p.refs[id] = struct{}{}
	}
	p.commit = &clone
	if clone.TurnID != "" {
		p.hash = lashstore.CommitHash(h.key.id, &clone)
	}
	return p
}

func (p *commitPlan) reference(key string, comp lashstore.Component, frame bool) lashstore.Component {
	if !comp.IsChange() {
		p.refs[comp.Ref.Digest] = struct{}{}
		comp.Bytes, comp.Hydrated = nil, false
		return comp
	}
	d := lashstore.ComponentDescriptor(key, &comp)
	digest, size := lashstore.DigestOf(comp.Bytes), int64(len(comp.Bytes))
	if size <= p.h.store.opts.Profile.InlineLimit() {
		p.inline[digest] = &metadata.Content{Size: size, Bytes: comp.Bytes}
	} else if _, known := p.large[digest]; !known { // a frame's may be the component's
		p.large[digest] = largeContent{key: key, frame: frame, bytes: comp.Bytes, descriptor: d}
	}
	return lashstore.Component{Ref: lashstore.BlobRef{Digest: digest, SizeBytes: size}, Revision: comp.Revision, Descriptor: d}
}

// run commits, starting again when a reservation was lost meanwhile. What a commit
// reserved that is refused in the end is let go of.
func (p *commitPlan) run(ctx context.Context, db *metadata.SessionDB) (res lashstore.CommitResult, err error) {
	var reserved []lashstore.Digest
	for range commitAttempts {
		var in *metadata.CommitInput
		if in, err = p.prepare(ctx, db, &reserved); err != nil {
			break
		}
		p.h.store.step(StepStaged)
		err = p.h.store.flush(ctx, func() error {
			res, err = db.Commit(ctx, in)
			return err
		})
		if !p.retry(err) {
			break
		}
	}
	if err != nil {
		p.h.discard(ctx, db, reserved)
		p.h.restore(p.states)
		return res, err
	}
	if res.Replayed {
		p.h.discard(ctx, db, reserved)
	}
	p.h.store.step(StepCommitted)
	p.h.remember(p.states)
	return res, nil
}

// surplus returns what was reserved, by earlier attempts too, and is not a part of the
// content that a transaction will hold: manifests whose objects were gone, or what
// was stored before a reservation was lost.
func surplus(reserved []lashstore.Digest, fresh map[lashstore.Digest]*metadata.Content) []lashstore.Digest {
	needed := make(map[lashstore.Digest]bool)
	for _, c := range fresh {
		for _, o := range c.Objects {
			needed[o.Digest] = true
		}
	}
	var rest []lashstore.Digest
	for _, d := range reserved {
		if !needed[d] {
			needed[d] = true // once
			rest = append(rest, d)
		}
	}
	return rest
}

// discard lets a settlement remove the edges of what was reserved and is not held
// after all. If that fails too, an audit removes them: too many edges do no harm.
func (h *session) discard(ctx context.Context, db *metadata.SessionDB, reserved []lashstore.Digest) {
	if len(reserved) == 0 {
		return
	}
	if err := db.Discard(context.WithoutCancel(ctx), reserved); err != nil {
		h.store.opts.Logger.Warn("let go of a refused commit's blobs", "session_id", string(h.key.id), "error", err)
		return
	}
	h.touch()
}

// retry reports whether a commit failed because content that was there when it was
// prepared had been let go of by the time it was applied.
func (p *commitPlan) retry(err error) bool {
	if errors.Is(err, metadata.ErrReservationLost) {
		p.alone = true
		return true
	}
	var unknown *lashstore.UnknownReferenceError
	if !errors.As(err, &unknown) {
		return false
	}
	if _, atHand := p.large[unknown.Digest]; atHand {
		return true
	}
	first := !p.adopt
	p.adopt = true
	return first
}

// prepare brings the content that the session lacks into the tier.
func (p *commitPlan) prepare(ctx context.Context, db *metadata.SessionDB, reserved *[]lashstore.Digest) (*metadata.CommitInput, error) {
	in := &metadata.CommitInput{Commit: p.commit, Hash: p.hash, Fresh: maps.Clone(p.inline)}
	refs := p.refs
	if !p.adopt {
		refs = nil
	}
	p.h.restore(p.states) // of an earlier attempt
	batch := &stageBatch{h: p.h, db: db, large: p.large, refs: refs, alone: p.alone, fresh: make(map[lashstore.Digest]*metadata.Content)}
	err := batch.run(ctx)
	*reserved = append(*reserved, batch.reserved...)
	p.states = batch.states
	if err != nil {
		return nil, err
	}
	maps.Copy(in.Fresh, batch.fresh)
	in.Discard = surplus(*reserved, batch.fresh)
	in.Verify = p.h.verifier(batch.fresh)
	if sabotage.Planted(sabotage.ReleaseFirst) {
		in.ReleaseFirst = func(ctx context.Context, gone []lashstore.Digest) error {
			return p.h.store.catalog.Release(ctx, p.h.holder(), gone)
		}
	}
	return in, nil
}

// Load reads a revision and, within the limit, its components' bytes.
func (h *session) Load(ctx context.Context, opts lashstore.LoadOptions) (snap *lashstore.Snapshot, err error) {
	err = h.read(ctx, "load", func(ctx context.Context, db *metadata.SessionDB) error {
		loaded, tier, err := db.Load(ctx, opts)
		if err != nil {
			return err
		}
		if err := h.hydrate(ctx, loaded, tier, opts.Revision == 0); err != nil {
			return err
		}
		snap = loaded
		return nil
	})
	return snap, err
}

// hydrate reads the bytes of components that are in the tier. Those of the head are
// kept: a commit is likely to follow.
func (h *session) hydrate(ctx context.Context, snap *lashstore.Snapshot, tier map[string]metadata.Content, head bool) error {
	var mu sync.Mutex
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(parallelContents)
	for key, content := range tier {
		group.Go(func() error {
			mu.Lock()
			comp := snap.Checkpoint.Components[key]
			mu.Unlock()
			raw, m, err := h.store.readAll(groupCtx, comp.Ref.Digest, content)
			if err != nil {
				return h.errorf("load component "+key, err)
			}
			if head && m != nil && !h.key.readOnly && !h.store.recent.has(h.recentKey(key), m.Digest) {
				h.store.recent.keep(h.recentKey(key), m, raw, nil)
			}
			comp.Bytes, comp.Hydrated = raw, true
			mu.Lock()
			defer mu.Unlock()
			snap.Checkpoint.Components[key] = comp
			return nil
		})
	}
	return group.Wait()
}

// OpenContent opens content that the session refers to.
func (h *session) OpenContent(ctx context.Context, d lashstore.Digest) (r lashstore.BlobReader, err error) {
	err = h.read(ctx, "open_content", func(ctx context.Context, db *metadata.SessionDB) error {
		if d.IsZero() {
			return lashstore.Invalid("digest", "", "must not be empty")
		}
		c, err := db.Content(ctx, d)
		if err != nil {
			return err
		}
		r, err = h.store.open(ctx, d, c)
		return err
	})
	return r, err
}
