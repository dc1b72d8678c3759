package chronicle

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/raptorflow/tercet/internal/coherence"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/replay"
	"github.com/raptorflow/tercet/internal/tiers"
)

// Kind is what happened to the key.
type Kind string

// The kinds.
const (
	Put        Kind = "put"
	Outrun     Kind = "outrun" // a put that lost to a higher row version
	Fenced     Kind = "fence"
	Softened   Kind = "soft fence"
	Opened     Kind = "bracket"
	Ended      Kind = "end"
	EpochBegan Kind = "epoch"
	Unreadable Kind = "unreadable"
)

// Event is one thing that a record said about the key.
type Event struct {
	At   events.Position `json:"position"`
	Time time.Time       `json:"time"`
	Kind Kind            `json:"kind"`
	// By is how the record covers the key: by key, tag, prefix, glob or all, and
	// the name.
	By   string `json:"by,omitempty"`
	Name string `json:"name,omitempty"`
	// Change is what the record says, in full.
	Change replay.ChangeView `json:"change"`
	// Decides: this is what kills whatever was born before it, and would live
	// without it.
	Decides bool `json:"decides,omitempty"`
}

// Verdict is what becomes of a copy.
type Verdict struct {
	Birth events.Position `json:"birth"`
	// Life is alive, stale or dead, Why the reason if it is not alive.
	Life string `json:"life"`
	Why  string `json:"why,omitempty"`
	// Position is the fence's, the horizon's or the epoch's, Cause the domain
	// event behind it, where known.
	Position events.Position `json:"position,omitempty"`
	Cause    string          `json:"cause,omitempty"`
}

// Chronicle gathers the history of a key. Make one with [New]; it is not safe for
// concurrent use.
type Chronicle struct {
	key    string
	tags   []string
	most   int
	world  *coherence.World
	fence  coherence.Fence // of the key
	events []Event
	left   int // events that were dropped for those behind them
	// brackets are the open ones that cover the key.
	brackets map[events.BracketID]cover
	version  events.Version
	opened   events.Position // where the epoch began; 0: before what was told
	put      *copyOf
}

// cover is how a scope covers the key.
type cover struct{ by, name string }

// copyOf is the copy that the last put left.
type copyOf struct {
	birth events.Position
	tags  []string
	value bool
}

// New returns the chronicle of a key that may carry tags, and keeps the last most
// events; 0: all.
func New(key string, most int, tags ...string) *Chronicle {
	return &Chronicle{key: key, tags: slices.Clone(tags), most: most, world: coherence.New(), brackets: map[events.BracketID]cover{}}
}

// Tell takes in the next record.
func (c *Chronicle) Tell(d events.Delivery) {
	r, err := events.DecodeRecord(d.Data)
	e := c.world.Apply(coherence.Step{Mark: d.Mark, Record: r, Err: err})
	if err != nil {
		if e.Void {
			c.void(d.Position)
		}
		c.note(d, Unreadable, cover{by: "all"}, replay.ChangeView{Kind: string(Unreadable), Why: err.Error()})
		return
	}
	for _, change := range r.Changes {
		c.change(d, change)
	}
	for _, f := range e.Fences {
		switch {
		case f.Key != c.key:
		case f.Hardness == coherence.Soft:
			c.fence.Soft = d.Position
		default:
			c.fence.Hard = d.Position
		}
	}
}

func (c *Chronicle) void(at events.Position) {
	c.fence, c.put, c.version, c.opened = coherence.Fence{}, nil, events.Version{}, at
}

func (c *Chronicle) note(d events.Delivery, kind Kind, by cover, v replay.ChangeView) {
	if c.most > 0 && len(c.events) == 2*c.most {
		c.events = slices.Delete(c.events, 0, c.most)
		c.left += c.most
	}
	c.events = append(c.events, Event{At: d.Position, Time: time.Unix(0, d.Time).UTC(), Kind: kind, By: by.by, Name: by.name, Change: v})
}

func (c *Chronicle) change(d events.Delivery, change events.Change) {
	view := func() replay.ChangeView { return replay.ViewChange(change) }
	switch x := change.(type) {
	case *events.Put:
		if x.Key == c.key {
			c.wasPut(d, x, view())
		}
	case *events.Invalidate:
		kind := Fenced
		if x.Soft {
			kind = Softened
		}
		if by, ok := c.covers(&x.Scope); ok {
			c.note(d, kind, by, view())
		}
	case *events.Intent:
		if by, ok := c.covers(&x.Scope); ok {
			c.brackets[x.Bracket] = by
			c.note(d, Opened, by, view())
		}
	case *events.End:
		by, ok := c.brackets[x.Bracket]
		if !ok {
			by, ok = c.covers(&x.Scope)
		}
		if !ok && x.Scope.Empty() {
			by, ok = cover{by: "all"}, true // where the bracket is not known
		}
		delete(c.brackets, x.Bracket)
		if ok {
			c.note(d, Ended, by, view())
		}
	case *events.EpochChange:
		c.void(d.Position)
		c.note(d, EpochBegan, cover{by: "all"}, view())
	}
}

