package integration_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/internal/testenv"
	"github.com/lashstore/lashstore/local"
	"github.com/lashstore/lashstore/metadata"
)

// sample is a directory with a bit of everything, closed, of which damaged copies
// are made.
type sample struct {
	t        *testing.T
	dir      string
	load     workload
	head     lashstore.Revision
	uploaded lashstore.Digest // a blob that no session holds
	artifact lashstore.ArtifactName
	inc      lashstore.Incarnation
	fence    lashstore.Fence
	before   map[string]string // what every read returns
}

// options have a clock that stands still: every read can be repeated exactly.
func (s *sample) options() local.Options {
	return local.Options{Retention: lashstore.Retention{Revisions: retained}, Now: testenv.NewClock().Now}
}

// catalog and session are the paths of the databases below a copy.
func catalogPath(dir string) string {
	return filepath.Join(dir, "tenants", local.DefaultTenant, "catalog.db")
}

func (s *sample) sessionPath(dir string) string {
	return filepath.Join(dir, "tenants", local.DefaultTenant, metadata.SessionPath(s.load.Session, s.inc))
}

func newSample(t *testing.T) *sample {
	t.Helper()
	s := &sample{
		t: t, dir: filepath.Join(t.TempDir(), "sample"), head: 14,
		load:     workload{Seed: testenv.Seed(t), Session: "sample", Epoch: 1},
		artifact: lashstore.ArtifactName{Namespace: "module", Name: "main"},
	}
	ctx := t.Context()
	opts := s.options()
	opts.Rand = testenv.NewSeededRand(s.load.Seed) // damage at a place then means the same in each run
	store, err := local.Open(ctx, s.dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	h := create(t, store, s.load)
	s.inc = h.Incarnation()
	create(t, store, workload{Seed: s.load.Seed, Session: "empty", Epoch: 1})
	if err := runTurns(ctx, h, s.load, "worker", s.head); err != nil {
		t.Fatal(err)
	}
	lease, err := h.ClaimLease(ctx, lashstore.Owner{OwnerID: "worker", IncarnationID: "2"}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	s.fence = lease.Fence()
	req := lashstore.ClaimRequest{Fence: s.fence, Owner: lease.Owner, TTL: time.Hour, MaxBatches: 1}
	_, claimErr := h.ClaimTurnWork(ctx, req)
	_, hideErr := h.Tombstone(ctx, s.fence, []lashstore.NodeID{"r12-b"})
	_, putErr := h.PutArtifact(ctx, s.artifact, lashstore.StandardDescriptor(lashstore.KindModule), bytes.NewReader(s.load.text("artifact", 1, frameSize)))
	_, attachErr := h.PutAttachment(ctx, bytes.NewReader(s.load.text("loose", 1, frameSize)), lashstore.AttachmentMeta{MediaType: "image/png", Label: "loose"})
	ref, blobErr := store.PutBlob(ctx, bytes.NewReader(s.load.text("uploaded", 1, frameSize)), lashstore.PutBlobOptions{})
	s.uploaded = ref.Digest
	if err := errors.Join(claimErr, hideErr, putErr, attachErr, blobErr, store.Close()); err != nil {
		t.Fatal(err)
	}
	s.before = make(map[string]string)
	for _, o := range s.observe(ctx, s.dir) {
		if o.err != nil {
			t.Fatalf("%s of the whole sample: %v", o.call, o.err)
		}
		s.before[o.call] = o.value
	}
	return s
}

// copy makes a copy of the sample to be damaged.
func (s *sample) copy(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "copy")
	if err := copyTree(s.dir, dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// observation is what one read returned.
type observation struct {
	call  string
	value string
	err   error
}

// observer makes reads and notes what they return.
type observer struct {
	all []observation
}

// see notes a call's result as JSON. A panic is noted as an error of no kind.
func (o *observer) see(call string, fn func() (any, error)) {
	note := observation{call: call}
	func() {
		defer func() {
			if p := recover(); p != nil {
				note.err = fmt.Errorf("panic: %v", p)
			}
		}()
		v, err := fn()
		if note.err = err; err == nil {
			raw, err := json.Marshal(v)
			note.value, note.err = string(raw), err
		}
	}()
	o.all = append(o.all, note)
}

func (o *observer) blob(call string, fn func() (lashstore.BlobReader, error)) {
	o.see(call, func() (any, error) {
		r, err := fn()
		content, err := readContent(r, err)
		return lashstore.DigestOf(content), err
	})
}

// observe opens a store and reads everything that can be read.
func (s *sample) observe(ctx context.Context, dir string) []observation {
	o := &observer{}
	var store *local.Store
	o.see("open store", func() (any, error) {
		var err error
		store, err = local.Open(ctx, dir, s.options())
		return nil, err
	})
	if store == nil {
		return o.all
	}
	s.observeStore(ctx, o, store)
	var h lashstore.Session
	o.see("open session", func() (any, error) {
		var err error
		h, err = store.OpenSession(ctx, s.load.Session, lashstore.OpenOptions{})
		return nil, err
	})
	if h != nil {
		s.observeSession(ctx, o, h)
		s.observeContent(ctx, o, h)
	}
	o.see("close", func() (any, error) { return nil, store.Close() })
	return o.all
}

func (s *sample) observeStore(ctx context.Context, o *observer, store *local.Store) {
	for _, order := range []lashstore.SessionOrder{lashstore.OrderID, lashstore.OrderUpdated} {
		o.see("list by "+string(order), func() (any, error) {
			return store.ListSessions(ctx, lashstore.ListSessions{Order: order})
		})
	}
	o.see("open the empty session", func() (any, error) {
		h, err := store.OpenSession(ctx, "empty", lashstore.OpenOptions{})
		if err != nil {
			return nil, err
		}
		return h.Meta(ctx)
	})
	o.see("stat blob", func() (any, error) { return store.StatBlob(ctx, s.uploaded) })
	o.blob("open blob", func() (lashstore.BlobReader, error) { return store.OpenBlob(ctx, s.uploaded) })
}

func (s *sample) observeSession(ctx context.Context, o *observer, h lashstore.Session) {
	o.see("meta", func() (any, error) { return h.Meta(ctx) })
	o.see("picker", func() (any, error) { return h.PickerInfo(ctx) })
	o.see("head", func() (any, error) { return h.Head(ctx) })
	o.see("revisions", func() (any, error) { return h.Revisions(ctx, lashstore.ListRevisions{}) })
	o.see("usage", func() (any, error) { return h.Usage(ctx) })
	o.see("queue", func() (any, error) { return h.ListQueue(ctx, lashstore.ListQueue{}) })
	o.see("lease", func() (any, error) { return h.LeaseStatus(ctx) })
	o.see("load", func() (any, error) { return h.Load(ctx, lashstore.LoadOptions{}) })
	for r := s.head - retained + 1; r <= s.head; r++ {
		for _, scope := range []lashstore.LoadScope{lashstore.ScopeFullGraph, lashstore.ScopeActivePath, lashstore.ScopeNoGraph} {
			o.see(fmt.Sprintf("load %s at %d", scope, r), func() (any, error) {
				return h.Load(ctx, lashstore.LoadOptions{Revision: r, Scope: scope})
			})
		}
	}
	for _, n := range s.load.nodes(s.head) {
		if n.NodeID != "r12-b" {
			o.see("node "+string(n.NodeID), func() (any, error) { return h.Node(ctx, n.NodeID) })
		}
	}
	// Two answers that an error of a kind of its own gives.
	o.see("hidden node", func() (any, error) {
		_, err := h.Node(ctx, "r12-b")
		return expected(err, lashstore.ErrNodeNotFound)
	})
	o.see("trimmed revision", func() (any, error) {
		_, err := h.Load(ctx, lashstore.LoadOptions{Revision: 1})
		return expected(err, lashstore.ErrRevisionNotFound)
	})
}

// expected turns an expected error into a value.
func expected(err, want error) (any, error) {
	if errors.Is(err, want) {
		return want.Error(), nil
	}
	if err == nil {
		return "no error", nil
	}
	return nil, err
}

func (s *sample) observeContent(ctx context.Context, o *observer, h lashstore.Session) {
	o.see("attachments", func() (any, error) { return h.ListAttachments(ctx, lashstore.ListAttachments{}) })
	o.see("artifacts", func() (any, error) { return h.ListArtifacts(ctx, "module") })
	loose := lashstore.DigestOf(s.load.text("loose", 1, frameSize))
	committed, _ := s.load.attachment(s.head - s.head%3)
	for _, id := range []lashstore.Digest{loose, lashstore.DigestOf(committed)} {
		o.see("attachment "+id.String(), func() (any, error) {
			ref, r, err := h.OpenAttachment(ctx, id)
			if err != nil {
				return nil, err
			}
			content, err := readContent(r, nil)
			return []any{ref, lashstore.DigestOf(content)}, err
		})
	}
	o.blob("artifact", func() (lashstore.BlobReader, error) {
		_, r, err := h.OpenArtifact(ctx, s.artifact)
		return r, err
	})
	for key, content := range s.load.components(s.head) {
		o.blob("content "+key, func() (lashstore.BlobReader, error) { return h.OpenContent(ctx, lashstore.DigestOf(content)) })
	}
	o.blob("frame state", func() (lashstore.BlobReader, error) {
		return h.OpenContent(ctx, lashstore.DigestOf(s.load.frameState(10)))
	})
}

// damageErrors are the kinds that may answer for a damaged file. "Not found" is not
// among them: absent and unreadable are different answers.
var damageErrors = []error{
	lashstore.ErrCorruptDatabase, lashstore.ErrCorruptRecord, lashstore.ErrCorruptBlob, lashstore.ErrSchemaVersion,
	lashstore.ErrWrongSession, lashstore.ErrStorage,
}

// judge returns what is wrong with an observation of a damaged copy.
func (s *sample) judge(o observation) error {
	if o.err == nil {
		if want := s.before[o.call]; o.value != want {
			return fmt.Errorf("%s silently returned other data\n got %.200s\nwant %.200s", o.call, around(o.value, want), around(want, o.value))
		}
		return nil
	}
	for _, kind := range damageErrors {
		if errors.Is(o.err, kind) {
			return nil
		}
	}
	return fmt.Errorf("%s: an error that does not say what is damaged: %w", o.call, o.err)
}

// around is the part of a from shortly before where it differs from b.
func around(a, b string) string {
	i := 0
	for i < min(len(a), len(b)) && a[i] == b[i] {
		i++
	}
	return a[max(0, i-80):]
}
