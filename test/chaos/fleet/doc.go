// Package fleet runs a domain as real processes on loopback: NATS servers in a
// cluster, Redis, nodes, invalidators and a warmer, each in a process that can
// be killed, paused and started again by its id, and each connection between
// them through a proxy that can be cut, slowed or thinned in either direction.
//
// It needs redis-server, and a nats-server, which it builds if there is none; it
// touches nothing but its own directory, its own processes and loopback.
package fleet
