package bench

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/local"
)

const (
	messageBytes = 1 << 10 // of a turn's message
	historyBytes = 256     // of the messages that are there before; small, to prepare fast
	stateBytes   = 2 << 10 // of the component that changes every turn
	leaseTTL     = lashstore.MaxTTL
)

// runner plays the turns of one session.
type runner struct {
	session lashstore.Session
	lease   lashstore.Lease
	head    lashstore.Revision
	leaf    lashstore.NodeID
	plugin  lashstore.BlobRef // a component that never changes
	large   lashstore.BlobRef // another, if the session has one
	noise   noise
}

func owner() lashstore.Owner {
	return lashstore.Owner{OwnerID: "bench", IncarnationID: "1", Liveness: local.ProcessLiveness()}
}

func modelA() lashstore.ModelSpec {
	return lashstore.ModelSpec{ID: "model-a", Limits: lashstore.ModelLimits{ContextWindowTokens: 200_000}}
}

// create makes a session.
func create(s *local.Store, id string) lashstore.Session {
	h, _, err := s.CreateSession(context.Background(), lashstore.CreateSession{
		Meta: lashstore.SessionMeta{SessionID: lashstore.SessionID(id), Model: "model-a"},
	})
	check(err)
	return h
}

// begin makes a session with its first commit: configuration, frame, components.
func begin(s *local.Store, id string, large int) *runner {
	ctx := context.Background()
	r := &runner{session: create(s, id)}
	r.noise.seed(id)
	r.lease = must(r.session.ClaimLease(ctx, owner(), leaseTTL))
	c := lashstore.Commit{
		Config: &lashstore.SessionConfig{ProviderID: "provider", Model: modelA()},
		Frames: []lashstore.AgentFrame{{
			FrameID:    lashstore.InitialFrameID(r.session.ID()),
			Assignment: lashstore.FrameAssignment{Policy: lashstore.SessionPolicy{ProviderID: "provider", Model: modelA()}},
		}},
		Checkpoint: &lashstore.Checkpoint{Components: map[string]lashstore.Component{
			lashstore.ComponentToolState:      lashstore.Changed(r.noise.bytes(stateBytes)),
			lashstore.ComponentPluginSnapshot: lashstore.Changed(r.noise.bytes(stateBytes)),
		}},
	}
	if large > 0 {
		c.Checkpoint.Components[lashstore.ComponentExecutionState] = lashstore.Changed(r.noise.bytes(large))
	}
	r.commit(&c)
	return r
}

// resume goes on with a session that begin made, in a store that was opened anew.
func resume(s *local.Store, id string) *runner {
	ctx := context.Background()
	r := &runner{session: must(s.OpenSession(ctx, lashstore.SessionID(id), lashstore.OpenOptions{}))}
	r.noise.seed(id + " resumed")
	r.lease = must(r.session.ClaimLease(ctx, owner(), leaseTTL))
	snap := must(r.session.Load(ctx, lashstore.LoadOptions{Scope: lashstore.ScopeNoGraph, HydrateLimit: -1}))
	r.head, r.leaf = snap.Revision, snap.LeafNodeID
	r.plugin = snap.Checkpoint.Components[lashstore.ComponentPluginSnapshot].Ref
	r.large = snap.Checkpoint.Components[lashstore.ComponentExecutionState].Ref
	return r
}

// commit makes a commit at the head.
func (r *runner) commit(c *lashstore.Commit) {
	c.ExpectedRevision, c.Fence = r.head, r.lease.Fence()
	res := must(r.session.Commit(context.Background(), *c))
	r.head = res.Revision
	r.plugin = res.Components[lashstore.ComponentPluginSnapshot]
	r.large = res.Components[lashstore.ComponentExecutionState]
	if n := len(c.Graph.Nodes); n > 0 {
		r.leaf = c.Graph.Nodes[n-1].NodeID
	}
}

// grow appends messages in few large commits.
func (r *runner) grow(nodes int) {
	const perCommit = 25_000
	for at := 0; at < nodes; at += perCommit {
		r.commit(&lashstore.Commit{Graph: r.append(min(perCommit, nodes-at), historyBytes)})
	}
}

