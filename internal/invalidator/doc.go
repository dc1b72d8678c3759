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
//
// Not promised: exactly one fence per event; an order of fences that is that of
// the events; anything about events older than the stream keeps.
//
// The rules (package rules) and the reading of events (package domainevent)
// are pure; this package is the shell around them. Its processing runs on
// Watermill's router, its subscriber is its own (docs/adr/0010).
package invalidator
