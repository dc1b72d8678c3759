// Package scratch runs a node on a past of a domain: on its logs as they were up
// to a place, with a clock that stands still there. Reads answer what a node that
// had applied that much would have answered then, if the value rode in the log.
//
// Such a node is nobody's member. It publishes its pulses to itself, keeps
// everything in memory, and asks neither Redis, nor the other nodes, nor an
// origin. Writes to it are seen by it alone. Nobody's copies are touched.
//
// Not promised: values larger than the domain's inline_max, and what was loaded
// from an origin rather than put: of those the log knows the fences only.
package scratch
