package node

import (
	"context"
	"slices"

	"github.com/raptorflow/tercet/internal/coherence"
	"github.com/raptorflow/tercet/internal/mutant"
	"github.com/raptorflow/tercet/internal/tiers"
)

// Previous returns the copy that the load which runs in ctx is to replace: one
// that has expired, is due, or lies behind a soft fence. A loader may ask the
// origin whether its value is still the one (If-None-Match, If-Modified-Since),
// and answer [Loaded.NotModified]. A copy behind a hard fence is never told, nor
// any to a [BatchLoader].
//
// The entry is valid while the loader runs, and not to be changed.
func Previous(ctx context.Context) (tiers.Entry, bool) {
	s := scopeOf(ctx)
	if s == nil || s.older == nil {
		return nil, false
	}
	return s.older, true
}

// recheck takes the copy from the loader that is about to run in s if a fence has
// killed it since it was found. A later fence kills what the load yields, too: its
// birth is taken already.
func (s *loadScope) recheck() {
	if s.older == nil || mutant.On(mutant.PreviousUnjudged) {
		return
	}
	fence, _ := s.p.lookupDisk(s.key, nil)
	if s.p.judge(s.older, fence) == coherence.Dead {
		s.older = nil
	}
}

// resolve makes a whole answer of one that says "not modified". The origin has
// vouched for the value now, so that it lives anew, with the birth of this load;
// what would make it wrong is what would have before.
func (s *loadScope) resolve(l Loaded) (Loaded, error) {
	if !l.NotModified {
		return l, nil
	}
	if s.older == nil {
		return l, ErrNotModified
	}
	old := s.older.Header()
	l.Payload, l.Codec = s.older.Payload(), old.Codec
	for _, t := range old.Tags {
		if !slices.Contains(l.Tags, t) {
			l.Tags = append(slices.Clip(l.Tags), t)
		}
	}
	if l.Validator == "" {
		l.Validator = old.Validator
	}
	if !l.Version.Known {
		l.Version = old.Version
	}
	if l.Flags == 0 {
		l.Flags = old.Flags
	}
	l.NotModified, s.unmodified = false, true
	s.p.n.stats.notModified.Add(1)
	return l, nil
}
