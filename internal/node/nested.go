package node

import (
	"context"
	"slices"
	"sync"

	"github.com/raptorflow/tercet/internal/consistency"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/mutant"
	"github.com/raptorflow/tercet/internal/tiers"
)

// loadScope follows a load: every cached read that its loader makes lowers the
// load's birth to the least of all, and adds its tags to the value's (P4). A
// value made of copies dies with each of them.
type loadScope struct {
	p     *partition
	key   string
	outer *loadScope // the load that this one runs in; nil: none
	// level is the read's that asked for the load.
	level consistency.Level
	// each are the loads of a batch, whose scopes this one stands for.
	each []*loadScope

	mu sync.Mutex
	// need is the origin's position that the loader must not read behind, and
	// asked whether it wanted to know (P3).
	need  string
	asked bool
	// older is what [Previous] tells; nil for nothing.
	older tiers.Entry
	// unmodified: the loader has answered that older is what the origin has.
	unmodified bool
	// unknown: the node does not know need. It has not applied what the read's
	// level demands, or could not read a record that it applied.
	unknown bool
	// nested: the loader has read copies. stale: one of them was marked so, and
	// the value must be, too.
	nested, stale bool
	birth         events.Position
	tags          []string
	// foreign: a copy of another partition or epoch went in, whose birth can't
	// be compared with ours. The value is returned but not kept.
	foreign bool
}

type loadScopeKey struct{}

func scopeOf(ctx context.Context) *loadScope {
	s, _ := ctx.Value(loadScopeKey{}).(*loadScope)
	return s
}

func (s *loadScope) into(ctx context.Context) context.Context {
	return context.WithValue(ctx, loadScopeKey{}, s)
}

// scope returns the scope of a load of key that a read at level l, in ctx, asks
// for, begun at birth.
func (p *partition) scope(ctx context.Context, key string, birth events.Position, l consistency.Level) *loadScope {
	p.mu.RLock()
	need, known := p.world.RequiredSource(key, nil)
	p.mu.RUnlock()
	return &loadScope{p: p, key: key, outer: scopeOf(ctx), level: l, birth: birth, need: need, unknown: !known}
}

// inherit returns the options of a read within the load: at least as fresh as
// the load's own reader demands, and with no fallback, since nothing would mark
// a value that is made of one.
func (s *loadScope) inherit(o ReadOptions) ReadOptions {
	if !mutant.On(mutant.NestedLevelDropped) {
		o.Level = consistency.Stronger(s.level, o.Level)
	}
	o.nested = true
	return o
}

// loads reports whether a load of key is s, or one that s runs in. s may be
// nil.
func (s *loadScope) loads(key string) bool {
	for ; s != nil; s = s.outer {
		if s.each == nil && s.key == key {
			return true
		}
		for _, one := range s.each {
			if one.key == key {
				return true
			}
		}
	}
	return false
}

// saw notes that the load read e.
func (s *loadScope) saw(p *partition, e tiers.Entry) {
	for _, one := range s.each {
		one.saw(p, e)
	}
	if s.each != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nested = true
	if p != s.p || uint64(e.Epoch()) != p.epoch.Load() {
		s.foreign = true
		return
	}
	if !mutant.On(mutant.NestedKeepsBirth) {
		s.birth = min(s.birth, e.Birth())
	}
	if mutant.On(mutant.NestedDropsTags) {
		return
	}
	for t := range e.Tags() {
		if !slices.Contains(s.tags, t) {
			s.tags = append(s.tags, string([]byte(t)))
		}
	}
}

// sawUncached notes that the load read a value that no entry stands for.
func (s *loadScope) sawUncached() {
	for _, one := range s.each {
		one.sawUncached()
	}
	s.mu.Lock()
	s.foreign, s.nested = true, true
	s.mu.Unlock()
}

// sawStale notes that a copy which the load read was marked as stale.
func (s *loadScope) sawStale() {
	for _, one := range s.each {
		one.sawStale()
	}
	s.mu.Lock()
	s.stale, s.foreign = true, true
	s.mu.Unlock()
}

func (s *loadScope) isStale() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stale
}

// close returns what the load has gathered.
func (s *loadScope) close(own []string) (birth events.Position, tags []string, foreign, nested bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	tags = slices.Clone(own)
	for _, t := range s.tags {
		if !slices.Contains(tags, t) {
			tags = append(tags, t)
		}
	}
	return s.birth, tags, s.foreign, s.nested
}
