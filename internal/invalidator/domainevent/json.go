package domainevent

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

const (
	// MaxBody is the size in bytes of the largest message that is decoded: a
	// change event holds two states of a row, and NATS's own limit is 1 MiB
	// unless it was raised.
	MaxBody = 8 << 20
	// MaxDepth is how deep objects and arrays may nest.
	MaxDepth = 64
)

// parseJSON reads one JSON value within the limits, numbers as json.Number.
func parseJSON(body []byte, f Format, field string) (any, *DecodeError) {
	if len(body) > MaxBody {
		return nil, refuse(ErrTooLarge, f, field, "%d bytes, at most %d", len(body), MaxBody)
	}
	if !utf8.Valid(body) {
		return nil, refuse(ErrMalformed, f, field, "not UTF-8")
	}
	if depthOf(body) > MaxDepth {
		return nil, refuse(ErrTooLarge, f, field, "nests deeper than %d", MaxDepth)
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, refuse(ErrMalformed, f, field, "not JSON: %s", jsonFault(err))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, refuse(ErrMalformed, f, field, "more than one JSON value")
	}
	return v, nil
}

func jsonFault(err error) string {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Sprintf("%v at byte %d", err, syntax.Offset)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return "ends too early"
	}
	return err.Error()
}

// depthOf returns how deep brackets nest outside of strings. On what is not
// JSON its answer means nothing.
func depthOf(body []byte) int {
	depth, deepest, inString := 0, 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case inString:
			if c == '\\' {
				i++
			} else if c == '"' {
				inString = false
			}
		case c == '"':
			inString = true
		case c == '{' || c == '[':
			depth++
			deepest = max(deepest, depth)
		case c == '}' || c == ']':
			depth--
		}
	}
	return deepest
}

// text returns o[name] as text: of a string itself, of a number its digits, of
// a bool its name. An absent or null field is empty.
func text(o Object, name string) string {
	s, _ := scalar(o[name])
	return s
}

// scalar returns v's text and whether v is a string, number or bool.
func scalar(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	case bool:
		if v {
			return "true", true
		}
		return "false", true
	}
	return "", false
}

func typeName(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "a bool"
	case json.Number:
		return "a number"
	case string:
		return "a string"
	case []any:
		return "an array"
	case Object:
		return "an object"
	}
	return fmt.Sprintf("%T", v)
}
