package coherence

import (
	"fmt"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/mutant"
)

// Fence holds two positions: copies born before Hard are dead; copies born
// before Soft, but not before Hard, may serve as a marked fallback. The zero
// Fence covers nothing. Fences only rise.
type Fence struct {
	Hard, Soft events.Position
}

// Join returns the fence that covers what either covers.
func (f Fence) Join(g Fence) Fence {
	return Fence{Hard: max(f.Hard, g.Hard), Soft: max(f.Soft, g.Soft)}
}

// Newest returns the highest position of the fence.
func (f Fence) Newest() events.Position { return max(f.Hard, f.Soft) }

// at returns the fence that a change of the given hardness raises at p.
func at(p events.Position, hardness Hardness) Fence {
	if hardness == Soft && mutant.On(mutant.SoftBroadIgnored) {
		return Fence{}
	}
	if hardness == Soft {
		return Fence{Soft: p}
	}
	return Fence{Hard: p}
}

// Hardness tells the two kinds of fences apart.
type Hardness uint8

const (
	// Hard fences leave nothing to serve.
	Hard Hardness = iota
	// Soft fences leave a marked fallback.
	Soft
)

// Kind is what a fence covers by. The values are stored on disk and stay.
type Kind byte

// The kinds of fences.
const (
	ByKey    Kind = 'k'
	ByTag    Kind = 't'
	ByPrefix Kind = 'p'
	ByGlob   Kind = 'g'
	ByAll    Kind = 'a'
)

// String returns the kind's name.
func (k Kind) String() string {
	switch k {
	case ByKey:
		return "key"
	case ByTag:
		return "tag"
	case ByPrefix:
		return "prefix"
	case ByGlob:
		return "glob"
	case ByAll:
		return "all"
	}
	return fmt.Sprintf("kind %q", byte(k))
}

// Life is the verdict on a copy.
type Life uint8

const (
	// Dead copies are never served.
	Dead Life = iota
	// Stale copies lie behind a soft fence: a fallback, if marked as such.
	Stale
	// Alive copies are served.
	Alive
)

// String returns the verdict's name.
func (l Life) String() string {
	switch l {
	case Dead:
		return "dead"
	case Stale:
		return "stale"
	case Alive:
		return "alive"
	}
	return fmt.Sprintf("life %d", uint8(l))
}

// Reason says why a copy is not alive.
type Reason struct {
	// Cause is the rule that struck.
	Cause Cause
	// Kind and Name are the fence's, where Cause is a fence.
	Kind Kind
	Name string
	// Position is the fence's or the horizon's; 0 for an epoch.
	Position events.Position
}

// Cause is the rule by which a copy is not alive.
type Cause uint8

// The causes, in the order in which they are looked at.
const (
	NoCause Cause = iota
	OtherEpoch
	BelowHorizon
	InBracket
	HardFence
	SoftFence
)

// String describes the reason for people.
func (r Reason) String() string {
	switch r.Cause {
	case NoCause:
		return "alive"
	case OtherEpoch:
		return "born in another epoch"
	case BelowHorizon:
		return fmt.Sprintf("born below the horizon %d", r.Position)
	case InBracket:
		return "covered by an open bracket"
	case HardFence:
		return fmt.Sprintf("fenced at %d by %s %q", r.Position, r.Kind, r.Name)
	case SoftFence:
		return fmt.Sprintf("softly fenced at %d by %s %q", r.Position, r.Kind, r.Name)
	}
	return fmt.Sprintf("cause %d", uint8(r.Cause))
}
