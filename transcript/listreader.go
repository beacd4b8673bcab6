package transcript

import (
	"context"
	"errors"
	"io"
	"iter"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/lashstore/lashstore"
)

// listReader reads JSON from a place in the source, value by value, so that memory
// is bounded by the largest of them.
type listReader struct {
	file   string
	base   int64            // where reading began
	prefix jsontext.Pointer // path of what begins there
	budget *budgetReader
	dec    *jsontext.Decoder
}

func newListReader(ctx context.Context, src Source, offset int64, prefix jsontext.Pointer) *listReader {
	b := &budgetReader{r: contextReader{ctx: ctx, r: src.section(offset)}}
	return &listReader{file: src.Name, base: offset, prefix: prefix, budget: b, dec: jsontext.NewDecoder(b)}
}

// place is how far into the source has been read.
func (r *listReader) place() place {
	return place{file: r.file, path: r.prefix, offset: r.base + r.dec.InputOffset()}
}

// fail says where an error of the decoder occurred.
func (r *listReader) fail(err error, limit int64) error {
	var syn *jsontext.SyntacticError
	switch {
	case errors.Is(err, errBudget):
		p := r.place()
		p.path += r.dec.StackPointer()
		return p.wrap(&lashstore.LimitError{Limit: "value bytes", Max: limit, Got: limit + 1})
	case errors.As(err, &syn):
		return place{file: r.file, path: r.prefix, offset: r.base}.syntax(syn)
	case errors.Is(err, io.EOF):
		return r.place().errorf("not valid JSON: unexpected end")
	default: // the source's reader failed, or the context is done
		return err
	}
}

// peek says what comes next: 0 at the end of the input or of its validity.
func (r *listReader) peek(limit int64) jsontext.Kind {
	r.budget.left = limit
	return r.dec.PeekKind()
}

// token reads one token.
func (r *listReader) token() (jsontext.Token, error) {
	r.budget.left = MaxLineBytes
	tok, err := r.dec.ReadToken()
	if err != nil {
		return tok, r.fail(err, MaxLineBytes)
	}
	return tok, nil
}

// value reads one value of at most limit bytes.
func (r *listReader) value(limit int64) (jsontext.Value, error) {
	r.budget.left = limit
	v, err := r.dec.ReadValue()
	if err != nil {
		return nil, r.fail(err, limit)
	}
	if int64(len(v)) > limit {
		return nil, r.fail(errBudget, limit)
	}
	v = v.Clone()
	return v, compact(&v, r.place())
}

// open reads the beginning of the list or object that stands at path.
func (r *listReader) open(kind jsontext.Kind, path ...string) error {
	if k := r.peek(MaxLineBytes); k != kind && k != 0 {
		return r.place().at(path...).errorf("must be %s, not %s", kindName(kind), kindName(k))
	}
	_, err := r.token()
	return err
}

// items yields the entries of a list, whose beginning has been read, with their
// places, and reads its end.
func (r *listReader) items(limit int64, path ...string) iter.Seq2[item, error] {
	return func(yield func(item, error) bool) {
		for i := 0; r.peek(limit) != ']'; i++ {
			v, err := r.value(limit)
			at := r.place().at(path...).at(strconv.Itoa(i))
			if !yield(item{value: v, place: at}, err) || err != nil {
				return
			}
		}
		if _, err := r.token(); err != nil {
			yield(item{}, err)
		}
	}
}

// item is one entry of a list.
type item struct {
	value jsontext.Value
	place place
}
