package hotset

import (
	"fmt"
	"strings"
	"time"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/warmer/popularity"
	"github.com/raptorflow/tercet/internal/warmer/wire"
)

// MaxSegments is how many leading segments of a key are indexed as prefixes.
const MaxSegments = 8

// globWork bounds how many keys × globs one scope may have matched against.
const globWork = 65_536

// Config shapes a [Set].
type Config struct {
	Popularity popularity.Config
	// MinRate is how many reads per second make a key hot.
	MinRate float64
	// MaxVictims is how many keys one scope yields at most, the hottest.
	MaxVictims int
}

// Set is the hot keys of one domain. It is for one goroutine at a time.
type Set struct {
	config Config
	ranks  *popularity.Table
	tags   map[string][]string // of each key in ranks that has some
	under  index               // prefix -> keys in ranks
	tagged index               // tag -> keys in ranks
	open   map[bracket]events.Scope
}

// index maps a name to the keys that bear it.
type index map[string]map[string]struct{}

func (x index) add(name, key string) {
	keys := x[name]
	if keys == nil {
		keys = make(map[string]struct{})
		x[name] = keys
	}
	keys[key] = struct{}{}
}

func (x index) remove(name, key string) {
	keys := x[name]
	delete(keys, key)
	if len(keys) == 0 {
		delete(x, name)
	}
}

// New returns an empty set.
func New(c Config) (*Set, error) {
	if !(c.MinRate >= 0) || c.MaxVictims < 1 {
		return nil, fmt.Errorf("%w: minimal rate %v and %d victims, want 0 or more and 1 or more", popularity.ErrConfig, c.MinRate, c.MaxVictims)
	}
	ranks, err := popularity.New(c.Popularity)
	if err != nil {
		return nil, err
	}
	return &Set{
		config: c, ranks: ranks,
		tags: make(map[string][]string), under: make(index), tagged: make(index),
		open: make(map[bracket]events.Scope),
	}, nil
}

// Len returns the number of keys that are ranked.
func (s *Set) Len() int { return s.ranks.Len() }

// Learn counts what one node read.
func (s *Set) Learn(now time.Time, sum *wire.Summary) {
	for i := range sum.Reads {
		r := &sum.Reads[i]
		known := s.ranks.Has(r.Key)
		if evicted, yes := s.ranks.Observe(now, r.Key, float64(r.Count)); yes {
			s.forget(evicted)
		}
		if !s.ranks.Has(r.Key) {
			continue // a count of zero
		}
		if !known {
			for p := range prefixes(r.Key) {
				s.under.add(p, r.Key)
			}
		}
		if len(r.Tags) > 0 {
			s.retag(r.Key, r.Tags)
		}
	}
}

func (s *Set) retag(key string, tags []string) {
	for _, t := range s.tags[key] {
		s.tagged.remove(t, key)
	}
	for _, t := range tags {
		s.tagged.add(t, key)
	}
	s.tags[key] = tags
}

func (s *Set) forget(key string) {
	for p := range prefixes(key) {
		s.under.remove(p, key)
	}
	for _, t := range s.tags[key] {
		s.tagged.remove(t, key)
	}
	delete(s.tags, key)
}

// prefixes yields the prefixes that key lies under, shortest first.
func prefixes(key string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for n, at := 0, 0; n < MaxSegments; n++ {
			i := strings.IndexByte(key[at:], events.Separator)
			if i < 0 || !yield(key[:at+i+1]) {
				return
			}
			at += i + 1
		}
	}
}

// Victims returns the hot keys that scope covers, hottest first, at most
// MaxVictims of them.
func (s *Set) Victims(now time.Time, scope *events.Scope) []popularity.Estimate {
	if scope.All {
		return s.hottest(s.ranks.Top(now, s.config.MaxVictims))
	}
	seen := make(map[string]struct{})
	var all []popularity.Estimate
	add := func(key string) {
		if _, twice := seen[key]; twice {
			return
		}
		seen[key] = struct{}{}
		if e, ok := s.ranks.Rate(now, key); ok && e.AtLeast >= s.config.MinRate && e.AtLeast > 0 {
			all = append(all, e)
		}
	}
	for _, k := range scope.Keys {
		add(k)
	}
	for _, t := range scope.Tags {
		for k := range s.tagged[t] {
			add(k)
		}
	}
	for _, p := range scope.Prefixes {
		for k := range s.under[p] {
			add(k)
		}
	}
	if len(scope.Globs) > 0 {
		// The hottest first: if the work is cut short, they were looked at.
		for _, e := range s.ranks.Top(now, globWork/len(scope.Globs)) {
			if matchAny(e.Key, scope.Globs) {
				add(e.Key)
			}
		}
	}
	popularity.SortByRate(all)
	return all[:min(len(all), s.config.MaxVictims)]
}

func matchAny(key string, globs []string) bool {
	for _, g := range globs {
		if events.MatchGlob(key, g) {
			return true
		}
	}
	return false
}

// hottest cuts estimates, hottest first, where they fall below the minimum.
func (s *Set) hottest(all []popularity.Estimate) []popularity.Estimate {
	for i, e := range all {
		if e.AtLeast < s.config.MinRate || e.AtLeast <= 0 {
			return all[:i]
		}
	}
	return all
}
