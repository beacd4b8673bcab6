package transcript

import (
	"bytes"
	"errors"
	"io"
	"iter"
	"maps"
	"math"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// The functions of this file read values that are known to be valid JSON.

// members yields the members of an object in order, or nothing.
func members(v jsontext.Value) iter.Seq2[string, jsontext.Value] {
	return func(yield func(string, jsontext.Value) bool) {
		for m := range spans(v) {
			if !yield(m.name, v[m.start:m.end]) {
				return
			}
		}
	}
}

// span is where the value of a member stands in its object.
type span struct {
	name       string
	start, end int
}

func spans(v jsontext.Value) iter.Seq[span] {
	return func(yield func(span) bool) {
		if v.Kind() != '{' {
			return
		}
		dec := jsontext.NewDecoder(bytes.NewReader(v))
		if _, err := dec.ReadToken(); err != nil {
			return
		}
		for dec.PeekKind() == '"' {
			name, err := dec.ReadToken()
			if err != nil {
				return
			}
			s := span{name: name.String()}
			val, err := dec.ReadValue()
			if err != nil {
				return
			}
			s.end = int(dec.InputOffset())
			s.start = s.end - len(val)
			if !yield(s) {
				return
			}
		}
	}
}

// elements yields the elements of a list in order, or nothing.
func elements(v jsontext.Value) iter.Seq[jsontext.Value] {
	return func(yield func(jsontext.Value) bool) {
		if v.Kind() != '[' {
			return
		}
		dec := jsontext.NewDecoder(bytes.NewReader(v))
		if _, err := dec.ReadToken(); err != nil {
			return
		}
		for dec.PeekKind() != ']' {
			val, err := dec.ReadValue()
			if err != nil || !yield(val.Clone()) {
				return
			}
		}
	}
}

// fields returns the members of an object by name, or nil.
func fields(v jsontext.Value) map[string]jsontext.Value {
	if v.Kind() != '{' {
		return nil
	}
	return maps.Collect(members(v))
}

// optionalText returns the text of a string, or "" for anything else.
func optionalText(v jsontext.Value) string {
	if v.Kind() != '"' {
		return ""
	}
	s, err := jsontext.AppendUnquote(nil, v)
	if err != nil {
		return ""
	}
	return string(s)
}

// firstText returns the text of the first element of a list of strings, or "".
func firstText(v jsontext.Value) string {
	for item := range elements(v) {
		return optionalText(item)
	}
	return ""
}

func text(v jsontext.Value, p place) (string, error) {
	if v.Kind() != '"' {
		return "", p.errorf("must be a string, not %s", kindName(v.Kind()))
	}
	return optionalText(v), nil
}

func kindName(k jsontext.Kind) string {
	switch k {
	case 'n':
		return "null"
	case 't', 'f':
		return "a boolean"
	case '"':
		return "a string"
	case '0':
		return "a number"
	case '{':
		return "an object"
	case '[':
		return "a list"
	default:
		return "nothing"
	}
}

// wholeNumber reads a number without a fraction, however it is written.
func wholeNumber(v jsontext.Value) (int64, error) {
	n, err := strconv.ParseInt(string(v), 10, 64)
	if err == nil || v.Kind() != '0' {
		return n, err
	}
	const exact = 1 << 53 // up to here every whole number is a float64
	f, floatErr := strconv.ParseFloat(string(v), 64)
	if floatErr != nil || math.Trunc(f) != f || math.Abs(f) > exact {
		return 0, err
	}
	return int64(f), nil
}

// parseValue checks that data is one JSON value and nothing more, and returns it
// without the white space between its tokens.
func parseValue(data []byte, p place) (jsontext.Value, error) {
	dec := jsontext.NewDecoder(bytes.NewBuffer(data))
	v, err := dec.ReadValue()
	if err != nil {
		return nil, p.syntax(err)
	}
	v = v.Clone()
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, p.errorf("more than one JSON value")
	}
	return v, compact(&v, p)
}

// compact removes the white space between the tokens of a valid value.
func compact(v *jsontext.Value, p place) error {
	if err := v.Compact(); err != nil {
		return p.syntax(err)
	}
	return nil
}
