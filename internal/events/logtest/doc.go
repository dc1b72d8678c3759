// Package logtest is the conformance suite of the port [events.Log]: what
// passes it may be used wherever the port is asked for. jslog passes it over a
// real nats-server and memlog in memory, so that what is proven over the one
// holds over the other.
package logtest
