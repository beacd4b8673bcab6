package lashstore

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"hash"
	"maps"
	"slices"

	"github.com/zeebo/blake3"
)

// commitHashDomain separates commit hashes from every other use of the hash and
// names the version of the encoding below.
const commitHashDomain = "lashstore commit v1"

// CommitHash identifies what a stamped commit says, so that the same commit sent
// again can be told from another one that uses the same turn id.
//
// It covers, by named fields: session, turn, configuration, frames (id, reason,
// cause, assignment, options, execution state), the current frame, nodes (kind,
// payload, cause, frame, place in the graph), checkpoint, usage, the ids of the
// settled batches, enqueued batches and attachments. Payload bytes count as they
// are, white space between tokens aside; no key in them is left out.
//
// It leaves out what an honest retry has anew: the expected revision, the lease,
// claim ids and tokens, the ids of new nodes (a parent or leaf among them counts by
// its place, one already stored by its id), timestamps and frame creation times.
func CommitHash(session SessionID, c *Commit) Digest {
	h := commitHasher{h: blake3.New()}
	h.text(commitHashDomain)
	h.text(string(session))
	h.text(string(c.TurnID))
	h.optional(c.Config != nil, func() { h.record(c.Config) })
	h.count(len(c.Frames))
	for i := range c.Frames {
		h.frame(&c.Frames[i])
	}
	h.text(string(c.CurrentFrameID))
	h.graph(&c.Graph)
	h.optional(c.Checkpoint != nil, func() { h.checkpoint(c.Checkpoint) })
	h.count(len(c.Usage))
	for _, u := range c.Usage {
		h.record(u)
	}
	h.count(len(c.Completions))
	for _, done := range c.Completions {
		h.count(len(done.BatchIDs))
		for _, id := range done.BatchIDs {
			h.text(string(id))
		}
	}
	h.count(len(c.Enqueue))
	for _, d := range c.Enqueue {
		h.draft(d.WithDefaults())
	}
	h.count(len(c.Attachments))
	for _, id := range c.Attachments {
		h.bytes(id.sum[:])
	}
	var d Digest
	h.h.Sum(d.sum[:0])
	return d
}

// commitHasher writes fields with their length in front, so that no two sequences
// of fields have the same encoding.
type commitHasher struct{ h hash.Hash }

func (h commitHasher) number(n uint64) {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], n)
	_, _ = h.h.Write(b[:]) // a hash never fails
}

func (h commitHasher) count(n int) { h.number(uint64(n)) } //nolint:gosec // lengths are not negative

func (h commitHasher) bytes(b []byte) {
	h.count(len(b))
	_, _ = h.h.Write(b) // a hash never fails
}

func (h commitHasher) text(s string) { h.bytes([]byte(s)) }

func (h commitHasher) optional(present bool, write func()) {
	if !present {
		h.number(0)
		return
	}
	h.number(1)
	write()
}

// json writes a JSON value without the white space between its tokens; what is
// not JSON counts byte for byte and is refused elsewhere.
func (h commitHasher) json(raw json.RawMessage) {
	var b bytes.Buffer
	if err := json.Compact(&b, raw); err != nil {
		h.bytes(raw)
		return
	}
	h.bytes(b.Bytes())
}

// record writes a record of the contract by its JSON form, whose field order is
// that of the type.
func (h commitHasher) record(v any) {
	raw, err := json.Marshal(v)
	if err != nil {
		// Only malformed embedded JSON can fail, and validation has refused that.
		h.text("unencodable: " + err.Error())
		return
	}
	h.bytes(raw)
}

func (h commitHasher) component(key string, c *Component) {
	h.text(key)
	digest, d := c.Ref.Digest, ComponentDescriptor(key, c)
	if c.IsChange() {
		digest = DigestOf(c.Bytes)
	}
	h.bytes(digest.sum[:])
	h.number(c.Revision)
	h.text(string(d.Kind))
}

func (h commitHasher) checkpoint(c *Checkpoint) {
	h.record(c.TurnState)
	h.count(len(c.Components))
	for _, key := range slices.Sorted(maps.Keys(c.Components)) {
		comp := c.Components[key]
		h.component(key, &comp)
	}
}

func (h commitHasher) frame(f *AgentFrame) {
	h.text(string(f.FrameID))
	h.text(f.Reason)
	h.record(f.CausedBy)
	h.record(f.Assignment)
	h.json(f.ProtocolTurnOptions)
	h.optional(f.ExecutionState != nil, func() { h.component(ComponentExecutionState, f.ExecutionState) })
}

func (h commitHasher) graph(g *GraphDelta) {
	mode := g.Mode
	if mode == "" {
		mode = GraphUnchanged
	}
	h.text(string(mode))
	place := make(map[NodeID]int, len(g.Nodes))
	h.count(len(g.Nodes))
	for i := range g.Nodes {
		n := &g.Nodes[i]
		h.text(string(n.Kind))
		h.json(n.Payload)
		h.record(n.CausedBy)
		h.text(string(n.AgentFrameID))
		h.place(place, n.ParentNodeID)
		place[n.NodeID] = i
	}
	h.optional(g.Leaf != nil, func() { h.place(place, *g.Leaf) })
}

// place writes which node is meant: 0 for none, 1 and the id for one outside the
// commit, 2 and up for the place of one within.
func (h commitHasher) place(place map[NodeID]int, id NodeID) {
	i, within := place[id]
	switch {
	case id == "":
		h.number(0)
	case within:
		h.count(2 + i)
	default:
		h.number(1)
		h.text(string(id))
	}
}

func (h commitHasher) draft(d BatchDraft) {
	h.text(d.SourceKey)
	h.text(string(d.DeliveryPolicy))
	h.text(string(d.SlotPolicy))
	h.text(string(d.MergeKey))
	h.optional(!d.AvailableAt.IsZero(), func() { h.number(uint64(d.AvailableAt.UnixMilli())) })
	h.count(len(d.Payloads))
	for _, p := range d.Payloads {
		h.text(string(p.Type))
		h.json(p.Body)
	}
}
