package config

import (
	"errors"
	"strings"
)

var (
	// ErrUnknown reports a key, variable or flag that is no setting.
	ErrUnknown = errors.New("unknown setting")
	// ErrValue reports a value that a setting does not take.
	ErrValue = errors.New("bad value")
	// ErrMissing reports a setting that this binary needs.
	ErrMissing = errors.New("missing setting")
	// ErrUnsafe reports a server that would be open to everybody.
	ErrUnsafe = errors.New("unsafe setting")
	// ErrFile reports a configuration file that can't be read.
	ErrFile = errors.New("unreadable configuration file")
)

// Error says what is wrong with one setting.
type Error struct {
	// Where is the place: "tercet.yaml:7", "TERCET_LEASE", "--lease"; for a
	// missing setting, the ways to set it.
	Where string
	// Key is the setting; for an unknown one, what was written.
	Key string
	// Reason and Hint are for people; either may be empty. They never hold a
	// secret's value.
	Reason string
	Hint   string
	// Err is one of the sentinels of this package.
	Err error
}

func (e *Error) Error() string {
	var s strings.Builder
	if e.Where != "" {
		s.WriteString(e.Where + ": ")
	}
	s.WriteString(e.Err.Error())
	if e.Key != "" {
		s.WriteString(" " + e.Key)
	}
	if e.Reason != "" {
		s.WriteString(": " + e.Reason)
	}
	if e.Hint != "" {
		s.WriteString("; " + e.Hint)
	}
	return s.String()
}

func (e *Error) Unwrap() error { return e.Err }
