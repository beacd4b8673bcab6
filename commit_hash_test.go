package lashstore_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lashstore/lashstore"
)

// stampedCommit has something in every part of a commit.
func stampedCommit() *lashstore.Commit {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	node := func(id, parent lashstore.NodeID, payload string) lashstore.Node {
		return lashstore.Node{
			NodeID: id, ParentNodeID: parent, AgentFrameID: "frame-1", Timestamp: at, Kind: lashstore.NodePlugin, Payload: json.RawMessage(payload),
			CausedBy: &lashstore.CausalRef{Type: lashstore.CauseTurn, SessionID: "s", TurnID: "t0"},
		}
	}
	config := validConfig()
	frame := validFrame()
	frame.FrameID, frame.Reason, frame.CreatedAt = "frame-1", "plan_mode", at
	state := lashstore.Changed([]byte("frame state"))
	frame.ExecutionState = &state
	frame.ProtocolTurnOptions = json.RawMessage(`{"a":1}`)
	plugin := lashstore.Changed([]byte("plugins"))
	plugin.Revision = 12
	return &lashstore.Commit{
		ExpectedRevision: 3,
		Fence:            lashstore.Fence{SessionID: "s", Token: "11111111111111111111111111111111", FencingToken: 4},
		ReleaseLease:     true,
		TurnID:           "turn-1",
		Config:           &config,
		Frames:           []lashstore.AgentFrame{frame},
		CurrentFrameID:   "frame-1",
		Graph: lashstore.GraphDelta{
			Mode: lashstore.GraphAppend,
			Nodes: []lashstore.Node{
				node("plugin:1", "stored", `{"plugin_type":"t","body":{"id":"i","node_id":"n","timestamp":"ts","role":"r","parts":[]}}`),
				node("plugin:2", "plugin:1", `{"plugin_type":"t","body":2}`),
				node("plugin:3", "plugin:1", `{"plugin_type":"t","body":3}`),
			},
			Leaf: lashstore.Leaf("plugin:2"),
		},
		Checkpoint: &lashstore.Checkpoint{
			TurnState: lashstore.TurnState{TurnIndex: 5, TokenUsage: lashstore.TokenUsage{InputTokens: 6}},
			Components: map[string]lashstore.Component{
				lashstore.ComponentToolState:      lashstore.Changed([]byte("tools")),
				lashstore.ComponentPluginSnapshot: plugin,
			},
		},
		Usage:       []lashstore.UsageEntry{{Source: "turn", Model: "m", Usage: lashstore.TokenUsage{InputTokens: 7}}},
		Completions: []lashstore.ClaimCompletion{{SessionID: "s", ClaimID: "qwc:1:1", Token: "22222222222222222222222222222222", BatchIDs: []lashstore.BatchID{"qwb:1", "qwb:2"}}},
		Enqueue: []lashstore.BatchDraft{{SourceKey: "k", AvailableAt: at, Payloads: []lashstore.Payload{
			{Type: lashstore.PayloadTurnInput, Body: json.RawMessage(`{"input":1}`)},
		}}},
		Attachments: []lashstore.Digest{lashstore.DigestOf([]byte("attachment"))},
	}
}

// The hash is stored: another one for the same commit would turn every retry across
// an upgrade into a conflict.
func TestCommitHashGolden(t *testing.T) {
	t.Parallel()
	golden(t, "commit_hash.txt", fmt.Appendf(nil, "everything %s\nnothing    %s\n",
		lashstore.CommitHash("s", stampedCommit()), lashstore.CommitHash("s", &lashstore.Commit{})))
}

