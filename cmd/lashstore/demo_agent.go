package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"

	"github.com/lashstore/lashstore"
)

// The demonstration's agent is not one: it makes up a state that looks like that
// of a real agent, the same on every run.
const (
	demoTurns      = 5
	demoStateBytes = 2 << 20  // to begin with
	demoGrowBytes  = 24 << 10 // each turn
	demoToolBytes  = 192 << 10
	demoEdits      = 64 // lines changed each turn
	demoModel      = "demo-model"
	demoProvider   = "demo"
)

// demoPrompts are the inputs that the demonstration enqueues.
func demoPrompts() [demoTurns]string {
	return [demoTurns]string{
		"Read the repository and tell me where the parser lives.",
		"Write a test for the empty input.",
		"The test hangs. Find out why.",
		"Fix it, and keep the error message.",
		"Summarise what changed.",
	}
}

// demoRandom is a source of randomness that depends on the turn alone.
func demoRandom(turn int) *rand.Rand {
	const seed = 1807
	return rand.New(rand.NewPCG(seed, uint64(turn))) //nolint:gosec // repeatable on purpose, and no secret
}

// demoLine is one line of state: text of the kind that agents keep.
func demoLine(r *rand.Rand) []byte {
	verbs := []string{"read", "write", "search", "run", "edit", "list", "compare", "plan"}
	files := []string{"src/parser/lexer.go", "src/parser/parser.go", "docs/guide.md", "cmd/tool/main.go", "Makefile"}
	return fmt.Appendf(nil, "%s file=%s line=%04d cost=%06d note=%016x\n",
		verbs[r.IntN(len(verbs))], files[r.IntN(len(files))], r.IntN(4000), r.IntN(900_000), r.Uint64())
}

// demoState returns the state after a turn, given the one before it.
func demoState(before []byte, turn int) []byte {
	r := demoRandom(turn)
	after := make([]byte, 0, demoStateBytes+demoTurns*demoGrowBytes)
	after = append(after, before...)
	want := len(before) + demoGrowBytes
	if len(before) == 0 {
		want = demoStateBytes
	} else {
		for range demoEdits {
			at := r.IntN(len(after) - demoGrowBytes)
			copy(after[at:], bytes.TrimRight(demoLine(r), "\n"))
		}
	}
	for len(after) < want {
		after = append(after, demoLine(r)...)
	}
	return after[:want]
}

// demoTools is a component that does not change from turn to turn.
func demoTools() []byte {
	r := demoRandom(0)
	tools := make([]byte, 0, demoToolBytes)
	for len(tools) < demoToolBytes {
		tools = append(tools, demoLine(r)...)
	}
	return tools[:demoToolBytes]
}

// demoCommit is what the agent commits for a turn.
func demoCommit(id lashstore.SessionID, turn int, before *lashstore.Snapshot, prompt string) (lashstore.Commit, error) {
	var state []byte
	if before.Checkpoint != nil {
		state = before.Checkpoint.Components[lashstore.ComponentExecutionState].Bytes
	}
	usage := lashstore.TokenUsage{InputTokens: int64(1000 * turn), OutputTokens: int64(100 * turn)}
	c := lashstore.Commit{
		ExpectedRevision: before.Revision,
		TurnID:           demoTurnID(turn),
		Checkpoint: &lashstore.Checkpoint{
			TurnState: lashstore.TurnState{TurnIndex: uint64(turn), TokenUsage: usage}, //nolint:gosec // counted from 1
			Components: map[string]lashstore.Component{
				lashstore.ComponentExecutionState: lashstore.Changed(demoState(state, turn)),
				lashstore.ComponentToolState:      lashstore.Changed(demoTools()),
			},
		},
		Usage:        []lashstore.UsageEntry{{Source: "turn", Model: demoModel, Usage: usage}},
		ReleaseLease: turn == demoTurns,
	}
	if before.Revision == 0 {
		model := lashstore.ModelSpec{ID: demoModel, Limits: lashstore.ModelLimits{ContextWindowTokens: 200_000}}
		c.Config = &lashstore.SessionConfig{ProviderID: demoProvider, Model: model}
		c.Frames = []lashstore.AgentFrame{{
			FrameID:    lashstore.InitialFrameID(id),
			Assignment: lashstore.FrameAssignment{Policy: lashstore.SessionPolicy{Model: model, ProviderID: demoProvider}},
		}}
	}
	parent := before.LeafNodeID
	for _, m := range []lashstore.Message{
		{ID: fmt.Sprintf("turn-%d-input", turn), Role: lashstore.RoleUser, Parts: demoText(prompt)},
		{ID: fmt.Sprintf("turn-%d-answer", turn), Role: lashstore.RoleAssistant, Parts: demoText(fmt.Sprintf("Turn %d is done.", turn))},
	} {
		n, err := lashstore.NewMessageNode(lashstore.NodeID(m.ID), m)
		if err != nil {
			return c, err
		}
		n.ParentNodeID, n.AgentFrameID, parent = parent, lashstore.InitialFrameID(id), n.NodeID
		c.Graph.Nodes = append(c.Graph.Nodes, n)
	}
	c.Graph.Mode, c.Graph.Leaf = lashstore.GraphAppend, lashstore.Leaf(parent)
	return c, nil
}

func demoTurnID(turn int) lashstore.TurnID { return lashstore.TurnID(fmt.Sprintf("turn-%d", turn)) }

func demoText(s string) []lashstore.Part {
	return []lashstore.Part{{ID: "0", Kind: lashstore.PartText, Content: s}}
}
