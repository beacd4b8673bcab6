package lashstore_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/lashstore/lashstore"
)

// A commit that is wrong in itself must be refused before anything is uploaded or
// locked.
func TestCommitValidate(t *testing.T) {
	t.Parallel()
	usage := lashstore.UsageEntry{Source: "s", Model: "m"}
	a, b := lashstore.DigestOf([]byte("a")), lashstore.DigestOf([]byte("b"))
	ref := lashstore.BlobRef{Digest: a, SizeBytes: 1}
	component := func(c lashstore.Component) *lashstore.Checkpoint {
		return &lashstore.Checkpoint{Components: map[string]lashstore.Component{"k": c}}
	}
	nodes := func(mode lashstore.GraphMode, leaf *lashstore.NodeID, nodes ...lashstore.Node) lashstore.GraphDelta {
		return lashstore.GraphDelta{Mode: mode, Nodes: nodes, Leaf: leaf}
	}
	under := func(id, parent lashstore.NodeID) lashstore.Node {
		n := validNode(id)
		n.ParentNodeID = parent
		return n
	}
	config, badConfig := validConfig(), lashstore.SessionConfig{}
	for name, c := range map[string]lashstore.Commit{
		"configuration":      {Config: &badConfig},
		"turn id":            {TurnID: "\x00"},
		"frame twice":        {Frames: []lashstore.AgentFrame{validFrame(), validFrame()}},
		"frame without id":   {Frames: []lashstore.AgentFrame{{}}},
		"current frame":      {CurrentFrameID: "\xff"},
		"unchanged nodes":    {Graph: nodes(lashstore.GraphUnchanged, nil, validNode("n"))},
		"default mode nodes": {Graph: nodes("", nil, validNode("n"))},
		"node twice":         {Graph: nodes(lashstore.GraphAppend, nil, validNode("n"), validNode("n"))},
		"own parent":         {Graph: nodes(lashstore.GraphAppend, nil, under("n", "n"))},
		"dangling parent":    {Graph: nodes(lashstore.GraphReplace, nil, under("n", "x"))},
		"later parent":       {Graph: nodes(lashstore.GraphReplace, nil, under("n", "m"), validNode("m"))},
		"cycle":              {Graph: nodes(lashstore.GraphReplace, nil, under("n", "m"), under("m", "n"))},
		"foreign leaf":       {Graph: nodes(lashstore.GraphReplace, lashstore.Leaf("x"), validNode("n"))},
		"leaf of nothing":    {Graph: nodes(lashstore.GraphReplace, lashstore.Leaf("x"))},
		"empty leaf":         {Graph: nodes(lashstore.GraphAppend, lashstore.Leaf(""), validNode("n"))},
		"hostile leaf":       {Graph: nodes(lashstore.GraphAppend, lashstore.Leaf("\x00"), validNode("n"))},
		"no component":       {Checkpoint: component(lashstore.Component{})},
		"both":               {Checkpoint: component(lashstore.Component{Bytes: []byte{1}, Ref: ref})},
		"empty and ref":      {Checkpoint: component(lashstore.Component{Bytes: []byte{}, Ref: ref})},
		"negative size":      {Checkpoint: component(lashstore.Component{Ref: lashstore.BlobRef{Digest: a, SizeBytes: -1}})},
		"usage":              {Usage: []lashstore.UsageEntry{{}}},
		"completion":         {Completions: []lashstore.ClaimCompletion{{}}},
		"batch twice":        {Completions: []lashstore.ClaimCompletion{{BatchIDs: []lashstore.BatchID{"b"}}, {BatchIDs: []lashstore.BatchID{"b"}}}},
		"draft":              {Enqueue: []lashstore.BatchDraft{validDraft(), {}}},
		"no attachment":      {Attachments: []lashstore.Digest{a, {}}},
		"attachment twice":   {Attachments: []lashstore.Digest{a, b, a}},
		"too many rows":      {Usage: slices.Repeat([]lashstore.UsageEntry{usage}, lashstore.MaxCommitRows+1)},
	} {
		wantInvalid(t, name, c.Validate())
	}
	for name, c := range map[string]lashstore.Commit{
		"nothing":        {},
		"configuration":  {Config: &config},
		"empty graph":    {Graph: nodes(lashstore.GraphReplace, nil)},
		"chain":          {Graph: nodes(lashstore.GraphReplace, lashstore.Leaf("m"), validNode("n"), under("m", "n"))},
		"onto stored":    {Graph: nodes(lashstore.GraphAppend, nil, under("n", "stored"))},
		"moved leaf":     {Graph: nodes("", lashstore.Leaf("stored"))},
		"empty bytes":    {Checkpoint: component(lashstore.Changed(nil))},
		"reference":      {Checkpoint: component(lashstore.Unchanged(ref))},
		"most rows":      {Usage: slices.Repeat([]lashstore.UsageEntry{usage}, lashstore.MaxCommitRows)},
		"no components":  {Checkpoint: &lashstore.Checkpoint{}},
		"two batches":    {Completions: []lashstore.ClaimCompletion{{BatchIDs: []lashstore.BatchID{"a"}}, {BatchIDs: []lashstore.BatchID{"b"}}}},
		"two of a frame": {Frames: []lashstore.AgentFrame{validFrame()}, CurrentFrameID: "f"},
	} {
		wantValid(t, name, c.Validate())
	}
}

