package metadata

import (
	"context"
	"database/sql/driver"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lashstore/lashstore"
)

var update = flag.Bool("update", false, "rewrite golden files")

// exercise makes every kind of call once, so that all statements get prepared.
func (b *bundle) exercise(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	b.db.opts.Retention = lashstore.Retention{Revisions: 1, MaxAge: time.Hour}
	owner := lashstore.Owner{OwnerID: "w", IncarnationID: "1"}
	f := b.lease(t)
	_, err := b.db.RenewLease(ctx, f, time.Hour)
	must(t, err)
	draft := lashstore.BatchDraft{SourceKey: "k", Payloads: []lashstore.Payload{{Type: lashstore.PayloadTurnInput, Body: []byte(`{}`)}}}
	_, err = b.db.Enqueue(ctx, draft)
	must(t, err)
	req := lashstore.ClaimRequest{Fence: f, Owner: owner, TTL: time.Minute, MaxBatches: 1}
	claimed, err := b.db.ClaimTurnWork(ctx, req)
	must(t, err)
	_, err = b.db.RenewClaim(ctx, *claimed.Claim, time.Minute)
	must(t, err)
	must(t, b.db.AbandonClaim(ctx, *claimed.Claim))
	claimed, err = b.db.ClaimTurnWork(ctx, req)
	must(t, err)
	must(t, b.db.RecordAttachment(ctx, lashstore.AttachmentRef{ID: digestOf("att"), ByteLen: 3}, &Content{Size: 3, Bytes: []byte("att")}))
	must(t, b.db.SetMeta(ctx, lashstore.SessionMeta{SessionID: testSession, TTL: time.Hour}))
	for i := range lashstore.Revision(3) {
		objects := b.stored(t, fmt.Sprint("object", i))
		d := digestOf(fmt.Sprint("content", i))
		node, err := lashstore.NewMessageNode(lashstore.NodeID(fmt.Sprint("n", i)), lashstore.Message{Role: lashstore.RoleUser})
		must(t, err)
		c := &lashstore.Commit{
			ExpectedRevision: i, Fence: f, TurnID: lashstore.TurnID(fmt.Sprint("t", i)), Config: testConfig(),
			Frames:     []lashstore.AgentFrame{{FrameID: lashstore.FrameID(fmt.Sprint("f", i)), ExecutionState: &lashstore.Component{Ref: lashstore.BlobRef{Digest: d}}}},
			Graph:      lashstore.GraphDelta{Mode: lashstore.GraphAppend, Nodes: []lashstore.Node{node}, Leaf: &node.NodeID},
			Checkpoint: &lashstore.Checkpoint{Components: map[string]lashstore.Component{"state": {Ref: lashstore.BlobRef{Digest: d}}}},
			Usage:      []lashstore.UsageEntry{{Source: "s", Model: "m", Usage: lashstore.TokenUsage{InputTokens: 1}}},
			Enqueue:    []lashstore.BatchDraft{{Payloads: draft.Payloads}},
		}
		if i == 0 {
			c.Completions, c.Attachments = []lashstore.ClaimCompletion{claimed.Claim.Completion()}, []lashstore.Digest{digestOf("att")}
		}
		if i == 2 {
			c.Graph.Mode, c.CurrentFrameID = lashstore.GraphReplace, "f0"
		}
		in := &CommitInput{
			Commit: c, Hash: lashstore.CommitHash(testSession, c),
			Fresh: map[lashstore.Digest]*Content{d: {Size: 1, Manifest: []byte("m"), Objects: objects}},
			Verify: func(ctx context.Context) error {
				return b.catalog.Verify(ctx, SessionHolder(testSession, b.inc), objects)
			},
		}
		_, err = b.db.Commit(ctx, in)
		must(t, err)
		replay, err := b.db.Commit(ctx, in)
		must(t, err)
		if !replay.Replayed {
			t.Error("not a replay")
		}
	}
	b.settle(t)
	b.exerciseReads(t, f)
	b.exerciseCatalog(t)
}

