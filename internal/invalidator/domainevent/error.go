package domainevent

import (
	"errors"
	"fmt"
)

var (
	// ErrMalformed reports a body that is not JSON, or a field whose value
	// can't be read as what it should be.
	ErrMalformed = errors.New("malformed")
	// ErrMissing reports a field that must be there and is not.
	ErrMissing = errors.New("missing")
	// ErrUnsupported reports a value that is valid but not for us, such as an
	// unknown specversion or operation.
	ErrUnsupported = errors.New("unsupported")
	// ErrTooLarge reports a body beyond the limits.
	ErrTooLarge = errors.New("too large")
)

// DecodeError says why a message is no event that we understand.
type DecodeError struct {
	// Kind is one of the package's sentinels.
	Kind   error
	Format Format
	// Field is the path of the offending field, such as "[2].data_base64" or
	// "payload.source.table".
	Field string
	// Detail is for people.
	Detail string
}

func (e *DecodeError) Error() string {
	return fmt.Sprintf("decode %s event: %s: %v: %s", e.Format, e.Field, e.Kind, e.Detail)
}

func (e *DecodeError) Unwrap() error { return e.Kind }

func refuse(kind error, f Format, field, format string, args ...any) *DecodeError {
	return &DecodeError{Kind: kind, Format: f, Field: field, Detail: fmt.Sprintf(format, args...)}
}
