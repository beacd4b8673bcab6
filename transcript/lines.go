package transcript

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"iter"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/lashstore/lashstore"
)

// messageSteps reads JSON Lines.
func messageSteps(ctx context.Context, src Source) iter.Seq2[*Step, error] {
	return func(yield func(*Step, error) bool) {
		r := &lineReader{src: src}
		step := &Step{Index: 1}
		for m, err := range r.messages(ctx) {
			if err != nil {
				yield(nil, err)
				return
			}
			if step.complete(m) {
				if !r.emit(step, yield) {
					return
				}
				step = &Step{Index: step.Index + 1}
			}
			step.add(m)
		}
		if len(step.Messages) > 0 {
			r.emit(step, yield)
		}
	}
}

// complete reports whether the step ends before a message.
func (s *Step) complete(next *Message) bool {
	return s.full() || (s.answered() && !next.isToolResult())
}

// answered reports whether the step has an assistant message, and only tool results
// behind it.
func (s *Step) answered() bool {
	for _, m := range slices.Backward(s.Messages) {
		if !m.isToolResult() {
			return contractRole(m.Role) == lashstore.RoleAssistant
		}
	}
	return false
}

// lineReader reads messages line by line.
type lineReader struct {
	src   Source
	line  int
	count int // messages so far
}

func (r *lineReader) place() place { return place{file: r.src.Name, line: r.line, offset: -1} }

func (r *lineReader) emit(step *Step, yield func(*Step, error) bool) bool {
	if err := step.collect(r.place()); err != nil {
		yield(nil, err)
		return false
	}
	return yield(step, nil)
}

func (r *lineReader) messages(ctx context.Context) iter.Seq2[*Message, error] {
	const lineEnd = len("\r\n")
	return func(yield func(*Message, error) bool) {
		lines := bufio.NewScanner(contextReader{ctx: ctx, r: r.src.section(r.src.start())})
		lines.Buffer(nil, MaxLineBytes+lineEnd)
		for lines.Scan() {
			r.line++
			line := lines.Bytes()
			if len(bytes.TrimLeft(line, " \t\r")) == 0 {
				continue
			}
			m, err := r.message(line)
			if !yield(m, err) || err != nil {
				return
			}
		}
		err := lines.Err()
		if errors.Is(err, bufio.ErrTooLong) {
			r.line++
			err = r.place().wrap(&lashstore.LimitError{Limit: "line bytes", Max: MaxLineBytes, Got: MaxLineBytes + 1})
		}
		if err != nil {
			yield(nil, err)
		}
	}
}

func (r *lineReader) message(line []byte) (*Message, error) {
	if len(line) > MaxLineBytes {
		return nil, r.place().wrap(&lashstore.LimitError{Limit: "line bytes", Max: MaxLineBytes, Got: int64(len(line))})
	}
	raw, err := parseValue(line, r.place())
	if err != nil {
		return nil, err
	}
	r.count++
	return checkedMessage(raw, r.count, r.place())
}

// checkedMessage reads a message that the contract will accept as a node.
func checkedMessage(raw jsontext.Value, index int, p place) (*Message, error) {
	m, err := parseMessage(raw, index, p)
	if err != nil {
		return nil, err
	}
	n, err := m.Node()
	if err != nil {
		return nil, p.wrap(err)
	}
	if err := n.Validate(); err != nil {
		return nil, p.wrap(err)
	}
	return m, nil
}
