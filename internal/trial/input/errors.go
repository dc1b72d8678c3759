package input

import (
	"errors"
	"fmt"
	"strings"
)

var (
	// ErrUnknownFormat reports an input that is none of those known.
	ErrUnknownFormat = errors.New("unknown format")
	// ErrMalformed reports an input that breaks its own format.
	ErrMalformed = errors.New("malformed input")
	// ErrEmpty reports an input without anything to play.
	ErrEmpty = errors.New("nothing to play")
)

// FormatError says which input was not recognised, and what would be.
type FormatError struct {
	Path string
	// Known describes the formats that are understood.
	Known []string
}

func (e *FormatError) Error() string {
	return fmt.Sprintf("input %s: %v; known are:\n  %s", e.Path, ErrUnknownFormat, strings.Join(e.Known, "\n  "))
}

// Unwrap returns [ErrUnknownFormat].
func (e *FormatError) Unwrap() error { return ErrUnknownFormat }

// PlaceError says where an input is malformed and how. It reads as
// file:line: reason.
type PlaceError struct {
	Path string
	// Line counts lines from 1, or records in a binary trace.
	Line   int
	Reason string
}

func (e *PlaceError) Error() string {
	return fmt.Sprintf("%s:%d: %v: %s", e.Path, e.Line, ErrMalformed, e.Reason)
}

// Unwrap returns [ErrMalformed].
func (e *PlaceError) Unwrap() error { return ErrMalformed }

// clip shortens foreign text for a message.
func clip(s string) string {
	const most = 80
	if len(s) > most {
		s = s[:most] + "…"
	}
	return strings.ToValidUTF8(s, "?")
}
