package transcript

import (
	"context"
	"errors"
	"io"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/lashstore/lashstore"
)

// Members of a trajectory.
const (
	memberHistory = "history"
	memberSteps   = "trajectory"
)

// trajectory is what one pass over a trajectory finds out: where its lists begin
// and how they fit together.
type trajectory struct {
	src        Source
	history    int64 // offset of the list; 0 if absent, as no list stands there
	steplist   int64
	entries    int // of the list of steps
	assistants int // messages that may belong to a step of their own
	model      string
	usage      lashstore.TokenUsage
	info       []byte // the other members, as one object; nil if there are none
}

// scanTrajectory reads the whole file, finds the lists and checks their entries.
func scanTrajectory(ctx context.Context, src Source) (*trajectory, error) {
	t := &trajectory{src: src}
	r := newListReader(ctx, src, src.start(), "")
	if err := r.open('{'); err != nil {
		return nil, err
	}
	info := []byte{'{'}
	for r.peek(MaxLineBytes) == '"' {
		name, err := r.token()
		if err != nil {
			return nil, err
		}
		switch key := name.String(); key {
		case memberHistory:
			err = t.scanHistory(r)
		case memberSteps:
			err = t.scanEntries(r)
		default:
			info, err = t.scanOther(r, key, info)
		}
		if err != nil {
			return nil, err
		}
	}
	if err := scanEnd(r); err != nil {
		return nil, err
	}
	if len(info) > 1 {
		t.info = append(info, '}')
	}
	// In this order, so that the same file always gets the same complaint.
	switch {
	case t.history == 0:
		return nil, r.place().errorf("%q is missing", memberHistory)
	case t.steplist == 0:
		return nil, r.place().errorf("%q is missing", memberSteps)
	}
	return t, nil
}

// scanEnd checks that the object ends and nothing follows.
func scanEnd(r *listReader) error {
	if _, err := r.token(); err != nil {
		return err
	}
	r.budget.left = MaxLineBytes
	if _, err := r.dec.ReadToken(); !errors.Is(err, io.EOF) {
		return r.place().errorf("more than one JSON value")
	}
	return nil
}

func (t *trajectory) scanHistory(r *listReader) error {
	if err := r.open('[', memberHistory); err != nil {
		return err
	}
	t.history = r.place().offset - 1
	index := 0
	for it, err := range r.items(MaxLineBytes, memberHistory) {
		if err != nil {
			return err
		}
		index++
		m, err := checkedMessage(it.value, index, it.place)
		if err != nil {
			return err
		}
		if m.endsStep() {
			t.assistants++
		}
	}
	return nil
}

// endsStep reports whether a message of a history may belong to a step.
func (m *Message) endsStep() bool {
	return !m.demo && contractRole(m.Role) == lashstore.RoleAssistant
}

func (t *trajectory) scanEntries(r *listReader) error {
	if err := r.open('[', memberSteps); err != nil {
		return err
	}
	t.steplist = r.place().offset - 1
	for it, err := range r.items(MaxStateBytes, memberSteps) {
		if err != nil {
			return err
		}
		if it.value.Kind() != '{' {
			return it.place.errorf("a step must be an object, not %s", kindName(it.value.Kind()))
		}
		t.entries++
	}
	return nil
}

// scanOther keeps another member, and looks for usage and model in it.
func (t *trajectory) scanOther(r *listReader, key string, info []byte) ([]byte, error) {
	v, err := r.value(MaxLineBytes)
	if err != nil {
		return nil, err
	}
	p := r.place().at(key)
	switch key {
	case "info":
		c := countReader{place: p.at("model_stats"), fields: fields(fields(v)["model_stats"])}
		t.usage = lashstore.TokenUsage{InputTokens: c.count("tokens_sent"), OutputTokens: c.count("tokens_received")}
		if c.err != nil {
			return nil, c.err
		}
	case "replay_config":
		t.model = partName(optionalText(fields(fields(fields(v)["agent"])["model"])["name"]))
	}
	info, err = appendMember(info, key, v)
	if err != nil {
		return nil, p.errorf("%v", err)
	}
	if len(info) > MaxLineBytes {
		return nil, p.wrap(&lashstore.LimitError{Limit: "bytes beside history and trajectory", Max: MaxLineBytes, Got: int64(len(info))})
	}
	return info, nil
}

// appendMember adds a member to an object that is being written.
func appendMember(object []byte, name string, v jsontext.Value) ([]byte, error) {
	if len(object) > len("{") {
		object = append(object, ',')
	}
	object, err := jsontext.AppendQuote(object, name)
	if err != nil {
		return nil, err
	}
	return append(append(object, ':'), v...), nil
}