// An honest retry has another revision, lease, claim and other random ids, and is
// still the same commit (W12, S15).
func TestCommitHashIgnores(t *testing.T) {
	t.Parallel()
	want := lashstore.CommitHash("s", stampedCommit())
	for name, change := range map[string]func(*lashstore.Commit){
		"revision":      func(c *lashstore.Commit) { c.ExpectedRevision = 99 },
		"fence":         func(c *lashstore.Commit) { c.Fence = lashstore.Fence{} },
		"release":       func(c *lashstore.Commit) { c.ReleaseLease = false },
		"claim id":      func(c *lashstore.Commit) { c.Completions[0].ClaimID = "qwc:1:2" },
		"claim token":   func(c *lashstore.Commit) { c.Completions[0].Token = "" },
		"timestamps":    func(c *lashstore.Commit) { c.Graph.Nodes[0].Timestamp = time.Time{} },
		"frame created": func(c *lashstore.Commit) { c.Frames[0].CreatedAt = time.Time{} },
		"node ids": func(c *lashstore.Commit) {
			n := c.Graph.Nodes
			n[0].NodeID, n[1].NodeID, n[2].NodeID = "plugin:x", "plugin:y", "plugin:z"
			n[1].ParentNodeID, n[2].ParentNodeID = "plugin:x", "plugin:x"
			c.Graph.Leaf = lashstore.Leaf("plugin:y")
		},
		"white space": func(c *lashstore.Commit) {
			c.Graph.Nodes[1].Payload = json.RawMessage("{ \"plugin_type\" : \"t\",\n\"body\":2 }")
		},
		"spelt defaults": func(c *lashstore.Commit) { c.Enqueue[0] = c.Enqueue[0].WithDefaults() },
		"reference":      func(c *lashstore.Commit) { refer(c, lashstore.ComponentToolState, "tools") },
		"frame's reference": func(c *lashstore.Commit) {
			ref := lashstore.Unchanged(lashstore.BlobRef{Digest: lashstore.DigestOf([]byte("frame state")), SizeBytes: 11})
			c.Frames[0].ExecutionState = &ref
		},
	} {
		c := stampedCommit()
		change(c)
		if got := lashstore.CommitHash("s", c); got != want {
			t.Errorf("another %s changes the hash", name)
		}
	}
}

// refer replaces a component's bytes by the reference that they have once stored.
func refer(c *lashstore.Commit, key, content string) {
	c.Checkpoint.Components[key] = lashstore.Unchanged(lashstore.BlobRef{Digest: lashstore.DigestOf([]byte(content)), SizeBytes: int64(len(content))})
}

