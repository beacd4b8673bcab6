package integration_test

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"time"

	"github.com/lashstore/lashstore"
)

// workload is what a session is made to hold: seed, session and epoch (which of
// the sessions of that id it is, from 1) determine every revision.
type workload struct {
	Seed    uint64
	Session lashstore.SessionID
	Epoch   int
}

// The sizes decide where content lies: the balanced profile keeps up to 8 KiB in
// the session's database.
const (
	inlineSize = 2 << 10
	sharedSize = 20 << 10
	frameSize  = 12 << 10
	blobBlocks = 16
	blockSize  = 16 << 10

	// attachmentLife is after how many revisions an attachment is forgotten.
	attachmentLife = 9
	replaceEvery   = 11
	frameEvery     = 10
)

// text is size bytes that no other label has. They compress well, so that
// thousands of commits fit on the disk.
func (w workload) text(label string, n lashstore.Revision, size int) []byte {
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%d/%s/%d/%s/%d", w.Seed, w.Session, w.Epoch, label, n)
	r := rand.New(rand.NewPCG(w.Seed, h.Sum64()))
	pattern := fmt.Appendf(nil, "%s %s %d %016x%016x|", w.Session, label, n, r.Uint64(), r.Uint64())
	return bytes.Repeat(pattern, size/len(pattern)+1)[:size]
}

// shared is content that every session of the seed comes to hold and let go of.
func (w workload) shared(n lashstore.Revision) []byte {
	return workload{Seed: w.Seed, Session: "shared"}.text("shared", n, sharedSize)
}

// blob is 256 KiB of which a sixteenth changes with each revision.
func (w workload) blob(rev lashstore.Revision) []byte {
	out := make([]byte, 0, blobBlocks*blockSize)
	for i := range lashstore.Revision(blobBlocks) {
		changed := lashstore.Revision(0)
		if rev >= i {
			changed = rev - (rev-i)%blobBlocks
		}
		out = append(out, w.text(fmt.Sprintf("block%d", i), changed, blockSize)...)
	}
	return out
}

// blobRevision is the revision that brought the blob that rev has.
func blobRevision(rev lashstore.Revision) lashstore.Revision {
	if rev%5 == 0 {
		return rev - 1
	}
	return rev
}

// components is the content of a revision's checkpoint.
func (w workload) components(rev lashstore.Revision) map[string][]byte {
	c := map[string][]byte{
		lashstore.ComponentToolState:      w.text("tool", rev, inlineSize),
		lashstore.ComponentExecutionState: w.blob(blobRevision(rev)),
		"notes":                           w.text("notes", rev/3, 600),
	}
	if rev%4 != 3 {
		c[lashstore.ComponentPluginSnapshot] = w.shared(rev / 2 % 3)
	}
	return c
}

// counterOf is the counter that a component carries.
func counterOf(key string, rev lashstore.Revision) uint64 {
	switch key {
	case lashstore.ComponentToolState:
		return uint64(rev)
	case lashstore.ComponentExecutionState:
		return uint64(blobRevision(rev))
	default:
		return 0
	}
}

// checkpoint is a revision's checkpoint as it is committed: what did not change is
// given by reference.
func (w workload) checkpoint(rev lashstore.Revision) *lashstore.Checkpoint {
	cp := &lashstore.Checkpoint{TurnState: w.turnState(rev), Components: make(map[string]lashstore.Component)}
	for key, content := range w.components(rev) {
		comp := lashstore.Changed(content)
		same := key == "notes" && rev%3 != 0 || key == lashstore.ComponentExecutionState && rev%5 == 0
		if same && rev > 1 {
			comp = lashstore.Unchanged(lashstore.BlobRef{Digest: lashstore.DigestOf(content), SizeBytes: int64(len(content))})
		}
		comp.Revision = counterOf(key, rev)
		cp.Components[key] = comp
	}
	return cp
}

func (w workload) turnState(rev lashstore.Revision) lashstore.TurnState {
	return lashstore.TurnState{TurnIndex: uint64(rev), TokenUsage: lashstore.TokenUsage{InputTokens: int64(rev)}}
}

