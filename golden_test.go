package lashstore_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lashstore/lashstore"
)

var update = flag.Bool("update", false, "write the golden files")

// golden compares with a file in testdata; with -update it writes the file.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("%s (-want +got; -update writes it):\n%s", path, d)
	}
}

// records has each main record with every field set, by the name of its file.
func records() map[string]any {
	at := time.Date(2026, 3, 1, 12, 0, 0, 7_000_000, time.UTC)
	ref := lashstore.BlobRef{Digest: lashstore.DigestOf([]byte("content")), SizeBytes: 7}
	cwd, session, turns := "/work", lashstore.SessionID("s"), uint64(9)
	owner := lashstore.Owner{OwnerID: "w", IncarnationID: "w:1", ExecutorID: "2", Liveness: lashstore.Liveness{
		Kind: lashstore.LivenessLocalProcess, HostID: "h", BootID: "b", PIDNamespace: "n", PID: 10, ProcessStart: 11,
	}}
	holder := lashstore.LeaseHolder{Owner: owner, FencingToken: 3, ClaimedAt: at, ExpiresAt: at.Add(time.Minute)}
	usage := lashstore.TokenUsage{InputTokens: 1, OutputTokens: 2, CachedInputTokens: 3, ReasoningTokens: 4}
	model := lashstore.ModelSpec{ID: "m", Variant: "v", Limits: lashstore.ModelLimits{ContextWindowTokens: 5, OutputTokenCapacity: 6}}
	picker := lashstore.SessionPickerInfo{
		SessionID: "s", Cwd: &cwd, FirstUserMessage: "hello", UserMessageCount: 2,
		Relation: lashstore.SessionRelation{Kind: lashstore.RelationChild, ParentSessionID: "p", CausedBy: causes()[2]},
	}
	frame := lashstore.AgentFrame{
		FrameID: "f2", SessionID: "s", PreviousFrameID: "f1", Status: lashstore.FrameActive, Reason: "plan_mode", CausedBy: causes()[0], CreatedAt: at,
		Assignment: lashstore.FrameAssignment{
			Policy:        lashstore.SessionPolicy{Model: model, ProviderID: "p", SessionID: &session, Autonomous: true, MaxTurns: &turns, Prompt: json.RawMessage(`"x"`)},
			PluginOptions: json.RawMessage(`{"plugins":{}}`), PluginSource: lashstore.PluginsHostFresh, ToolAccess: json.RawMessage(`{"tools":["a"]}`),
			Subagent: &lashstore.Subagent{ParentSessionID: "p", Capability: "c", Depth: 1, MaxDepth: 2}, UsageSource: "subagent",
		},
		ProtocolTurnOptions: json.RawMessage(`{}`),
		ExecutionState:      &lashstore.Component{Ref: ref},
	}
	node := lashstore.Node{
		NodeID: "n2", ParentNodeID: "n1", CausedBy: causes()[4], AgentFrameID: "f2", Timestamp: at, Kind: lashstore.NodePlugin,
		Payload: json.RawMessage(`{"plugin_type":"t","body":{"id":1}}`),
	}
	checkpoint := &lashstore.Checkpoint{
		TurnState: lashstore.TurnState{
			TurnIndex: 4, TokenUsage: usage, ProtocolTurnOptions: json.RawMessage(`{"mode":"fast"}`),
			LastPromptUsage: &lashstore.PromptUsage{PromptContextTokens: 1, InputTokens: 2, CachedInputTokens: 3, ContextBudgetTokens: 4},
		},
		Components: map[string]lashstore.Component{
			"empty":     {Ref: lashstore.BlobRef{Digest: lashstore.DigestOf(nil)}, Bytes: []byte{}, Hydrated: true},
			"reference": {Ref: ref, Revision: 12, Descriptor: lashstore.StandardDescriptor(lashstore.KindToolState)},
			"hydrated":  {Ref: ref, Bytes: []byte("content"), Hydrated: true},
		},
	}
	head := lashstore.Head{
		SessionID: "s", Revision: 7, CommittedAt: at, Config: lashstore.SessionConfig{ProviderID: "p", Model: model},
		CurrentFrameID: "f2", LeafNodeID: "n2", NodeCount: 2,
	}
	batch := lashstore.Batch{
		BatchID: "qwb:00", SessionID: "s", EnqueueSeq: 5, SourceKey: "k", Class: lashstore.WorkTurn, DeliveryPolicy: lashstore.DeliverEarliest,
		SlotPolicy: lashstore.SlotJoin, MergeKey: lashstore.MergeGroup("g"), AvailableAt: at, EnqueuedAt: at,
		Items: []lashstore.Item{{ItemID: "qwb:00:item:0", Payload: lashstore.Payload{Type: lashstore.PayloadTurnInput, Body: json.RawMessage(`{"input":{}}`)}}},
		Claim: &lashstore.BatchClaim{ClaimID: "qwc:5:1", Owner: owner, FencingToken: 1, ExpiresAt: at},
	}
	attachment := lashstore.AttachmentRef{
		ID: ref.Digest, ByteLen: 7, AttachmentMeta: lashstore.AttachmentMeta{MediaType: "image/png", Width: 7, Height: 11, Label: "pixel"},
	}
	return map[string]any{
		"session_meta": &lashstore.SessionMeta{SessionID: "s", SessionName: "name", CreatedAt: at, Model: "m", Cwd: &cwd, Relation: picker.Relation, TTL: 36 * time.Hour},
		"session_summary": &lashstore.SessionSummary{
			SessionPickerInfo: picker, SessionName: "name", Model: "m", Incarnation: "00", CreatedAt: at, UpdatedAt: at,
			ExpiresAt: at.Add(36 * time.Hour), HeadRevision: 7, NodeCount: 2,
		},
		"head":               &head,
		"frame":              &frame,
		"node":               &node,
		"checkpoint":         checkpoint,
		"snapshot":           &lashstore.Snapshot{Head: head, Frames: []lashstore.AgentFrame{frame}, Graph: lashstore.Graph{Nodes: []lashstore.Node{node}, LeafNodeID: "n2"}, Checkpoint: checkpoint, Usage: []lashstore.UsageEntry{{Source: "turn", Model: "m", Usage: usage}}},
		"snapshot_empty":     &lashstore.Snapshot{Head: lashstore.Head{SessionID: "s"}},
		"revision_info":      &lashstore.RevisionInfo{Revision: 7, CommittedAt: at, TurnID: "t", TurnIndex: 4, LeafNodeID: "n2", NodeCount: 2, Components: map[string]lashstore.BlobRef{"k": ref}},
		"commit_result":      &lashstore.CommitResult{Revision: 7, CommittedAt: at, Components: map[string]lashstore.BlobRef{"k": ref}, Enqueued: []lashstore.BatchID{"qwb:00"}, Replayed: true},
		"lease":              &lashstore.Lease{SessionID: "s", LeaseHolder: holder, Token: "00112233445566778899aabbccddeeff", Displaced: &holder},
		"lease_status":       &lashstore.LeaseStatus{Holder: &holder, FencingToken: 3},
		"fence":              &lashstore.Fence{SessionID: "s", Token: "00112233445566778899aabbccddeeff", FencingToken: 3},
		"draft":              &lashstore.BatchDraft{SourceKey: "k", DeliveryPolicy: lashstore.DeliverAfterCommit, SlotPolicy: lashstore.SlotExclusive, MergeKey: lashstore.MergeNever, AvailableAt: at, Payloads: []lashstore.Payload{batch.Items[0].Payload}},
		"batch":              &batch,
		"enqueue_result":     &lashstore.EnqueueResult{Outcome: lashstore.EnqueueDuplicate, Batch: batch},
		"claim_result":       &lashstore.ClaimResult{Claim: &lashstore.Claim{SessionID: "s", ClaimID: "qwc:5:1", Owner: owner, Token: "ff", FencingToken: 1, ClaimedAt: at, ExpiresAt: at, Batches: []lashstore.Batch{batch}}},
		"claim_refusal":      &lashstore.ClaimResult{Refusal: lashstore.RefusedHeld},
		"completion":         &lashstore.ClaimCompletion{SessionID: "s", ClaimID: "qwc:5:1", Token: "ff", BatchIDs: []lashstore.BatchID{"qwb:00"}},
		"attachment_entry":   &lashstore.AttachmentEntry{AttachmentRef: attachment, IntentAt: at, CommittedAt: at},
		"attachment_pending": &lashstore.AttachmentEntry{AttachmentRef: attachment, IntentAt: at},
		"artifact_info":      &lashstore.ArtifactInfo{ArtifactName: lashstore.ArtifactName{Namespace: "module", Name: "main"}, Ref: ref, Kind: lashstore.KindModule, UpdatedAt: at},
		"blob_info":          &lashstore.BlobInfo{BlobRef: ref, StoredBytes: 5, Objects: 1, Holders: 2, Upload: &lashstore.UploadInfo{UploadedAt: at, ExpiresAt: at}},
		"wake":               &lashstore.ProcessWake{WakeID: "w", TargetSessionID: "s", TargetScopeID: "t", ProcessID: "p", Sequence: 7, EventType: "process.wake", EventInvocation: json.RawMessage(`{}`), ProcessCausedBy: causes()[1], DedupeKey: "d", Input: json.RawMessage(`1`), CreatedAt: at},
		"vacuum_report":      &lashstore.VacuumReport{RemovedNodes: 1, ReturnedBytes: 4096},
		"causes":             new(causes()),
	}
}

