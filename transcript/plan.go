package transcript

import (
	"context"
	"fmt"
	"iter"

	"github.com/lashstore/lashstore"
)

// What an imported session is configured with, as far as the input does not say.
const (
	// ImportProvider is the provider id of an imported session.
	ImportProvider = "import"
	// assumedContextTokens stands for the context window, which no input states and
	// the contract asks for.
	assumedContextTokens = 128_000
	// turnPrefix begins the turn ids of imports.
	turnPrefix = "import:"
)

// Plan is input that has been read once and found well-formed.
type Plan struct {
	Source   Source
	Format   Format
	Digest   string // SHA-256 of the source, hexadecimal
	Messages int
	Steps    int
	// Model is the first model that the input names; empty if it names none.
	Model string

	traj *trajectory
}

// Scan reads the whole input and does all of an import but the commits.
//
// Errors: an [*InputError] for malformed input; what the source's reader returns.
func Scan(ctx context.Context, src Source) (*Plan, error) {
	digest, err := src.digest(ctx)
	if err != nil {
		return nil, err
	}
	p := &Plan{Source: src, Format: src.detect(), Digest: digest}
	if p.Format == FormatTrajectory {
		if p.traj, err = scanTrajectory(ctx, src); err != nil {
			return nil, err
		}
		p.Model = p.traj.model
	}
	var parent lashstore.NodeID
	for step, err := range p.All(ctx) {
		if err != nil {
			return nil, err
		}
		c, err := step.commit(p, "scan", parent)
		if err != nil {
			return nil, err
		}
		if err := c.Validate(); err != nil {
			return nil, fmt.Errorf("%s: step %d: %w", src.Name, step.Index, err)
		}
		for _, m := range step.Messages {
			parent = nodeID(m.Index)
			if p.Model == "" && len(m.Model) <= lashstore.MaxNameBytes {
				p.Model = m.Model
			}
		}
		p.Messages += len(step.Messages)
		p.Steps = step.Index
	}
	if p.Messages == 0 {
		return nil, place{file: src.Name, offset: -1}.errorf("contains no messages")
	}
	return p, nil
}

// All yields the steps in order. It ends after the first error.
func (p *Plan) All(ctx context.Context) iter.Seq2[*Step, error] {
	if p.Format == FormatTrajectory {
		return p.traj.steps(ctx)
	}
	return messageSteps(ctx, p.Source)
}

// turnID names a step for idempotency: the same bytes give the same id.
func (p *Plan) turnID(step int) lashstore.TurnID {
	const digits = 32 // 128 bits of the digest
	return lashstore.TurnID(fmt.Sprintf(turnPrefix+"%s:%d", p.Digest[:digits], step))
}

func (p *Plan) config() lashstore.SessionConfig {
	model := p.Model
	if model == "" {
		model = unknownModel
	}
	return lashstore.SessionConfig{
		ProviderID: ImportProvider,
		Model:      lashstore.ModelSpec{ID: model, Limits: lashstore.ModelLimits{ContextWindowTokens: assumedContextTokens}},
	}
}
