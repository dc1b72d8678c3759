// Package domainevent reads what happened in a business: CloudEvents 1.0
// (structured and batched JSON, binary mode of the NATS binding), Debezium
// change events (plain, with schema envelope, flattened, wrapped in
// CloudEvents, schema changes, transaction boundaries, tombstones) and plain
// JSON with a configured type field. All of them become one noun, [Event].
//
// Guarantees:
//
//   - Decoding is total: any bytes either yield events or a *[DecodeError] that
//     names the offending field; it never panics, and its work and memory are
//     bounded by the length of its input, which [MaxBody] and [MaxDepth] bound.
//   - Numbers keep every digit (json.Number): an id of 19 digits stays itself.
//   - Text that is not UTF-8 is refused: replaced bytes would name another key.
//
// Not promised: validation against a schema that the event names, decoding of
// Avro or Protobuf payloads, fetching of data that an event only refers to.
//
// The package is pure: it has no clock, I/O, goroutine or lock.
package domainevent
