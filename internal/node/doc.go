// Package node is the shell in which the log, the machine that says what it
// means, and the three tiers meet. One [Node] serves one domain in one
// process: it applies the log, answers reads, loads what is missing, writes
// records and keeps its lease by pulses.
//
// Data flows one way: deliveries come in through apply.go, raise fences in
// memory and on disk, and only then move the applied position; reads come in
// through read.go and never wait for apply unless their level demands it; a
// copy enters a tier through fill.go only, where it is checked against every
// fence that arrived since its load began.
//
// Guarantees are those of docs/GUARANTEES.md for one node of a domain. A node
// that falls behind, is cut off or meets a changed history stops serving its
// copies; it does not guess.
//
// The node does not choose technology: its ports ([Memory], [Disk], [Shared],
// [Witness], events.Log) are filled by pkg/client and by simulations.
package node
