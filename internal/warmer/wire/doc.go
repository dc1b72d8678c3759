// Package wire holds the two messages of warming: [Summary], in which a node
// tells which keys were read, and [Request], which asks any node that can to
// load keys.
//
// Guarantees:
//
//   - Decoding is total: any bytes yield a message within the limits or an
//     error that wraps [ErrMalformed] or [ErrUnknown]. It never panics, and
//     allocates at most a small multiple of the input's length.
//   - Within one version fields are only ever appended, and a reader skips
//     those that it does not know.
//
// Not promised: that a message arrives. Both are safe to lose, repeat and
// reorder, because warming only ever asks for loads that a reader could have
// asked for.
//
// Both are msgpack arrays whose first element is the version:
//
//	[1, node, window in ms, [[key, count, [tag, …]], …]]
//	[1, [key, …], position, deadline in Unix ms]
//
// Package wire imports events and no other package of Tercet.
package wire
