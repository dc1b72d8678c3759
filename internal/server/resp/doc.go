// Package resp speaks the Redis protocol (RESP2 and RESP3) in front of a
// node, so that any Redis client can use it, and adds the TERCET.* commands.
//
// Guarantees:
//
//   - The commands of one connection are carried out one after the other, and
//     their replies come in that order.
//   - A write's reply is sent when the write is in the log and applied here; a
//     later read of this connection sees it (G2).
//   - Whatever bytes a client sends, memory is bounded: by the limits of
//     [Config] for what it sends, and by one value for each of sixteen keys
//     plus a buffer for what it is sent. A client that does not read is
//     disconnected.
//   - A client that has not given the password learns nothing but that.
//
// Not promised:
//
//   - SET with NX, XX or GET, and KEEPTTL, look first and write then. Among the
//     commands of one node that is atomic; against a writer on another node it
//     is not, since the log orders writes but does not compare. Don't build
//     locks on it.
//   - MSET is one write for each key, not a transaction.
//   - EXPIRE and PEXPIRE change the copies that this node holds. Other nodes'
//     copies keep the end that they have.
//   - SCAN, DBSIZE and INFO tell of the keys that this node holds on its disk.
//   - DEL, UNLINK and EXISTS count the keys of which this node found a copy.
//     The fence of a DEL covers all its keys, whether it found one or not.
//   - A value that is set without an end gets the node's default, as it does
//     with every other interface; TTL then tells that.
//
// redcon parses commands and writes replies. It does not own the sockets: its
// server trusts the lengths that clients send (a length near 2^63 makes it
// panic), buffers without a limit, goes on with the pipeline of a connection
// that was closed, drops commands that arrived together with a malformed one,
// and does not wait for its goroutines. [frame] lets only whole commands
// within the limits reach its parser.
package resp
