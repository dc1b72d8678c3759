package resp

import (
	"context"
	"errors"
	"strings"

	"github.com/raptorflow/tercet/internal/consistency"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
)

// replyError is an error whose text is the reply, code first.
type replyError string

func (e replyError) Error() string { return string(e) }

const (
	errSyntax    = replyError("ERR syntax error")
	errInteger   = replyError("ERR value is not an integer or out of range")
	errNoProto   = replyError("NOPROTO unsupported protocol version")
	errNoAuth    = replyError("NOAUTH Authentication required.")
	errWrongPass = replyError("WRONGPASS invalid username-password pair or user is disabled.")
	errCursor    = replyError("ERR invalid cursor")
)

func errExpire(command string) replyError {
	return replyError("ERR invalid expire time in '" + command + "' command")
}

// errorLine turns what the node answered into a reply. Clients that know Redis
// Cluster try again by themselves after TRYAGAIN.
func errorLine(err error) string {
	var reply replyError
	switch {
	case errors.As(err, &reply):
		return string(reply)
	case errors.Is(err, node.ErrNotServing), errors.Is(err, node.ErrOverloaded), errors.Is(err, events.ErrNotLanded):
		return "TRYAGAIN " + oneLine(err)
	case errors.Is(err, events.ErrIndeterminate):
		return "INDETERMINATE " + oneLine(err)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return "TIMEOUT " + oneLine(err) + "; a write may have happened nevertheless"
	case errors.Is(err, consistency.ErrToken), errors.Is(err, events.ErrInvalid), errors.Is(err, node.ErrTooLarge), errors.Is(err, node.ErrRefused):
		return "ERR " + oneLine(err)
	}
	return "ERR internal error: " + oneLine(err)
}

func oneLine(err error) string {
	return strings.Map(func(r rune) rune {
		if r == '\r' || r == '\n' {
			return ' '
		}
		return r
	}, err.Error())
}