// append is a delta of n messages under the leaf, each the parent of the next.
func (r *runner) append(n, size int) lashstore.GraphDelta { return r.appendAfter(r.head, n, size) }

func (r *runner) appendAfter(head lashstore.Revision, n, size int) lashstore.GraphDelta {
	delta := lashstore.GraphDelta{Mode: lashstore.GraphAppend, Nodes: make([]lashstore.Node, n)}
	parent := r.leaf
	for i := range delta.Nodes {
		id := lashstore.NodeID(fmt.Sprintf("msg:%d:%d", head+1, i))
		delta.Nodes[i] = must(lashstore.NewMessageNode(id, lashstore.Message{
			ID: string(id), Role: lashstore.RoleUser,
			Parts: []lashstore.Part{{ID: string(id) + ":0", Kind: lashstore.PartText, Content: string(r.noise.bytes(size))}},
		}))
		delta.Nodes[i].ParentNodeID = parent
		parent = id
	}
	delta.Leaf = lashstore.Leaf(parent)
	return delta
}

// turn is the next turn: a message, a changed and an unchanged component, usage and
// a turn id. With large it also changes a component of that size.
func (r *runner) turn(large int) *lashstore.Commit { return r.turnAfter(r.head, large) }

// turnAfter is a turn for a given revision.
func (r *runner) turnAfter(head lashstore.Revision, large int) *lashstore.Commit {
	cp := &lashstore.Checkpoint{
		TurnState: lashstore.TurnState{TurnIndex: uint64(head)},
		Components: map[string]lashstore.Component{
			lashstore.ComponentToolState:      lashstore.Changed(r.noise.bytes(stateBytes)),
			lashstore.ComponentPluginSnapshot: lashstore.Unchanged(r.plugin),
		},
	}
	if large > 0 {
		cp.Components[lashstore.ComponentExecutionState] = lashstore.Changed(r.noise.bytes(large))
	} else if !r.large.Digest.IsZero() {
		cp.Components[lashstore.ComponentExecutionState] = lashstore.Unchanged(r.large)
	}
	return &lashstore.Commit{
		ExpectedRevision: head,
		TurnID:           lashstore.TurnID(fmt.Sprintf("turn-%d", head+1)),
		Graph:            r.appendAfter(head, 1, messageBytes),
		Checkpoint:       cp,
		Usage: []lashstore.UsageEntry{{Source: "turn", Model: "model-a", Usage: lashstore.TokenUsage{
			InputTokens: 1200, OutputTokens: 340, CachedInputTokens: 900,
		}}},
	}
}

// noise makes content that differs from all other content and compresses about as
// JSON does. It is cheap: blocks of one text, each stamped with a count.
type noise struct {
	prefix string
	count  uint64
}

const noiseBlock = 4 << 10

func (n *noise) seed(s string) { n.prefix = s }

func (n *noise) bytes(size int) []byte {
	out := make([]byte, size)
	base := noiseText()
	at := int(n.count*7919) % (len(base) / 2)
	for filled := 0; filled < size; {
		filled += copy(out[filled:], base[at:])
		at = 0
	}
	n.count++
	for i := 0; i < size; i += noiseBlock {
		copy(out[i:], fmt.Sprintf("%s/%d/%d ", n.prefix, n.count, i))
	}
	return out
}

// noiseText is a MiB of words in an order that repeats nowhere.
var noiseText = sync.OnceValue(func() []byte {
	words := strings.Fields("state tool result error file line session commit branch value true false null text read write open close path index count")
	var (
		out  bytes.Buffer
		next = uint64(1)
	)
	for out.Len() < 1<<20 {
		next = next*6364136223846793005 + 1442695040888963407 // Knuth's MMIX generator
		fmt.Fprintf(&out, "%s %x ", words[next>>33%uint64(len(words))], next>>48)
	}
	return out.Bytes()[:1<<20]
})

// quick are options for preparing a store: nothing is waited for.
func quick() local.Options { return local.Options{Durability: lashstore.DurabilityNormal} }
