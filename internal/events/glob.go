package events

import "github.com/tidwall/match"

// globSteps bounds the work of matching one key against one glob. A glob that
// would need more is taken to match: for a fence that is the safe answer.
const globSteps = 1 << 16

// MatchGlob reports whether glob matches the whole of key. Patterns built to
// be slow to match are cut short and count as matching.
func MatchGlob(key, glob string) bool {
	// The library's limit counts per byte of the key.
	matched, stopped := match.MatchLimit(key, glob, globSteps/(len(key)+1)+1)
	return matched || stopped
}
