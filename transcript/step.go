package transcript

import (
	"github.com/lashstore/lashstore"
)

// Components of an imported checkpoint. An entry of a trajectory is taken apart:
// its "state" is the state of the agent's environment, other well-known members
// have a component of their own, and the rest of the entry is one component, so
// that nothing of it is lost.
const (
	ComponentEnvironment = "environment_state"
	ComponentStep        = "trajectory_step"
	// ComponentInfo is what a trajectory says beside its history and its steps. It is
	// part of the last checkpoint.
	ComponentInfo = "trajectory_info"
)

// Step is what one commit takes.
type Step struct {
	Index      int // from 1
	Messages   []*Message
	Components map[string][]byte
	Usage      []lashstore.UsageEntry

	size int // bytes of the messages
}

func (s *Step) add(m *Message) {
	s.Messages = append(s.Messages, m)
	s.size += len(m.Raw)
}

func (s *Step) full() bool { return len(s.Messages) >= MaxStepMessages || s.size >= MaxStepBytes }

// addUsage adds tokens to the step's entry for a model.
func (s *Step) addUsage(model string, u lashstore.TokenUsage) bool {
	if u.IsZero() {
		return true
	}
	if model == "" || len(model) > lashstore.MaxNameBytes {
		model = unknownModel
	}
	for i := range s.Usage {
		if s.Usage[i].Model == model {
			sum, ok := s.Usage[i].Usage.Add(u)
			s.Usage[i].Usage = sum
			return ok
		}
	}
	s.Usage = append(s.Usage, lashstore.UsageEntry{Source: usageSource, Model: model, Usage: u})
	return true
}

// collect adds up what the step's messages say of their usage.
func (s *Step) collect(p place) error {
	for _, m := range s.Messages {
		if !s.addUsage(m.Model, m.Usage) {
			return p.errorf("token counts are too large")
		}
	}
	return nil
}

// commit returns the commit that the step makes, without lease. parent is the node
// before its first message.
func (s *Step) commit(plan *Plan, id lashstore.SessionID, parent lashstore.NodeID) (lashstore.Commit, error) {
	c := lashstore.Commit{
		TurnID:     plan.turnID(s.Index),
		Checkpoint: &lashstore.Checkpoint{Components: make(map[string]lashstore.Component)},
		Usage:      s.Usage,
	}
	if s.Index == 1 {
		config := plan.config()
		c.Config = &config
		c.Frames = []lashstore.AgentFrame{{
			FrameID:    lashstore.InitialFrameID(id),
			Assignment: lashstore.FrameAssignment{Policy: lashstore.SessionPolicy{Model: config.Model, ProviderID: config.ProviderID}},
		}}
	}
	for _, m := range s.Messages {
		n, err := m.Node()
		if err != nil {
			return c, err
		}
		n.ParentNodeID, n.AgentFrameID = parent, lashstore.InitialFrameID(id)
		parent = n.NodeID
		c.Graph.Nodes = append(c.Graph.Nodes, n)
	}
	if len(c.Graph.Nodes) > 0 {
		c.Graph.Mode, c.Graph.Leaf = lashstore.GraphAppend, lashstore.Leaf(parent)
	}
	c.Checkpoint.TurnState.TurnIndex = uint64(s.Index) //nolint:gosec // counted from 1
	for _, u := range s.Usage {
		sum, _ := c.Checkpoint.TurnState.TokenUsage.Add(u.Usage) // saturation is refused by collect
		c.Checkpoint.TurnState.TokenUsage = sum
	}
	for key, content := range s.Components {
		c.Checkpoint.Components[key] = lashstore.Changed(content)
	}
	return c, nil
}