// Another commit under the same turn must not be taken for a retry, or it is lost
// (W12, S16).
func TestCommitHashNotices(t *testing.T) {
	t.Parallel()
	node := func(i int, from, to string) func(*lashstore.Commit) {
		return func(c *lashstore.Commit) {
			c.Graph.Nodes[i].Payload = json.RawMessage(strings.Replace(string(c.Graph.Nodes[i].Payload), from, to, 1))
		}
	}
	changes := map[string]func(*lashstore.Commit){
		"nothing":                 func(*lashstore.Commit) {},
		"turn":                    func(c *lashstore.Commit) { c.TurnID = "turn-2" },
		"no configuration":        func(c *lashstore.Commit) { c.Config = nil },
		"provider":                func(c *lashstore.Commit) { c.Config.ProviderID = "q" },
		"window":                  func(c *lashstore.Commit) { c.Config.Model.Limits.ContextWindowTokens = 2 },
		"no frame":                func(c *lashstore.Commit) { c.Frames = nil },
		"frame id":                func(c *lashstore.Commit) { c.Frames[0].FrameID = "frame-2" },
		"frame reason":            func(c *lashstore.Commit) { c.Frames[0].Reason = "" },
		"frame cause":             func(c *lashstore.Commit) { c.Frames[0].CausedBy = causes()[0] },
		"frame autonomy":          func(c *lashstore.Commit) { c.Frames[0].Assignment.Policy.Autonomous = true },
		"frame tools":             func(c *lashstore.Commit) { c.Frames[0].Assignment.ToolAccess = json.RawMessage(`{}`) },
		"frame options":           func(c *lashstore.Commit) { c.Frames[0].ProtocolTurnOptions = json.RawMessage(`{"a":2}`) },
		"frame state":             func(c *lashstore.Commit) { s := lashstore.Changed([]byte("x")); c.Frames[0].ExecutionState = &s },
		"no frame state":          func(c *lashstore.Commit) { c.Frames[0].ExecutionState = nil },
		"current frame":           func(c *lashstore.Commit) { c.CurrentFrameID = "" },
		"graph mode":              func(c *lashstore.Commit) { c.Graph.Mode = lashstore.GraphReplace },
		"node dropped":            func(c *lashstore.Commit) { c.Graph.Nodes = c.Graph.Nodes[:2] },
		"node order":              func(c *lashstore.Commit) { n := c.Graph.Nodes; n[1], n[2] = n[2], n[1] },
		"node kind":               func(c *lashstore.Commit) { c.Graph.Nodes[2].Kind = lashstore.NodeEvent },
		"node cause":              func(c *lashstore.Commit) { c.Graph.Nodes[2].CausedBy = nil },
		"node frame":              func(c *lashstore.Commit) { c.Graph.Nodes[2].AgentFrameID = "" },
		"body":                    node(1, "2", "4"),
		"key id":                  node(0, `"id":"i"`, `"id":"j"`),
		"key node_id":             node(0, `"node_id":"n"`, `"node_id":"m"`),
		"key timestamp":           node(0, `"timestamp":"ts"`, `"timestamp":"tt"`),
		"key role":                node(0, `"role":"r"`, `"role":"s"`),
		"key dropped":             node(0, `"id":"i",`, ``),
		"white space in text":     node(0, `"ts"`, `"t s"`),
		"stored parent":           func(c *lashstore.Commit) { c.Graph.Nodes[0].ParentNodeID = "other" },
		"no parent":               func(c *lashstore.Commit) { c.Graph.Nodes[0].ParentNodeID = "" },
		"place":                   func(c *lashstore.Commit) { c.Graph.Nodes[2].ParentNodeID = "plugin:2" },
		"leaf":                    func(c *lashstore.Commit) { c.Graph.Leaf = lashstore.Leaf("plugin:3") },
		"stored leaf":             func(c *lashstore.Commit) { c.Graph.Leaf = lashstore.Leaf("stored") },
		"no leaf":                 func(c *lashstore.Commit) { c.Graph.Leaf = nil },
		"no checkpoint":           func(c *lashstore.Commit) { c.Checkpoint = nil },
		"empty checkpoint":        func(c *lashstore.Commit) { c.Checkpoint = &lashstore.Checkpoint{} },
		"turn index":              func(c *lashstore.Commit) { c.Checkpoint.TurnState.TurnIndex = 6 },
		"turn tokens":             func(c *lashstore.Commit) { c.Checkpoint.TurnState.TokenUsage.InputTokens = 0 },
		"component":               func(c *lashstore.Commit) { refer(c, lashstore.ComponentToolState, "other tools") },
		"component key":           func(c *lashstore.Commit) { rename(c, lashstore.ComponentToolState, "other") },
		"component dropped":       func(c *lashstore.Commit) { delete(c.Checkpoint.Components, lashstore.ComponentToolState) },
		"component revision":      func(c *lashstore.Commit) { refer(c, lashstore.ComponentPluginSnapshot, "plugins") },
		"usage":                   func(c *lashstore.Commit) { c.Usage[0].Usage.CachedInputTokens = 1 },
		"usage source":            func(c *lashstore.Commit) { c.Usage[0].Source = "subagent" },
		"usage twice":             func(c *lashstore.Commit) { c.Usage = append(c.Usage, c.Usage[0]) },
		"settled batch":           func(c *lashstore.Commit) { c.Completions[0].BatchIDs[1] = "qwb:3" },
		"settled order":           func(c *lashstore.Commit) { b := c.Completions[0].BatchIDs; b[0], b[1] = b[1], b[0] },
		"no completion":           func(c *lashstore.Commit) { c.Completions = nil },
		"enqueued key":            func(c *lashstore.Commit) { c.Enqueue[0].SourceKey = "l" },
		"enqueued body":           func(c *lashstore.Commit) { c.Enqueue[0].Payloads[0].Body = json.RawMessage(`{"input":2}`) },
		"enqueued type":           func(c *lashstore.Commit) { c.Enqueue[0].Payloads[0].Type = lashstore.PayloadProcessWake },
		"enqueued policy":         func(c *lashstore.Commit) { c.Enqueue[0].DeliveryPolicy = lashstore.DeliverAfterCommit },
		"enqueued slot":           func(c *lashstore.Commit) { c.Enqueue[0].SlotPolicy = lashstore.SlotJoin },
		"enqueued group":          func(c *lashstore.Commit) { c.Enqueue[0].MergeKey = lashstore.MergeGroup("g") },
		"enqueued time":           func(c *lashstore.Commit) { c.Enqueue[0].AvailableAt = time.Time{} },
		"nothing enqueued":        func(c *lashstore.Commit) { c.Enqueue = nil },
		"attachment":              func(c *lashstore.Commit) { c.Attachments[0] = lashstore.DigestOf(nil) },
		"no attachment":           func(c *lashstore.Commit) { c.Attachments = nil },
		"texts across a boundary": func(c *lashstore.Commit) { c.Usage[0].Source, c.Usage[0].Model = "tur", "nm" },
	}
	seen := map[lashstore.Digest]string{}
	for name, change := range changes {
		c := stampedCommit()
		change(c)
		hash := lashstore.CommitHash("s", c)
		if other, same := seen[hash]; same {
			t.Errorf("%s and %s hash alike", name, other)
		}
		seen[hash] = name
	}
	if _, same := seen[lashstore.CommitHash("t", stampedCommit())]; same {
		t.Error("another session does not change the hash")
	}
}

func rename(c *lashstore.Commit, from, to string) {
	comp := c.Checkpoint.Components[from]
	comp.Descriptor = lashstore.ComponentDescriptor(from, &comp)
	delete(c.Checkpoint.Components, from)
	c.Checkpoint.Components[to] = comp
}
