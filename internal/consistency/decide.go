package consistency

import (
	"time"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/mutant"
)

// Facts are what a node knows of itself and of one partition when it decides
// about a read.
type Facts struct {
	// Age is the time passed on the holder's clock since fresh-as-of.
	Age time.Duration
	// Lease is the domain's.
	Lease  time.Duration
	Policy events.Policy

	Epoch   events.Epoch
	Applied events.Position
	// Left reports whether the session token's epoch is one that this node has
	// left.
	Left bool

	// Pulsed counts the pulses of this incarnation that have been applied and
	// found to agree with the witness; Asked is the number of the pulse that a
	// strong read waits for, or one with a token of an epoch that this node does
	// not know: one whose publish began after the read was invoked. Zero Asked:
	// none was asked for yet.
	Pulsed, Asked uint64
}

// answered reports whether the pulse that was asked for has been applied.
func (f *Facts) answered() bool { return f.Asked > 0 && f.Pulsed >= f.Asked }

// Verdict is what to do about a read.
type Verdict uint8

const (
	// Serve: copies may be served.
	Serve Verdict = iota
	// ServeStale: the node is cut off; copies may be served, marked as
	// possibly stale (policy serve).
	ServeStale
	// Pulse: ask for a pulse and wait until it is applied; then decide again.
	Pulse
	// WaitApplied: wait until the token's position is applied; then decide
	// again.
	WaitApplied
)

// String returns the verdict's name.
func (v Verdict) String() string {
	return [...]string{"serve", "serve stale", "pulse", "wait applied"}[v]
}

// Decide says what a node may do about a read of level l in partition. It
// never says "refuse": whoever waited until its deadline goes to the origin,
// or reports an error, but not to the cache (P53).
func Decide(l Level, partition int, f Facts) Verdict {
	// A node without a valid lease may hold copies that an Everywhere write
	// has overwritten, whatever the reader asks for (G5).
	fresh := f.Age < f.Lease || mutant.On(mutant.NoLease)
	switch l.kind {
	case KindEventual:
		switch {
		case fresh:
			return Serve
		case f.Policy == events.PolicyServe:
			return ServeStale
		}
		return Pulse
	case KindSession:
		p := l.token.At(partition)
		switch {
		case p == (Point{}), f.Left, mutant.On(mutant.TokenIgnored):
		case p.Epoch != f.Epoch && !mutant.On(mutant.TokenEpochIgnored):
			// Who gave the token had applied the record that opened its epoch. If
			// that is still in the log, it stands in front of a pulse that begins
			// now; if it is not, the epoch is over or lost, and nothing of it is
			// left to wait for.
			if !f.answered() && !mutant.On(mutant.UnknownEpochServed) {
				return Pulse
			}
		case f.Applied < p.Position:
			return WaitApplied
		}
		fresh = fresh && f.Age < l.Bound(f.Lease)
	case KindStrong:
		if !f.answered() && !(f.Age <= 0 && mutant.On(mutant.StrongByClock)) && !mutant.On(mutant.StrongWithoutPulse) {
			return Pulse
		}
	case KindBounded:
		if f.Age >= l.Bound(f.Lease) {
			fresh = false
		}
	}
	switch {
	case fresh:
		return Serve
	case f.Policy == events.PolicyServe && l.kind != KindStrong && f.Age >= f.Lease:
		// Bounded and session reads of a domain that prefers answers, while the
		// node is cut off: stale ones are marked, so that the caller can tell.
		return ServeStale
	}
	return Pulse
}
