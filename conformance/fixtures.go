package conformance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/lashstore/lashstore"
)

// modelA is a valid model.
func modelA() lashstore.ModelSpec {
	return lashstore.ModelSpec{ID: "model-a", Limits: lashstore.ModelLimits{ContextWindowTokens: 200_000}}
}

// config is a configuration with that provider.
func config(provider string) *lashstore.SessionConfig {
	return &lashstore.SessionConfig{ProviderID: provider, Model: modelA()}
}

// frame is an agent frame to append.
func frame(id lashstore.FrameID, reason string) lashstore.AgentFrame {
	return lashstore.AgentFrame{
		FrameID: id,
		Reason:  reason,
		Assignment: lashstore.FrameAssignment{
			Policy: lashstore.SessionPolicy{Model: modelA(), ProviderID: "provider-a"},
		},
	}
}

// message is a user's message of one text part.
func message(id, text string) lashstore.Message {
	return lashstore.Message{
		ID:    id,
		Role:  lashstore.RoleUser,
		Parts: []lashstore.Part{{ID: id + ":0", Kind: lashstore.PartText, Content: text}},
	}
}

// node is a node with a user's message. Its text is its id.
func node(id, parent lashstore.NodeID) lashstore.Node {
	return textNode(id, parent, string(id))
}

func textNode(id, parent lashstore.NodeID, text string) lashstore.Node {
	n, err := lashstore.NewMessageNode(id, message(string(id), text))
	if err != nil {
		panic(err) // strings always encode
	}
	n.ParentNodeID = parent
	return n
}

// appendNodes is a delta that appends nodes and moves the leaf to the last.
func appendNodes(nodes ...lashstore.Node) lashstore.GraphDelta {
	return lashstore.GraphDelta{
		Mode: lashstore.GraphAppend, Nodes: nodes, Leaf: lashstore.Leaf(nodes[len(nodes)-1].NodeID),
	}
}

// chain is n nodes, each the parent of the next, named prefix and number.
func chain(prefix string, n int, parent lashstore.NodeID) []lashstore.Node {
	nodes := make([]lashstore.Node, n)
	for i := range nodes {
		id := lashstore.NodeID(fmt.Sprintf("%s%d", prefix, i))
		nodes[i] = node(id, parent)
		parent = id
	}
	return nodes
}

// ids returns the ids of nodes, in order.
func ids(nodes []lashstore.Node) []lashstore.NodeID {
	out := make([]lashstore.NodeID, len(nodes))
	for i := range nodes {
		out[i] = nodes[i].NodeID
	}
	return out
}

// checkpoint is a checkpoint of changed components.
func checkpoint(turn uint64, components map[string][]byte) *lashstore.Checkpoint {
	c := &lashstore.Checkpoint{
		TurnState:  lashstore.TurnState{TurnIndex: turn},
		Components: make(map[string]lashstore.Component, len(components)),
	}
	for key, content := range components {
		c.Components[key] = lashstore.Changed(content)
	}
	return c
}

// turnInput is a payload of turn work.
func turnInput(text string) lashstore.Payload {
	body, err := json.Marshal(map[string]any{"input": map[string]any{"items": []any{map[string]any{"type": "text", "text": text}}}})
	if err != nil {
		panic(err) // strings always encode
	}
	return lashstore.Payload{Type: lashstore.PayloadTurnInput, Body: body}
}

// exclusive is an exclusive batch of turn work at the earliest safe boundary.
func exclusive(text string) lashstore.BatchDraft {
	return lashstore.BatchDraft{
		DeliveryPolicy: lashstore.DeliverEarliest,
		SlotPolicy:     lashstore.SlotExclusive,
		MergeKey:       lashstore.MergeNever,
		Payloads:       []lashstore.Payload{turnInput(text)},
	}
}

// keyed is an exclusive batch with a source key.
func keyed(key, text string) lashstore.BatchDraft {
	d := exclusive(text)
	d.SourceKey = key
	return d
}

// joining is a batch of turn work that may share a claim with others of its group.
func joining(group, text string) lashstore.BatchDraft {
	d := exclusive(text)
	d.SlotPolicy, d.MergeKey = lashstore.SlotJoin, lashstore.MergeGroup(group)
	return d
}

// afterCommit is an exclusive batch that waits for the turn's commit.
func afterCommit(text string) lashstore.BatchDraft {
	d := exclusive(text)
	d.DeliveryPolicy = lashstore.DeliverAfterCommit
	return d
}

