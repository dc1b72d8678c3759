// Package invalidator turns domain events into fences: it follows a JetStream
// stream of events, asks a set of rules what each of them means, has the
// fences put into the domains' logs, and only then acknowledges the event.
//
// Guarantees:
//
//   - At least once: an event is acknowledged after its fences landed in every
//     domain that they concern, or after it was stored as a dead letter. A
//     process that is killed at any moment leaves its events to the others.
//   - A dead letter is preceded by its fences: what other rules say of the
//     event and the reach of the rule that failed. Its headers say why it is
//     there and whether the reach was known.
//   - What may pass (a log without a leader, a timeout, a shutdown) never makes
//     a dead letter; it is tried again, without end.
//   - Order does not matter, and neither do duplicates: fences only rise.
//   - A rule clears no more in a minute than its limit, whatever the number of
//     processes. An event beyond it is acknowledged only once it is kept for
//     the rule's release, or the rule's reach was fenced (docs/adr/0017).
//   - An event that is to settle is acknowledged after its second fence, one
//     whose fences are gathered after their record.
//
// Not promised: that a fence outlives a log that loses acknowledged records
// before any node has applied them, which rules that say everywhere rule out;
// coherence for what a parked rule would clear; exactly one fence per event; an
// order of fences that is that of the events; anything about events older than
// the stream keeps.
//
// The rules (package rules) and the reading of events (package domainevent)
// are pure; this package is the shell around them. Its processing runs on
// Watermill's router, its subscriber is its own (docs/adr/0010).
package invalidator
