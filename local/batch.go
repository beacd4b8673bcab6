package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
	"github.com/lashstore/lashstore/internal/sabotage"
	"github.com/lashstore/lashstore/metadata"
)

// stageBatch makes a session the holder of content that a transaction will refer to.
type stageBatch struct {
	h     *session
	db    *metadata.SessionDB
	large map[lashstore.Digest]largeContent // to be uploaded if it is nowhere
	refs  map[lashstore.Digest]struct{}     // that uploads may protect
	alone bool                              // share nothing with predecessors

	mu       sync.Mutex // guards what follows while run is running
	fresh    map[lashstore.Digest]*metadata.Content
	reserved []lashstore.Digest // also if run failed
	states   []*stagedState
}

// stagedState is content that was staged for a component.
type stagedState struct {
	key      recentKey
	manifest *cas.Manifest
	bytes    []byte       // the caller's
	old      *recentState // taken from the store's recent states
}

// run fills in fresh: with the large content that the session lacks, which is
// uploaded, and with refs that uploads protect. Refs that are neither held nor
// protected are left out; the transaction refuses them.
func (b *stageBatch) run(ctx context.Context) error {
	if len(b.large)+len(b.refs) == 0 {
		return nil
	}
	held, err := b.db.Holds(ctx, slices.Concat(slices.Collect(maps.Keys(b.large)), slices.Collect(maps.Keys(b.refs))))
	if err != nil {
		return err
	}
	broken, err := b.broken(ctx, held)
	if err != nil {
		return err
	}
	predecessors, err := b.predecessors(ctx, held)
	if err != nil {
		return err
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(parallelContents)
	for d, content := range b.large {
		if held[d] && !broken[d] {
			continue
		}
		before := predecessors[content.key]
		if held[d] { // what it follows may have lost the same objects
			before = metadata.Predecessor{}
		}
		group.Go(func() error {
			if err := b.store(groupCtx, d, content, before); err != nil {
				return fmt.Errorf("store %s: %w", d, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if err := b.adoptRefs(ctx, held, broken); err != nil {
		return err
	}
	for d := range broken {
		if c := b.fresh[d]; c != nil {
			c.Mends = true
		}
	}
	return nil
}

// adoptRefs fills in what uploads protect of the references that the session lacks.
func (b *stageBatch) adoptRefs(ctx context.Context, held, broken map[lashstore.Digest]bool) error {
	for d := range b.refs {
		if held[d] && !broken[d] || b.fresh[d] != nil {
			continue
		}
		c, found, err := b.h.store.adopt(ctx, b.h.holder(), d)
		if err != nil {
			return err
		}
		for _, o := range c.Objects {
			b.reserved = append(b.reserved, o.Digest)
		}
		if found {
			b.fresh[d] = &c
		}
	}
	return nil
}

// predecessors finds what the content to be stored follows.
func (b *stageBatch) predecessors(ctx context.Context, held map[lashstore.Digest]bool) (map[string]metadata.Predecessor, error) {
	if b.alone {
		return nil, nil
	}
	var keys []string
	for d, content := range b.large {
		if !held[d] && !slices.Contains(keys, content.key) {
			keys = append(keys, content.key)
		}
	}
	if len(keys) == 0 {
		return nil, nil
	}
	return b.db.Predecessors(ctx, keys)
}

// store brings one content into the tier, unless the tenant has it.
func (b *stageBatch) store(ctx context.Context, d lashstore.Digest, content largeContent, before metadata.Predecessor) error {
	s := b.h.store
	var reserved []lashstore.Digest
	known, found, err := s.described(ctx, d, s.reserveFor(b.h.holder(), &reserved))
	if errors.Is(err, lashstore.ErrCorruptBlob) {
		// Another session's damage is no reason to refuse content that is at hand.
		s.opts.Logger.Warn("store content anew, since its manifest in the tier is damaged", "digest", d.String(), "error", err)
		err = nil
	}
	if err != nil || found {
		b.note(d, known, found, reserved, nil)
		return err
	}
	src := source{r: bytes.NewReader(content.bytes), descriptor: content.descriptor, digest: d}
	state := &stagedState{key: b.h.recentKey(content.key), bytes: content.bytes}
	if err := b.follow(ctx, before, &src, state, !content.frame); err != nil {
		b.note(d, metadata.Content{}, false, reserved, nil)
		return err
	}
	st, err := s.stage(ctx, b.h.holder(), src)
	if state.manifest = st.manifest; content.frame {
		state = nil // the next commit does not follow it
	}
	b.note(d, st.content, err == nil, append(reserved, st.reserved...), state)
	return err
}

// follow sets what content follows. A predecessor that is damaged is not followed: a
// new state in its place is what mends the session. take says whether to take its bytes
// from memory.
func (b *stageBatch) follow(ctx context.Context, before metadata.Predecessor, src *source, state *stagedState, take bool) error {
	if before.Digest.IsZero() {
		return nil
	}
	s := b.h.store
	p := &cas.Predecessor{}
	if before.Aged != nil {
		p.Aged = func(d lashstore.Digest) bool { return before.Aged[d] }
	}
	if take {
		state.old = s.recent.take(state.key, before.Digest)
	}
	if state.old != nil && !covers(before.Content.Objects, state.old.manifest) {
		state.old = nil // equal content, and other objects since it was mended
	}
	if state.old != nil {
		p.Manifest, p.Content = state.old.manifest, state.old.content
	} else {
		m, _, err := s.manifest(ctx, before.Digest, before.Content)
		if errors.Is(err, lashstore.ErrCorruptBlob) {
			s.opts.Logger.Warn("store a component anew, since its last state is damaged",
				"session_id", string(b.h.key.id), "component", state.key.component, "error", err)
			return nil
		}
		if err != nil {
			return fmt.Errorf("read what it follows: %w", err)
		}
		p.Manifest = m
	}
	src.predecessor, src.held = p, before.Content.Objects
	return nil
}

// note records what became of one content.
func (b *stageBatch) note(d lashstore.Digest, c metadata.Content, ok bool, reserved []lashstore.Digest, state *stagedState) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reserved = append(b.reserved, reserved...)
	if ok {
		b.fresh[d] = &c
	}
	if state != nil {
		b.states = append(b.states, state)
	}
}

// verifier returns what a transaction calls before it ends: it re-reads the
// reservations of the content the transaction refers to. Nil if there are none.
func (h *session) verifier(tier map[lashstore.Digest]*metadata.Content) func(context.Context) error {
	var objects []metadata.Object
	for _, c := range tier {
		objects = append(objects, c.Objects...)
	}
	return func(ctx context.Context) error {
		if len(objects) > 0 && !sabotage.Planted(sabotage.NoReread) {
			if err := h.store.catalog.Verify(ctx, h.holder(), objects); err != nil {
				return err
			}
		}
		h.store.step(StepVerified)
		return nil
	}
}

func (h *session) recentKey(component string) recentKey {
	return recentKey{incarnation: h.key.incarnation, component: component}
}

// remember keeps what a commit stored, for the next one to follow.
func (h *session) remember(states []*stagedState) {
	for _, st := range states {
		h.store.recent.keep(st.key, st.manifest, st.bytes, st.old)
	}
}

// restore gives back what a commit took to follow and did not get past.
func (h *session) restore(states []*stagedState) {
	for _, st := range states {
		if st.old != nil {
			h.store.recent.give(st.old)
			st.old = nil
		}
	}
}
