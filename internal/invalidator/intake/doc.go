// Package intake is the door through which domain events come in that their
// senders do not publish to the stream themselves: over HTTP, from files. It
// checks them the way that the invalidator reads them and says how each is to
// be stored.
//
// Guarantees:
//
//   - All or nothing: of what came together, either every event is understood
//     and handed on, or none is and the error names each offending field.
//   - Nothing is lost on the way: an event in binary mode stays one, payload and
//     extension attributes included; of a batch, each event's text stays as it
//     was written.
//   - The same event has the same message id, so that sending it again is
//     harmless, and as a rule not even stored twice.
//   - An answer of success means that every event is in the stream.
//
// Not promised: that an event which was understood means something to a rule.
//
// The package knows no NATS; whoever stores letters fills its port.
package intake
