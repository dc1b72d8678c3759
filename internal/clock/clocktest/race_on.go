//go:build race

package clocktest

// RaceEnabled reports whether the race detector watches, under which a
// simulation takes ten times as long.
const RaceEnabled = true
