package consistency

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/raptorflow/tercet/internal/mutant"
)

// Kind is the kind of a read level.
type Kind uint8

// The read levels, from the zero Level's default on.
const (
	// KindBounded: nothing that was overwritten or invalidated longer than the
	// bound before the read began. The zero Level is Bounded by the lease.
	KindBounded Kind = iota
	// KindEventual: no wait. In a domain with policy fence the lease holds all
	// the same.
	KindEventual
	// KindSession: nothing older than what the token's holder has seen or
	// written.
	KindSession
	// KindStrong: nothing older than the log was when the read was invoked.
	KindStrong
)

// Level is how fresh a read must be. The zero Level is the domain's default,
// Bounded by the lease. Build others with the functions of their names.
type Level struct {
	kind  Kind
	bound time.Duration // of KindBounded and KindSession; 0: the lease
	token Token
}

// Eventual asks for what is there.
func Eventual() Level { return Level{kind: KindEventual} }

// Bounded asks for a staleness of at most d; beyond the lease the lease binds.
// d <= 0 means the lease.
func Bounded(d time.Duration) Level { return Level{kind: KindBounded, bound: max(d, 0)} }

// Session asks for at least what t's holder has seen.
func Session(t Token) Level { return Level{kind: KindSession, token: t} }

// Strong asks for the newest value of the log at the moment of the call.
func Strong() Level { return Level{kind: KindStrong} }

// Kind returns the level's kind.
func (l Level) Kind() Kind { return l.kind }

// Bound returns the staleness allowed under lease.
func (l Level) Bound(lease time.Duration) time.Duration {
	if l.bound > 0 && l.bound < lease && !mutant.On(mutant.BoundIgnored) {
		return l.bound
	}
	return lease
}

// Token returns the session's token; empty for other levels.
func (l Level) Token() Token { return l.token }

// String returns the level in the form that [ParseLevel] reads.
func (l Level) String() string {
	switch l.kind {
	case KindEventual:
		return "eventual"
	case KindBounded:
		if l.bound == 0 {
			return "bounded"
		}
		return "bounded " + strconv.FormatFloat(float64(l.bound)/float64(time.Millisecond), 'f', -1, 64)
	case KindSession:
		return "session " + l.token.String()
	case KindStrong:
		return "strong"
	}
	return fmt.Sprintf("level %d", l.kind)
}

// maxBound is the longest bound in milliseconds that ParseLevel takes: a day.
const maxBound = float64(24 * time.Hour / time.Millisecond)

// ParseLevel reads a level from its words: "eventual", "bounded", "bounded
// <milliseconds>", "session <token>", "strong". Case does not matter, but in
// tokens.
func ParseLevel(words ...string) (Level, error) {
	if len(words) == 1 {
		words = strings.Fields(words[0])
	}
	if len(words) == 0 {
		return Level{}, fmt.Errorf("level: empty, want eventual, bounded [ms], session <token> or strong")
	}
	arg := words[1:]
	switch name := strings.ToLower(words[0]); {
	case name == "eventual" && len(arg) == 0:
		return Eventual(), nil
	case name == "strong" && len(arg) == 0:
		return Strong(), nil
	case name == "bounded" && len(arg) == 0:
		return Bounded(0), nil
	case name == "bounded" && len(arg) == 1:
		ms, err := strconv.ParseFloat(arg[0], 64)
		d := time.Duration(math.Round(ms * float64(time.Millisecond)))
		if err != nil || !(ms > 0 && ms <= maxBound) || d == 0 {
			return Level{}, fmt.Errorf("level bounded %q: want milliseconds, more than 0 and at most %d", arg[0], int64(maxBound))
		}
		return Bounded(d), nil
	case name == "session" && len(arg) == 1:
		t, err := ParseToken(arg[0])
		if err != nil {
			return Level{}, err
		}
		return Session(t), nil
	}
	return Level{}, fmt.Errorf("level %q: want eventual, bounded [ms], session <token> or strong", strings.Join(words, " "))
}

// String returns the kind's name.
func (k Kind) String() string {
	switch k {
	case KindBounded:
		return "bounded"
	case KindEventual:
		return "eventual"
	case KindSession:
		return "session"
	case KindStrong:
		return "strong"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}