func (c *Chronicle) wasPut(d events.Delivery, x *events.Put, v replay.ChangeView) {
	if x.Version.Known {
		if c.version.Known && c.version.N > x.Version.N {
			c.note(d, Outrun, cover{"key", c.key}, v)
			return
		}
		c.version = x.Version
	}
	c.fence.Hard = d.Position
	p := &copyOf{birth: d.Position}
	if e, err := tiers.Parse(x.Entry); err == nil {
		p.value = true
		for t := range e.Tags() {
			p.tags = append(p.tags, strings.Clone(t))
			if !slices.Contains(c.tags, t) {
				c.tags = append(c.tags, strings.Clone(t))
			}
		}
	}
	c.put = p
	c.note(d, Put, cover{"key", c.key}, v)
}

// covers says how a scope covers the key, or a copy of it with the tags that are
// known.
func (c *Chronicle) covers(s *events.Scope) (cover, bool) {
	if slices.Contains(s.Keys, c.key) {
		return cover{"key", c.key}, true
	}
	for _, t := range s.Tags {
		if slices.Contains(c.tags, t) {
			return cover{"tag", t}, true
		}
	}
	for _, p := range s.Prefixes {
		if strings.HasPrefix(c.key, p) {
			return cover{"prefix", p}, true
		}
	}
	for _, g := range s.Globs {
		if events.MatchGlob(c.key, g) {
			return cover{"glob", g}, true
		}
	}
	return cover{by: "all"}, s.All
}

// Story is what a chronicle has come to.
type Story struct {
	Key    string          `json:"key"`
	Tags   []string        `json:"tags,omitempty"`
	Epoch  events.Epoch    `json:"-"`
	Opened events.Position `json:"epoch_began,omitempty"` // 0: before what was read
	// Applied is the last record's position, Time its time.
	Applied events.Position `json:"applied"`
	Time    time.Time       `json:"time"`
	// Horizon: births below it are refused, since nobody knows what fenced them.
	Horizon events.Position `json:"horizon"`
	// Left are events that happened before the first of Events.
	Left   int     `json:"left_out,omitempty"`
	Events []Event `json:"events"`
	// Put is what became of the copy that the last Put made; nil: there is none in
	// this epoch, or its value did not ride in the log.
	Put *Verdict `json:"put,omitempty"`
	// Living is the least birth that a copy with all of Tags can have and be alive;
	// 0: none can, an open bracket covers it.
	Living events.Position `json:"living_from"`
}

// Story returns what the chronicle has come to by now.
func (c *Chronicle) Story() Story {
	m := c.world.Mark()
	s := Story{
		Key: c.key, Tags: c.tags, Epoch: c.world.Epoch(), Opened: c.opened, Applied: m.Position, Time: time.Unix(0, m.Time).UTC(),
		Horizon: c.world.Horizon(), Left: c.left, Events: slices.Clone(c.events), Living: c.living(),
	}
	if n := len(s.Events) - c.most; c.most > 0 && n > 0 {
		s.Events, s.Left = s.Events[n:], s.Left+n
	}
	if c.put != nil && c.put.value {
		v := c.Judge(c.world.Epoch(), c.put.birth, c.put.tags)
		s.Put = &v
	}
	if v := c.Judge(c.world.Epoch(), c.world.Horizon(), c.tags); v.Life == coherence.Dead.String() {
		for i := range s.Events {
			s.Events[i].Decides = s.Events[i].At == v.Position && s.Events[i].Kind != Softened
		}
	}
	return s
}

// living is the least birth that is alive, by asking as a node does.
func (c *Chronicle) living() events.Position {
	_, why := c.world.Explain(c.copy(c.world.Epoch(), c.world.Horizon(), c.tags), c.fence)
	switch why.Cause {
	case coherence.HardFence: // the highest there is
		return why.Position
	case coherence.InBracket, coherence.OtherEpoch:
		return 0
	}
	return c.world.Horizon()
}

func (c *Chronicle) copy(epoch events.Epoch, birth events.Position, tags []string) coherence.Copy {
	return coherence.Copy{Key: c.key, Epoch: epoch, Birth: birth, Tags: slices.Values(tags)}
}

// Judge says what becomes of a copy of the key: of an epoch, born at a position,
// with these tags.
func (c *Chronicle) Judge(epoch events.Epoch, birth events.Position, tags []string) Verdict {
	life, why := c.world.Explain(c.copy(epoch, birth, tags), c.fence)
	v := Verdict{Birth: birth, Life: life.String(), Position: why.Position}
	if why.Cause == coherence.NoCause {
		return v
	}
	v.Why = why.String()
	for _, e := range slices.Backward(c.events) {
		if why.Cause == coherence.InBracket && e.Kind == Opened {
			v.Position, v.Why = e.At, fmt.Sprintf("covered by bracket %s, which is open since %d", e.Change.Bracket, e.At)
			return v
		}
		if why.Position == 0 || e.At != why.Position {
			continue
		}
		switch v.Cause = e.Change.Cause; e.Kind {
		case Put:
			v.Why = fmt.Sprintf("replaced by the put at %d", e.At)
		case EpochBegan:
			v.Why = fmt.Sprintf("born before the epoch that began at %d", e.At)
		}
		return v
	}
	return v
}
