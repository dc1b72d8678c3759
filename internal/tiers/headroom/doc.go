// Package headroom tells how much memory the process may still take before
// somebody takes action: the Go runtime, which collects garbage without end when
// it comes near GOMEMLIMIT, or the kernel, which stalls or kills what a control
// group (version 1 or 2) holds.
//
// It reads and judges nothing. A source that is not there, or can't be read,
// limits nothing.
package headroom