// The JSON form is what clients in other languages read, and what is stored: a field
// that is renamed or dropped loses data without an error.
func TestRecordJSON(t *testing.T) {
	t.Parallel()
	names := map[string]bool{}
	for name, record := range records() {
		raw, err := json.MarshalIndent(record, "", "  ")
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		file := filepath.Join("json", name+".json")
		names[filepath.Base(file)] = true
		golden(t, file, append(raw, '\n'))

		back := reflect.New(reflect.TypeOf(record).Elem()).Interface()
		if err := lashstore.DecodeStrict(raw, back); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		again, err := json.MarshalIndent(back, "", "  ")
		if err != nil || !bytes.Equal(raw, again) {
			t.Errorf("%s: read and written again as (-want +got, %v):\n%s", name, err, cmp.Diff(string(raw), string(again)))
		}
	}
	entries, err := os.ReadDir(filepath.Join("testdata", "json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !names[e.Name()] {
			t.Errorf("testdata/json/%s belongs to no record", e.Name())
		}
	}
}

// Content of length 0 is content, and stays it on the way; nothing stays nothing.
func TestEmptyComponentJSON(t *testing.T) {
	t.Parallel()
	for _, want := range []lashstore.Component{lashstore.Changed(nil), lashstore.Unchanged(lashstore.BlobRef{Digest: lashstore.DigestOf(nil)})} {
		raw, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got lashstore.Component
		if err := lashstore.DecodeStrict(raw, &got); err != nil {
			t.Fatal(err)
		}
		if (got.Bytes == nil) != (want.Bytes == nil) || got.IsChange() != want.IsChange() {
			t.Errorf("%s is read as %+v, want %+v", raw, got, want)
		}
	}
}

// What describes a lease or a claim to others must not carry the token.
func TestDescriptionsHaveNoToken(t *testing.T) {
	t.Parallel()
	all := records()
	for _, name := range []string{"lease_status", "batch", "enqueue_result"} {
		raw, err := json.Marshal(all[name])
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(raw), "lease_token") {
			t.Errorf("%s has a token: %s", name, raw)
		}
	}
}
