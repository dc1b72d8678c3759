package rules

import (
	"errors"
	"fmt"
	"strings"
)

// ErrInvalid is wrapped by every fault of a rule file.
var ErrInvalid = errors.New("invalid rules")

// LoadError is one fault of a rule file.
type LoadError struct {
	File         string
	Line, Column int
	Detail       string
	// Suggestion says what was probably meant; may be empty.
	Suggestion string
}

func (e *LoadError) Error() string {
	s := fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Column, e.Detail)
	if e.Suggestion != "" {
		s += " (" + e.Suggestion + ")"
	}
	return s
}

func (e *LoadError) Unwrap() error { return ErrInvalid }

var (
	// ErrMissingField reports a field that the event does not have.
	ErrMissingField = errors.New("missing field")
	// ErrEmptyField reports a field whose text is empty.
	ErrEmptyField = errors.New("empty field")
	// ErrBadField reports a field that can't stand in a name: an object, or
	// text that lost bytes on its way.
	ErrBadField = errors.New("bad field")
	// ErrBadName reports a rendered name that breaks the log's rules.
	ErrBadName = errors.New("bad name")
	// ErrTooMany reports more names than one event may yield.
	ErrTooMany = errors.New("too many names")
	// ErrCondition reports a CEL expression that failed on the event.
	ErrCondition = errors.New("expression failed")
)

// EvalError says which part of which rule failed on an event.
type EvalError struct {
	// Kind is one of the package's sentinels.
	Kind error
	Rule string
	// Part is the failed part of the rule, such as "keys[0]" or "when".
	Part string
	// Field is the event's field that was at fault; empty for expressions.
	Field  string
	Detail string
	// Reached reports that the outcome fences all that the part could have
	// meant. If false, copies that should have died may live on until their
	// expiry or until the event is retried.
	Reached bool
}

func (e *EvalError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "rule %q: %s: %v", e.Rule, e.Part, e.Kind)
	if e.Field != "" {
		fmt.Fprintf(&b, " %s", e.Field)
	}
	if e.Detail != "" {
		fmt.Fprintf(&b, ": %s", e.Detail)
	}
	return b.String()
}

func (e *EvalError) Unwrap() error { return e.Kind }