func (w workload) config(rev lashstore.Revision) lashstore.SessionConfig {
	model := lashstore.ModelSpec{ID: "model-a", Limits: lashstore.ModelLimits{ContextWindowTokens: 200_000}}
	return lashstore.SessionConfig{ProviderID: fmt.Sprintf("provider-%d", rev/7), Model: model}
}

// moment is a time that a revision sets.
func moment(rev lashstore.Revision) time.Time {
	return time.Date(2026, time.March, 1, 0, 0, int(rev), 5_000_000, time.UTC)
}

// node is a message of a revision.
func (w workload) node(rev lashstore.Revision, name string, parent lashstore.NodeID, role lashstore.Role) lashstore.Node {
	id := lashstore.NodeID(fmt.Sprintf("r%d-%s", rev, name))
	n, err := lashstore.NewMessageNode(id, lashstore.Message{ID: string(id), Role: role, Parts: []lashstore.Part{
		{ID: "0", Kind: lashstore.PartText, Content: string(w.text("node"+name, rev, 100))},
	}})
	if err != nil {
		panic(err) // strings always encode
	}
	n.ParentNodeID, n.Timestamp, n.AgentFrameID = parent, moment(rev), frameID(rev)
	return n
}

// delta is a revision's change of the graph: two messages more, or now and then a
// new graph with a branch.
func (w workload) delta(rev lashstore.Revision) lashstore.GraphDelta {
	if rev%replaceEvery == 0 {
		root := w.node(rev, "root", "", lashstore.RoleSystem)
		left := w.node(rev, "b", root.NodeID, lashstore.RoleUser)
		right := w.node(rev, "branch", root.NodeID, lashstore.RoleUser)
		return lashstore.GraphDelta{Mode: lashstore.GraphReplace, Nodes: []lashstore.Node{root, left, right}, Leaf: lashstore.Leaf(left.NodeID)}
	}
	var parent lashstore.NodeID
	if rev > 1 {
		parent = lashstore.NodeID(fmt.Sprintf("r%d-b", rev-1))
	}
	a := w.node(rev, "a", parent, lashstore.RoleUser)
	b := w.node(rev, "b", a.NodeID, lashstore.RoleAssistant)
	return lashstore.GraphDelta{Mode: lashstore.GraphAppend, Nodes: []lashstore.Node{a, b}, Leaf: lashstore.Leaf(b.NodeID)}
}

// nodes is the graph of a revision, in order.
func (w workload) nodes(rev lashstore.Revision) []lashstore.Node {
	first := max(1, rev-rev%replaceEvery)
	var all []lashstore.Node
	for r := first; r <= rev; r++ {
		all = append(all, w.delta(r).Nodes...)
	}
	return all
}

// path is the active path of a revision: the graph without the branch.
func (w workload) path(rev lashstore.Revision) []lashstore.Node {
	var path []lashstore.Node
	for _, n := range w.nodes(rev) {
		if n.NodeID != lashstore.NodeID(fmt.Sprintf("r%d-branch", rev-rev%replaceEvery)) {
			path = append(path, n)
		}
	}
	return path
}

// frameID is the current frame at a revision.
func frameID(rev lashstore.Revision) lashstore.FrameID {
	return lashstore.FrameID(fmt.Sprintf("frame-%d", rev-rev%frameEvery))
}

// frame is the frame that a revision appends, if it does.
func (w workload) frame(rev lashstore.Revision) (f lashstore.AgentFrame, ok bool) {
	if rev != 1 && rev%frameEvery != 0 {
		return f, false
	}
	f = lashstore.AgentFrame{
		FrameID: frameID(rev), Reason: lashstore.FrameReasonContinueAs, CreatedAt: moment(rev),
		Assignment: lashstore.FrameAssignment{Policy: lashstore.SessionPolicy{Model: w.config(rev).Model, ProviderID: "provider"}},
	}
	if rev > 1 {
		state := lashstore.Changed(w.frameState(rev))
		f.ExecutionState = &state
	}
	return f, true
}

func (w workload) frameState(rev lashstore.Revision) []byte { return w.text("frame", rev, frameSize) }

