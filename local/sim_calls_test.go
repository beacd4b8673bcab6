package local_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/metadata"
)

// collectTolerance is by how much a collection lets clocks differ (package gc).
const collectTolerance = time.Minute

// simModel is what was acknowledged, and so must be kept.
type simModel struct {
	commits map[lashstore.SessionID]simCommit
	// lost are sessions of which a deletion was begun: what becomes of them is open.
	lost    map[lashstore.SessionID]bool
	fences  map[lashstore.SessionID]lashstore.Fence
	uploads map[lashstore.Digest]time.Time // until when they are protected
}

type simCommit struct {
	incarnation lashstore.Incarnation
	revision    lashstore.Revision
	digest      lashstore.Digest
}

func newSimModel() *simModel {
	return &simModel{
		commits: make(map[lashstore.SessionID]simCommit),
		lost:    make(map[lashstore.SessionID]bool),
		fences:  make(map[lashstore.SessionID]lashstore.Fence),
		uploads: make(map[lashstore.Digest]time.Time),
	}
}

// simOutcomes are errors that a call may end with when others are at work, the tier fails
// or the clock jumps. Damage, or an error nobody knows, is not among them.
var simOutcomes = []error{
	lashstore.ErrCollectionRefused, errInjected, context.Canceled,
	lashstore.ErrHeadMoved, lashstore.ErrFenced, lashstore.ErrSessionDeleted, lashstore.ErrSessionNotFound,
	lashstore.ErrUnknownReference, lashstore.ErrBlobNotFound, lashstore.ErrClosed, metadata.ErrReservationLost,
}

// outcome names how a call ended; empty if it must not end so.
func outcome(err error) string {
	if err == nil {
		return "success"
	}
	for _, known := range simOutcomes {
		if errors.Is(err, known) && !errors.Is(err, lashstore.ErrCorruptRecord) && !errors.Is(err, lashstore.ErrCorruptBlob) {
			return known.Error()
		}
	}
	return ""
}

// simIDs are the sessions; the last has a time to live. simContents are the contents
// that they share: few, so that they meet.
var (
	simIDs      = []lashstore.SessionID{"a", "b", "c"}
	simContents = [][]byte{noise(1, 5000), noise(2, 5000)}
)

// simMeta is how a session is created.
func simMeta(id lashstore.SessionID) lashstore.SessionMeta {
	meta := lashstore.SessionMeta{SessionID: id}
	if id == simIDs[len(simIDs)-1] {
		meta.TTL = simSessionTTL
	}
	return meta
}

// simPlain is content that lies in the session's database: a commit of it lets go of
// what the session holds in the tier.
var simPlain = []byte("plain")

func contentName(content []byte) string {
	d := lashstore.DigestOf(content)
	return fmt.Sprintf("%x", d.Bytes()[:2])
}

// commit begins a commit of content, as bytes or as a reference to an upload.
func (w *simWorld) commit(p *simProcess, id lashstore.SessionID, content []byte, byReference bool) *simCall {
	ref := lashstore.BlobRef{Digest: lashstore.DigestOf(content), SizeBytes: int64(len(content))}
	component, name := lashstore.Changed(content), "commit"
	if byReference {
		component, name = lashstore.Unchanged(ref), "commit reference"
	}
	var (
		res lashstore.CommitResult
		inc lashstore.Incarnation
	)
	return w.start(p, fmt.Sprintf("%s %s to %s", name, contentName(content), id), func(ctx context.Context) error {
		h, err := p.store.OpenSession(ctx, id, lashstore.OpenOptions{})
		if err != nil {
			return err
		}
		inc = h.Incarnation()
		head, err := h.Head(ctx)
		if err != nil {
			return err
		}
		fence, err := w.fence(ctx, h)
		if err != nil {
			return err
		}
		commit := state(head.Revision, fence, nil)
		commit.Checkpoint.Components["state"] = component
		res, err = h.Commit(ctx, commit)
		return err
	}, func(c *simCall) {
		switch {
		case c.err == nil:
			w.tally.count("commits")
			if before := w.model.commits[id]; before.incarnation != inc || before.revision < res.Revision {
				w.model.commits[id] = simCommit{inc, res.Revision, ref.Digest}
			}
		case errors.Is(c.err, lashstore.ErrFenced):
			delete(w.model.fences, id)
		case errors.Is(c.err, metadata.ErrReservationLost):
			w.tally.count("commits that gave up")
		}
	})
}

// fence is the lease that all processes share: the lease is not what is simulated.
func (w *simWorld) fence(ctx context.Context, h lashstore.Session) (lashstore.Fence, error) {
	if f, ok := w.model.fences[h.ID()]; ok {
		return f, nil
	}
	l, err := h.ClaimLease(ctx, lashstore.Owner{OwnerID: "w", IncarnationID: "1"}, simLeaseTTL)
	if err == nil {
		w.model.fences[h.ID()] = l.Fence()
	}
	return l.Fence(), err
}