// command is a batch of one session command.
func command(key string) lashstore.BatchDraft {
	d, err := lashstore.NewCommandDraft(
		lashstore.SessionCommand{Kind: lashstore.CommandResetSession, Reason: "because"}, key)
	if err != nil {
		panic(err) // the arguments are valid
	}
	return d
}

// enqueue adds a batch that is new.
func (e *env) enqueue(s lashstore.Session, d lashstore.BatchDraft) lashstore.Batch {
	e.Helper()
	res, err := s.Enqueue(e.Context(), d)
	e.must(err)
	if res.Outcome != lashstore.EnqueueAccepted {
		e.Fatalf("enqueue: outcome %q, want %q", res.Outcome, lashstore.EnqueueAccepted)
	}
	return res.Batch
}

// request asks for up to 10 batches at idle.
func request(l lashstore.Lease, name string) lashstore.ClaimRequest {
	return lashstore.ClaimRequest{
		Fence: l.Fence(), Owner: owner(name), TTL: leaseTTL, Boundary: lashstore.BoundaryIdle, MaxBatches: 10,
	}
}

// claim claims turn work and must get some.
func (e *env) claim(s lashstore.Session, r lashstore.ClaimRequest) lashstore.Claim {
	e.Helper()
	res, err := s.ClaimTurnWork(e.Context(), r)
	return e.granted(res, err)
}

func (e *env) granted(res lashstore.ClaimResult, err error) lashstore.Claim {
	e.Helper()
	e.must(err)
	if res.Claim == nil {
		e.Fatalf("nothing claimed: %q", res.Refusal)
	}
	if res.Refusal != "" {
		e.Errorf("a claim that is also refused: %q", res.Refusal)
	}
	return *res.Claim
}

// refused checks that nothing was claimed, and why.
func (e *env) refused(want lashstore.ClaimRefusal) func(lashstore.ClaimResult, error) {
	e.Helper()
	return func(res lashstore.ClaimResult, err error) {
		e.Helper()
		e.must(err)
		if res.Claim != nil || res.Refusal != want {
			e.Fatalf("claim of %v refused with %q, want none, refused with %q", batchIDsOf(res.Claim), res.Refusal, want)
		}
	}
}

func batchIDsOf(c *lashstore.Claim) []lashstore.BatchID {
	if c == nil {
		return nil
	}
	return batchIDs(c.Batches)
}

func batchIDs(batches []lashstore.Batch) []lashstore.BatchID {
	out := make([]lashstore.BatchID, len(batches))
	for i := range batches {
		out[i] = batches[i].BatchID
	}
	return out
}

// queued lists the whole queue's ids; pending those in no live claim.
func (e *env) queued(s lashstore.Session) []lashstore.BatchID {
	e.Helper()
	return e.list(s, lashstore.ListQueue{Limit: lashstore.MaxListLimit})
}

func (e *env) pending(s lashstore.Session) []lashstore.BatchID {
	e.Helper()
	return e.list(s, lashstore.ListQueue{Limit: lashstore.MaxListLimit, PendingOnly: true})
}

func (e *env) list(s lashstore.Session, l lashstore.ListQueue) []lashstore.BatchID {
	e.Helper()
	batches, err := s.ListQueue(e.Context(), l)
	e.must(err)
	return batchIDs(batches)
}

// completing is a commit that settles claims.
func completing(claims ...lashstore.Claim) lashstore.Commit {
	var c lashstore.Commit
	for i := range claims {
		c.Completions = append(c.Completions, claims[i].Completion())
	}
	return c
}

// random returns n bytes that do not compress. The same test and label give the
// same bytes.
func (e *env) random(label string, n int) []byte {
	h := fnv.New64a()
	_, _ = h.Write([]byte(e.Name() + "/" + label))
	var seed [32]byte
	h.Sum(seed[:0])
	b := make([]byte, n)
	_, _ = rand.NewChaCha8(seed).Read(b)
	return b
}

// compressible returns n bytes of text.
func compressible(n int) []byte {
	const line = "the quick brown fox jumps over the lazy dog\n"
	return []byte(strings.Repeat(line, n/len(line)+1)[:n])
}

// tierSize is content that no profile keeps inline and that is stored as one object.
const tierSize = 100 << 10

// newReader hides that bytes are in memory, as those of a network are not.
func newReader(b []byte) io.Reader { return struct{ io.Reader }{bytes.NewReader(b)} }

// fixedZone is a zone other than UTC.
func fixedZone() *time.Location { return time.FixedZone("UTC+5:45", 5*3600+45*60) }

// sized is the id of a session for content of that size.
func sized(prefix string, size int) lashstore.SessionID {
	return lashstore.SessionID(fmt.Sprintf("%s-%d", prefix, size))
}
