package transcript

import (
	"context"
	"iter"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/lashstore/lashstore"
)

// steps reads history and steps side by side.
func (t *trajectory) steps(ctx context.Context) iter.Seq2[*Step, error] {
	return func(yield func(*Step, error) bool) {
		w := &stepWriter{t: t, yield: yield, step: &Step{Index: 1}, skip: t.surplus()}
		entries := newListReader(ctx, t.src, t.steplist, jsontext.Pointer("").AppendToken(memberSteps))
		next, stop := iter.Pull2(entries.list(MaxStateBytes))
		defer stop()
		w.next = next

		history := newListReader(ctx, t.src, t.history, jsontext.Pointer("").AppendToken(memberHistory))
		index := 0
		for it, err := range history.list(MaxLineBytes) {
			if err != nil {
				yield(nil, err)
				return
			}
			index++
			m, err := parseMessage(it.value, index, it.place)
			if err != nil {
				yield(nil, err)
				return
			}
			if !w.message(m) {
				return
			}
		}
		w.finish()
	}
}

// list yields the entries of the list that begins where the reader does.
func (r *listReader) list(limit int64) iter.Seq2[item, error] {
	return func(yield func(item, error) bool) {
		if err := r.open('['); err != nil {
			yield(item{}, err)
			return
		}
		for it, err := range r.items(limit) {
			if !yield(it, err) {
				return
			}
		}
	}
}

// surplus is how many assistant messages at the start have no step of their own.
func (t *trajectory) surplus() int { return max(0, t.assistants-t.entries) }

// stepWriter puts messages and entries together.
type stepWriter struct {
	t     *trajectory
	yield func(*Step, error) bool
	next  func() (item, error, bool)
	step  *Step
	skip  int // assistant messages still to be passed over
	begun int // steps whose assistant message has been seen
	taken int // entries taken
}

// message adds a message to the step it belongs to; false means to stop.
func (w *stepWriter) message(m *Message) bool {
	if m.endsStep() {
		if w.skip > 0 {
			w.skip--
		} else {
			w.begun++
			if w.begun > 1 && !w.emit(true) {
				return false
			}
		}
	}
	if w.step.full() && !w.emit(false) {
		return false
	}
	w.step.add(m)
	return true
}

// finish emits the last step with messages, and the entries that have none.
func (w *stepWriter) finish() {
	last := w.taken + 1
	if !w.emit(true) {
		return
	}
	for ; last < w.t.entries; last++ {
		if !w.emit(true) {
			return
		}
	}
}

// emit hands over the step, with the next entry if it is whole.
func (w *stepWriter) emit(whole bool) bool {
	s := w.step
	w.step = &Step{Index: s.Index + 1}
	if whole {
		it, err, ok := w.next()
		if err != nil {
			w.yield(nil, err)
			return false
		}
		if ok {
			w.taken++
			if s.Components, err = takeApart(it.value, it.place); err != nil {
				w.yield(nil, err)
				return false
			}
		}
		if w.taken == w.t.entries && w.begun >= w.t.assistants-w.t.surplus() {
			w.close(s)
		}
	}
	return w.yield(s, nil)
}

// close gives the last step what belongs to the whole trajectory.
func (w *stepWriter) close(s *Step) {
	if w.t.info != nil {
		if s.Components == nil {
			s.Components = make(map[string][]byte)
		}
		s.Components[ComponentInfo] = w.t.info
	}
	s.addUsage(w.t.model, w.t.usage) // the only one of its step, so it cannot overflow
}

// takeApart makes the components of an entry.
func takeApart(entry jsontext.Value, p place) (map[string][]byte, error) {
	components := make(map[string][]byte)
	rest := []byte{'{'}
	for name, value := range members(entry) {
		key := name
		switch name {
		case "state":
			key = ComponentEnvironment
		case lashstore.ComponentToolState, lashstore.ComponentPluginSnapshot, lashstore.ComponentExecutionState:
		default:
			key = ""
		}
		switch {
		case key == "" || value.Kind() == 'n':
			var err error
			if rest, err = appendMember(rest, name, value); err != nil {
				return nil, p.at(name).errorf("%v", err)
			}
		case value.Kind() == '"': // text of its own, most often JSON again
			components[key] = []byte(optionalText(value))
		default:
			components[key] = value
		}
	}
	components[ComponentStep] = append(rest, '}')
	return components, nil
}
