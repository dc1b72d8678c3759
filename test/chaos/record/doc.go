// Package record holds the nouns of a chaos run: the faults that were injected,
// what clients saw, what the judges made of it. It does nothing, so that those
// who play, judge and report need not know each other.
package record
