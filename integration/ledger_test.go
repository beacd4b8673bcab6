package integration_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/local"
)

// entry is what was acknowledged of the newest session of an id.
type entry struct {
	epoch       int // of the newest creation that was begun
	created     bool
	incarnation lashstore.Incarnation
	acked       lashstore.Revision // newest commit that was acknowledged, or found to be there
	put         lashstore.Revision // newest acknowledged attachment
	deleting    bool
	deleted     bool
}

// ledger is all that was acknowledged on a directory.
type ledger struct {
	seed    uint64
	entries map[lashstore.SessionID]entry
}

func newLedger(seed uint64) *ledger {
	return &ledger{seed: seed, entries: make(map[lashstore.SessionID]entry)}
}

// note adds a line of a writing process.
func (l *ledger) note(a ack) error {
	e := l.entries[a.Session]
	switch a.Op {
	case ackCreating:
		if a.Epoch != e.epoch {
			e = entry{epoch: a.Epoch}
		}
	case ackCreated:
		if e.created && e.incarnation != a.Incarnation {
			return fmt.Errorf("session %s was incarnation %s and is now %s", a.Session, e.incarnation, a.Incarnation)
		}
		e.created, e.incarnation = true, a.Incarnation
	case ackPut:
		e.put = a.Revision
	case ackCommit:
		if a.Revision != e.acked+1 {
			return fmt.Errorf("session %s: revision %d was acknowledged after %d", a.Session, a.Revision, e.acked)
		}
		e.acked = a.Revision
	case ackDeleting:
		e.deleting = true
	case ackDeleted:
		e.deleted = true
	default:
		return fmt.Errorf("unknown acknowledgement %+v", a)
	}
	l.entries[a.Session] = e
	return nil
}

// unfinished are the sessions whose deletion was begun and not acknowledged.
func (l *ledger) unfinished() []lashstore.SessionID {
	var ids []lashstore.SessionID
	for _, id := range slices.Sorted(maps.Keys(l.entries)) {
		if e := l.entries[id]; e.deleting && !e.deleted {
			ids = append(ids, id)
		}
	}
	return ids
}

func (l *ledger) workload(id lashstore.SessionID) workload {
	return workload{Seed: l.seed, Session: id, Epoch: l.entries[id].epoch}
}

// check opens a directory, after whatever happened to it, and checks that all of
// what was acknowledged is whole and nothing else is half there.
func (l *ledger) check(ctx context.Context, dir string) (err error) {
	before, err := audit(ctx, dir)
	if err != nil {
		return fmt.Errorf("before it is opened: %w", err)
	}
	if len(before.missing) > 0 {
		return fmt.Errorf("before it is opened: %w", errors.Join(before.missing...))
	}
	store, err := local.Open(ctx, dir, local.Options{Retention: lashstore.Retention{Revisions: retained}})
	if err != nil {
		return err
	}
	heads := make(map[lashstore.SessionID]lashstore.Revision)
	var errs []error
	for _, id := range slices.Sorted(maps.Keys(l.entries)) {
		head, there, err := l.checkEntry(ctx, store, id)
		if err != nil {
			errs = append(errs, fmt.Errorf("session %s: %w", id, err))
		}
		if there {
			heads[id] = head
		}
	}
	errs = append(errs, l.checkList(ctx, store, heads), store.Close())
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return l.checkSettled(ctx, dir, heads)
}