// Whatever carries bytes counts, or one part of a commit escapes the limit.
func TestCommitBytes(t *testing.T) {
	t.Parallel()
	const piece = lashstore.MaxPayloadBytes - 1024
	const pieces = lashstore.MaxCommitBytes/piece + 1
	filler := strings.Repeat("x", piece)
	object := json.RawMessage(`{"a":"` + filler + `"}`)
	payload := json.RawMessage(`{"plugin_type":"t","body":"` + filler + `"}`)
	var inNodes, inFrames, inStates, inPrompts, inQueue, inComponents lashstore.Commit
	inComponents.Checkpoint = &lashstore.Checkpoint{Components: map[string]lashstore.Component{}}
	for i := range pieces {
		id := strconv.Itoa(i)
		n := validNode(lashstore.NodeID(id))
		n.Payload = payload
		inNodes.Graph.Mode = lashstore.GraphAppend
		inNodes.Graph.Nodes = append(inNodes.Graph.Nodes, n)

		f := validFrame()
		f.FrameID = lashstore.FrameID(id)
		f.Assignment.PluginOptions = object
		inFrames.Frames = append(inFrames.Frames, f)
		f.Assignment.PluginOptions = nil
		state := lashstore.Changed([]byte(filler))
		f.ExecutionState = &state
		inStates.Frames = append(inStates.Frames, f)
		f.ExecutionState = nil
		f.Assignment.Policy.Prompt = object
		inPrompts.Frames = append(inPrompts.Frames, f)

		d := validDraft()
		d.Payloads[0].Body = object
		inQueue.Enqueue = append(inQueue.Enqueue, d)
		inComponents.Checkpoint.Components[id] = lashstore.Changed([]byte(filler))
	}
	for name, c := range map[string]lashstore.Commit{
		"nodes": inNodes, "frames": inFrames, "frames' states": inStates, "prompts": inPrompts, "queue": inQueue, "components": inComponents,
	} {
		var limit *lashstore.LimitError
		if err := c.Validate(); !errors.As(err, &limit) || limit.Limit != "commit_bytes" {
			t.Errorf("%d bytes in %s: got %v, want the limit of bytes", pieces*piece, name, err)
		}
	}
	inNodes.Graph.Nodes = inNodes.Graph.Nodes[:pieces-1]
	wantValid(t, "bytes within the limit", inNodes.Validate())
}

// A component that is empty is not the same as one that is left out.
func TestComponent(t *testing.T) {
	t.Parallel()
	changed, ref := lashstore.Changed(nil), lashstore.Unchanged(lashstore.BlobRef{Digest: lashstore.DigestOf(nil)})
	if !changed.IsChange() || changed.Bytes == nil {
		t.Errorf("nil bytes are %v, want content of length 0", changed)
	}
	if ref.IsChange() {
		t.Errorf("%v is a change", ref)
	}
	for key, want := range map[string]lashstore.ArtifactKind{
		lashstore.ComponentToolState:      lashstore.KindToolState,
		lashstore.ComponentPluginSnapshot: lashstore.KindPluginSnapshot,
		lashstore.ComponentExecutionState: lashstore.KindExecutionState,
		"anything":                        lashstore.KindGeneric,
	} {
		d := lashstore.ComponentDescriptor(key, &changed)
		if d.Kind != want || !d.Hints.Compressible {
			t.Errorf("descriptor of %s is %+v, want a compressible %s", key, d, want)
		}
	}
	own := changed
	own.Descriptor = lashstore.Descriptor{Kind: lashstore.KindAttachment}
	if d := lashstore.ComponentDescriptor(lashstore.ComponentToolState, &own); d != own.Descriptor {
		t.Errorf("descriptor is %+v, want the component's own", d)
	}
}
