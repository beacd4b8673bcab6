package lashstore

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"unicode/utf8"
)

// validateJSON checks one JSON value: well-formed UTF-8 JSON, nothing after it,
// within the limits of size and depth.
func validateJSON(field string, raw json.RawMessage) error {
	if len(raw) > MaxPayloadBytes {
		return &LimitError{Limit: field + " bytes", Max: MaxPayloadBytes, Got: int64(len(raw))}
	}
	if jsonDepth(raw) > MaxJSONDepth {
		return &LimitError{Limit: field + " depth", Max: MaxJSONDepth, Got: int64(jsonDepth(raw))}
	}
	if !json.Valid(raw) {
		return Invalid(field, string(raw), "is not valid JSON")
	}
	if !utf8.Valid(raw) { // which json.Valid lets pass within strings
		return Invalid(field, string(raw), "is not valid UTF-8")
	}
	return nil
}

func validateOptionalJSON(field string, raw json.RawMessage) error {
	if len(raw) == 0 {
		return nil
	}
	return validateJSON(field, raw)
}

// validateObject is validateJSON for a value that must be an object.
func validateObject(field string, raw json.RawMessage) error {
	if err := validateJSON(field, raw); err != nil {
		return err
	}
	if trimmed := bytes.TrimLeft(raw, " \t\r\n"); len(trimmed) == 0 || trimmed[0] != '{' {
		return Invalid(field, string(raw), "is not a JSON object")
	}
	return nil
}

func validateOptionalObject(field string, raw json.RawMessage) error {
	if len(raw) == 0 {
		return nil
	}
	return validateObject(field, raw)
}

// jsonDepth is the deepest nesting of brackets outside strings, without recursion.
// For malformed JSON it is only an estimate.
func jsonDepth(raw []byte) int {
	depth, deepest, inString := 0, 0, false
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			depth++
			deepest = max(deepest, depth)
		case c == '}' || c == ']':
			depth--
		}
	}
	return deepest
}

// DecodeStrict decodes exactly one JSON value into v and refuses unknown fields
// and anything that follows. It is how stored records are read: what a reader does
// not know it must not drop.
func DecodeStrict(raw []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("trailing data after the JSON value")
	}
	return nil
}
