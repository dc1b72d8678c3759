package node

import (
	"context"
	"slices"
	"sync"

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

	mu    sync.Mutex
	birth events.Position
	tags  []string
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

// saw notes that the load read e.
func (s *loadScope) saw(p *partition, e tiers.Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
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
	s.mu.Lock()
	s.foreign = true
	s.mu.Unlock()
}

// close returns what the load has gathered.
func (s *loadScope) close(own []string) (birth events.Position, tags []string, foreign bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	tags = slices.Clone(own)
	for _, t := range s.tags {
		if !slices.Contains(tags, t) {
			tags = append(tags, t)
		}
	}
	return s.birth, tags, s.foreign
}