func (w *simWorld) put(p *simProcess, content []byte) *simCall {
	var until time.Time
	return w.start(p, "put "+contentName(content), func(ctx context.Context) error {
		until = w.wall.Add(simUploadTTL)
		_, err := p.store.PutBlob(ctx, bytes.NewReader(content), lashstore.PutBlobOptions{})
		return err
	}, func(c *simCall) {
		if c.err == nil {
			w.tally.count("uploads")
			d := lashstore.DigestOf(content)
			if w.model.uploads[d].Before(until) {
				w.model.uploads[d] = until
			}
		}
	})
}

func (w *simWorld) settle(p *simProcess) *simCall {
	p.settling = true
	return w.start(p, "settle", func(ctx context.Context) error {
		_, err := p.store.ListSessions(ctx, lashstore.ListSessions{})
		return err
	}, func(*simCall) { p.settling = false })
}

// restart closes the store in an orderly way, and opens it again.
func (w *simWorld) restart(p *simProcess) *simCall {
	p.closing = true
	return w.start(p, "close", func(context.Context) error { return p.store.Close() }, func(c *simCall) {
		if c.err != nil {
			w.fail("close: %w", c.err)
		}
		p.closing = false
		w.open(p)
	})
}

func (w *simWorld) collect(p *simProcess, audit bool, grace time.Duration) *simCall {
	var report lashstore.CollectReport
	name := fmt.Sprintf("collect after %s", grace)
	if audit {
		name = fmt.Sprintf("audit and collect after %s", grace)
	}
	return w.start(p, name, func(ctx context.Context) (err error) {
		report, err = p.store.Collect(ctx, lashstore.CollectOptions{Audit: audit, Grace: &grace, Workers: 1})
		return err
	}, func(c *simCall) { w.judge(c, report) })
}

// judge looks for faults in the report of a collection: nothing in a history may lead to
// one.
func (w *simWorld) judge(c *simCall, report lashstore.CollectReport) {
	w.tally.count("collections " + string(report.Outcome))
	if report.Reason != "" && report.Outcome == lashstore.CollectRefused {
		w.log(report.Reason)
	}
	w.countN("objects doomed", report.Doomed)
	w.countN("objects deleted", report.Deleted)
	w.countN("uploads expired", report.UploadsExpired)
	w.countN("sessions expired", report.SessionsExpired)
	w.countN("deletions completed by a collection", report.SessionsRemoved)
	if m := report.Mark; m != nil {
		w.countN("audit: surplus edges removed", m.SurplusEdges)
		for _, f := range m.Faults {
			w.fail("%s: finding %s: %v %s", c, f.Kind, f.Digest, f.Detail)
		}
	}
	if s := report.Sweep; s != nil {
		w.countN("audit: unknown objects doomed", s.Unknown)
		w.countN("audit: unknown objects kept for being young", s.UnknownYoung)
		w.countN("audit: unreferenced rows condemned", s.Unreferenced)
		for _, f := range s.Damage {
			w.fail("%s: finding %s: %v %s", c, f.Kind, f.Digest, f.Key)
		}
	}
}

func (w *simWorld) countN(event string, n int64) {
	if n > 0 {
		w.tally.count(event)
	}
}

func (w *simWorld) create(p *simProcess, id lashstore.SessionID) *simCall {
	return w.start(p, "create "+string(id), func(ctx context.Context) error {
		_, created, err := p.store.CreateSession(ctx, lashstore.CreateSession{Meta: simMeta(id), Recreate: true})
		if created {
			delete(w.model.fences, id)
			w.tally.count("sessions created")
		}
		return err
	}, func(*simCall) {})
}

func (w *simWorld) remove(p *simProcess, id lashstore.SessionID) *simCall {
	w.model.lost[id] = true
	return w.start(p, "delete "+string(id), func(ctx context.Context) error {
		return p.store.DeleteSession(ctx, id)
	}, func(c *simCall) {
		if c.err == nil {
			w.tally.count("sessions deleted")
		}
	})
}

func (w *simWorld) undelete(p *simProcess, content []byte) *simCall {
	opts := lashstore.UndeleteOptions{All: true, For: simUploadTTL}
	if content != nil {
		opts = lashstore.UndeleteOptions{Digests: []lashstore.Digest{lashstore.DigestOf(content)}, For: simUploadTTL}
	}
	return w.start(p, "undelete", func(ctx context.Context) error {
		report, err := p.store.Undelete(ctx, opts)
		w.countN("undeleted", report.Objects)
		return err
	}, func(*simCall) {})
}

// load reads a session's head back, with its bytes.
func (w *simWorld) load(p *simProcess, id lashstore.SessionID) *simCall {
	return w.start(p, "load "+string(id), func(ctx context.Context) error {
		h, err := p.store.OpenSession(ctx, id, lashstore.OpenOptions{})
		if err == nil {
			_, err = h.Load(ctx, lashstore.LoadOptions{})
		}
		return err
	}, func(*simCall) {})
}
