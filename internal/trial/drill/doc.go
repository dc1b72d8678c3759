// Package drill plays disasters on a scratch fleet in this process, recovers from
// them by the means that operators have, and reports how long that took and what
// was lost.
//
// The fleet is a NATS server with JetStream, a stand-in for Redis and three nodes
// with disks, on loopback and in a temporary directory; no other fleet is touched.
// Every value that is written is known, so every answer can be judged. A drill
// passes if nothing that was dead was ever served and nothing that was promised is
// missing. What is not promised (values across a lost history, values that were
// loaded) may be missing, and is counted.
package drill
