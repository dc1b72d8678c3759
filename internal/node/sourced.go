package node

import (
	"context"
	"slices"
	"time"

	"github.com/raptorflow/tercet/internal/coherence"
	"github.com/raptorflow/tercet/internal/mutant"
	"github.com/raptorflow/tercet/internal/tiers"
)

// RequiredSource returns the position of the origin that the loader which runs
// in ctx must not read behind, as the fences that cover its key told it
// (events.Invalidate.Source): a log sequence number, a GTID, an offset. Known
// and "" means that any will do. Not known means that only the newest will: the
// node is cut off from the log, or behind what the read demands, and can't tell
// which changes there were (P53), or a fence may have told a position in a record
// that this build can't read (P19).
//
// A loader that reads a replica asks for it first, and waits until the replica
// has come that far, reads the primary, or fails (P3). What it reads earlier
// would be kept above the very fence that told of the change. One that reads
// the primary need not ask.
func RequiredSource(ctx context.Context) (position string, known bool) {
	s := scopeOf(ctx)
	if s == nil {
		return "", false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = true
	return s.need, !s.unknown || mutant.On(mutant.UnknownSourceHidden)
}

// sourceTries is how often a loader is asked until it was told a position that
// will do for the tags of what it answers, which are not known before.
const sourceTries = 2

// askSourced asks the loader, and once more if the tags of its answer demand a
// later position of the origin than it was told. An answer that still may lack
// a change is not kept.
func (n *Node) askSourced(ctx context.Context, s *loadScope, load Loader) (l Loaded, err error) {
	for range sourceTries {
		if l, err = n.ask(s.into(ctx), s.key, load); err != nil || s.satisfied(l.Tags) {
			return l, err
		}
	}
	l.NoStore = true
	return l, nil
}

// satisfied reports whether the loader was told a position at or behind what the
// fences demand of a copy with tags; if not, the next call is told that. A
// loader that did not ask reads what is newest.
func (s *loadScope) satisfied(own []string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.asked || mutant.On(mutant.SourceOfTagsIgnored) {
		return true
	}
	s.p.mu.RLock()
	need, known := s.p.world.RequiredSource(s.key, slices.Values(slices.Concat(own, s.tags)))
	s.p.mu.RUnlock()
	if s.unknown {
		return true
	}
	if known && (need == "" || need == s.need || coherence.CompareSources(s.need, need) > 0) {
		return true
	}
	s.need, s.unknown = need, !known
	return false
}

// untaggedNegative is the longest life of the knowledge that the origin has no
// such value, where no tag says what would change that: an insert fences no key
// that it does not know (P8).
const untaggedNegative = time.Minute

// ttlOf returns how long what was loaded may live; 0: as the policy says.
func (n *Node) ttlOf(pol *Policy, l Loaded) time.Duration {
	if l.Flags&tiers.FlagNegative == 0 {
		return l.TTL
	}
	if l.TTL <= 0 {
		l.TTL = max(pol.NegativeTTL, 0)
	}
	if len(l.Tags) > 0 || mutant.On(mutant.UntaggedNegativeLasts) {
		return l.TTL
	}
	if l.TTL <= 0 {
		l.TTL = pol.TTL
	}
	return min(l.TTL, untaggedNegative)
}
