package transcript

import (
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/lashstore/lashstore"
)

// ErrNotEmpty means that the session to import into has commits that are not of
// this import.
var ErrNotEmpty = errors.New("session is not empty")

// InputError says where input is malformed and why.
type InputError struct {
	File   string // name of the source
	Line   int    // from 1; 0 if the format is not line by line
	Path   string // JSON pointer (RFC 6901) into the line or the file; empty: all of it
	Offset int64  // byte offset into the file at or after which the fault lies; -1 if not known
	Reason string
	// Err is the cause, if it is one of the contract's errors, such as a limit.
	Err error
}

func (e *InputError) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d", e.Line)
	}
	b.WriteString(": ")
	if e.Path != "" {
		b.WriteString(e.Path + ": ")
	}
	b.WriteString(e.Reason)
	if e.Line == 0 && e.Offset >= 0 {
		fmt.Fprintf(&b, " (at byte %d)", e.Offset)
	}
	return b.String()
}

// Unwrap returns the cause, or [lashstore.ErrInvalid] if there is none.
func (e *InputError) Unwrap() error {
	if e.Err != nil {
		return e.Err
	}
	return lashstore.ErrInvalid
}

// place is where in the input something stands.
type place struct {
	file   string
	line   int
	path   jsontext.Pointer
	offset int64
}

func (p place) at(names ...string) place {
	for _, n := range names {
		p.path = p.path.AppendToken(n)
	}
	return p
}

func (p place) errorf(reason string, args ...any) *InputError {
	return &InputError{File: p.file, Line: p.line, Path: string(p.path), Offset: p.offset, Reason: fmt.Sprintf(reason, args...)}
}

// wrap turns an error of the contract into one that says where.
func (p place) wrap(err error) *InputError {
	e := p.errorf("%s", err.Error())
	e.Err = err
	return e
}

// syntax turns an error of the JSON reader into one that says where. Paths and
// offsets in err are relative to p.
func (p place) syntax(err error) *InputError {
	var syn *jsontext.SyntacticError
	if !errors.As(err, &syn) {
		return p.errorf("%v", err)
	}
	p.path += syn.JSONPointer
	if p.offset >= 0 {
		p.offset += syn.ByteOffset
	}
	if errors.Is(syn.Err, jsontext.ErrDuplicateName) {
		return p.errorf("two members have this name")
	}
	return p.errorf("not valid JSON: %v", syn.Err)
}