// usage is what a revision adds.
func (w workload) usage(rev lashstore.Revision) []lashstore.UsageEntry {
	n := int64(rev)
	all := []lashstore.UsageEntry{{
		Source: "turn", Model: "model-a",
		Usage: lashstore.TokenUsage{InputTokens: n, OutputTokens: 2 * n, CachedInputTokens: 1, ReasoningTokens: 3},
	}}
	if rev%4 == 0 {
		all = append(all, lashstore.UsageEntry{Source: "subagent", Model: "model-b", Usage: lashstore.TokenUsage{OutputTokens: n}})
	}
	return all
}

// totals is the usage of all revisions up to one.
func (w workload) totals(rev lashstore.Revision) []lashstore.UsageEntry {
	var all []lashstore.UsageEntry
	for r := lashstore.Revision(1); r <= rev; r++ {
	next:
		for _, u := range w.usage(r) {
			for i := range all {
				if all[i].Source == u.Source {
					all[i].Usage, _ = all[i].Usage.Add(u.Usage)
					continue next
				}
			}
			all = append(all, u)
		}
	}
	return all
}

// attachment is what is put before a revision and committed with it, if anything.
func (w workload) attachment(rev lashstore.Revision) (content []byte, ok bool) {
	switch {
	case rev < 1 || rev%3 != 0:
		return nil, false
	case rev%6 == 0:
		return w.text("attachment", rev, 700), true
	default:
		return w.text("attachment", rev, sharedSize), true
	}
}

// batch is a batch that may share a claim with its neighbours.
func (w workload) batch(key string) lashstore.BatchDraft {
	p, err := lashstore.NewTurnInput(map[string]any{"key": key, "text": string(w.text(key, 0, 80))})
	if err != nil {
		panic(err) // strings always encode
	}
	return lashstore.BatchDraft{
		SourceKey: key, DeliveryPolicy: lashstore.DeliverEarliest, SlotPolicy: lashstore.SlotJoin,
		MergeKey: lashstore.MergeGroup("work"), Payloads: []lashstore.Payload{p},
	}
}

// claimedPerTurn is how many batches a turn settles, if there are so many.
const claimedPerTurn = 2

// inputKey is the batch that is enqueued before a revision, outside of its commit.
func inputKey(rev lashstore.Revision) string { return fmt.Sprintf("input-%d", rev) }

// followUps are the batches that a revision's commit enqueues.
func followUps(rev lashstore.Revision) []string {
	if rev == 1 {
		return []string{"first-0", "first-1", "first-2"}
	}
	return []string{fmt.Sprintf("follow-%d", rev)}
}

// queue is what is queued after a revision, by source key, in order.
func queue(rev lashstore.Revision) []string {
	var keys []string
	for r := lashstore.Revision(1); r <= rev; r++ {
		keys = append(keys, inputKey(r))
		keys = append(keys[min(claimedPerTurn, len(keys)):], followUps(r)...)
	}
	return keys
}

// commit is the commit of a revision, without fence and completions.
func (w workload) commit(rev lashstore.Revision) lashstore.Commit {
	c := lashstore.Commit{
		ExpectedRevision: rev - 1,
		TurnID:           lashstore.TurnID(fmt.Sprintf("turn-%d", rev)),
		Graph:            w.delta(rev),
		Checkpoint:       w.checkpoint(rev),
		Usage:            w.usage(rev),
	}
	if rev == 1 || rev%7 == 0 {
		cfg := w.config(rev)
		c.Config = &cfg
	}
	if f, ok := w.frame(rev); ok {
		c.Frames = []lashstore.AgentFrame{f}
	}
	for _, key := range followUps(rev) {
		c.Enqueue = append(c.Enqueue, w.batch(key))
	}
	if content, ok := w.attachment(rev); ok {
		c.Attachments = []lashstore.Digest{lashstore.DigestOf(content)}
	}
	return c
}

// meta is the metadata that the session is created with.
func (w workload) meta() lashstore.SessionMeta {
	return lashstore.SessionMeta{SessionID: w.Session, SessionName: fmt.Sprintf("epoch-%d", w.Epoch), CreatedAt: moment(1), Model: "model-a"}
}