// checkEntry checks one session and completes its deletion if that was begun.
func (l *ledger) checkEntry(ctx context.Context, store *local.Store, id lashstore.SessionID) (head lashstore.Revision, there bool, err error) {
	e := l.entries[id]
	h, err := store.OpenSession(ctx, id, lashstore.OpenOptions{})
	switch {
	case err == nil && e.deleted:
		return 0, false, errors.New("its deletion was acknowledged, and it opens")
	case errors.Is(err, lashstore.ErrSessionDeleted) && (e.deleting || e.epoch > 1 && !e.created):
		if err := store.DeleteSession(ctx, id); err != nil {
			return 0, false, fmt.Errorf("complete its deletion: %w", err)
		}
		return 0, false, nil
	case errors.Is(err, lashstore.ErrSessionNotFound) && !e.created && e.epoch == 1:
		return 0, false, nil
	case err != nil:
		return 0, false, err
	}
	if e.created && h.Incarnation() != e.incarnation {
		return 0, true, fmt.Errorf("it is incarnation %s, %s was acknowledged", h.Incarnation(), e.incarnation)
	}
	load, newest := l.workload(id), e.acked+1
	if !e.created {
		newest = 0
	}
	head, err = checkSession(ctx, h, load, e.acked, newest)
	if err != nil {
		return head, true, err
	}
	if content, ok := load.attachment(e.put); ok && e.put == head+1 {
		_, reader, err := h.OpenAttachment(ctx, lashstore.DigestOf(content))
		if _, err := readContent(reader, err); err != nil {
			return head, true, fmt.Errorf("an acknowledged attachment: %w", err)
		}
	}
	e.acked = head // what has been read once must stay
	l.entries[id] = e
	if !e.deleting {
		return head, true, nil
	}
	if err := store.DeleteSession(ctx, id); err != nil {
		return head, true, fmt.Errorf("delete it again: %w", err)
	}
	if _, err := store.OpenSession(ctx, id, lashstore.OpenOptions{}); !errors.Is(err, lashstore.ErrSessionDeleted) {
		return head, true, fmt.Errorf("opened after its deletion: %w", err)
	}
	return head, false, nil
}

// checkList checks that the list shows the sessions that there are, as they are.
func (l *ledger) checkList(ctx context.Context, store *local.Store, heads map[lashstore.SessionID]lashstore.Revision) error {
	page, err := store.ListSessions(ctx, lashstore.ListSessions{Order: lashstore.OrderID, Limit: lashstore.MaxListLimit})
	if err != nil {
		return err
	}
	got := make(map[lashstore.SessionID]lashstore.Revision)
	for _, sum := range page.Sessions {
		got[sum.SessionID] = sum.HeadRevision
	}
	return differ("list of sessions", heads, got)
}

// checkSettled checks what a store leaves behind when it is closed.
func (l *ledger) checkSettled(ctx context.Context, dir string, heads map[lashstore.SessionID]lashstore.Revision) error {
	after, err := audit(ctx, dir)
	if err != nil {
		return fmt.Errorf("after it was closed: %w", err)
	}
	errs := after.missing
	if after.unsettled > 0 {
		errs = append(errs, fmt.Errorf("%d outbox entries are left", after.unsettled))
	}
	for id, digests := range after.surplus {
		// A commit that died between reserving and committing leaves its edges: only
		// the commit itself, made again, or the collector's audit can tell.
		head, there := heads[id]
		allowed := l.workload(id).reserves(head + 1)
		// What content that is cut reserves depends on what it follows: at most a
		// segment and a manifest each.
		parts := 2 * len(allowed)
		for _, d := range digests {
			_, ok := allowed[d]
			if !ok && after.parts[d] && parts > 0 {
				parts--
				ok = true
			}
			if !ok || !there {
				errs = append(errs, fmt.Errorf("session %s at revision %d has a surplus edge to %s", id, head, d))
			}
		}
	}
	return errors.Join(errs...)
}

// reserves are the digests that a revision's commit may reserve.
func (w workload) reserves(rev lashstore.Revision) map[lashstore.Digest]struct{} {
	set := make(map[lashstore.Digest]struct{})
	for _, content := range w.components(rev) {
		set[lashstore.DigestOf(content)] = struct{}{}
	}
	if content, ok := w.attachment(rev); ok {
		set[lashstore.DigestOf(content)] = struct{}{}
	}
	set[lashstore.DigestOf(w.frameState(rev))] = struct{}{}
	return set
}
