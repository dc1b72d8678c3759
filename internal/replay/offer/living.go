package offer

import (
	"strings"

	"github.com/raptorflow/tercet/internal/coherence"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/mutant"
	"github.com/raptorflow/tercet/internal/replay"
	"github.com/raptorflow/tercet/internal/tiers"
)

// living is what a partition's log leaves alive: which put of each key, as far as
// the log was told.
type living struct {
	world   *coherence.World
	matcher *replay.Matcher
	// puts are the places of puts that no fence of their key, and no later put,
	// has killed. Broad fences are the world's to judge by.
	puts map[string]events.Position
	// versions are the highest row versions put in this epoch.
	versions map[string]uint64
	// whole: nothing of the present epoch was trimmed.
	whole bool

	dead, notInline, outrun, unsure uint64
}

func newLiving(f replay.Filter) *living {
	return &living{
		world: coherence.New(), matcher: replay.NewMatcher(f),
		puts: map[string]events.Position{}, versions: map[string]uint64{},
	}
}

// apply takes in the next record.
func (l *living) apply(d events.Delivery) {
	if d.Position == 1 {
		l.whole = true
	}
	r, err := events.DecodeRecord(d.Data)
	e := l.world.Apply(coherence.Step{Mark: d.Mark, Record: r, Err: err})
	if e.Void {
		l.dead += uint64(len(l.puts))
		l.whole = true
		clear(l.puts)
		clear(l.versions)
	}
	for _, f := range e.Fences {
		l.kill(f.Key) // a soft one too: a node keeps no copy that is stale already
	}
	for _, c := range e.Puts {
		l.put(d.Position, c)
	}
}

func (l *living) kill(key string) {
	if _, ok := l.puts[key]; ok {
		delete(l.puts, key)
		l.dead++
	}
}

func (l *living) put(at events.Position, c *events.Put) {
	if c.Version.Known {
		if v, known := l.versions[c.Key]; known && v > c.Version.N && !mutant.On(mutant.OutrunOffered) {
			l.outrun++ // neither a fence nor a copy
			return
		}
		l.versions[strings.Clone(c.Key)] = c.Version.N
	}
	l.kill(c.Key)
	switch {
	case !l.matcher.Wants(c):
	case len(c.Entry) == 0:
		l.notInline++
	case c.Version.Known && !l.whole && !mutant.On(mutant.OutrunOffered):
		l.unsure++
	default:
		l.puts[strings.Clone(c.Key)] = at
	}
}

// judge says whether a copy that no fence of its key has killed is alive.
func (l *living) judge(e tiers.Entry) bool {
	c := coherence.Copy{Key: e.Key(), Epoch: e.Epoch(), Birth: e.Birth(), Tags: e.Tags()}
	return l.world.Judge(c, coherence.Fence{}) == coherence.Alive
}

// oldest is where the first put stands that is alive; 0 if none is.
func (l *living) oldest() (p events.Position) {
	for _, at := range l.puts {
		if p == 0 || at < p {
			p = at
		}
	}
	return p
}
