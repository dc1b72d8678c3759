// Package copies carries copies between the nodes of a domain: those that a
// node sends to a key's owners, through the domain's stream of copies, and
// those that it asks an owner for, over core NATS.
//
// Guarantees: none that anybody may rest on. Copies may be lost, repeated,
// reordered and late, and come from any process that may publish. Whoever
// receives one judges it.
//
// Subjects: tercet.<domain>.copy.<node>, kept by the stream TERCET_<domain>_COPY
// until it has no room; tercet.<domain>.fetch.<node> for questions. A node
// listens to its own subjects only. [Token] makes the last part of its name.
package copies
