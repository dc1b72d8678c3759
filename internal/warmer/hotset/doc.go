// Package hotset tells which hot keys a record of the log kills. It ranks the
// keys that nodes report as read (package popularity), remembers their tags
// and prefixes, and answers for a scope: these keys, hottest first.
//
// Not promised: completeness. A tag that no summary told, a prefix deeper than
// [MaxSegments] and keys beyond the bounds are not found; the next reader loads
// them as if there were no warmer.
//
// Package hotset is pure: no clock, no goroutine, no lock. Time is an argument.
package hotset
