package wire

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// ErrNotPermitted reports that this machine does not let the harness make
// namespaces, or links between them.
var ErrNotPermitted = errors.New("no network namespaces here")

// Error is a failure to build a network. It is an [ErrNotPermitted] if Hint is
// there.
type Error struct {
	// Op is what was attempted.
	Op string
	// Hint says what is missing and what to do; empty: the machine would allow it.
	Hint string
	Err  error
}

func (e *Error) Error() string {
	text := fmt.Sprintf("%s: %v", e.Op, e.Err)
	if e.Hint != "" {
		text = fmt.Sprintf("%v: %s; %s", ErrNotPermitted, text, e.Hint)
	}
	return text
}

// Unwrap returns the cause, and [ErrNotPermitted] if it is one.
func (e *Error) Unwrap() []error {
	if e.Hint != "" {
		return []error{ErrNotPermitted, e.Err}
	}
	return []error{e.Err}
}

func failed(op string, err error) error {
	if err == nil {
		return nil
	}
	e := &Error{Op: op, Err: err}
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		e.Hint = "it takes root, or the same command behind: unshare -Urm"
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOENT):
		e.Hint = "the kernel lacks network namespaces, or its modules veth and bridge (modprobe -a veth bridge)"
	}
	return e
}