func (b *bundle) exerciseReads(t *testing.T, f lashstore.Fence) {
	t.Helper()
	ctx := t.Context()
	for _, scope := range []lashstore.LoadScope{lashstore.ScopeFullGraph, lashstore.ScopeActivePath} {
		_, _, err := b.db.Load(ctx, lashstore.LoadOptions{Scope: scope})
		must(t, err)
	}
	_, _, err := b.db.Load(ctx, lashstore.LoadOptions{Revision: 1})
	if !errors.Is(err, lashstore.ErrRevisionNotFound) {
		t.Errorf("a trimmed revision: %v", err)
	}
	_, _, err = b.db.Load(ctx, lashstore.LoadOptions{Scope: lashstore.ScopeActivePath, Leaf: "none"})
	if !errors.Is(err, lashstore.ErrNodeNotFound) {
		t.Errorf("an unknown leaf: %v", err)
	}
	_, err = b.db.Revisions(ctx, lashstore.ListRevisions{})
	must(t, err)
	_, err = b.db.Node(ctx, "n2")
	must(t, err)
	_, err = b.db.Content(ctx, digestOf("content2"))
	must(t, err)
	_, err = b.db.Holds(ctx, []lashstore.Digest{digestOf("content2")})
	must(t, err)
	_, err = b.db.Predecessors(ctx, []string{"k"})
	must(t, err)
	_, err = b.db.ListQueue(ctx, lashstore.ListQueue{})
	must(t, err)
	_, err = b.db.ListAttachments(ctx, lashstore.ListAttachments{})
	must(t, err)
	_, err = b.db.ListAttachments(ctx, lashstore.ListAttachments{UncommittedUntil: b.clock.Now()})
	must(t, err)
	name := lashstore.ArtifactName{Namespace: "n", Name: "a"}
	_, err = b.db.PutArtifact(ctx, lashstore.ArtifactInfo{ArtifactName: name, Ref: lashstore.BlobRef{Digest: digestOf("x"), SizeBytes: 1}}, &Content{Size: 1, Bytes: []byte("x")}, nil)
	must(t, err)
	_, err = b.db.ListArtifacts(ctx, "n")
	must(t, err)
	must(t, b.db.RemoveArtifact(ctx, name))
	_, err = b.db.Tombstone(ctx, f, []lashstore.NodeID{"n2"})
	must(t, err)
	_, err = b.db.Vacuum(ctx, f)
	must(t, err)
	must(t, b.db.ForgetAttachment(ctx, digestOf("att")))
	must(t, b.db.ReleaseLease(ctx, f))
	_, err = b.db.MarkExpired(ctx, b.clock.Now().Add(time.Hour)) // work is queued
	must(t, err)
}

func (b *bundle) exerciseCatalog(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	h, err := NewUploadHolder(b.opts.Rand, b.clock.Now().Add(time.Hour))
	must(t, err)
	_, err = b.catalog.Reserve(ctx, h, []lashstore.Digest{digestOf("u")})
	must(t, err)
	must(t, b.catalog.FinishUpload(ctx, h, Upload{Digest: digestOf("u"), Size: 1, Manifest: []byte("m"), ExpiresAt: b.clock.Now().Add(time.Hour)}))
	_, _, err = b.catalog.Upload(ctx, digestOf("u"))
	must(t, err)
	_, err = b.catalog.Describing(ctx, digestOf("u"))
	must(t, err)
	for _, list := range []lashstore.ListSessions{
		{}, {Order: lashstore.OrderID}, {Parent: "p"}, {Order: lashstore.OrderID, Parent: "p"},
	} {
		_, err = b.catalog.ListSessions(ctx, list)
		must(t, err)
	}
	_, err = b.catalog.ExpiredSessions(ctx, b.clock.Now(), "", 0)
	must(t, err)
	sum, _, err := b.db.Summary(ctx)
	must(t, err)
	must(t, b.catalog.Refresh(ctx, []lashstore.SessionSummary{sum}))
	must(t, b.catalog.Release(ctx, h, []lashstore.Digest{digestOf("u")}))
	must(t, b.catalog.ReleaseAll(ctx, h))
	b.exerciseCollection(t)
}

