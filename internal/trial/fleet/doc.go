// Package fleet starts a whole fleet in this process, with nothing installed:
// an embedded NATS server with JetStream, an embedded stand-in for Redis, three
// nodes of one domain, an invalidator and a warmer.
//
// The parts are the real ones and speak through the real protocols; only the
// two servers share the process. The data lie in one temporary directory, which
// [Fleet.Close] removes.
//
// Not promised: that it survives its own process, or shows the delays of a
// network.
package fleet
