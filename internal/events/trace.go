package events

import "strings"

// JoinTrace returns a [Cause]'s Trace. A state that does not fit is left out,
// as W3C Trace Context allows; without a parent there is none.
func JoinTrace(parent, state string) string {
	switch {
	case parent == "" || len(parent) > MaxCause:
		return ""
	case state == "" || len(parent)+1+len(state) > MaxCause:
		return parent
	}
	return parent + " " + state
}

// SplitTrace returns the traceparent and the tracestate in c's Trace.
func (c Cause) SplitTrace() (parent, state string) {
	parent, state, _ = strings.Cut(c.Trace, " ")
	return parent, state
}