// exerciseCollection makes the calls of a collector.
func (b *bundle) exerciseCollection(t *testing.T) {
	t.Helper()
	ctx, k, h, now := t.Context(), b.catalog, SessionHolder(testSession, b.inc), b.clock.Now()
	b.upload(t, 0, "expired")
	_, err := k.ExpiredUploads(ctx, now)
	must(t, err)
	_, _, err = k.ReleaseExpired(ctx, now)
	must(t, err)
	b.upload(t, time.Hour, "kept")
	b.condemned(t, "kept", "condemned")
	keep, err := NewUploadHolder(b.opts.Rand, now)
	must(t, err)
	_, _, err = k.Keep(ctx, keep, everything(), lashstore.Digest{})
	must(t, err)
	must(t, k.ReleaseAll(ctx, keep))
	_, err = k.Due(ctx, everything(), now)
	must(t, err)
	doomed, _, err := k.Doom(ctx, everything(), now)
	must(t, err)
	_, err = k.Doomed(ctx, everything(), Object{}, 10)
	must(t, err)
	_, err = k.DoomUnknown(ctx, doomed)
	must(t, err)
	must(t, k.Deleted(ctx, doomed))
	_, err = k.Rows(ctx, everything(), lashstore.Digest{}, nil, 10)
	must(t, err)
	_, err = k.Condemn(ctx, []lashstore.Digest{digestOf("object2")})
	must(t, err)
	held, err := b.db.Held(ctx, lashstore.Digest{}, 10)
	must(t, err)
	must(t, b.db.CheckRoots(ctx))
	must(t, k.Release(ctx, h, []lashstore.Digest{held.Objects[0].Digest}))
	b.stored(t, "too many")
	_, err = k.Compare(ctx, h, held)
	must(t, err)
	must(t, b.db.Reconcile(ctx, lashstore.Digest{}, 10, func(ctx context.Context, held Holding) error {
		_, err := k.Reconcile(ctx, h, held)
		return err
	}))
	o := held.Objects[0]
	other := Object{Digest: o.Digest, Generation: o.Generation + 1}
	_, err = k.Regenerate(ctx, o, true, other)
	must(t, err)
	_, err = b.db.Rebase(ctx, o, other, func(context.Context) error { return nil })
	must(t, err)
	must(t, k.Learn(ctx, []Doomed{{Object: other, StoredBytes: 1}}))
	must(t, k.Want(ctx, []Doomed{{Object: other}}))
	_, _, err = k.Holders(ctx, o.Digest, 10)
	must(t, err)
	_, err = k.Counts(ctx)
	must(t, err)
	b.exerciseSessionsOfCollection(t)
}

func (b *bundle) exerciseSessionsOfCollection(t *testing.T) {
	t.Helper()
	ctx, k := t.Context(), b.catalog
	_, _, err := k.DeadHolders(ctx, 0, 10)
	must(t, err)
	_, err = k.SessionsAfter(ctx, "", 10)
	must(t, err)
	_, err = k.Deleting(ctx, "", 10)
	must(t, err)
	_, err = k.CountSessions(ctx)
	must(t, err)
	must(t, k.Strays(ctx, func(path string, _ bool) error {
		t.Errorf("%s is taken for a stray", path)
		return nil
	}))
	_, err = k.Readmit(ctx, Identity{Meta: lashstore.SessionMeta{SessionID: "stray"}, Incarnation: "0123456789abcdef"})
	must(t, err)
	lease, err := k.ClaimShard(ctx, 0, "worker", time.Minute)
	must(t, err)
	must(t, k.RenewShard(ctx, &lease, time.Minute))
	must(t, k.ReleaseShard(ctx, lease, ""))
	_, err = k.Shards(ctx)
	must(t, err)
	must(t, k.distrust(ctx, "to see"))
	_, err = k.Collection(ctx)
	must(t, err)
}

// How every statement finds its rows is a golden file, so that a scan of a whole
// table shows up in review.
func TestQueryPlans(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exercise(t)
	got := "session\n" + plans(t, b.db.db) + "\ncatalog\n" + plans(t, b.catalog.db)
	const golden = "testdata/plans.golden"
	if *update {
		must(t, os.MkdirAll("testdata", 0o755))
		must(t, os.WriteFile(golden, []byte(got), 0o644))
	}
	want, err := os.ReadFile(golden)
	must(t, err)
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("query plans changed (run with -update to accept):\n%s", diff)
	}
}

// plan explains one statement.
func plan(t *testing.T, c *conn, query string) string {
	t.Helper()
	args := make([]driver.NamedValue, strings.Count(query, "?"))
	for i := range args {
		args[i].Ordinal = i + 1
	}
	rows, err := c.sql.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+query, args)
	must(t, err)
	defer func() { must(t, rows.Close()) }()
	var lines strings.Builder
	for row := make([]driver.Value, 4); rows.Next(row) == nil; {
		fmt.Fprintf(&lines, "    %s\n", row[3])
	}
	return lines.String()
}

// plans explains all statements that a database's connections have prepared.
func plans(t *testing.T, d *database) string {
	t.Helper()
	statements := make(map[string]string)
	explain := func(c *conn) {
		for q := range c.prepared {
			word, _, _ := strings.Cut(q, " ")
			if !slices.Contains([]string{"SELECT", "INSERT", "UPDATE", "DELETE"}, word) {
				continue
			}
			statements["  "+strings.Join(strings.Fields(q), " ")+"\n"] = plan(t, c, q)
		}
	}
	w := <-d.writer
	defer func() { d.writer <- w }()
	explain(w)
	for range len(d.readers) {
		r := <-d.readers
		defer func() { d.readers <- r }()
		explain(r)
	}
	var out strings.Builder
	for _, q := range slices.Sorted(maps.Keys(statements)) {
		out.WriteString(q + statements[q])
	}
	return out.String()
}
